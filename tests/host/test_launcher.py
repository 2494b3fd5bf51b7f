# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Attacks on the entry: a launcher compiled as the installer compiles it, in front of a program that tells what reached it.

Numbers in comments are those of the attack checklist (section 2.4 of the security notes).
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import elf
import pytest
from callers import ROOT, STRANGER, STRANGER_UID, Caller
from daos_install.launcher import LauncherPaths, compile_launcher
from fuzzed import SANITIZED
from installed import Installation, new_root
from intrusion import is_refusal

PROBE = Path(__file__).parents[1] / "support" / "probe_start.py"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
IGNORED_BY_PYTHON = (1 << signal.SIGPIPE - 1) | (1 << signal.SIGXFSZ - 1)
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS = 1, 23, 24, 28, 38
SYS_RT_SIGACTION = {"x86_64": 13, "aarch64": 134}
CAP_SETPCAP, CAP_SYS_RESOURCE = 8, 24
MIB = 1 << 20


@dataclass(frozen=True)
class Report:
    """What the program behind the launcher saw."""

    arguments: list[str]
    environment: dict[str, str]
    uids: list[int]
    gids: list[int]
    groups: list[int]
    descriptors: list[int]
    status: dict[str, str]
    limits: dict[str, list[int]]
    folder: str
    umask: int
    session_leader: bool
    timers: list[list[float]]
    death_signal: int
    securebits: int
    personality: str
    path: list[str]
    isolated: list[int]
    pid: int

    def mask(self, name: str) -> int:
        """Return a signal or capability set of /proc/self/status."""
        return int(self.status[name], 16)


@dataclass(frozen=True)
class Entry:
    """A launcher in a folder of its own, with the probe behind it."""

    folder: Path
    account: Caller
    member: Caller
    interpreter: str

    @property
    def launcher(self) -> Path:
        return self.folder / "daos_server_helper"

    @property
    def start(self) -> Path:
        return self.folder / "start.py"

    def run(
        self,
        caller: Caller | None = None,
        *,
        arguments: tuple[str, ...] = ("daos_server_helper",),
        environment: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
        folder: str | Path = "/",
        umask: int = 0o022,
        inherit: bool = False,
    ) -> subprocess.CompletedProcess[bytes]:
        """Call the launcher, as the account if nobody else is named."""
        return (caller or self.account).run(
            arguments,
            executable=self.launcher,
            environment=environment,
            before=before,
            folder=folder,
            umask=umask,
            inherit=inherit,
        )


def report(done: subprocess.CompletedProcess[bytes]) -> Report:
    """Return what the probe saw; fail if it was never reached."""
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stderr == b""
    return Report(**json.loads(done.stdout))


def build(folder: Path, interpreter: str, account: Caller, worker: Caller, extra: tuple[str, ...] = ()) -> None:
    """Put a launcher and what it relies on into an empty folder."""
    names = ("start.py", "account", "worker", "daos_server_helper")
    # What it writes to the audit trail is what tests/attack look at.
    paths = LauncherPaths(interpreter, *[*(f"{folder}/{name}" for name in names), "/dev/null"])
    compile_launcher(paths, folder / "daos_server_helper", extra=extra)
    shutil.copyfile(PROBE, folder / "start.py")
    for name, owner in (("account", account), ("worker", worker)):
        (folder / name).touch()
        (folder / name).chmod(0)
        os.chown(folder / name, owner.uid, owner.gid)
    os.chown(folder / "daos_server_helper", 0, account.gid)
    (folder / "daos_server_helper").chmod(0o4750)


