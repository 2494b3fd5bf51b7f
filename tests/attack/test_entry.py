# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the account leaves behind for the installed helper, at its entry: everything is thrown away, or refused.

The measure is an honest caller: whatever was played, the monitor looks to root exactly like one that nothing was played on.
Numbers are those of the attack checklist (``checklist.py``).
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import ROOT, STRANGER_UID, Caller
from hostile import Watch, fault_code, ping, request
from installed import Installation, new_root
from intrusion import Intruder, ends_well, inherited_of, is_refusal, monitor_of
from monitored import Inherited
from trail import Trail

MIB = 1 << 20
CAP_SYS_RESOURCE = 24
PR_CAPBSET_READ = 23


@pytest.fixture
def honest(intruder: Intruder, base: Path) -> Inherited:
    """What the monitor of an honest caller inherits."""
    del base
    session = intruder.open()
    seen = inherited_of(session, intruder.installation)
    ends_well(session)
    return seen


def is_told_once(trail: Trail, uid: int) -> None:
    """Check that one line tells of the session's one request, and whose it was."""
    line = trail.only()
    assert (line["method"], line["verdict"], line["caller_uid"]) == ("Ping", "done", str(uid))


def can_raise_limits() -> bool:
    """Tell whether root has CAP_SYS_RESOURCE on this machine."""
    return bool(ctypes.CDLL(None).prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1)


TRICKS: dict[str, tuple[str, ...]] = {
    "no arguments": ("no-arguments",),  # 1
    "descriptors above 2": ("descriptors",),  # 8
    "stderr closed": ("close=2",),  # 7
    "signals ignored": ("ignore",),  # 9
    "signals blocked": ("block",),  # 10
    "timers": ("timers",),  # 10
    "umask 0": ("umask=0",),  # 14
    "umask 777": ("umask=777",),
    "deleted folder": ("deleted-folder",),  # 15
    "closed folder": ("closed-folder",),
    "lowest priority": ("nice",),  # 17
    "personality": ("personality=2000000",),  # 19: one that the kernel keeps across a setuid execution
    "keyring": ("keyring",),
    "death signal": ("death-signal",),
    "caller is gone": ("orphan",),
    "several at once": ("descriptors", "ignore", "block", "timers", "umask=0", "deleted-folder", "nice", "death-signal"),
}


@pytest.mark.parametrize("tricks", TRICKS.values(), ids=TRICKS.keys())
def test_trick_leaves_no_trace_in_the_monitor(
    intruder: Intruder, installation: Installation, honest: Inherited, watch: Watch, tricks: tuple[str, ...], trail: Trail
) -> None:
    if tricks == ("orphan",):
        with installation.account.start(intruder.command(*tricks)) as process:
            out, errors = process.communicate(ping(1))  # whoever inherits it: our pipes are its pipes until it ends
        assert b"app_name" in out
        assert errors == b""
    else:
        session = intruder.open(*tricks)
        seen = inherited_of(session, installation)
        if "close=2" in tricks:  # the missing one became /dev/null
            assert ("2", "/dev/null") in seen.descriptors
            assert [number for number, _ in seen.descriptors] == [number for number, _ in honest.descriptors]
        else:
            assert seen == honest
        ends_well(session)
    is_told_once(trail, installation.account.uid)
    assert watch.changes() == []


def test_long_and_many_arguments_are_ignored(
    intruder: Intruder, installation: Installation, honest: Inherited, watch: Watch, trail: Trail
) -> None:
    session = intruder.open(arguments=("x" * 131_071, "-c", "import os; os.system('id')", "0", "--help"))
    assert inherited_of(session, installation) == honest
    ends_well(session)
    is_told_once(trail, installation.account.uid)
    with pytest.raises(OSError, match="too long"):  # a megabyte in one argument stops at the kernel
        installation.account.run([str(installation.helper), "x" * MIB])
    assert watch.changes() == []


# Environment (2 to 6)


