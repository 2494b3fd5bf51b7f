# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The real monitor and its workers, with steps that misbehave in every way: one fault each, and the session lives on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import msgpack  # type: ignore[import-untyped]  # ships no types
import pytest

from daos_helper import privileges
from daos_pbin import codes
from daos_pbin.envelope import Log, Progress
from daos_pbin.faults import Fault
from daos_pbin.frames import ANSWER_LIMIT, FrameReader, encode
from daos_pbin.messages import BdevPrepare, NodePages, Ramdisk, Request, Result, ScmCheckFormat, ScmFormat
from daos_pbin.session import HelperSession

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: workers change their uid")]

ACCOUNT, WORKER = 54001, 54002
FREEZER = Path("/sys/fs/cgroup/freezer")


class OddResult(Result, frozen=True, forbid_unknown_fields=True):
    said: dict[str, object]


class Odd(Request[OddResult], frozen=True, forbid_unknown_fields=True):
    """The request of ``odd_helper.py``."""

    result_type: ClassVar[type[Result]] = OddResult
    kind: str
    row: str = "probe"
    resource: str = "odd"
    text: str = ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    for name, uid in (("account", ACCOUNT), ("worker", WORKER)):
        path = tmp_path / name
        path.touch()
        os.chown(path, uid, uid)
        path.chmod(0)
    return tmp_path


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that the worker's account can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="daos-test-") as name:
        os.chmod(name, 0o755)  # noqa: S103 - the worker's account shall reach it
        yield Path(name)


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-B", str(Path(__file__).with_name("odd_helper.py")), str(folder), *more]


@pytest.fixture(autouse=True)
def _source_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-alone script finds the packages as this process does; a real helper's launcher lets no environment through."""
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))


@pytest.fixture
def program(folder: Path) -> list[str]:
    """A helper whose environment the session leaves empty, so that the import path goes in by ``env``."""
    return ["/usr/bin/env", f"PYTHONPATH={os.environ['PYTHONPATH']}", *command(folder)]


T = TypeVar("T")


class Run(Protocol):
    """Runs work in a session, and makes sure that the session lives afterwards."""

    def __call__(self, work: Callable[[HelperSession], Coroutine[object, object, T]]) -> T: ...


@pytest.fixture
def run(program: list[str]) -> Run:
    def runner(work: Callable[[HelperSession], Coroutine[object, object, T]]) -> T:
        async def inside() -> T:
            async with HelperSession(program) as helper:
                result = await work(helper)
                assert (await helper.ping()).app_name == "daos_server_helper", "the session must live on"
                return result

        return asyncio.run(inside())

    return runner