@pytest.fixture(scope="module", params=[(), SANITIZED], ids=["as-installed", "sanitized"])
def built(installation: Installation, system_interpreter: str, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A compiled entry that no test changes: as it is installed, and again with every access and every sum checked."""
    folder = new_root("entry")
    build(folder, system_interpreter, installation.account, installation.worker, request.param)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def entry(built: Path, installation: Installation, system_interpreter: str) -> Iterator[Entry]:
    """An entry that must be as it was when the test ends."""
    before = [(path.name, os.lstat(path)) for path in sorted(built.iterdir())]
    yield Entry(built, installation.account, installation.member, system_interpreter)
    after = [(path.name, os.lstat(path)) for path in sorted(built.iterdir())]
    assert [(name, found.st_mode, found.st_uid, found.st_ino, found.st_size) for name, found in before] == [
        (name, found.st_mode, found.st_uid, found.st_ino, found.st_size) for name, found in after
    ]


@pytest.fixture
def spoiled(installation: Installation, system_interpreter: str) -> Iterator[Entry]:
    """An entry for the test to damage."""
    folder = new_root("spoiled")
    build(folder, system_interpreter, installation.account, installation.worker)
    yield Entry(folder, installation.account, installation.member, system_interpreter)
    shutil.rmtree(folder)


def prctl(option: int, value: int) -> None:
    """Call prctl(2); raise OSError if the kernel refuses."""
    if LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def can_raise_limits() -> bool:
    """Tell whether root has CAP_SYS_RESOURCE on this machine."""
    return bool(LIBC.prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1)


# Who calls (21)


def test_account_reaches_the_monitor_as_full_root(entry: Entry) -> None:
    seen = report(entry.run())
    assert (seen.uids, seen.gids, seen.groups) == ([0, 0, 0], [0, 0, 0], [])
    assert seen.arguments == [entry.interpreter, "-I", "-S", "-B", str(entry.start), str(entry.account.uid)]
    assert seen.isolated == [1, 1, 1]


def test_root_reaches_the_monitor_named_as_root(entry: Entry) -> None:
    assert report(entry.run(ROOT)).arguments[-1] == "0"


def test_stranger_cannot_even_execute_it(entry: Entry) -> None:
    with pytest.raises(PermissionError):
        entry.run(STRANGER)


def test_worker_account_cannot_execute_it(entry: Entry, installation: Installation) -> None:
    with pytest.raises(PermissionError):
        entry.run(installation.worker)


@pytest.mark.parametrize("how", ["supplementary", "setgid"])
def test_stranger_in_the_accounts_group_is_refused(entry: Entry, how: str) -> None:
    caller = entry.member if how == "supplementary" else Caller(STRANGER_UID, entry.account.gid)
    is_refusal(entry.run(caller), 73, str(entry.folder / "account"), "run daos_server as that account")


def test_installed_launcher_refuses_the_same_stranger(installation: Installation) -> None:
    is_refusal(installation.member.run([installation.helper]), 73)
    with pytest.raises(PermissionError):
        STRANGER.run([installation.helper])


# Arguments and environment (1 to 6)


def test_arguments_are_ignored(entry: Entry) -> None:
    seen = report(entry.run(arguments=("x" * 100_000, "-c", "import os", "0")))
    assert seen.arguments[1:] == ["-I", "-S", "-B", str(entry.start), str(entry.account.uid)]


def test_empty_argument_list_is_ignored(entry: Entry) -> None:
    def execute() -> None:
        nothing = (ctypes.c_char_p * 1)(None)
        LIBC.execve(os.fsencode(entry.launcher), nothing, nothing)

    seen = report(entry.account.run(["/bin/false"], before=execute))
    assert seen.arguments[-1] == str(entry.account.uid)


HOSTILE_NAMES = (
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "LOCPATH",
    "MALLOC_PERTURB_",
    "MALLOC_CHECK_",
    "TMPDIR",
    "TZDIR",
    "RES_OPTIONS",
    "NLSPATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTHONPYCACHEPREFIX",
    "PYTHONTZPATH",
    "PYTHONUTF8",
    "PYTHONMALLOC",
    "PYTHONDUMPREFS",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "BASH_ENV",
    "ENV",
    "PS4",
    "SHELLOPTS",
    "IFS",
    "CDPATH",
    "BASH_FUNC_x%%",
    "PCI_ALLOWED",
    "DRIVER_OVERRIDE",
    "HUGENODE",
    "XDG_RUNTIME_DIR",
    "RUNTIME_DIRECTORY",
    "NDCTL_DEBUG",
    "DAOS_HELPER_LOG_FILE",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_CTYPE",
    "LC_ALL",
    "TZ",
    "PATH",
)


def test_no_variable_of_the_caller_arrives(entry: Entry, tmp_path: Path) -> None:
    hostile = dict.fromkeys(HOSTILE_NAMES, str(tmp_path))
    hostile["GLIBC_TUNABLES"] = "glibc.malloc.perturb=85"
    assert report(entry.run(environment=hostile)).environment == ENVIRONMENT


def test_code_in_the_callers_folders_does_not_run(entry: Entry) -> None:
    folder = new_root("hostile")
    try:
        mark = folder / "ran"
        for name in ("sitecustomize", "usercustomize", "json", "ctypes", "resource", "encodings"):
            (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
        (folder / "evil.pth").write_text(f"import os; open({str(mark)!r}, 'w')\n", encoding="utf-8")
        (folder / "pyvenv.cfg").write_text(f"home = {folder}\n", encoding="utf-8")
        (folder / "evil.c").write_text(
            f"#include <fcntl.h>\n__attribute__((constructor)) static void run(void) {{ open({json.dumps(str(mark))}, O_CREAT, 0600); }}\n",
            encoding="utf-8",
        )
        library = folder / "evil.so"
        subprocess.run(["/usr/bin/gcc", "-shared", "-fPIC", "-o", str(library), str(folder / "evil.c")], check=True)
        shutil.copy(library, folder / "libc.so.6")
        hostile = {
            "PYTHONPATH": str(folder),
            "PYTHONHOME": str(folder),
            "LD_PRELOAD": str(library),
            "LD_AUDIT": str(library),
            "LD_LIBRARY_PATH": str(folder),
        }
        seen = report(entry.run(environment=hostile, folder=folder))
        assert not mark.exists()
        assert not [path for path in seen.path if path.startswith((str(folder), str(entry.folder)))]
        # The same folder does run code where nothing guards against it, so the test can fail.
        subprocess.run(["/bin/true"], env={"LD_PRELOAD": str(library)}, check=True)
        assert mark.exists()
    finally:
        shutil.rmtree(folder)


# Descriptors (7, 8)


@pytest.mark.parametrize("closed", [which for count in (1, 2, 3) for which in itertools.combinations((0, 1, 2), count)])
@pytest.mark.parametrize("who", ["account", "root"])
def test_closed_standard_descriptors(entry: Entry, closed: tuple[int, ...], who: Literal["account", "root"]) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    done = entry.run(ROOT if who == "root" else None, before=close)
    if closed == (2,):
        assert report(done).descriptors == [0, 1, 2]
        return
    assert done.returncode == 77
    assert done.stdout == b""
    assert done.stderr == b"" if 2 in closed else b"stdin" in done.stderr or b"stdout" in done.stderr


@pytest.mark.parametrize(("descriptor", "path", "flags"), [
    (0, "/dev/null", os.O_RDONLY), (0, "/dev/full", os.O_WRONLY), (0, "/etc/passwd", os.O_RDONLY), (0, "/", os.O_RDONLY),
    (0, "/etc/passwd", os.O_PATH), (1, "/dev/null", os.O_RDWR), (1, "/dev/zero", os.O_RDWR), (1, "/dev/tty", os.O_PATH),
])  # fmt: skip
def test_requests_and_answers_need_a_pipe(entry: Entry, descriptor: int, path: str, flags: int) -> None:
    def replace() -> None:
        os.dup2(os.open(path, flags), descriptor)

    is_refusal(entry.run(before=replace), 77, "stdin" if descriptor == 0 else "stdout")


@pytest.mark.parametrize("descriptor", [0, 1])
def test_socket_of_the_account_is_refused(entry: Entry, descriptor: int) -> None:
    """It could be connected to the journal, which would take forged lines for root's."""

    def replace() -> None:
        ours, _ = pair = socket.socketpair()
        os.dup2(ours.fileno(), descriptor)
        for end in pair:
            end.detach()

    is_refusal(entry.run(before=replace), 77, "stdin" if descriptor == 0 else "stdout")


def test_leader_of_a_process_group_is_refused(entry: Entry) -> None:
    """The monitor would stay in the session of the caller's terminal, which could stop or end it."""
    is_refusal(entry.run(before=lambda: os.setpgid(0, 0)), 77, "process group")


def test_pipe_ends_the_wrong_way_round_are_refused(entry: Entry) -> None:
    def swap() -> None:
        os.dup2(1, 0)

    is_refusal(entry.run(before=swap), 77, "stdin")


def test_inherited_descriptors_are_closed(entry: Entry) -> None:
    def open_many() -> None:
        secret = os.open("/etc/passwd", os.O_RDONLY)
        for number in (77, *range(200, 1400)):
            os.dup2(secret, number)
        os.dup2(os.open("/", os.O_RDONLY | os.O_DIRECTORY), 78)

    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    assert report(entry.run(before=open_many, inherit=True)).descriptors == [0, 1, 2]


# Signals and timers (9 to 11, 19)


def test_signals_ignored_by_the_caller_are_not_ignored(entry: Entry) -> None:
    def ignore() -> None:
        ignoring = (ctypes.c_ulong * 8)(1)  # SIG_IGN, raw: libc hides the numbers 32 and 33
        for number in range(1, 65):
            LIBC.syscall(SYS_RT_SIGACTION[os.uname().machine], number, ignoring, None, ctypes.c_size_t(8))

    assert report(entry.run(before=ignore)).mask("SigIgn") == IGNORED_BY_PYTHON


def test_signals_blocked_by_the_caller_are_not_blocked(entry: Entry) -> None:
    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    assert report(entry.run(before=block)).mask("SigBlk") == 0


def test_timers_of_the_caller_are_stopped(entry: Entry) -> None:
    def start() -> None:
        signal.setitimer(signal.ITIMER_REAL, 1000, 1000)  # the same timer as alarm()
        signal.setitimer(signal.ITIMER_VIRTUAL, 1000, 1000)
        signal.setitimer(signal.ITIMER_PROF, 1000, 1000)

    assert report(entry.run(before=start)).timers == [[0.0, 0.0]] * 3


def test_callers_death_signal_is_cleared(entry: Entry) -> None:
    assert report(entry.run(before=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL))).death_signal == 0
    assert report(entry.run(ROOT, before=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL))).death_signal == 0


