# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Giving privileges up, in forked children, and every attempt to have them back."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import prctl
import pytest

from daos_bindings.linux import capabilities, privileges, syscalls
from daos_bindings.linux.privileges import PrivilegeError

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: has privileges to give up"),
]

ACCOUNT = 65533
"""A uid and gid that nobody has here."""

ADMIN = 1 << capabilities.NAMES["CAP_SYS_ADMIN"]
NEWEST = "CAP_CHECKPOINT_RESTORE"
"""A capability that python-prctl has no name for."""

CAT = "/bin/cat"


def child(job: Callable[[], None]) -> str:
    """Run *job* in a forked child and return what it left on fd 1; an exception's text comes back instead."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.dup2(writing, 1)
            job()
            status = 0
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in {0, 70}
    return said


def privileges_after(job: Callable[[], None], program: int | None = None) -> capabilities.ProcessPrivileges:
    """Return the privileges of a child after *job*, or those of the *program* (cat, by descriptor) that it then executes."""

    def run() -> None:
        job()
        if program is not None:
            os.execve(program, [CAT, "/proc/self/status"], {})  # noqa: S606 - a shell is the last thing wanted here
        with open("/proc/self/status", "rb") as status:
            os.write(1, status.read())

    said = child(run)
    assert said.startswith("Name:"), said
    return capabilities.parse_status(said)


@pytest.fixture
def cat() -> Iterator[int]:
    fd = os.open(CAT, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def setuid_cat(tmp_path: Path) -> Iterator[int]:
    """Opened, because the account cannot reach it by path; execve by descriptor honours the bit all the same."""
    copy = tmp_path / "cat"
    shutil.copyfile(os.path.realpath(CAT), copy)
    copy.chmod(0o4755)
    if os.statvfs(copy).f_flag & os.ST_NOSUID:
        pytest.skip(f"{tmp_path} is on a nosuid mount: no setuid program can be made there")
    fd = os.open(copy, os.O_RDONLY)
    yield fd
    os.close(fd)


def become(uid: int, *names: str) -> Callable[[], None]:
    return lambda: privileges.become(uid, uid, capabilities=names)


@pytest.mark.parametrize("uid", [0, ACCOUNT])
@pytest.mark.parametrize("names", [(), ("CAP_SYS_ADMIN",), ("CAP_SYS_ADMIN", NEWEST), ("CAP_SETPCAP",)])
def test_become_leaves_exactly_what_was_asked_for(uid: int, names: tuple[str, ...]) -> None:
    found = privileges_after(become(uid, *names))
    wanted = capabilities.mask(names)
    assert (found.uids, found.gids, found.groups) == ((uid,) * 4, (uid,) * 4, ())
    assert (found.effective, found.permitted, found.bounding) == (wanted, wanted, wanted)
    assert (found.inheritable, found.ambient, found.no_new_privs) == (0, 0, True)


@pytest.mark.parametrize("names", [(), ("CAP_SYS_ADMIN",)])
def test_root_without_capabilities_gains_none_by_executing(cat: int, setuid_cat: int, names: tuple[str, ...]) -> None:
    for program in (cat, setuid_cat):
        found = privileges_after(become(0, *names), program)
        assert found.uids == (0, 0, 0, 0)
        assert (found.effective, found.permitted, found.ambient, found.no_new_privs) == (0, 0, 0, True)


def test_the_tests_own_root_does_gain_by_executing(cat: int) -> None:
    """Else the test above would say nothing."""
    assert privileges_after(lambda: None, cat).effective & ADMIN


def test_a_worker_gains_nothing_from_a_setuid_program(setuid_cat: int) -> None:
    found = privileges_after(become(ACCOUNT, "CAP_SYS_ADMIN"), setuid_cat)
    assert found.uids == (ACCOUNT,) * 4
    assert (found.effective, found.permitted) == (0, 0)


def test_the_server_still_can_use_a_setuid_program_within_its_bounds(setuid_cat: int) -> None:
    """And nothing outside them, although it is root then."""
    found = privileges_after(lambda: privileges.drop_to_account(ACCOUNT, ACCOUNT, bounding=["CAP_SYS_ADMIN"]), setuid_cat)
    assert found.uids == (ACCOUNT, 0, 0, 0)
    assert (found.effective, found.permitted, found.bounding) == (ADMIN, ADMIN, ADMIN)
    assert not found.no_new_privs


def test_the_server_becomes_an_ordinary_user() -> None:
    before = capabilities.read_status().bounding
    keep = ("CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", NEWEST)
    found = privileges_after(lambda: privileges.drop_to_account(ACCOUNT, ACCOUNT - 1, bounding=keep))
    assert (found.uids, found.gids, found.groups) == ((ACCOUNT,) * 4, (ACCOUNT - 1,) * 4, (ACCOUNT - 1,))
    assert (found.effective, found.permitted, found.inheritable, found.ambient) == (0, 0, 0, 0)
    assert found.bounding == capabilities.mask(keep) & before
    assert not found.no_new_privs


@pytest.mark.parametrize(("uid", "gid"), [(0, ACCOUNT), (-1, ACCOUNT), (ACCOUNT, -1)])
def test_the_server_never_becomes_root(uid: int, gid: int) -> None:
    said = child(lambda: privileges.drop_to_account(uid, gid, bounding=()))
    assert said.startswith("ValueError: ")


def test_the_bounding_set_loses_what_python_prctl_cannot_name() -> None:
    number = capabilities.NAMES[NEWEST]
    assert syscalls.bounding_has(number), f"this machine has no {NEWEST} to drop"
    assert not hasattr(prctl, NEWEST)
    found = privileges_after(lambda: privileges.limit_bounding(["CAP_CHOWN"]))
    assert found.bounding == 1
    assert found.effective & ADMIN


def bits_after(job: Callable[[], None]) -> int:
    def run() -> None:
        job()
        os.write(1, str(prctl.get_securebits()).encode())

    return int(child(run))


def test_the_secure_bits_are_locked_in_a_worker_and_untouched_in_the_server() -> None:
    assert bits_after(become(0)) == 0b11000011
    assert bits_after(lambda: privileges.drop_to_account(ACCOUNT, ACCOUNT, bounding=())) == 0


# Proofs that must fail


def set_ids(real: int, effective: int, saved: int) -> None:
    os.setgroups([])
    os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
    os.setresuid(real, effective, saved)


def like_become(*, skip: str = "", left: int = 0) -> None:
    """Do what ``become`` does for the account and no capabilities, leaving one step out."""
    if skip != "bits":
        syscalls.set_securebits(privileges.WORKER_BITS)
    if skip != "bounding":
        privileges.limit_bounding(capabilities.names(left))
    if skip != "groups":
        os.setgroups([])
    if skip != "gid":
        os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
    prctl.set_keepcaps(1)
    saved = 0 if skip == "saved uid" else ACCOUNT
    os.setresuid(0 if skip == "uid" else ACCOUNT, 0 if skip == "uid" else ACCOUNT, saved)
    if skip != "keepcaps":
        prctl.set_keepcaps(0)
    syscalls.capset(effective=0, permitted=left, inheritable=left if skip == "inheritable" else 0)
    if skip != "no_new_privs":
        prctl.set_no_new_privs(1)


@pytest.mark.parametrize(
    ("skip", "words"),
    [
        ("", ""),
        ("uid", "uid 0 came back"),
        ("saved uid", "uid 0 came back"),
        ("gid", "gid"),
        ("groups", "the supplementary groups should be"),
        ("bounding", "the bounding set should be none"),
        ("bits", "the secure bits should be"),
        ("keepcaps", "the secure bits should be"),
        ("no_new_privs", "no_new_privs should be True"),
    ],
)
def test_a_step_left_out_is_noticed(skip: str, words: str) -> None:
    def job() -> None:
        os.setgroups([ACCOUNT - 5])
        like_become(skip=skip)
        privileges.prove(ACCOUNT, ACCOUNT, capabilities=())

    said = child(job)
    assert said.startswith(f"PrivilegeError: {words}") if skip else said == ""


@pytest.mark.parametrize("name", sorted(capabilities.NAMES))
def test_any_capability_left_is_noticed(name: str) -> None:
    bit = capabilities.mask([name])
    if not syscalls.capget().permitted & bit:
        pytest.skip(f"this machine's root has no {name}: it cannot be left over")

    def job() -> None:
        like_become(left=bit)
        privileges.prove(ACCOUNT, ACCOUNT, capabilities=())

    # CAP_SETUID and CAP_SETGID would need to be effective to show as ids; as capabilities they show at once.
    assert child(job) == f"PrivilegeError: {name} came back"


def test_a_capability_left_for_children_is_noticed() -> None:
    def job() -> None:
        like_become(left=ADMIN, skip="inheritable")
        syscalls.capset(effective=0, permitted=0, inheritable=ADMIN)
        privileges.prove(ACCOUNT, ACCOUNT, capabilities=())

    assert child(job) == "PrivilegeError: CAP_SYS_ADMIN came back for children"


def test_unlocked_secure_bits_are_noticed() -> None:
    def job() -> None:
        privileges.limit_bounding(["CAP_SETPCAP"])
        syscalls.set_securebits(prctl.SECBIT_NOROOT)
        bit = capabilities.mask(["CAP_SETPCAP"])
        os.setgroups([])
        syscalls.capset(effective=bit, permitted=bit, inheritable=0)
        privileges.prove(0, 0, capabilities=["CAP_SETPCAP"])

    assert child(job) == "PrivilegeError: the secure bits could be cleared"


def test_a_capability_that_can_be_made_ambient_is_noticed() -> None:
    def job() -> None:
        syscalls.set_securebits(prctl.SECBIT_NOROOT | prctl.SECBIT_NOROOT_LOCKED)
        privileges.limit_bounding(["CAP_SYS_ADMIN"])
        os.setgroups([])
        syscalls.capset(effective=ADMIN, permitted=ADMIN, inheritable=0)
        privileges.prove(0, 0, capabilities=["CAP_SYS_ADMIN"])

    assert child(job) == "PrivilegeError: CAP_SYS_ADMIN could be made ambient"


def test_a_worker_that_could_change_its_uid_is_refused() -> None:
    assert child(become(ACCOUNT, "CAP_SETUID")) == "PrivilegeError: uid 0 came back"


def test_the_server_with_a_saved_root_is_noticed() -> None:
    def job() -> None:
        set_ids(ACCOUNT, ACCOUNT, 0)
        privileges.prove_account(ACCOUNT, ACCOUNT)

    assert child(job) == "PrivilegeError: uid 0 came back"


# What cannot be done


def test_privileges_that_are_not_there_cannot_be_kept() -> None:
    def job() -> None:
        now = syscalls.capget()
        syscalls.capset(effective=now.effective & ~ADMIN, permitted=now.permitted & ~ADMIN, inheritable=0)
        privileges.become(ACCOUNT, ACCOUNT, capabilities=["CAP_SYS_ADMIN"])

    assert child(job) == "PrivilegeError: set the capability sets: Operation not permitted"


def test_an_ordinary_user_has_nothing_to_give_up() -> None:
    def job() -> None:
        set_ids(ACCOUNT, ACCOUNT, ACCOUNT)
        privileges.become(ACCOUNT, ACCOUNT, capabilities=())

    assert child(job) == "PrivilegeError: set the secure bits: Operation not permitted"


@pytest.mark.parametrize("drop", [become(0), lambda: privileges.drop_to_account(ACCOUNT, ACCOUNT, bounding=())])
def test_a_second_thread_would_keep_everything(drop: Callable[[], None]) -> None:
    def job() -> None:
        end = threading.Event()
        threading.Thread(target=end.wait, daemon=True).start()
        drop()

    assert child(job).startswith("PrivilegeError: 2 threads are running")


def test_an_unknown_name_changes_nothing() -> None:
    def job() -> None:
        before = capabilities.read_status()
        with pytest.raises(KeyError):
            privileges.become(ACCOUNT, ACCOUNT, capabilities=["CAP_EVERYTHING"])
        with pytest.raises(KeyError):
            privileges.drop_to_account(ACCOUNT, ACCOUNT, bounding=["CAP_EVERYTHING"])
        assert capabilities.read_status() == before

    assert child(job) == ""


def test_no_new_privs_is_told() -> None:
    def job() -> None:
        before = privileges.no_new_privs()
        prctl.set_no_new_privs(1)
        os.write(1, f"{before} {privileges.no_new_privs()}".encode())

    assert child(job) == "False True"


# The parent


def test_a_child_whose_parent_is_another_ends_at_once() -> None:
    pid = os.fork()
    if pid == 0:
        try:
            privileges.die_with_parent(os.getpid())
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == privileges.ORPHAN_STATUS


def test_a_worker_dies_with_its_parent() -> None:
    """The grandchild has dropped its uid, keeps a pipe open for as long as it lives, and waits for nothing else."""
    reading, writing = os.pipe()
    ready, tell = os.pipe()
    middle = os.fork()
    if middle == 0:
        parent = os.getpid()
        if os.fork() == 0:
            os.close(reading)
            try:
                privileges.become(ACCOUNT, ACCOUNT, capabilities=())
                privileges.die_with_parent(parent)
                os.write(tell, b"x")
                signal.pause()
            finally:
                os._exit(1)
        signal.pause()
        os._exit(0)
    os.close(writing)
    assert os.read(ready, 1) == b"x"
    os.kill(middle, signal.SIGKILL)
    os.waitpid(middle, 0)
    assert os.read(reading, 1) == b""
    for fd in (reading, ready, tell):
        os.close(fd)


def test_dumpable() -> None:
    def job() -> None:
        syscalls.set_dumpable(False)
        os.write(1, b"%d" % prctl.get_dumpable())
        syscalls.set_dumpable(True)
        os.write(1, b"%d" % prctl.get_dumpable())

    assert child(job) == "01"


def test_the_error_carries_its_parts() -> None:
    error = PrivilegeError("become uid 7", "Operation not permitted")
    assert (error.what, error.cause, str(error)) == ("become uid 7", "Operation not permitted", "become uid 7: Operation not permitted")
