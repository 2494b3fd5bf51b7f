# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A format in which one system call fails: an exact fault, nothing left or what is left told, and the next run succeeds (41)."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hostile import Hostile, Message, fault_code, request
from injection import injected, traced
from installed import Installation
from intrusion import Intruder, ends_well, ready
from trail import Trail
from wide_watch import locks_left

from daos_pbin import codes

ERRORS = ("ENOSPC", "EIO", "EROFS", "EBUSY", "EINTR", "ENOMEM")
FAILED = codes.STORAGE_SYSTEM_CALL_FAILED
WRITES = "pwrite64,write"
Left = Literal["nothing whole", "unfinished", "used"]
"""What a failed format leaves on the device: no file system that was verified; ours, which the kernel has never mounted; ours, mounted
once though it was never attached anywhere, which from then on counts as somebody's."""


@dataclass(frozen=True)
class Point:
    """One system call of a format.

    :param code: the fault that its failure is; 0 if the format must succeed all the same.
    :param errors: what it fails with.
    :param on_device: only calls on the device count.
    :param on_records: only calls on the folder of the helper's records count.
    :param left: what is on the device afterwards.
    """

    what: str
    call: str
    code: int
    nth: str = "1"
    errors: tuple[str, ...] = ERRORS
    on_device: bool = False
    on_records: bool = False
    left: Left = "nothing whole"
    words: str = ""
    """What the fault says, if not the error's own words."""


POINTS = (
    Point("monitor locks the resource", "flock", FAILED, errors=("EIO", "ENOMEM")),
    Point("monitor is interrupted while it locks", "flock", 0, errors=("EINTR",)),
    Point("monitor looks at the mount point", "openat2", FAILED),
    Point("monitor looks at the device", "openat2", FAILED, nth="2", errors=("EIO", "ENOMEM")),
    Point("monitor opens the mount point's parent", "openat2", FAILED, nth="3", errors=("EIO",)),
    Point("monitor opens the made mount point", "openat2", FAILED, nth="7", errors=("EIO", "ENOMEM")),
    Point("monitor opens the parent for the mount", "openat2", FAILED, nth="10", errors=("EIO",), left="unfinished"),
    Point("monitor opens the mount point for the mount", "openat2", FAILED, nth="11", errors=("EIO", "ENOMEM"), left="unfinished"),
    Point("monitor makes a pipe for the first worker", "pipe2", FAILED, errors=("EMFILE", "ENFILE")),
    Point("monitor makes a pipe for mkfs", "pipe2", FAILED, nth="5", errors=("ENFILE",)),
    Point("monitor forks the first worker", "clone", FAILED, errors=("EAGAIN", "ENOMEM")),
    Point("monitor forks the worker that makes the mount point", "clone", FAILED, nth="2", errors=("EAGAIN",)),
    Point("monitor forks mkfs", "clone", FAILED, nth="3", errors=("EAGAIN",)),
    Point("monitor forks the look after mkfs", "clone", FAILED, nth="4", errors=("EAGAIN",)),
    Point("monitor forks the mounting worker", "clone", FAILED, nth="5", errors=("EAGAIN",), left="unfinished"),
    Point("monitor cannot watch its worker", "pidfd_open", FAILED, errors=("ENOMEM",)),
    Point("device is taken", "openat", codes.STORAGE_DEVICE_IN_USE, errors=("EBUSY",), on_device=True, words="holds it exclusively"),
    Point("monitor makes its record durable", "fsync", FAILED, errors=("ENOSPC", "EIO", "EROFS")),
    Point("monitor names its record", "renameat", FAILED, errors=("ENOSPC", "EROFS")),
    Point("monitor forgets its record", "unlinkat", FAILED, errors=("EIO", "EROFS"), left="unfinished"),
    Point("monitor makes it durable", "fsync", FAILED, nth="2", errors=("EIO",), on_records=True, left="unfinished"),
    Point("worker gives up its identity", "setresuid", codes.HELPER_PRIVILEGE_DROP_FAILED, errors=("EAGAIN", "EPERM")),
    Point("worker gives up its capabilities", "capset", codes.HELPER_PRIVILEGE_DROP_FAILED, errors=("EPERM",)),
    Point("worker reads the device", "read", codes.STORAGE_SYSTEM_CALL_FAILED, errors=("EIO",), on_device=True),
    Point("worker makes the mount point", "mkdirat", FAILED),
    Point("mkfs is executed", "execve", FAILED, errors=("EIO", "ENOENT", "ENOMEM", "ETXTBSY")),
    Point("mkfs writes", WRITES, codes.STORAGE_MKFS_FAILED, nth="1+", errors=("ENOSPC", "EIO", "EROFS"), on_device=True),
    Point("mkfs writes in the middle", WRITES, codes.STORAGE_MKFS_FAILED, nth="9+", errors=("ENOSPC", "EIO"), on_device=True),
    Point("mkfs writes by offset, and can do without", "pwrite64", 0, errors=("EIO",), on_device=True),
    Point("mkfs writes its superblock", "write", codes.STORAGE_MKFS_FAILED, nth="7", errors=("EIO",), on_device=True),
    Point("mkfs makes it durable", "fsync", codes.STORAGE_MKFS_FAILED, nth="2+", errors=("EIO", "ENOSPC"), on_device=True),
    Point("worker begins a mount", "fsopen", FAILED, errors=("ENOMEM", "EPERM"), left="unfinished"),
    Point("worker sets an option", "fsconfig", codes.STORAGE_MOUNT_FAILED, errors=("ENOMEM",), left="unfinished"),
    Point("kernel mounts the device", "fsconfig", codes.STORAGE_MOUNT_FAILED, nth="3", left="unfinished"),
    Point("worker gets the mount", "fsmount", codes.STORAGE_MOUNT_FAILED, errors=("EBUSY", "ENOMEM"), left="used"),
    Point("worker attaches the mount", "move_mount", FAILED, left="used"),
)
CASES = [(point, error) for point in POINTS for error in point.errors]