def test_caller_cannot_signal_or_trace_it_and_the_terminal_cannot_either(entry: Entry) -> None:
    with entry.account.start(["daos_server_helper"], executable=entry.launcher) as process:
        assert process.stdout is not None
        seen = Report(**json.loads(process.stdout.readline()))
        assert seen.pid == process.pid
        assert seen.session_leader
        for name in ("TERM", "KILL", "STOP", "HUP", "INT"):
            killed = entry.account.run(["/bin/kill", f"-{name}", str(seen.pid)])
            assert killed.returncode != 0
            assert b"not permitted" in killed.stderr
        for private in ("mem", "environ", "fd", "maps"):
            opened = entry.account.run(["/bin/ls" if private == "fd" else "/bin/cat", f"/proc/{seen.pid}/{private}"])
            assert b"Permission denied" in opened.stderr, private
        process.communicate(b"", timeout=60)
    assert process.returncode == 0


# Limits (12, 13)

TIGHT = [
    ("RLIMIT_FSIZE", 100), ("RLIMIT_DATA", 128 * MIB), ("RLIMIT_AS", 256 * MIB), ("RLIMIT_CPU", 100), ("RLIMIT_STACK", MIB),
    ("RLIMIT_NOFILE", 100), ("RLIMIT_NPROC", 1), ("RLIMIT_MEMLOCK", 0), ("RLIMIT_SIGPENDING", 0),
]  # fmt: skip