@pytest.fixture
def bait(installation: Installation) -> Iterator[Path]:
    """A folder of the account's, full of code that makes a file called ``ran`` wherever something loads it."""
    folder = new_root("bait")
    mark = json.dumps(f"{folder}/ran")
    python = f"open({mark}, 'w').close()\n"
    for name in ("sitecustomize", "usercustomize", "msgpack", "daos_helper", "daos_pbin", "select", "encodings", "zoneinfo"):
        (folder / f"{name}.py").write_text(python, encoding="utf-8")
    (folder / "evil.pth").write_text(f"import os; {python}", encoding="utf-8")
    (folder / "pyvenv.cfg").write_text(f"home = {folder}\ninclude-system-site-packages = true\n", encoding="utf-8")
    (folder / "shell").write_text(f": >{folder}/ran\n", encoding="utf-8")
    (folder / "evil.c").write_text(
        f"#include <fcntl.h>\n__attribute__((constructor)) static void run(void) {{ open({mark}, O_CREAT, 0600); }}\n"
        "unsigned la_version(unsigned version) { return version; }\n",
        encoding="utf-8",
    )
    library = folder / "evil.so"
    subprocess.run(["/usr/bin/gcc", "-shared", "-fPIC", "-o", str(library), str(folder / "evil.c")], check=True)
    for name in ("libc.so.6", "gconv-modules", "libblkid.so.1"):
        shutil.copy(library, folder / name)
    (folder / "openssl.cnf").write_text(
        "openssl_conf = all\n[all]\nproviders = these\n[these]\nevil = evil_section\n[evil_section]\n"
        f"module = {library}\nactivate = 1\n",
        encoding="utf-8",
    )
    os.chown(folder, installation.account.uid, installation.account.gid)
    yield folder
    shutil.rmtree(folder)


def loader(folder: Path) -> dict[str, str]:
    """2: the dynamic loader's, the C library's, and what libc functions read."""
    library = str(folder / "evil.so")
    names = ("LD_LIBRARY_PATH", "GCONV_PATH", "LOCPATH", "TMPDIR", "TZDIR", "NLSPATH", "HOSTALIASES", "LD_ORIGIN_PATH")
    values = {"LD_PRELOAD": library, "LD_AUDIT": library, "GLIBC_TUNABLES": "glibc.malloc.perturb=85", "RES_OPTIONS": "debug"}
    return dict.fromkeys(names, str(folder)) | values | {"MALLOC_PERTURB_": "85", "MALLOC_CHECK_": "3", "MALLOC_TRACE": f"{folder}/ran"}


def python(folder: Path) -> dict[str, str]:
    """3: the interpreter's."""
    names = ("PYTHONPATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONTZPATH", "PYTHONUSERBASE", "PYTHONPLATLIBDIR", "HOME")
    flags = ("PYTHONINSPECT", "PYTHONVERBOSE", "PYTHONDUMPREFS", "PYTHONMALLOCSTATS", "PYTHONDEBUG", "PYTHONUTF8")
    more = {"PYTHONSTARTUP": f"{folder}/sitecustomize.py", "PYTHONBREAKPOINT": "sitecustomize.run", "PYTHONWARNINGS": "error"}
    return dict.fromkeys(names, str(folder)) | dict.fromkeys(flags, "1") | more


def openssl(folder: Path) -> dict[str, str]:
    """4"""
    return {"OPENSSL_CONF": f"{folder}/openssl.cnf", "OPENSSL_MODULES": str(folder), "OPENSSL_ENGINES": str(folder)}


def shell(folder: Path) -> dict[str, str]:
    """5"""
    function = f"() {{ : >{folder}/ran; }}"
    plain = {"BASH_ENV": f"{folder}/shell", "ENV": f"{folder}/shell", "PS4": f"$(: >{folder}/ran)", "IFS": "/", "CDPATH": str(folder)}
    functions = dict.fromkeys(("BASH_FUNC_mkfs.ext4%%", "BASH_FUNC_id%%", "BASH_FUNC_python3%%"), function)
    return plain | functions | {"SHELLOPTS": "xtrace", "PATH": str(folder)}


def hardware(folder: Path) -> dict[str, str]:
    """6: what SPDK's scripts, DPDK, ndctl, ipmctl and the reference helper read."""
    code = f"nodes_hp[0]=1;: >{folder}/ran"
    names = ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "NDCTL_DEBUG", "NDCTL_LIBNDCTL_DEBUG", "IPMCTL_HOME", "DAXCTL_DEBUG")
    values = {"PCI_ALLOWED": "0000:00:00.0", "PCI_BLOCKED": code, "DRIVER_OVERRIDE": f"{folder}/evil.ko", "HUGENODE": code}
    return dict.fromkeys(names, str(folder)) | values | {"TARGET_USER": "-c id", "DAOS_HELPER_LOG_FILE": f"{folder}/ran"}