def scm_format(identifier: int, base: Path, device: str, *, force: bool = False) -> bytes:
    return request(identifier, "ScmFormat", {"mountpoint": f"{base}/engine0", "dcpm": {"device": device}, "force": force})


def is_mounted(base: Path) -> bool:
    return any(line.split()[4].startswith(f"{base}/") for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines())


def text_of(answer: Message | None) -> str:
    assert answer is not None
    return str(answer["fault"])


def next_run_succeeds(session: Hostile, base: Path, device: str, *, left: Left) -> None:
    """Format again in the same session: what nobody has used is told and goes on; what was mounted once is kept until force."""
    if left == "unfinished":
        session.send(request(6, "ScmCheckFormat", {"mountpoint": f"{base}/engine0", "dcpm": {"device": device}}))
        seen = session.answer(6)
        assert seen is not None
        found = seen["payload"]
        assert isinstance(found, dict)
        assert (found["formatted"], found["mounted"], found["mountable"]) == (False, False, False)
        assert "ext4 filesystem (label daos" in found["found"], "the file system was made"
        assert "left by a format that did not end" in found["found"]
    session.send(scm_format(3, base, device))
    answer = session.answer(3)
    if left == "used":
        assert fault_code(answer) == codes.STORAGE_ALREADY_FORMATTED
        assert "label daos" in text_of(answer), "what was done is told"
        session.send(scm_format(4, base, device, force=True))
        answer = session.answer(4)
    assert fault_code(answer) == 0, answer
    assert is_mounted(base)
    session.send(request(5, "ScmUnmount", {"target": f"{base}/engine0"}))
    assert fault_code(session.answer(5)) == 0
    session.send(scm_format(7, base, device))
    assert fault_code(session.answer(7)) == codes.STORAGE_ALREADY_FORMATTED, "what was finished is never made again unasked"


