# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the account can reach of a helper that runs: no signal, no debugger, no memory, no file, and no second helper's work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from callers import Caller
from hostile import Watch, fault_code, helper_processes, ping, request, wait_until_gone
from installed import Installation
from intrusion import Intruder, ends_well, monitor_of
from trail import Trail

from daos_pbin import codes

ATTACHER = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
pid, worked = int(sys.argv[1]), []
for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
    if libc.ptrace(request, pid, 0, 0) == 0:
        worked.append(f"ptrace {request}")
for number in signal.valid_signals():
    try:
        os.kill(pid, number)
        worked.append(f"signal {number}")
    except PermissionError:
        pass
for name in ("mem", "environ", "maps", "auxv", "fd/0", "cwd", "exe", "syscall", "stack"):
    try:
        os.close(os.open(f"/proc/{pid}/{name}", os.O_RDONLY))
        worked.append(name)
    except OSError:
        pass
for name in ("mem", "oom_score_adj", "fd/1", "coredump_filter"):
    try:
        os.close(os.open(f"/proc/{pid}/{name}", os.O_RDWR))
        worked.append(f"write {name}")
    except OSError:
        pass
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(8)
ours, theirs = Piece(ctypes.addressof(buffer), 8), Piece(0x400000, 8)
for call in (libc.process_vm_readv, libc.process_vm_writev):
    if call(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0) >= 0 or ctypes.get_errno() not in (1, 3):
        worked.append(str(call))
if libc.syscall(438, os.pidfd_open(pid), 0, 0) >= 0:  # pidfd_getfd
    worked.append("pidfd_getfd")
print(worked)
"""
"""Tries everything that one process can do to another; prints what worked."""

KILLER = """
import os, signal, sys
helper, count = sys.argv[1], int(sys.argv[2])
killed = 0
_, away = os.pipe()
for number in range(count):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(reader, 0)
        os.dup2(away, 1)
        os.close(reader)
        os.close(writer)
        os.execv(helper, [helper])
    os.close(reader)
    for _ in range(number * 40):  # a little later every time, through the whole start: a count, not a clock
        pass
    try:
        os.kill(pid, (signal.SIGKILL, signal.SIGTERM)[number % 2])
    except PermissionError:
        pass
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    killed += os.WIFSIGNALED(status)
print(killed)
"""
"""Starts helpers and kills each at another moment of its start, while it is still allowed to; prints how many it killed."""


@pytest.mark.parametrize("who", ["account", "stranger", "worker's account"])
def test_nobody_but_root_can_touch_the_monitor(
    intruder: Intruder, installation: Installation, system_interpreter: str, watch: Watch, trail: Trail, who: str
) -> None:
    session = intruder.open()
    monitor = monitor_of(session, installation)
    caller = {"account": installation.account, "stranger": installation.member, "worker's account": installation.worker}[who]
    done = caller.run([system_interpreter, "-I", "-c", ATTACHER, str(monitor)])
    assert (done.stdout, done.stderr) == (b"[]\n", b"")
    ends_well(session)
    assert trail.only()["verdict"] == "done"
    assert watch.changes() == []


def test_the_same_attacks_work_on_a_process_of_ones_own(installation: Installation, system_interpreter: str) -> None:
    with installation.account.start(["/bin/cat"]) as victim:
        done = installation.account.run([system_interpreter, "-I", "-c", ATTACHER, str(victim.pid)])
        victim.kill()
    assert b"ptrace 16" in done.stdout
    assert b"signal 9" in done.stdout


def test_debugger_from_the_start_gets_a_program_without_privileges(intruder: Intruder, watch: Watch, trail: Trail) -> None:
    intruder.refused("traced", code=70)
    assert trail.lines() == [], "nothing ran as root"
    assert watch.changes() == []


def test_strace_by_the_account_gets_a_program_without_privileges(installation: Installation, watch: Watch, trail: Trail) -> None:
    if not Path("/usr/bin/strace").exists():
        pytest.skip("strace is missing: make deps-tests installs it")
    done = installation.account.run(["/usr/bin/strace", "-f", "-qq", "-e", "trace=none", str(installation.helper)], payload=ping(1))
    assert done.returncode == 70
    assert done.stdout == b""
    assert b"not running as root" in done.stderr
    assert trail.lines() == []
    assert watch.changes() == []


def test_helper_that_is_killed_at_any_moment_of_its_start(
    intruder: Intruder, installation: Installation, system_interpreter: str, watch: Watch, trail: Trail
) -> None:
    """11: allowed while the real uid is still the caller's; nothing has happened by then."""
    done = installation.account.run([system_interpreter, "-I", "-c", KILLER, str(installation.helper), "150"])
    assert done.stderr.count(b"Traceback") == 0
    assert int(done.stdout.split()[-1]) > 0, "some were killed"
    wait_until_gone(helper_processes(installation))
    assert trail.lines() == []
    session = intruder.open()
    session.send(ping(1))
    assert fault_code(session.answer(1)) == 0
    ends_well(session)
    assert watch.changes() == []


