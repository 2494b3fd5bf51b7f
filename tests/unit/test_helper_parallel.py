# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Work for many devices at once: one that hangs costs only itself, and what a killed worker left is read up to where it stopped."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from msgspec import to_builtins
from msgspec.msgpack import encode

from daos_bindings.linux.parallel import spread
from daos_bindings.nvme.kernel import Answers
from daos_helper.methods import nvme_ask
from daos_helper.methods.nvme_ask import Asked
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import WireFault

COUNT = 40
PATIENCE_S = 60.0


def test_everything_is_done_once_and_told_in_the_calling_thread() -> None:
    found: dict[int, int] = {}
    tellers = set()

    def done(number: int, square: int) -> None:
        found[number] = square
        tellers.add(threading.get_ident())

    spread(COUNT, lambda number: number * number, threads=4, seconds=PATIENCE_S, done=done)
    assert found == {number: number * number for number in range(COUNT)}
    assert tellers == {threading.get_ident()}


def test_one_that_hangs_does_not_keep_the_others() -> None:
    thaw = threading.Event()
    others: list[int] = []

    def done(number: int, _result: int) -> None:
        others.append(number)
        if len(others) == COUNT - 1:
            raise StopIteration  # as good as the deadline, and needs no waiting

    def work(number: int) -> int:
        if number == 0:
            thaw.wait()
        return number

    with pytest.raises(StopIteration):
        spread(COUNT, work, threads=4, seconds=PATIENCE_S, done=done)
    assert sorted(others) == list(range(1, COUNT))
    thaw.set()


def test_those_that_hang_get_others_beside_them() -> None:
    """As many hang as there are threads at first; the others are done all the same."""
    thaw = threading.Event()
    found: list[int] = []

    def done(number: int, _result: int) -> None:
        found.append(number)
        if len(found) == COUNT - 2:
            thaw.set()

    def work(number: int) -> int:
        if number < 2:
            thaw.wait()
        return number

    spread(COUNT, work, threads=4, seconds=None, done=done, first=2)
    assert sorted(found) == list(range(COUNT))


def test_what_the_work_raises_is_raised_in_the_calling_thread() -> None:
    def work(number: int) -> int:
        raise OSError(number, "broken")

    with pytest.raises(OSError, match="broken"):
        spread(COUNT, work, threads=4, seconds=None, done=lambda number, _result: pytest.fail(f"{number} is broken"))


def test_one_that_fails_does_not_keep_the_others() -> None:
    def work(number: int) -> int:
        if number == 0:
            raise OSError(number, "broken")
        return number

    found: list[int] = []
    with pytest.raises(OSError, match="broken"):
        spread(COUNT, work, threads=1, seconds=None, done=lambda number, _result: found.append(number))
    assert found == list(range(1, COUNT))


def test_what_is_not_finished_in_time_is_left() -> None:
    thaw = threading.Event()
    spread(1, lambda _number: thaw.wait(), threads=1, seconds=0.0, done=lambda number, _result: pytest.fail(f"{number} hangs"))
    thaw.set()


def test_a_system_without_threads_to_spare_does_it_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found: list[int] = []
    spread(COUNT, lambda number: number, threads=4, seconds=PATIENCE_S, done=lambda number, _result: found.append(number))
    assert found == list(range(COUNT))


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = os.memfd_create("answers")
    yield descriptor
    os.close(descriptor)


def written(*rows: Asked) -> bytes:
    parts = [encode(row) for row in rows]
    return b"".join(len(part).to_bytes(nvme_ask.LENGTH, "little") + part for part in parts)


GONE = WireFault.of(Fault(codes.NVME_CONTROLLER_GONE, object="a", address="a"))
ROWS = (Asked(0, Answers(b"\xff" * 4096, {1: b"\0" * 4096}, b"")), Asked(2, fault=GONE), Asked(1, Answers(b"", {})))


def test_answers_are_read_as_they_were_written(file: int) -> None:
    os.write(file, written(*ROWS))
    assert nvme_ask._parts(file, 3) == list(ROWS)


def test_a_file_that_ends_anywhere_gives_what_is_whole(file: int) -> None:
    whole = written(*ROWS)
    first = len(written(ROWS[0]))
    for length in (*range(8), first - 1, first, first + 1, first + 10, len(whole) - 1):
        os.ftruncate(file, 0)
        os.pwrite(file, whole[:length], 0)
        expected = [row for place, row in enumerate(ROWS) if len(written(*ROWS[: place + 1])) <= length]
        assert nvme_ask._parts(file, 3) == expected


@pytest.mark.parametrize("place", [-1, 3, 2**63])
def test_a_row_of_no_controller_is_left_out(file: int, place: int) -> None:
    os.write(file, written(Asked(place, fault=GONE)))
    assert nvme_ask._parts(file, 3) == []


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x01\0\0\0\xc1", b"\x02\0\0\0\x81\xa1", b"\x01\0\0\0\x80" * 9])
def test_bytes_that_are_no_rows_are_none(file: int, data: bytes) -> None:
    os.write(file, data)
    assert nvme_ask._parts(file, 3) == []


def test_an_answer_that_cannot_be_is_a_fault_of_that_controller() -> None:
    known = nvme_ask._understand(ROWS[2], "0000:81:00.0")
    assert known.record is None
    assert known.fault is not None
    assert (known.fault.code, known.fault.object) == (codes.NVME_DATA_MALFORMED, "0000:81:00.0")
    assert to_builtins(known)["place"] == 1