@pytest.mark.parametrize(("point", "error"), CASES, ids=[f"{point.what}: {error}" for point, error in CASES])
def test_system_call_that_fails(
    intruder: Intruder, installation: Installation, base: Path, device: str, trail: Trail, point: Point, error: str
) -> None:
    session = intruder.open()
    monitor = ready(session, installation)
    path = device if point.on_device else installation.layout.rundir if point.on_records else ""
    with injected(monitor, point.call, error, nth=point.nth, path=path):
        session.send(scm_format(2, base, device))
        answer = session.answer(2)
    assert fault_code(answer) == point.code, answer
    found = [line for line in trail.ends() if line["method"] == "ScmFormat"]
    assert [line["fault"] for line in found] == [str(point.code)], found
    assert is_mounted(base) == (point.code == 0)
    if point.code:
        assert (point.words or os.strerror(getattr(errno, error))).lower() in text_of(answer).lower(), answer
        next_run_succeeds(session, base, device, left=point.left)
    ends_well(session)
    assert locks_left(installation.layout.rundir) == []


# mkfs itself


@pytest.mark.parametrize(
    ("stand_in", "tricks", "code", "words"),
    [
        ("/dev/null", (), codes.STORAGE_MKFS_FAILED, "install e2fsprogs"),
        ("/usr/bin/false", (), codes.STORAGE_MKFS_FAILED, "ended with status 1"),
        ("/usr/bin/false", ("ignore",), codes.STORAGE_MKFS_FAILED, "ended with status 1"),
        ("/usr/bin/true", (), codes.STORAGE_FORMAT_UNVERIFIED, "no signature"),
        ("intruder", (), codes.HELPER_DEADLINE_EXCEEDED, "make-ext4"),
    ],
    ids=["missing", "fails", "fails, and the caller ignores SIGCHLD", "succeeds without a file system", "never ends, and floods"],
)
def test_mkfs_that_is_something_else(
    intruder: Intruder,
    installation: Installation,
    base: Path,
    device: str,
    trail: Trail,
    stand_in: str,
    tricks: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    """41, and 9: the caller's ignored SIGCHLD makes no failed program a success."""
    mkfs = os.path.realpath("/usr/sbin/mkfs.ext4")
    account = installation.account
    if stand_in == "intruder":
        stand_in = str(intruder.program)
    inner = " ".join(intruder.command("measure", *tricks))
    script = (
        f"mount --bind {stand_in} {mkfs} && exec {' '.join(account.become)} {inner}"
    )
    session = intruder.open_by(["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script])
    session.send(request(2, "ScmFormat", {"mountpoint": f"{base}/engine0", "dcpm": {"device": device}}, deadline_s=5))
    answer = session.answer(2)
    assert fault_code(answer) == code, answer
    assert words in text_of(answer)
    ends_well_after_noise(session)
    assert trail.only()["fault"] == str(code)
    assert locks_left(installation.layout.rundir) == []
    with open(device, "rb") as file:
        assert not any(file.read(1 << 20)), "nothing was written"
    again = intruder.open()
    ready(again, installation)
    next_run_succeeds(again, base, device, left="nothing whole")
    ends_well(again)


def ends_well_after_noise(session: Hostile) -> None:
    rest, ending = session.end()
    assert {message["type"] for message in rest} <= {"log", "hello"}
    assert (ending.status, ending.errors) == (0, b"")


def test_programs_get_a_constant_environment(
    intruder: Intruder, installation: Installation, base: Path, device: str, tmp_path: Path
) -> None:
    """2 and 5, in grandchildren; and the only program of a format is mkfs, by its full path: no shell, nothing looked up."""
    hostile = {"GLIBC_TUNABLES": "glibc.malloc.perturb=85", "BASH_ENV": "/tmp/x", "PATH": "/tmp", "MKE2FS_CONFIG": "/tmp/x"}  # noqa: S108
    session = intruder.open(environment=hostile)
    monitor = ready(session, installation)
    with traced(monitor, "execve", tmp_path / "trace"):
        session.send(scm_format(2, base, device))
        assert fault_code(session.answer(2)) == 0
    session.send(request(3, "ScmUnmount", {"target": f"{base}/engine0"}))
    assert fault_code(session.answer(3)) == 0
    ends_well(session)
    executed = [line for line in (tmp_path / "trace").read_text(encoding="utf-8").splitlines() if "execve(" in line]
    assert len(executed) == 1, executed
    assert 'execve("/usr/sbin/mkfs.ext4", ["/usr/sbin/mkfs.ext4", ' in executed[0]
    assert executed[0].partition("], [")[2].startswith('"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"])')