BUILDS = [
    (flags, name, value) for flags in ((), SANITIZED) for name, value in TIGHT if not flags or name not in ("RLIMIT_DATA", "RLIMIT_AS")
]
"""The sanitizers' own memory does not fit into the limits of memory."""


def limit_setter(name: str, soft: int, hard: int) -> Callable[[], None]:
    return functools.partial(resource.setrlimit, getattr(resource, name), (soft, hard))


@pytest.mark.parametrize(("built", "name", "value"), BUILDS, indirect=["built"])
def test_hard_limit_below_the_floor_is_raised_or_named(entry: Entry, name: str, value: int) -> None:
    done = entry.run(before=limit_setter(name, value, value))
    if can_raise_limits():
        assert report(done).limits[name][0] in (resource.RLIM_INFINITY, 1024, 8 * MIB)
    else:
        is_refusal(done, 74, name, "raise it for daos_server")


@pytest.mark.parametrize(("built", "name", "value"), BUILDS, indirect=["built"])
def test_soft_limit_of_the_caller_is_raised(entry: Entry, name: str, value: int) -> None:
    hard = resource.getrlimit(getattr(resource, name))[1]
    seen = report(entry.run(before=limit_setter(name, value, hard)))
    fixed = {"RLIMIT_NOFILE": 1024, "RLIMIT_STACK": 8 * MIB}
    expected = fixed.get(name, resource.RLIM_INFINITY if can_raise_limits() else hard)
    assert seen.limits[name] == [expected, expected]


def test_hard_limit_at_the_floor_is_enough(entry: Entry) -> None:
    seen = report(entry.run(before=limit_setter("RLIMIT_NOFILE", 256, 256)))
    assert seen.limits["RLIMIT_NOFILE"] == ([1024, 1024] if can_raise_limits() else [256, 256])