async def fault_of(helper: HelperSession, request: Request[Result], deadline_s: float = 60) -> Fault:
    with pytest.raises(Fault) as caught:
        await helper.call(request, deadline_s=deadline_s)
    return caught.value


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (Odd("crash", text=str(int(signal.SIGSEGV))), codes.HELPER_WORKER_CRASHED, "SIGSEGV"),
        (Odd("crash", text=str(int(signal.SIGKILL))), codes.HELPER_WORKER_CRASHED, "SIGKILL"),
        (Odd("leave", text="0"), codes.HELPER_WORKER_NO_ANSWER, "status 0"),
        (Odd("leave", text="9"), codes.HELPER_WORKER_NO_ANSWER, "status 9"),
        (Odd("flood_answers"), codes.HELPER_WORKER_NO_ANSWER, "more than the worker may send"),
        (Odd("garbage", text="00000003c1c1c1"), codes.HELPER_WORKER_NO_ANSWER, "no answer"),
        (Odd("garbage", text="7fffffff"), codes.HELPER_WORKER_NO_ANSWER, "no answer"),
        (Odd("two_answers"), codes.HELPER_WORKER_NO_ANSWER, "after the last"),
        (Odd("wrong_type"), codes.HELPER_WORKER_NO_ANSWER, "another type"),
        (Odd("defect"), codes.HELPER_INTERNAL, "ZeroDivisionError"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_worker_that_misbehaves_is_one_fault(run: Run, request_: Odd, code: int, words: str) -> None:
    fault = run(lambda helper: fault_of(helper, request_))
    assert fault.code == code, fault
    assert words in f"{fault}"
    assert "secret" not in f"{fault.to_wire()}", "what a defect says may name root's things"


def test_worker_that_hangs_ends_at_the_deadline(run: Run) -> None:
    fault = run(lambda helper: fault_of(helper, Odd("hang"), deadline_s=0.3))
    assert fault.code == codes.HELPER_DEADLINE_EXCEEDED


def test_flood_of_output_is_cut_and_the_step_succeeds(program: list[str]) -> None:
    lines: list[str] = []

    def on_log(log: Log) -> None:
        lines.append(log.text)

    async def inside() -> OddResult:
        async with HelperSession(program, on_log=on_log) as helper:
            return await helper.call(Odd("flood_output", text="5000000"))

    assert asyncio.run(inside()).said == {"printed": "5000000"}
    assert sum(map(len, lines)) < 80 * 1024
    assert "dropped" in lines[-1]


def test_cancel_kills_the_worker(run: Run) -> None:
    async def work(helper: HelperSession) -> int:
        started = asyncio.get_running_loop().create_future()

        def on_progress(progress: Progress) -> None:
            started.set_result(int(progress.what.removeprefix("pid ")))

        call = asyncio.create_task(helper.call(Odd("hang"), on_progress=on_progress))
        pid = await started
        call.cancel()
        with pytest.raises((asyncio.CancelledError, Fault)):
            await call
        return int(pid)

    pid = run(work)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_work_that_is_stopped_is_undone_by_its_method(run: Run, public: Path) -> None:
    trace = public / "trace"
    trace.touch()
    trace.chmod(0o666)
    fault = run(lambda helper: fault_of(helper, Odd("undo", text=str(trace)), deadline_s=0.2))
    assert fault.code == codes.HELPER_DEADLINE_EXCEEDED, "the undo does not hide why"
    assert trace.read_text() == "undone"


def test_requests_on_different_things_run_side_by_side(run: Run, public: Path) -> None:
    pipe = public / "meeting"
    os.mkfifo(pipe, 0o666)
    os.chmod(pipe, 0o666)  # noqa: S103 - as above

    async def work(helper: HelperSession) -> tuple[OddResult, OddResult]:
        reader = helper.call(Odd("meet", resource="a", text=f"{pipe}:read"), deadline_s=30)
        writer = helper.call(Odd("meet", resource="b", text=f"{pipe}:write"), deadline_s=30)
        return await asyncio.gather(reader, writer)

    assert len(run(work)) == 2


def test_requests_on_the_same_thing_wait_for_each_other(run: Run, public: Path) -> None:
    pipe = public / "meeting"
    os.mkfifo(pipe, 0o666)
    os.chmod(pipe, 0o666)  # noqa: S103 - as above

    async def work(helper: HelperSession) -> tuple[Fault, Fault]:
        reader = fault_of(helper, Odd("meet", text=f"{pipe}:read"), deadline_s=0.3)
        writer = fault_of(helper, Odd("meet", text=f"{pipe}:write"), deadline_s=0.6)
        first, second = await asyncio.gather(reader, writer)
        return first, second

    first, second = run(work)
    assert first.code == second.code == codes.HELPER_DEADLINE_EXCEEDED, "they can never have met"


def test_another_session_is_told_who_holds_the_thing(program: list[str]) -> None:
    async def inside() -> Fault:
        async with HelperSession(program) as first, HelperSession(program) as second:
            started = asyncio.Event()
            call = asyncio.create_task(first.call(Odd("hang"), on_progress=lambda _progress: started.set()))
            await started.wait()
            fault = await fault_of(second, Odd("leave", text="0"))
            call.cancel()
            with pytest.raises((asyncio.CancelledError, Fault)):
                await call
            return fault

    fault = asyncio.run(inside())
    assert fault.code == codes.HELPER_RESOURCE_BUSY
    assert "request 1, step probe" in f"{fault}"


def test_more_requests_than_a_session_may_have(run: Run) -> None:
    async def work(helper: HelperSession) -> list[object]:
        calls = [helper.call(Odd("hang", resource="one"), deadline_s=1) for _ in range(70)]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = run(work)
    found = sorted({answer.code for answer in answers if isinstance(answer, Fault)})
    assert found == [codes.HELPER_DEADLINE_EXCEEDED, codes.HELPER_TOO_MANY_REQUESTS]
    refused = [answer for answer in answers if answer == Fault(codes.HELPER_TOO_MANY_REQUESTS, limit=64)]
    assert len(refused) == 6


@pytest.mark.parametrize("row", privileges.TABLE, ids=lambda row: row.step)
def test_worker_has_exactly_what_its_row_says(run: Run, row: privileges.Row) -> None:
    result = run(lambda helper: helper.call(Odd("look_around", row=row.step)))
    said = result.said
    uid = WORKER if row.identity == "worker" else 0
    assert said["uids"] == [uid] * 4
    assert said["gids"] == [uid] * 4
    assert said["groups"] == []
    for name in ("effective", "permitted", "bounding"):
        assert said[name] == sorted(row.capabilities), name
    assert said["inheritable"] == said["ambient"] == []
    assert said["no_new_privs"] is True
    descriptors = said["descriptors"]
    assert isinstance(descriptors, dict)
    assert len(descriptors) == 5, f"standard ones, the private pipe, one lock: {descriptors}"


@pytest.mark.parametrize("row", privileges.TABLE, ids=lambda row: row.step)
def test_worker_cannot_get_back_what_it_gave_up(run: Run, row: privileges.Row) -> None:
    result = run(lambda helper: helper.call(Odd("regain", row=row.step)))
    expected = ["unshare"] if "CAP_SYS_ADMIN" in row.capabilities else []
    assert result.said["worked"] == expected


def test_program_step_returns_status_and_output(run: Run) -> None:
    result = run(lambda helper: helper.call(Odd("program", row="make-ext4", text="/usr/bin/id")))
    assert result.said["status"] == 0
    assert "uid=0" in str(result.said["output"])
    failed = run(lambda helper: helper.call(Odd("program", row="make-ext4", text="/usr/bin/false")))
    assert failed.said["status"] == 1


def test_program_that_is_not_there(run: Run) -> None:
    fault = run(lambda helper: fault_of(helper, Odd("program", row="make-ext4", text="/usr/bin/no-such-program")))
    assert fault.code in (codes.STORAGE_SYSTEM_CALL_FAILED, codes.HELPER_WORKER_NO_ANSWER)


@pytest.mark.skipif(not FREEZER.is_dir(), reason="no freezer cgroup (v1) here to make a process that SIGKILL does not reach")
def test_worker_that_cannot_die_is_left_behind_and_keeps_its_lock(program: list[str]) -> None:
    group = FREEZER / f"daos-test-{os.getpid()}"
    group.mkdir()
    try:
        fault, busy, pid = asyncio.run(_freeze(program, group))
    finally:
        (group / "freezer.state").write_text("THAWED")
    _wait_gone(pid)
    group.rmdir()
    assert fault.code == codes.HELPER_WORKER_STUCK
    assert str(pid) in f"{fault}"
    assert busy.code == codes.HELPER_RESOURCE_BUSY
    assert str(pid) in f"{busy}"


@pytest.mark.skipif(not FREEZER.is_dir(), reason="no freezer cgroup (v1) here to make a process that SIGKILL does not reach")
def test_worker_that_has_said_all_and_does_not_end_keeps_nobody_waiting(run: Run) -> None:
    """One of its threads may be stuck in the kernel."""
    group = FREEZER / f"daos-test-{os.getpid()}"
    group.mkdir()
    try:
        result = run(lambda helper: helper.call(Odd("last_word", row="make-mount-point", text=str(group)), deadline_s=3600))
        pid = int(str(result.said["pid"]))
        assert os.path.exists(f"/proc/{pid}"), "it was not stuck"
    finally:
        (group / "freezer.state").write_text("THAWED")
    _wait_gone(pid)
    group.rmdir()


async def _freeze(program: list[str], group: Path) -> tuple[Fault, Fault, int]:
    pid = 0

    def on_progress(progress: Progress) -> None:
        nonlocal pid
        pid = int(progress.what.removeprefix("pid "))
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")

    async with HelperSession(program) as helper:
        with pytest.raises(Fault) as caught:
            await helper.call(Odd("hang"), deadline_s=1, on_progress=on_progress)
        busy = await fault_of(helper, Odd("leave", text="0"))
        await helper.ping()
        return caught.value, busy, pid


def _wait_gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        assert poller.poll(20_000), f"process {pid} is still there"
    finally:
        os.close(descriptor)


class Raw:
    """A helper and its bare pipes."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.process = subprocess.Popen(command(folder, *more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.reader = FrameReader(ANSWER_LIMIT)

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def until(self, kind: str) -> dict[str, object]:
        assert self.process.stdout is not None
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"the helper ended before it sent a {kind}"
            for message in self.reader.feed(data):
                if message["type"] == kind:
                    return message

    def end(self) -> tuple[int, bytes]:
        """Wait for it to end by itself; its status and what it wrote to standard error."""
        status = self.process.wait(timeout=30)
        assert self.process.stderr is not None
        return status, self.process.stderr.read()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@pytest.fixture
def raw(folder: Path) -> Iterator[Raw]:
    helper = Raw(folder)
    yield helper
    helper.close()


def request(identifier: int, method: str, payload: dict[str, object], deadline_s: float = 60) -> bytes:
    message = {"type": "request", "id": identifier, "method": method, "payload": payload, "deadline_s": deadline_s}
    return encode(message, 65536)


def odd(identifier: int, kind: str) -> bytes:
    return request(identifier, "Odd", {"kind": kind})


@pytest.mark.parametrize("how", ["end of stream", "kill"])
def test_workers_end_with_the_session(raw: Raw, how: str) -> None:
    raw.send(odd(1, "hang"))
    pid = int(str(raw.until("progress")["what"]).removeprefix("pid "))
    if how == "kill":
        raw.process.kill()
    else:
        assert raw.process.stdin is not None
        raw.process.stdin.close()
        assert raw.process.wait(timeout=30) == 0
    _wait_gone(pid)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        struct.pack(">I", 65537) + b"\x80",
        struct.pack(">I", 1) + b"\x80",
        struct.pack(">I", 3) + b"\xc1\xc1\xc1",
        struct.pack(">I", 2) + b"\x80\x80",
        struct.pack(">I", 60001) + b"\x91" * 60000 + b"\xc0",
    ],
    ids=["empty", "huge", "over the limit", "no type", "reserved byte", "trailing", "nested 60000 deep"],
)
def test_hostile_frame_ends_the_session_with_one_fault(raw: Raw, data: bytes) -> None:
    raw.send(data)
    failure = raw.until("failure")
    assert failure["id"] == 0
    status, errors = raw.end()
    assert status == 1
    assert errors == b"", "no traceback"


HOSTILE_MESSAGES = {
    "duplicate key": b"\x82\xa4type\xa6cancel\xa4type\xa6cancel",
    "id is true": msgpack.packb({"type": "cancel", "id": True}),
    "id is zero": msgpack.packb({"type": "cancel", "id": 0}),
    "unknown type": msgpack.packb({"type": "hello", "id": 1}),
    "unknown field": msgpack.packb({"type": "cancel", "id": 1, "more": 1}),
    "NUL": msgpack.packb({"type": "request", "id": 1, "method": "Odd", "payload": {"kind": "a\0b"}, "deadline_s": 1}),
    "surrogate": b"\x85\xa4type\xa7request\xa2id\x01\xa6method\xa3Odd\xa7payload\x81\xa4kind\xa3\xed\xa0\x80\xaadeadline_s\x01",
    "binary": msgpack.packb({"type": "request", "id": 1, "method": "Odd", "payload": {"kind": b"x"}, "deadline_s": 1}),
    "no deadline": msgpack.packb({"type": "request", "id": 1, "method": "Odd", "payload": {}, "deadline_s": 0}),
    "method as path": msgpack.packb({"type": "request", "id": 1, "method": "../x", "payload": {}, "deadline_s": 1}),
}


@pytest.mark.parametrize("body", HOSTILE_MESSAGES.values(), ids=HOSTILE_MESSAGES.keys())
def test_hostile_message_ends_the_session_with_one_fault(raw: Raw, body: bytes) -> None:
    raw.send(struct.pack(">I", len(body)) + body)
    assert raw.until("failure")["id"] == 0
    status, errors = raw.end()
    assert status == 1
    assert errors == b""


@pytest.mark.parametrize(
    ("method", "payload", "code"),
    [
        ("NoSuchMethod", {}, codes.HELPER_METHOD_UNKNOWN),
        ("ping", {}, codes.HELPER_METHOD_UNKNOWN),
        ("Ping", {"x": 1}, codes.HELPER_METHOD_UNKNOWN),
        ("ScmFormat", {}, codes.HELPER_MESSAGE_INVALID),
        ("ScmFormat", {"mountpoint": 5}, codes.HELPER_MESSAGE_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "owner_uid": 0}, codes.HELPER_MESSAGE_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "ramdisk": {"size_gib": True}}, codes.HELPER_MESSAGE_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "ramdisk": {"size_gib": -1}}, codes.HELPER_MESSAGE_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "ramdisk": {"size_gib": 2**63}}, codes.HELPER_MESSAGE_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "ramdisk": {"size_gib": 1.0}}, codes.HELPER_MESSAGE_INVALID),
        ("ScmFormat", {"mountpoint": "x" * 5000, "ramdisk": {"size_gib": 1}}, codes.HELPER_MESSAGE_INVALID),
        ("ScmFormat", {"mountpoint": "/etc", "ramdisk": {"size_gib": 1}}, codes.HELPER_POLICY_REFUSED),
        ("ScmFormat", {"mountpoint": "/mnt/daos/../../etc", "ramdisk": {"size_gib": 1}}, codes.STORAGE_PATH_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt//daos", "ramdisk": {"size_gib": 1}}, codes.STORAGE_PATH_INVALID),
        ("ScmFormat", {"mountpoint": "mnt/daos", "ramdisk": {"size_gib": 1}}, codes.STORAGE_PATH_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt/daos/", "ramdisk": {"size_gib": 1}}, codes.STORAGE_PATH_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt/daos/a\nb", "ramdisk": {"size_gib": 1}}, codes.STORAGE_PATH_INVALID),
        ("ScmFormat", {"mountpoint": "/mnt/daosx", "ramdisk": {"size_gib": 1}}, codes.HELPER_POLICY_REFUSED),
        ("ScmFormat", {"mountpoint": "/mnt/daos\u0661", "ramdisk": {"size_gib": 1}}, codes.HELPER_POLICY_REFUSED),
        ("ScmFormat", {"mountpoint": "", "ramdisk": {"size_gib": 1}}, codes.SCM_FORMAT_MISSING_MOUNTPOINT),
        ("ScmFormat", {"mountpoint": "/mnt/daos"}, codes.SCM_FORMAT_MISSING_PARAM),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "ramdisk": {"size_gib": 0}}, codes.SCM_FORMAT_INVALID_SIZE),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "dcpm": {"device": ""}}, codes.SCM_FORMAT_INVALID_DEVICE_COUNT),
        (
            "ScmFormat",
            {"mountpoint": "/mnt/daos", "ramdisk": {"size_gib": 1}, "dcpm": {"device": "/dev/x"}},
            codes.SCM_FORMAT_CONFLICTING_PARAM,
        ),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "dcpm": {"device": "/dev/no-such-device"}}, codes.SCM_FORMAT_MISSING_DEVICE),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "dcpm": {"device": "/dev/null"}}, codes.STORAGE_DEVICE_NOT_BLOCK),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "dcpm": {"device": "/etc/passwd"}}, codes.STORAGE_DEVICE_NOT_BLOCK),
        ("ScmFormat", {"mountpoint": "/mnt/daos", "dcpm": {"device": "/dev/fd/0"}}, codes.STORAGE_PATH_UNSAFE),
        ("BdevPrepare", {"target_user": "root"}, codes.HELPER_POLICY_REFUSED),
        ("BdevPrepare", {"target_user": "-oops"}, codes.HELPER_MESSAGE_INVALID),
        ("BdevPrepare", {"target_user": 'a"=0}\nmount_roots=["/etc"]#'}, codes.HELPER_MESSAGE_INVALID),
        ("BdevPrepare", {"hugepages": [{"node": 999, "count": 1}]}, codes.HUGEPAGES_NODE_MISSING),
        ("BdevPrepare", {"hugepages": [{"node": 0, "count": 2**31 - 1}]}, codes.HUGEPAGES_OVER_MEMORY),
        ("MetadataFormat", {"root_path": "/etc/daos_metadata"}, codes.HELPER_POLICY_REFUSED),
        ("MetadataNeedsFormat", {"root_path": "/root"}, codes.HELPER_POLICY_REFUSED),
    ],
)
def test_hostile_value_is_one_fault(raw: Raw, method: str, payload: dict[str, object], code: int) -> None:
    raw.send(request(7, method, payload))
    fault = raw.until("failure")["fault"]
    assert isinstance(fault, dict)
    assert fault["code"] == code, fault
    raw.send(request(8, "Ping", {}))
    assert raw.until("result")["id"] == 8


def test_half_a_frame_is_not_waited_for_forever(folder: Path) -> None:
    helper = Raw(folder, "0.2")
    helper.send(b"\x00\x00\x00\x20half")
    assert "half a frame" in str(helper.until("failure"))
    assert helper.end()[0] == 1
    helper.close()


def test_caller_that_does_not_read_costs_bounded_memory(raw: Raw) -> None:
    raw.until("hello")
    for identifier in range(1, 41):
        raw.send(request(identifier, "Odd", {"kind": "flood_output", "text": "300000", "resource": str(identifier)}))
    raw.send(odd(99, "hang"))
    with open(f"/proc/{raw.process.pid}/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 64 * 1024, f"{peak} KiB"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("mount_rots = []", 0o644, "mount_rots"),
        ("mount_roots = 5", 0o644, "mount_roots"),
        ("mount_roots = ['relative']", 0o644, "absolute"),
        ("mount_roots = [", 0o644, "2004"),
        ("", 0o666, "root alone"),
        ("allowed_callers = ['daos_server']", 0o644, "allowed_callers"),
    ],
)
def test_policy_that_cannot_be_trusted_refuses_everything(folder: Path, run: Run, text: str, mode: int, words: str) -> None:
    policy = folder / "helper.toml"
    policy.write_text(text)
    policy.chmod(mode)
    fault = run(lambda helper: fault_of(helper, ScmCheckFormat("/mnt/daos", ramdisk=Ramdisk(4))))
    assert fault.code == codes.HELPER_POLICY_INVALID
    assert words in f"{fault} {fault.code}"


def test_policy_of_somebody_else_is_not_followed(folder: Path, run: Run) -> None:
    policy = folder / "helper.toml"
    policy.touch()
    os.chown(policy, ACCOUNT, ACCOUNT)
    fault = run(lambda helper: fault_of(helper, ScmCheckFormat("/mnt/daos", ramdisk=Ramdisk(4))))
    assert fault.code == codes.HELPER_POLICY_INVALID


def test_policy_is_read_again_when_it_changes(folder: Path, run: Run) -> None:
    async def work(helper: HelperSession) -> tuple[bool, Fault]:
        request_ = ScmCheckFormat("/mnt/daos", ramdisk=Ramdisk(4))
        mounted = (await helper.call(request_)).mounted
        (folder / "helper.toml").write_text('methods_off = ["ScmCheckFormat", "BdevPrepare"]')
        return mounted, await fault_of(helper, request_)

    mounted, fault = run(work)
    assert not mounted
    assert fault.code == codes.HELPER_POLICY_REFUSED
    assert 'methods_off = ["BdevPrepare"]' in fault.resolution, "the exact line"


def test_without_an_audit_trail_nothing_is_changed(folder: Path, run: Run) -> None:
    (folder / "audit.log").mkdir()

    async def work(helper: HelperSession) -> tuple[Fault, Fault]:
        await helper.call(ScmCheckFormat("/mnt/daos", ramdisk=Ramdisk(4)))
        formatted = await fault_of(helper, ScmFormat("/mnt/daos", ramdisk=Ramdisk(4)))
        return formatted, await fault_of(helper, BdevPrepare((NodePages(0, 0),)))

    formatted, prepared = run(work)
    assert formatted == prepared == Fault(codes.HELPER_AUDIT_UNAVAILABLE, sinks="")


def test_every_request_leaves_two_lines(folder: Path, run: Run) -> None:
    async def work(helper: HelperSession) -> None:
        await fault_of(helper, ScmFormat("/etc/\u202eshadow", ramdisk=Ramdisk(4)))
        await helper.call(Odd("look_around", resource='a "quoted" thing'))

    run(work)
    lines = (folder / "audit-read.log").read_text().splitlines()
    assert oct((folder / "audit-read.log").stat().st_mode & 0o777) == "0o600"
    starts = [line for line in lines if "event=start" in line]
    ends = [line for line in lines if "event=end" in line]
    assert len(starts) == len(ends) == 3, "two requests and the ping of the fixture"
    assert all("caller_uid=0" in line and "caller_pid=" in line and "caller_exe=" in line for line in lines)
    assert "verdict=refused" in ends[0]
    assert f"fault={codes.STORAGE_PATH_INVALID}" in ends[0]
    assert "\\u202e" in ends[0], "a character that turns the line around is escaped"
    assert 'object="a \\u0022quoted\\u0022 thing"' in ends[1]
    assert "verdict=done" in ends[1]
    assert "duration_ms=" in ends[1]