# Two at once (20)


def test_two_formats_of_one_device(intruder: Intruder, base: Path, device: str, trail: Trail) -> None:
    sessions = {name: intruder.open() for name in ("one", "two")}
    for session in sessions.values():
        session.hello()
    for name, session in sessions.items():
        session.send(request(2, "ScmFormat", {"mountpoint": f"{base}/{name}", "dcpm": {"device": device}, "force": True}))
    answers = {name: session.answer(2) for name, session in sessions.items()}
    found = sorted(fault_code(answer) for answer in answers.values())
    assert found[0] == 0, "one is done"
    assert found[1] in (codes.HELPER_RESOURCE_BUSY, codes.STORAGE_DEVICE_ALREADY_MOUNTED), answers
    if found[1] == codes.HELPER_RESOURCE_BUSY:
        assert "is in use by" in str(answers), "the holder is named, as far as it can be"
    for session in sessions.values():
        rest, ending = session.end()
        assert {message["type"] for message in rest} <= {"log"}
        assert (ending.status, ending.errors) == (0, b"")
    assert sorted(line["fault"] for line in trail.ends()) == sorted(str(code) for code in found)
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    assert len([point for point in points if point.startswith(f"{base}/")]) == 1


# The account's own ways around (2.1)


def test_audit_line_tells_the_program_that_called_as_claimed(intruder: Intruder, installation: Installation, trail: Trail) -> None:
    """42"""
    session = intruder.open()
    monitor_of(session, installation)
    ends_well(session)
    start, end = sorted(trail.lines(), key=lambda line: line["event"] == "end")
    assert start["event"] == "start"
    assert start["request"] == end["request"] == "1"
    for line in (start, end):
        assert line["caller_uid"] == str(installation.account.uid)
        assert int(line["caller_pid"]) == session.process.pid
        assert line["caller_exe"] in (str(intruder.program), "unknown")


def test_server_program_has_no_bit_that_would_lend_its_group(installation: Installation) -> None:
    """2.1 b: the reference's server is set-group-id, so that anybody passes for a member of the group that may call the helper."""
    found = installation.server.stat()
    assert not found.st_mode & 0o6000
    assert installation.helper.stat().st_mode & 0o7777 == 0o4750
    stranger = Caller(54321, 54321)
    done = stranger.run([installation.server, "version"])
    assert done.returncode == 0, done.stderr
    with pytest.raises(PermissionError):
        stranger.run([installation.helper])
    set_id = [path for path in installation.root.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o6000]
    assert set_id == [installation.helper], "and no other program has one"


def test_set_user_id_file_on_our_mount_lends_nothing(
    intruder: Intruder, installation: Installation, base: Path, system_interpreter: str, trail: Trail
) -> None:
    """2.1 h: the account owns the file system, so it can put there what it likes; root's program there is still no way to root."""
    session = intruder.open()
    session.send(request(2, "ScmFormat", {"mountpoint": f"{base}/engine0", "ramdisk": {"size_gib": 1}}))
    assert fault_code(session.answer(2)) == 0
    assert trail.only()["object"] == f"{base}/engine0"
    program, node = base / "engine0" / "id", base / "engine0" / "disk"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)  # as a crafted file system would have it; the account cannot do this itself
    os.mknod(node, 0o666 | 0o020000, os.makedev(1, 5))
    node.chmod(0o666)
    account = installation.account
    with pytest.raises(PermissionError):
        account.run([program])
    opened = account.run([system_interpreter, "-I", "-c", f"open({str(node)!r}, 'rb')"])
    assert b"PermissionError" in opened.stderr
    session.send(request(3, "ScmUnmount", {"target": f"{base}/engine0"}))
    assert fault_code(session.answer(3)) == 0
    ends_well(session)


def test_helper_listens_nowhere(intruder: Intruder, installation: Installation) -> None:
    session = intruder.open()
    monitor = monitor_of(session, installation)
    links = [os.readlink(entry) for entry in Path(f"/proc/{monitor}/fd").iterdir()]
    assert not [link for link in links if link.startswith("socket:")]
    ends_well(session)