ENVIRONMENTS = {function.__name__: function for function in (loader, python, openssl, shell, hardware)}


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_variables_of_the_caller_do_not_arrive(
    intruder: Intruder, installation: Installation, honest: Inherited, bait: Path, watch: Watch, trail: Trail, kind: str
) -> None:
    hostile = ENVIRONMENTS[kind](bait)
    session = intruder.open(environment=hostile, folder=bait)
    assert inherited_of(session, installation) == honest
    ends_well(session)
    assert not (bait / "ran").exists()
    is_told_once(trail, installation.account.uid)
    assert watch.changes() == []


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("loader", ["/bin/true"]),
        ("python", ["/usr/bin/python3", "-c", "pass"]),
        ("openssl", ["/usr/bin/python3", "-I", "-c", "import ssl; ssl.create_default_context()"]),
        ("shell", ["/bin/bash", "-c", ":"]),
    ],
)
def test_bait_is_taken_where_nothing_guards_against_it(bait: Path, kind: str, command: list[str]) -> None:
    (bait / "libc.so.6").unlink()  # without which nothing at all would run
    hostile = ENVIRONMENTS[kind](bait)
    for name in ("PYTHONHOME", "PYTHONPLATLIBDIR"):  # with which no interpreter starts at all
        hostile.pop(name, None)
    (bait / "encodings.py").unlink()  # nor with this
    subprocess.run(command, env=hostile, cwd=bait, check=False, capture_output=True)
    assert (bait / "ran").exists()


def test_neither_openssl_nor_a_name_service_is_loaded(intruder: Intruder, installation: Installation, base: Path) -> None:
    session = intruder.open()
    pid = monitor_of(session, installation)
    session.send(request(2, "ScmFormat", {"mountpoint": f"{base}/engine0", "ramdisk": {"size_gib": 1}}))
    assert fault_code(session.answer(2)) == 0
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    assert not [name for name in ("libcrypto", "libssl", "libnss_", "libpam", "libblkid") if name in maps]
    session.send(request(3, "ScmUnmount", {"target": f"{base}/engine0"}))
    assert fault_code(session.answer(3)) == 0
    ends_well(session)


# Descriptors (7)

CLOSED = ["".join(which) for count in (1, 2, 3) for which in itertools.combinations("012", count) if which != ("2",)]
"""Every combination but that in which only standard error is missing, which is served (above)."""


@pytest.mark.parametrize("who", ["account", "root"])
@pytest.mark.parametrize("closed", CLOSED)
def test_closed_standard_descriptors_end_it(
    intruder: Intruder, installation: Installation, base: Path, watch: Watch, trail: Trail, who: str, closed: str
) -> None:
    del base
    caller = installation.account if who == "account" else ROOT
    done = caller.run(intruder.command(f"close={closed}"), payload=ping(1))
    assert done.returncode == 77
    assert done.stdout == b""
    assert done.stderr == b"" if "2" in closed else done.stderr.count(b"\n") == 1
    line = trail.only()
    assert (line["event"], line["verdict"], line["caller_uid"]) == ("launch", "refused", str(caller.uid))
    assert "is not an open pipe" in line["cause"]
    assert watch.changes() == []


# Limits (12, 13)

TIGHT = [
    ("FSIZE", 100), ("DATA", 128 * MIB), ("AS", 256 * MIB), ("CPU", 100), ("STACK", MIB), ("NOFILE", 100), ("NPROC", 1), ("MEMLOCK", 0),
    ("SIGPENDING", 0), ("CORE", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), TIGHT, ids=[name for name, _ in TIGHT])
def test_soft_limit_of_the_caller_is_lifted(
    intruder: Intruder, installation: Installation, honest: Inherited, watch: Watch, trail: Trail, name: str, value: int
) -> None:
    number = getattr(resource, f"RLIMIT_{name}")
    session = intruder.open(f"limit={number}:{value}:-")
    assert inherited_of(session, installation) == honest
    ends_well(session)
    is_told_once(trail, installation.account.uid)
    assert watch.changes() == []


