# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Root becomes the account for good: proved in forked children by trying to get it back, and by what the kernel then allows."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import prctl
import pytest
from callers import ROOT, STRANGER, Caller
from installed import Installation

from daos_bindings.linux import capabilities, syscalls
from daos_pbin import codes
from daos_pbin.bounding import HELPER_BOUNDING
from daos_pbin.faults import Fault
from daos_server.identity import become_account, check_kernel, status_field

UID = GID = 64321
"""No account of any distribution; numbers need none."""
NAME, HOME = "the_account", "/nonexistent"


def drop() -> None:
    become_account(UID, GID, NAME, HOME)


def in_child(work: Callable[[], object]) -> object:
    """Do the work in a forked child and return its answer; a fault comes back as its code and text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                answer: object = work()
            except Fault as fault:
                answer = {"fault": fault.code, "text": str(fault)}
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
        except BaseException as error:
            os.write(writing, json.dumps({"broken": repr(error)}).encode())
            os._exit(1)
    os.close(writing)
    with open(reading, encoding="utf-8") as answers:
        text = answers.read()
    os.waitpid(pid, 0)
    answer = json.loads(text)
    assert not (isinstance(answer, dict) and "broken" in answer), answer
    return answer


def refused(work: Callable[[], object]) -> bool:
    try:
        work()
    except OSError:
        return True
    return False


def drop_then(work: Callable[[], object]) -> object:
    def both() -> object:
        drop()
        return work()

    return in_child(both)


@pytest.fixture
def roots_own(tmp_path: Path) -> Path:
    """A file of root's that nobody else may read, in a folder that everybody may reach."""
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="ascii")
    secret.chmod(0o600)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    tmp_path.chmod(0o755)
    return secret


def test_all_ids_are_the_accounts() -> None:
    def ids() -> object:
        return [os.getresuid(), os.getresgid(), os.getgroups(), status_field("Uid"), status_field("Gid")]

    same = "\t".join([str(UID)] * 4)
    assert drop_then(ids) == [[UID] * 3, [GID] * 3, [GID], same, same]


def test_nothing_brings_root_back(roots_own: Path) -> None:
    attempts: dict[str, Callable[[], object]] = {
        "setresuid": lambda: os.setresuid(0, 0, 0),
        "effective": lambda: os.setresuid(-1, 0, -1),
        "saved": lambda: os.setresuid(-1, -1, 0),
        "setresgid": lambda: os.setresgid(0, 0, 0),
        "setgroups": lambda: os.setgroups([0]),
        "capset": lambda: syscalls.capset(effective=1, permitted=1, inheritable=0),
        "ambient": lambda: syscalls.ambient_raise(capabilities.NAMES["CAP_CHOWN"]),
        "chroot": lambda: os.chroot("/"),
        "chown": lambda: os.chown(roots_own, UID, GID),
        "read": lambda: os.close(os.open(roots_own, os.O_RDONLY)),
        "memory of root": lambda: os.close(os.open(f"/proc/{os.getppid()}/mem", os.O_RDWR)),
        "signal root": lambda: os.kill(os.getppid(), 0),
    }
    before = {name for name, attempt in attempts.items() if name in {"read", "signal root"} and refused(attempt)}
    assert before == set(), "root itself may do these, or the test shows nothing"
    assert drop_then(lambda: [name for name, attempt in attempts.items() if not refused(attempt)]) == []


def test_capability_sets_are_empty_and_the_bounding_set_is_cut() -> None:
    before = capabilities.read_status().bounding
    fields = ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")
    found = drop_then(lambda: [int(status_field(field), 16) for field in fields])
    assert found == [0, 0, 0, 0, before & capabilities.mask(HELPER_BOUNDING)]
    assert before & ~capabilities.mask(HELPER_BOUNDING), "nothing was there to be cut"


def test_setuid_still_works_and_yields_no_more_than_the_bounding_set(tmp_path: Path) -> None:
    folder = next((each for each in (tmp_path, Path("/opt"), Path("/var/lib")) if not os.statvfs(each).f_flag & os.ST_NOSUID), None)
    if folder is None:
        pytest.skip("every file system here is mounted nosuid")
    program = folder / f"daos-setuid-{os.getpid()}"
    shutil.copy("/bin/cat", program)
    for above in tmp_path.parents:
        if above.name.startswith("pytest-"):
            above.chmod(0o755)
    tmp_path.chmod(0o755)
    try:
        program.chmod(0o4755)

        def effective() -> object:
            reading, writing = os.pipe()
            os.posix_spawn(program, [str(program), "/proc/self/status"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)])
            os.close(writing)
            os.wait()
            with open(reading, encoding="ascii") as status:
                return [line for line in status if line.startswith(("Uid", "CapEff", "NoNewPrivs"))]

        wanted = capabilities.read_status().bounding & capabilities.mask(HELPER_BOUNDING)
        lines = drop_then(effective)
        assert lines == [f"Uid:\t{UID}\t0\t0\t0\n", f"CapEff:\t{wanted:016x}\n", "NoNewPrivs:\t0\n"]
    finally:
        program.unlink()


