# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each row of the privilege table from inside, by the real monitor and worker: what its step may do, and that nothing next to it works.

The victims belong to everybody, so that only the confinement stands in the way.  What the steps do for a living, with all of this in
force, is shown by the tests of the methods.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from attempts import ATTEMPTS

from daos_bindings.linux import landlock, seccomp
from daos_bindings.spdk import use
from daos_helper import calls, privileges
from daos_helper.confinement import Kernel
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Request, Result
from daos_pbin.session import HelperSession

ACCOUNT, WORKER = 54001, 54002
FULL = Kernel(landlock.abi(), seccomp.available())
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: workers change their uid"),
    pytest.mark.skipif(bool(FULL.lacks), reason=f"this kernel lacks {', '.join(FULL.lacks)}"),
]

ALWAYS = frozenset({"signal itself", "read and write what it holds"})
OTHERS = frozenset({"signal its monitor"} if FULL.landlock < landlock.SCOPE_ABI else ())
"""From ABI 6 on nobody outside can be signalled; who asks so whether a process lives is told that it does."""
READS_SYSFS = ALWAYS | {"read sysfs", "hold a place", "list what it holds"}
LIBBLKID = READS_SYSFS | {"ask a block device"}
SPDK = READS_SYSFS | {
    *("start a thread", "map code", "make a local socket", "ask a block device", "command a drive", "type into a terminal"),
    *OTHERS,
}
NVDIMM = READS_SYSFS | {"map code", "ask a block device", "command a drive", "type into a terminal"}
LIBIPMCTL = NVDIMM | {"start a thread", "make a folder elsewhere", "remove a file elsewhere"}

WORKS: dict[str, frozenset[str]] = {
    "attach-tmpfs": ALWAYS | {"begin a mount", "attach a mount"},
    "attach-ext4": ALWAYS | {"begin a mount", "attach a mount"},
    "inspect-ext4": ALWAYS | {"begin a mount"},
    "detach": ALWAYS | {"hold a place", "detach a mount"},
    "probe": LIBBLKID,
    "make-ext4": ALWAYS
    | {"read sysfs", "hold a place", "map code", "ask a block device", "open again what it holds"},
    "make-mount-point": ALWAYS | {"make a folder where it holds one"},
    "make-account-directory": ALWAYS
    | {"make a folder where it holds one", "list what it holds", "change the owner of what it holds"},
    "set-hugepages": ALWAYS,
    "own-hugetlbfs": ALWAYS | {"change the owner of what it holds"},
    "clean-hugepages": ALWAYS | {"list what it holds", "remove a file where it holds one"} | OTHERS,
    "bind-driver": ALWAYS | {"start a thread"},
    "own-vfio-group": ALWAYS | {"change an owner", "change a mode"},
    "probe-namespaces": LIBBLKID | {"start a thread"},
    "ask-controller": ALWAYS | {"start a thread", "command a drive"},
    "read-answers": ALWAYS,
    "await-controller": READS_SYSFS,
    "wipe-namespace": ALWAYS | {"start a thread", "ask a block device"},
    "update-firmware": ALWAYS | {"start a thread", "command a drive"},
    "spdk-vfio": SPDK,
    "spdk-uio": SPDK,
    "ipmctl-read": LIBIPMCTL,
    "ipmctl-goal": LIBIPMCTL,
    "ipmctl-firmware": LIBIPMCTL - {"list what it holds"},
    "ndctl-list": NVDIMM,
    "read-listing": ALWAYS,
    "ndctl-change": NVDIMM,
}
"""All that the kernel lets the worker of each row do, of what ``attempts.py`` tries."""


class OddResult(Result, frozen=True, forbid_unknown_fields=True):
    said: dict[str, object]


class Odd(Request[OddResult], frozen=True, forbid_unknown_fields=True):
    """The request of ``odd_helper.py``."""

    result_type: ClassVar[type[Result]] = OddResult
    kind: str
    row: str
    text: str


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
    """A folder in which everybody, the worker's account included, may do everything."""
    removed = Path("/dev/shm/daos-test-removed")  # noqa: S108 - a folder of everybody's is the point
    made = removed.with_name("daos-test-made")
    removed.touch()
    with tempfile.TemporaryDirectory(prefix="daos-test-") as name:
        path = Path(name)
        (path / "victim").write_text("precious")
        (path / "held").touch()
        belongs_to(path, WORKER)
        yield path
    removed.unlink(missing_ok=True)
    if made.exists():
        made.rmdir()