@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_STACK", "RLIMIT_NOFILE", "RLIMIT_DATA"])
def test_limit_of_almost_nothing_ends_without_effect(entry: Entry, name: str) -> None:
    try:
        done = entry.run(before=limit_setter(name, 0, 0))
    except (OSError, subprocess.SubprocessError):
        return  # the kernel did not start it
    assert b"Traceback" not in done.stderr
    if not can_raise_limits():
        assert done.returncode != 0
        assert done.stdout == b""


def test_no_core_file_and_no_dump_of_the_launcher(entry: Entry) -> None:
    assert report(entry.run(before=limit_setter("RLIMIT_CORE", -1, -1))).limits["RLIMIT_CORE"] == [0, 0]


# Umask, folder, namespaces, personality (14, 15, 19)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_umask_of_the_caller_is_replaced(entry: Entry, umask: int) -> None:
    assert report(entry.run(umask=umask)).umask == 0o077


def test_folder_of_the_caller_is_left(entry: Entry) -> None:
    closed = new_root("closed")
    closed.chmod(0o700)
    try:
        assert report(entry.run(folder=closed)).folder == "/"
        assert report(entry.run(folder=closed, before=lambda: os.chdir("/proc/self"))).folder == "/"
    finally:
        closed.rmdir()


def test_deleted_folder_of_the_caller_is_left(entry: Entry) -> None:
    parent = new_root("parent")
    deleted = parent / "deleted"
    deleted.mkdir()
    os.chown(parent, entry.account.uid, entry.account.gid)
    try:
        assert report(entry.run(folder=deleted, before=lambda: os.rmdir(deleted))).folder == "/"
        assert not deleted.exists()
    finally:
        shutil.rmtree(parent)


@pytest.mark.parametrize("option", ["--map-root-user", "--map-current-user", None])
@pytest.mark.parametrize("who", ["account", "root"])
def test_user_namespace_is_refused(entry: Entry, option: str | None, who: Literal["account", "root"]) -> None:
    command = ["/usr/bin/unshare", "--user", *([option] if option else []), str(entry.launcher)]
    done = (ROOT if who == "root" else entry.account).run(command)
    if b"unshare failed" in done.stderr:
        pytest.skip("this kernel lets nobody but root make user namespaces")
    is_refusal(done, 78, "user namespace")


def test_pid_and_mount_namespace_are_no_obstacle(entry: Entry) -> None:
    done = ROOT.run(["/usr/bin/unshare", "--pid", "--fork", "--mount-proc", str(entry.launcher)])
    assert report(done).pid == 1


