# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A prepare in which one system call fails: an exact fault, the counts as they were, and the next run succeeds (41)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import Hostile, fault_code, request
from injection import injected
from installed import Installation
from intrusion import Intruder, ends_well, ready
from trail import Trail
from wide_watch import locks_left

from daos_bindings.linux import hugepages
from daos_pbin import codes

FAILED = codes.STORAGE_SYSTEM_CALL_FAILED
MORE = 2
"""Hugepages that are asked for beyond those that are there; they are everybody's."""

POINTS = [
    ("flock", "1", False, ("EIO",)),
    ("fsync", "1", False, ("ENOSPC", "EIO", "EROFS")),
    ("renameat", "1", False, ("ENOSPC", "EROFS")),
    ("pipe2", "1", False, ("ENFILE",)),
    ("clone", "1", False, ("EAGAIN", "ENOMEM")),
    ("pwrite64", "1", True, ("EBUSY", "EINVAL", "EIO", "ENOMEM")),
    ("pread64", "1", True, ("EIO",)),
]
CASES = [(call, nth, on_count, error) for call, nth, on_count, errors in POINTS for error in errors]


@pytest.fixture
def before(installation: Installation, base: Path, intruder: Intruder) -> Iterator[int]:
    """The hugepages of node 0, which are the same after the test; the policy allows to ask for more."""
    if not hugepages.default_size_kib():
        pytest.skip("this kernel has no hugepages")
    Path(installation.layout.policy_file).write_text(f'mount_roots = ["{base}"]\n')
    found = total()
    yield found
    session = intruder.open()
    session.send(request(1, "BdevPrepare", {"reset": True}))
    assert fault_code(session.answer(1)) == 0
    session.end()
    assert total() == found


def total() -> int:
    return hugepages.read_node(0, hugepages.default_size_kib()).total


def grow(identifier: int, count: int) -> bytes:
    return request(identifier, "BdevPrepare", {"hugepages": [{"node": 0, "count": count}]})


@pytest.mark.parametrize(("call", "nth", "on_count", "error"), CASES, ids=[f"{call}: {error}" for call, _, _, error in CASES])
def test_system_call_that_fails(
    intruder: Intruder, installation: Installation, before: int, trail: Trail, call: str, nth: str, on_count: bool, error: str
) -> None:
    session = intruder.open()
    monitor = ready(session, installation)
    count_file = os.path.realpath(hugepages.nr_path(0, hugepages.default_size_kib())) if on_count else ""
    with injected(monitor, call, error, nth=nth, path=count_file):
        session.send(grow(2, before + MORE))
        answer = session.answer(2)
    assert fault_code(answer) == FAILED, answer
    assert os.strerror(getattr(errno, error)).lower() in str(answer).lower()
    ended = [line["fault"] for line in trail.ends() if line["method"] == "BdevPrepare"]
    assert ended == [str(FAILED)]
    session.send(grow(3, before + MORE))
    assert fault_code(session.answer(3)) == 0, "the next run"
    assert total() == before + MORE
    session.send(request(4, "BdevPrepare", {"reset": True}))
    assert fault_code(session.answer(4)) == 0
    assert total() == before
    ends_well_after_progress(session)
    assert locks_left(installation.layout.rundir) == []


def ends_well_after_progress(session: Hostile) -> None:
    rest, ending = session.end()
    assert {message["type"] for message in rest} <= {"log", "progress"}
    assert (ending.status, ending.errors) == (0, b"")


def test_descriptor_that_cannot_be_had_leaves_no_claim(intruder: Intruder, installation: Installation, before: int) -> None:
    """Pages that somebody else adds afterwards are not ours to take away: no record may claim what was never added."""
    session = intruder.open()
    monitor = ready(session, installation)
    count_file = os.path.realpath(hugepages.nr_path(0, hugepages.default_size_kib()))
    with injected(monitor, "openat", "EIO", nth="2", path=count_file):
        session.send(grow(2, before + MORE))
        assert fault_code(session.answer(2)) == FAILED
    size = hugepages.default_size_kib()
    Path(hugepages.nr_path(0, size)).write_text(str(before + MORE), encoding="ascii")  # an administrator
    try:
        session.send(request(3, "BdevPrepare", {"reset": True}))
        assert fault_code(session.answer(3)) == 0
        assert total() == before + MORE, "the administrator's pages stay"
    finally:
        Path(hugepages.nr_path(0, size)).write_text(str(before), encoding="ascii")
    ends_well(session)