def belongs_to(public: Path, uid: int) -> None:
    for one in (public, public / "victim", public / "held", Path("/dev/shm/daos-test-removed")):  # noqa: S108 - as above
        os.chown(one, uid, uid)
        one.chmod(0o777)


def skip_without_spdk(row: str) -> None:
    """Its rows load SPDK before they are confined, so without it there is no step to look at."""
    if row.startswith("spdk-") and not use.available():
        pytest.skip("SPDK is not compiled in, so how its steps are confined is not tried (docs/spdk.md)")


def program(folder: Path, *more: str) -> list[str]:
    helper = str(Path(__file__).with_name("odd_helper.py"))
    path = ":".join(entry for entry in sys.path if entry)
    return ["/usr/bin/env", f"PYTHONPATH={path}", sys.executable, "-B", helper, str(folder), *more]


def tried(command: list[str], row: str, public: Path, names: list[str]) -> dict[str, object]:
    """Let a worker of that row try things; return the kernel's answers."""

    async def inside() -> dict[str, object]:
        async with HelperSession(command) as helper:
            return (await helper.call(Odd("confined", row=row, text="\n".join([str(public), *names])))).said

    return asyncio.run(inside())


def let_through(said: dict[str, object]) -> frozenset[str]:
    """Return what the kernel did, or would have done with better arguments: all that permission was not refused for."""
    return frozenset(name for name, answer in said.items() if answer not in ("EPERM", "EACCES", "ENOSYS"))


def test_every_row_and_every_list_is_looked_at() -> None:
    assert {row.step for row in privileges.TABLE} == set(WORKS)
    assert {row.calls for row in privileges.TABLE} == set(calls.LISTS)


@pytest.mark.parametrize("row", privileges.TABLE, ids=lambda row: row.step)
def test_a_step_may_do_its_work_and_nothing_next_to_it(folder: Path, public: Path, row: privileges.Row) -> None:
    skip_without_spdk(row.step)
    belongs_to(public, WORKER if row.identity == "worker" else 0)
    said = tried(program(folder), row.step, public, list(ATTEMPTS))
    works = let_through(said)
    assert (sorted(works - WORKS[row.step]), sorted(WORKS[row.step] - works)) == ([], []), said
    if not any("remove" in name for name in WORKS[row.step]):
        assert (public / "victim").read_text() == "precious"
    assert not (public / "made").is_file()


def test_without_confinement_all_of_it_would_work(folder: Path, public: Path) -> None:
    """Or the test above could not fail: the worker's account does nearly all of that, on a kernel that lets it."""
    others = ("execute", "start a thread", "start a process", "remove a file where it holds one", "rename", "make a namespace")
    names = [name for name in ATTEMPTS if name not in others]
    free = subprocess.run(
        [sys.executable, "-c", FREE, str(WORKER), str(public), *names], check=True, capture_output=True, text=True, env=python_path()
    ).stdout.splitlines()
    assert set(names) - set(free) == NEEDS_ROOT


NEEDS_ROOT = {
    *("begin a mount", "attach a mount", "read /etc/shadow", "signal its monitor", "lower the limits of others"),
}
FREE = """
import os, sys
import attempts
from daos_bindings.linux import privileges
uid, public, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
folder, file = os.open(public, os.O_RDONLY), os.open(public + "/held", os.O_RDONLY)
privileges.become(uid, uid, capabilities=())
said = attempts.run(names, public, folder, file, None)["said"]
print(*[name for name in names if said[name] not in ("EPERM", "EACCES", "ENOSYS")], sep="\\n")
"""


def python_path() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}


@pytest.mark.parametrize("name", sorted(calls.LISTS))
def test_calls_that_nobody_needs_end_the_worker(folder: Path, public: Path, name: str) -> None:
    row = next(row for row in privileges.TABLE if row.calls == name)
    skip_without_spdk(row.step)

    async def inside() -> dict[str, Fault]:
        faults: dict[str, Fault] = {}
        async with HelperSession(program(folder)) as helper:
            for call in calls.NEVER:
                if seccomp.number(call) is None:
                    continue
                with pytest.raises(Fault) as caught:
                    await helper.call(Odd("confined", row=row.step, text=f"{public}\ncall:{call}"))
                faults[call] = caught.value
        return faults

    faults = asyncio.run(inside())
    assert len(faults) > 25
    for call, fault in faults.items():
        assert fault.code == codes.HELPER_WORKER_CRASHED, (call, fault)
        assert "SIGSYS" in f"{fault}", call