def test_the_account_itself_has_nothing_to_give_up() -> None:
    def as_account() -> object:
        os.setgroups([])
        os.setresgid(GID, GID, GID)
        os.setresuid(UID, UID, UID)
        before = status_field("CapBnd")
        drop()
        return [os.getresuid(), status_field("CapBnd") == before]

    assert in_child(as_account) == [[UID] * 3, True]


@pytest.mark.parametrize("ids", [(1, 1, 1), (UID, 0, 0), (0, UID, 0), (UID, UID, 0), (UID, UID, 1)])
def test_any_other_user_is_refused_and_named(ids: tuple[int, int, int]) -> None:
    def as_somebody() -> object:
        os.setresuid(*ids)
        drop()
        return os.getresuid()

    answer = in_child(as_somebody)
    assert isinstance(answer, dict)
    assert answer["fault"] == codes.SERVER_USER_WRONG
    assert NAME in answer["text"]


@pytest.mark.parametrize("uid", [0, UID])
def test_no_new_privs_is_refused_before_anything_is_given_up(uid: int) -> None:
    def blocked() -> object:
        os.setresuid(uid, uid, uid)
        prctl.set_no_new_privs(1)
        try:
            drop()
        except Fault as fault:
            return [fault.code, os.getresuid()]
        return None

    assert in_child(blocked) == [codes.SERVER_NO_NEW_PRIVILEGES, [uid] * 3]


def test_a_second_thread_would_keep_root_and_is_refused() -> None:
    def threaded() -> object:
        release = threading.Event()
        thread = threading.Thread(target=release.wait)
        thread.start()
        try:
            drop()
        finally:
            release.set()
            thread.join()
        return None

    answer = in_child(threaded)
    assert isinstance(answer, dict)
    assert answer["fault"] == codes.SERVER_PRIVILEGE_DROP_FAILED


def test_root_is_no_account_to_become() -> None:
    answer = in_child(lambda: become_account(0, 0, "root", "/root"))
    assert isinstance(answer, dict)
    assert answer["fault"] == codes.SERVER_PRIVILEGE_DROP_FAILED


def test_environment_is_the_accounts() -> None:
    assert drop_then(lambda: [os.environ[name] for name in ("HOME", "USER", "LOGNAME")]) == [HOME, NAME, NAME]


@pytest.mark.parametrize(("mode", "stays"), [(0o755, True), (0o700, False)])
def test_a_folder_that_the_account_cannot_reach_is_left(roots_own: Path, mode: int, stays: bool) -> None:
    folder = roots_own.parent / "inner"
    folder.mkdir()
    folder.chmod(mode)

    def from_there() -> object:
        os.chdir(folder)
        drop()
        return os.getcwd()

    assert in_child(from_there) == (str(folder) if stays else "/")


def test_a_folder_that_is_gone_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()

    def from_there() -> object:
        os.chdir(folder)
        folder.rmdir()
        drop()
        return os.getcwd()

    assert in_child(from_there) == "/"


@pytest.mark.parametrize("release", ["5.13.19-generic", "4.18.0-553.el8.x86_64", "5", "", "x.y.z", "5.x"])
def test_a_kernel_that_is_too_old_or_unheard_of_is_refused(release: str) -> None:
    with pytest.raises(Fault) as caught:
        check_kernel(release)
    assert caught.value.code == codes.SERVER_KERNEL_TOO_OLD


@pytest.mark.parametrize("release", ["5.14.0-362.el9.x86_64", "5.15.0-1-amd64", "6.1.0-18-amd64", "10.0"])
def test_a_kernel_that_is_recent_enough_is_accepted(release: str) -> None:
    check_kernel(release)


def storage_scan(installation: Installation, caller: Caller, *options: str) -> tuple[int, str]:
    """Run the installed program and return its exit code and its errors."""
    done = caller.run([installation.server, "storage", "scan", *options])
    return done.returncode, done.stderr.decode()


def test_a_configuration_that_the_account_may_not_read_is_named(installation: Installation, roots_own: Path) -> None:
    code, errors = storage_scan(installation, ROOT, "-o", str(roots_own))
    assert code == 1
    assert "code = 2304" in errors
    assert str(roots_own) in errors
    assert "daos_server" in errors


def test_a_stranger_is_refused_with_the_name_of_the_account(installation: Installation) -> None:
    code, errors = storage_scan(installation, STRANGER)
    assert code == 1
    assert "code = 2300" in errors
    assert installation.layout.account in errors


def test_no_new_privs_is_found_before_the_helper_is_tried(installation: Installation) -> None:
    done = installation.account.run(["/usr/bin/setpriv", "--no-new-privs", installation.server, "storage", "scan", "--json"])
    assert done.returncode == 1
    assert "code = 2301" in json.loads(done.stdout)["error"]


def test_this_process_is_still_root() -> None:
    assert os.getresuid() == (0, 0, 0), "a test gave root up in the wrong process"
    assert stat.S_ISDIR(os.stat(os.getcwd()).st_mode)