@pytest.mark.parametrize(("name", "value"), TIGHT[:-1], ids=[name for name, _ in TIGHT[:-1]])
def test_hard_limit_of_the_caller_is_lifted_or_named(
    intruder: Intruder, installation: Installation, honest: Inherited, watch: Watch, trail: Trail, name: str, value: int
) -> None:
    trick = f"limit={getattr(resource, f'RLIMIT_{name}')}:{value}:{value}"
    if can_raise_limits():
        session = intruder.open(trick)
        assert inherited_of(session, installation) == honest
        ends_well(session)
        is_told_once(trail, installation.account.uid)
    else:
        intruder.refused(trick, code=74, words=(f"RLIMIT_{name}",))
        if name == "FSIZE":
            assert trail.lines() == [], "half a line would be worse than none; the caller is told all the same"
        else:
            line = trail.only()
            assert (line["event"], line["verdict"]) == ("launch", "refused")
            assert f"RLIMIT_{name}" in line["cause"]
    assert watch.changes() == []


# Not root (15, 16), and who calls (21, 22)


def test_no_new_privs_is_named(intruder: Intruder, base: Path, watch: Watch, trail: Trail) -> None:
    del base
    intruder.refused("no-new-privs", code=72, words=("no_new_privs", "NoNewPrivileges"))
    assert trail.lines() == [], "nothing ran as root, so nothing could write root's trail"
    assert watch.changes() == []


def test_nosuid_mount_is_named(installation: Installation, base: Path, watch: Watch, trail: Trail) -> None:
    del base
    account, folder = installation.account, installation.layout.bin
    script = (
        f"mount --bind {folder} {folder} && mount -o remount,bind,nosuid {folder} && "
        f"exec {' '.join(account.become)} {installation.helper}"
    )
    is_refusal(ROOT.run(["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script]), 71, "nosuid", str(installation.helper))
    assert trail.lines() == [], "as above"
    assert watch.changes() == []


@pytest.mark.parametrize("option", ["--map-root-user", "--map-current-user", None])
def test_user_namespace_is_refused(installation: Installation, base: Path, watch: Watch, trail: Trail, option: str | None) -> None:
    del base
    command = ["/usr/bin/unshare", "--user", *([option] if option else []), str(installation.helper)]
    done = installation.account.run(command)
    if b"unshare failed" in done.stderr:
        pytest.skip("this kernel lets nobody but root make user namespaces")
    is_refusal(done, 78, "user namespace")
    assert trail.lines() == [], "root of another namespace cannot write root's trail"
    assert watch.changes() == []


@pytest.mark.parametrize("how", ["supplementary", "setgid"])
def test_member_of_the_group_is_refused_and_told(
    intruder: Intruder, installation: Installation, base: Path, watch: Watch, trail: Trail, how: str
) -> None:
    del base
    caller = installation.member if how == "supplementary" else Caller(STRANGER_UID, installation.account.gid)
    intruder.refused(caller=caller, code=73, words=(installation.layout.account_file,))
    line = trail.only()
    assert (line["event"], line["verdict"], line["caller_uid"]) == ("launch", "refused", str(STRANGER_UID))
    assert installation.layout.account_file in line["cause"]
    assert watch.changes() == []


def test_parent_that_is_called_daos_server_is_a_stranger_all_the_same(
    intruder: Intruder, installation: Installation, base: Path, watch: Watch, trail: Trail
) -> None:
    """22, and 2.1 a: the caller's name is told in the trail, and decides nothing."""
    del base
    folder = new_root("spoof")
    try:
        parent = folder / "daos_server"
        shutil.copyfile(intruder.program, parent)
        parent.chmod(0o755)
        command = [str(parent), "measure", "--", str(installation.helper)]
        done = installation.member.run(command, payload=ping(1))
        assert done.returncode == 0, "the parent's own"
        text, _, numbers = done.stderr.rpartition(b"\0")
        assert os.waitstatus_to_exitcode(int(numbers.split()[0])) == 73
        assert done.stdout == b""
        assert text.startswith(b"daos_server_helper: only root and the account")
    finally:
        shutil.rmtree(folder)
    assert trail.only()["verdict"] == "refused"
    assert watch.changes() == []