PROGRAM = """
import os
def look(name, call):
    try:
        call()
    except OSError as error:
        print(name, error.strerror)
    else:
        print(name, "worked")
look("shadow", lambda: os.open("/etc/shadow", os.O_RDONLY))
look("crontab", lambda: os.open("/etc/daos-test", os.O_WRONLY | os.O_CREAT))
look("usr", lambda: os.open("/usr/daos-test", os.O_WRONLY | os.O_CREAT))
look("passwd", lambda: os.open("/etc/passwd", os.O_WRONLY))
look("mode", lambda: os.chmod("/etc/passwd", 0o666))
look("null", lambda: os.open("/dev/zero", os.O_WRONLY))
look("fork", os.fork)
look("library", lambda: os.open("/usr/bin/id", os.O_RDONLY))
look("execute", lambda: os.execve("/usr/bin/id", ["id"], {}))
"""


@pytest.mark.parametrize("step", ["make-ext4", "ndctl-list", "ndctl-change"])
def test_a_program_of_root_is_held_after_it_was_executed(folder: Path, step: str) -> None:
    """Any program in the place of mke2fs or ndctl, with uid 0."""
    one_line = f"exec(bytes.fromhex('{PROGRAM.encode().hex()}'))"

    async def inside() -> dict[str, object]:
        async with HelperSession(program(folder)) as helper:
            return (await helper.call(Odd("become", row=step, text="\n".join(["/usr/bin/python3", "-ISBc", one_line])))).said

    said = asyncio.run(inside())
    assert said["status"] == 0, said
    assert isinstance(said["output"], str)
    found = dict(line.split(" ", 1) for line in said["output"].splitlines())
    assert found.pop("library") == "worked"
    device = found.pop("null")
    assert device == ("worked" if step == "ndctl-change" else "Permission denied")
    assert set(found.values()) <= {"Permission denied", "Operation not permitted"}, found
    assert len(found) == 7


@pytest.mark.parametrize(
    ("call", "lacks", "works"),
    [
        ("landlock_create_ruleset", "landlock", {"read a file", "read /etc/shadow", "write a file"}),
        ("seccomp", "seccomp", {"change a mode", "start a process", "speak to the network"}),
    ],
)
def test_a_kernel_that_lacks_one_runs_with_the_other_and_says_so(
    folder: Path, public: Path, call: str, lacks: str, works: set[str]
) -> None:
    others = {"landlock": {"change a mode", "start a process", "speak to the network"}, "seccomp": {"read /etc/shadow", "write a file"}}
    names = [*works, *others[lacks]]
    belongs_to(public, 0)
    said = tried(program(folder, f"without:{call}"), "make-ext4", public, names)
    assert let_through(said) == works
    (end,) = [line for line in (folder / "audit-read.log").read_text().splitlines() if "event=end" in line and "method=Odd" in line]
    assert f"unconfined={lacks}" in end


def test_a_kernel_that_has_both_says_nothing(folder: Path, public: Path) -> None:
    tried(program(folder), "probe", public, ["read sysfs"])
    assert "unconfined" not in (folder / "audit-read.log").read_text()


def test_what_confines_and_does_not_work_is_a_fault(folder: Path, public: Path) -> None:
    """A kernel that has Landlock and refuses to confine is not a kernel without it."""
    with pytest.raises(Fault) as caught:
        tried(program(folder, "without:landlock_restrict_self"), "probe", public, ["read sysfs"])
    assert caught.value.code == codes.HELPER_PRIVILEGE_DROP_FAILED
    assert "landlock_restrict_self" in f"{caught.value}"


def test_steps_that_are_root_in_effect_execute_nothing_and_open_nothing() -> None:
    """Read off the lists themselves: the four steps with CAP_SYS_ADMIN for mounts."""
    for row in (privileges.ATTACH_TMPFS, privileges.ATTACH_EXT4, privileges.INSPECT_EXT4, privileges.DETACH):
        found = calls.LISTS[row.calls]
        plain = {one for one in found if isinstance(one, str)}
        assert not plain & {"execve", "execveat", "fork", "vfork", "clone", "open", "openat", "openat2", "socket", "mmap", "mprotect"}
        whens = [one for one in found if isinstance(one, seccomp.When)]
        assert {(one.call, one.argument, one.values) for one in whens if one.call.startswith("open")} <= {("openat", 2, (os.O_PATH,))}