@pytest.mark.parametrize("built", [()], indirect=True)  # sanitizers complain of it themselves
def test_missing_proc_is_refused(entry: Entry) -> None:
    script = f"/usr/bin/umount --lazy /proc && exec {entry.launcher}"
    is_refusal(ROOT.run(["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script]), 78, "no /proc")


def test_personality_is_reset(entry: Entry) -> None:
    whole_seconds = 0x2000000  # one that the kernel itself keeps across a setuid execution
    seen = report(entry.run(before=lambda: LIBC.personality(whole_seconds) and None))
    assert int(seen.personality, 16) == 0


# Capabilities


def test_capabilities_are_the_privilege_tables_union(entry: Entry) -> None:
    from daos_helper.privileges import BOUNDING

    numbers = capability_numbers()
    mine = int(dict(line.split(":\t") for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())["CapBnd"], 16)
    union = sum(1 << numbers[name] for name in BOUNDING)
    for caller in (entry.account, ROOT):
        seen = report(entry.run(caller))
        assert seen.mask("CapBnd") == union & mine
        assert seen.mask("CapPrm") == seen.mask("CapEff") == union & mine
        assert seen.mask("CapInh") == seen.mask("CapAmb") == 0
        assert seen.securebits == 0


def capability_numbers() -> dict[str, int]:
    """Return names and numbers as the kernel's own header has them."""
    header = Path("/usr/include/linux/capability.h").read_text(encoding="utf-8")
    words = [line.split() for line in header.splitlines() if line.startswith("#define CAP_")]
    return {line[1]: int(line[2]) for line in words if len(line) == 3 and line[2].isdecimal()}


def test_securebits_that_cannot_be_cleared_end_it(entry: Entry) -> None:
    noroot_locked = 0b11
    is_refusal(entry.run(ROOT, before=lambda: prctl(PR_SET_SECUREBITS, noroot_locked)), 77, "PR_SET_SECUREBITS")


def test_bounding_set_that_cannot_be_cut_ends_it(entry: Entry) -> None:
    is_refusal(entry.run(ROOT, before=lambda: prctl(PR_CAPBSET_DROP, CAP_SETPCAP)), 77, "PR_CAPBSET_DROP")


# Not root: the causes told apart (16)


def test_no_new_privileges_is_named(entry: Entry) -> None:
    def set_it() -> None:
        prctl(PR_SET_NO_NEW_PRIVS, 1)

    is_refusal(entry.run(before=set_it), 72, "no_new_privs", "NoNewPrivileges")


def test_nosuid_mount_is_named(entry: Entry) -> None:
    account = entry.account
    script = (
        f"mount --bind {entry.folder} {entry.folder} && mount -o remount,bind,nosuid {entry.folder} && "
        f"exec {' '.join(account.become)} {entry.launcher}"
    )
    is_refusal(ROOT.run(["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script]), 71, "nosuid", str(entry.launcher))


def test_missing_setuid_bit_is_named(spoiled: Entry) -> None:
    spoiled.launcher.chmod(0o750)
    is_refusal(spoiled.run(), 70, "setuid bit", str(spoiled.launcher))


def test_wrong_owner_is_named(spoiled: Entry) -> None:
    os.chown(spoiled.launcher, spoiled.account.uid, spoiled.account.gid)
    spoiled.launcher.chmod(0o4750)
    is_refusal(spoiled.run(), 70, "owner", str(spoiled.launcher))


# What it relies on (24)


def spoil_start(action: Callable[[Path], None]) -> Callable[[Entry], str]:
    def spoil(entry: Entry) -> str:
        action(entry.start)
        return str(entry.start)

    return spoil


def spoil_folder(entry: Entry) -> str:
    entry.folder.chmod(0o775)
    return str(entry.folder)


def replace_by_link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


@pytest.mark.parametrize("spoil", [
    spoil_start(lambda path: path.chmod(0o664)), spoil_start(lambda path: path.chmod(0o646)),
    spoil_start(lambda path: os.chown(path, STRANGER_UID, 0)), spoil_start(Path.unlink), spoil_start(replace_by_link), spoil_folder,
])  # fmt: skip
def test_start_file_that_others_can_change_is_not_run(spoiled: Entry, spoil: Callable[[Entry], str]) -> None:
    named = spoil(spoiled)
    is_refusal(spoiled.run(), 76, named)
    is_refusal(spoiled.run(ROOT), 76, named)


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_interpreter_that_others_can_change_is_not_run(spoiled: Entry, installation: Installation, mode: int) -> None:
    copied = spoiled.folder / "python"
    shutil.copyfile(spoiled.interpreter, copied)
    copied.chmod(0o755)
    for path in (spoiled.launcher, spoiled.folder / "account", spoiled.folder / "worker"):
        path.unlink()
    build(spoiled.folder, str(copied), installation.account, installation.worker)
    assert report(spoiled.run()).uids == [0, 0, 0]
    copied.chmod(mode)
    is_refusal(spoiled.run(), 76, str(copied))


def hard_link(path: Path) -> None:
    os.link(path, path.with_name("second"))


def fill(path: Path) -> None:
    path.write_bytes(b"0")


@pytest.mark.parametrize("name", ["account", "worker"])
@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, replace_by_link, hard_link, fill, lambda path: path.chmod(0o400), lambda path: os.chown(path, 0, 0)],
    ids=["missing", "link", "two-names", "not-empty", "readable", "root"],
)
def test_account_and_worker_files_must_be_right(spoiled: Entry, name: str, spoil: Callable[[Path], None]) -> None:
    path = spoiled.folder / name
    spoil(path)
    is_refusal(spoiled.run(ROOT), 75, str(path))


def test_worker_must_be_another_account(spoiled: Entry) -> None:
    os.chown(spoiled.folder / "worker", spoiled.account.uid, spoiled.account.gid)
    is_refusal(spoiled.run(), 75, str(spoiled.folder / "worker"))


# The program file itself


def test_installed_launcher_is_hardened(installation: Installation) -> None:
    """What each of these words is worth, and that they are said of lesser builds, is in tests/unit/test_launcher_elf.py."""
    assert elf.weaknesses(installation.helper) == []
