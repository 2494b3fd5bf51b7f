# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether the privileged helper can do its work on this host, point by point; a helper that works is not needed for it.

Anybody may ask.  What the caller may not see is unknown, which is neither right nor wrong.
"""

from __future__ import annotations

import os
import resource
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daos_bindings.linux import capabilities, kernel, mounts
from daos_pbin.bounding import HELPER_BOUNDING
from daos_server.identity import OLDEST_KERNEL, status_field, user_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pwd import struct_passwd

    from daos_server.installation import Installation

HELPER_MODE = 0o4750
OWNER_MODE = 0o0000
"""Of the files whose owner names an account: nobody ever opens them."""
OLDEST_PYTHON = (3, 11)
WRITABLE_BY_OTHERS = 0o022
LINK_LIMIT = 40
"""Symbolic links that the kernel follows in one path."""
INITIAL_USER_NAMESPACE = "0 0 4294967295"
INTERPRETER_DEADLINE_S = 10

MOUNT_ROOTS = ("/mnt/daos", "/var/lib/daos", "/var/daos")
"""Where the helper mounts if root's policy says nothing else."""

ONLY_RAISES_LIMITS = "CAP_SYS_RESOURCE"

MIB = 1 << 20
LIMIT_FLOORS = {
    "FSIZE": (resource.RLIMIT_FSIZE, 64 * MIB),
    "DATA": (resource.RLIMIT_DATA, 256 * MIB),
    "AS": (resource.RLIMIT_AS, 512 * MIB),
    "CPU": (resource.RLIMIT_CPU, 600),
    "STACK": (resource.RLIMIT_STACK, 8 * MIB),
    "NOFILE": (resource.RLIMIT_NOFILE, 256),
    "NPROC": (resource.RLIMIT_NPROC, 64),
    "LOCKS": (10, 64),
    "MEMLOCK": (resource.RLIMIT_MEMLOCK, MIB // 16),
    "SIGPENDING": (11, 64),
}
"""The launcher's floors, by number of the limit (two have no name in Python).  Below one it ends; a test compares them."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One point.

    :param subject: what was looked at.
    :param found: what is there, in words.
    :param right: None if it could not be told.
    :param advice: what to do about it; empty if nothing.
    """

    subject: str
    found: str
    right: bool | None
    advice: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the finding as the value that ``--json`` prints."""
        return {"subject": self.subject, "found": self.found, "right": self.right, "advice": self.advice}


def findings(installation: Installation) -> tuple[Finding, ...]:
    """Look at everything that the helper rests on, in the order in which an administrator would."""
    program = tuple(launcher(installation))
    return (
        *accounts(installation),
        *program,
        *start_files(installation),
        *interpreter(f"{installation.helper_lib}/start.py", f"{installation.prefix}/bin/daos_server"),
        policy(installation.policy_file),
        *this_process(),
        *limits(),
        *mount_propagation(),
        ping(installation, program),
    )


def accounts(installation: Installation) -> Iterator[Finding]:
    """Yield what is known of the two system accounts and of the files that name them to the helper."""
    server, worker = _account(installation.account), _account(installation.worker_account)
    for name, entry in ((installation.account, server), (installation.worker_account, worker)):
        if entry is None:
            yield Finding(subject=f"account {name}", found="does not exist", right=False, advice=f"create the system account {name}")
        else:
            ordinary = entry.pw_uid != 0
            advice = "" if ordinary else "it must be a system account of its own, never root"
            yield Finding(subject=f"account {name}", found=f"uid {entry.pw_uid}, gid {entry.pw_gid}", right=ordinary, advice=advice)
    if server is not None and worker is not None:
        differ = server.pw_uid != worker.pw_uid
        yield Finding(
            subject="the two accounts",
            found="differ" if differ else f"share uid {server.pw_uid}",
            right=differ,
            advice="" if differ else "give each its own uid: processes of one uid may kill and trace each other",
        )
    yield owner_file(f"{installation.helper_lib}/account", installation.account, server)
    yield owner_file(f"{installation.helper_lib}/worker", installation.worker_account, worker)


def _account(name: str) -> struct_passwd | None:
    from pwd import getpwnam

    try:
        return getpwnam(name)
    except KeyError:
        return None


def owner_file(path: str, name: str, entry: struct_passwd | None) -> Finding:
    """Return what is known of an empty file whose owner tells the helper which account to trust."""
    info = _lstat(path)
    if isinstance(info, Finding):
        return info
    problems = []
    if not stat.S_ISREG(info.st_mode):
        problems.append("is no regular file")
    if stat.S_IMODE(info.st_mode) != OWNER_MODE:
        problems.append(f"has mode {_mode(info)}, not 0000")
    if info.st_size or info.st_nlink != 1:
        problems.append("is not empty, or has a second name")
    if entry is not None and info.st_uid != entry.pw_uid:
        problems.append(f"belongs to {user_name(info.st_uid)}, not {name}")
    if problems:
        return Finding(subject=path, found=", ".join(problems), right=False, advice=f"chown {name}: {path}; chmod 0000 {path}")
    return Finding(subject=path, found=f"owned by {user_name(info.st_uid)}, mode 0000", right=None if entry is None else True)


def launcher(installation: Installation) -> Iterator[Finding]:
    """Yield what is known of the setuid program, of the folders above it and of its mount."""
    path, server = installation.helper, _account(installation.account)
    info = _lstat(path)
    if isinstance(info, Finding):
        yield info
        return
    regular = stat.S_ISREG(info.st_mode)
    yield Finding(
        subject=path,
        found="a regular file" if regular else "no regular file",
        right=regular,
        advice="" if regular else "install it again; it must not be a link",
    )
    repair = f"chown root:{installation.account} {path} && chmod 4750 {path}"
    owner = f"{user_name(info.st_uid)}:{_group_name(info.st_gid)}"
    owned = None if server is None else info.st_uid == 0 and info.st_gid == server.pw_gid
    yield Finding(subject="owner of the helper", found=owner, right=owned, advice=repair if owned is False else "")
    exact = stat.S_IMODE(info.st_mode) == HELPER_MODE
    yield Finding(subject="mode of the helper", found=_mode(info), right=exact, advice="" if exact else repair)
    yield folders_above(path)
    yield from mount_flags(path, setuid=True)


def mount_flags(path: str, *, setuid: bool) -> Iterator[Finding]:
    """Yield whether programs on the mount of ``path`` can run, and run setuid."""
    try:
        flags = os.statvfs(path).f_flag
        where = mounts.containing(mounts.read(), os.path.realpath(path))
    except (OSError, ValueError) as error:
        yield Finding(subject=f"mount of {path}", found=str(error), right=None)
        return
    place = "?" if where is None else where.mount_point
    wanted = {"noexec": os.ST_NOEXEC} | ({"nosuid": os.ST_NOSUID} if setuid else {})
    bad = [name for name, flag in wanted.items() if flags & flag]
    advice = f"remount {place} without {', '.join(bad)}, or install under a prefix on another file system" if bad else ""
    found = f"{place} has {', '.join(bad)}" if bad else f"{place} has no {' and no '.join(wanted)}"
    yield Finding(subject=f"mount of {path}", found=found, right=not bad, advice=advice)


def start_files(installation: Installation) -> Iterator[Finding]:
    """Yield whether what the helper runs as root is root's alone."""
    start, library = f"{installation.helper_lib}/start.py", f"{installation.helper_lib}/lib"
    yield folders_above(start, links=False)
    for path in (start, library):
        info = _lstat(path)
        yield info if isinstance(info, Finding) else tree(path)


def tree(path: str) -> Finding:
    """Return whether a file or folder, and everything in it, belongs to root and is writable by nobody else."""
    wrong: list[str] = []
    unseen: list[OSError] = []
    for each in _below(path, unseen):
        try:
            problem = loose(os.lstat(each))
        except OSError as error:
            unseen.append(error)
        else:
            if problem:
                wrong.append(f"{each} {problem}")
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return Finding(subject=path, found=f"{wrong[0]}{more}", right=False, advice=f"chown -R root:root {path} && chmod -R go-w {path}")
    if unseen:
        return Finding(subject=path, found=f"not all of it can be seen: {unseen[0].strerror}", right=None, advice="ask again as root")
    return Finding(subject=path, found="all of it root's, writable by nobody else", right=True)


def _below(path: str, unseen: list[OSError]) -> Iterator[str]:
    yield path
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        return
    for folder, folders, files in os.walk(path, onerror=unseen.append):
        for name in (*folders, *files):
            yield f"{folder}/{name}"


def loose(info: os.stat_result) -> str:
    """Return in words why somebody other than root may change a file or folder; empty if nobody may."""
    if info.st_uid != 0:
        return f"belongs to {user_name(info.st_uid)}"
    if not stat.S_ISLNK(info.st_mode) and info.st_mode & WRITABLE_BY_OTHERS:
        return f"has mode {_mode(info)}, so others may write to it"
    return ""


def folders_above(path: str, *, links: bool = True) -> Finding:
    """Return whether every folder on the way to ``path``, through all links, is root's and writable by nobody else.

    :param links: whether symbolic links on the way are accepted, the last component included.
    """
    subject = f"folders above {path}"
    try:
        folders, end = way_to(path)
        if not links and end != path:
            return Finding(subject=subject, found=f"a link on the way leads to {end}", right=False, advice=f"install again, naming {end}")
        problems = [f"{folder} {problem}" for folder in folders if (problem := loose(os.lstat(folder)))]
    except OSError as error:
        return _unseen(subject, error)
    if problems:
        return Finding(subject=subject, found="; ".join(problems), right=False, advice="chown root and chmod go-w each of them")
    return Finding(subject=subject, found="all root's, writable by nobody else", right=True)


def way_to(path: str) -> tuple[list[str], str]:
    """Return the folders that the kernel walks through on its way to an absolute path, and where the way ends.

    :raises OSError: if it cannot be walked.
    """
    folders, here, links = ["/"], "/", 0
    rest = [part for part in path.split("/") if part not in ("", ".")]
    while rest:
        part = rest.pop(0)
        if part == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, part)
        if stat.S_ISLNK(os.lstat(step).st_mode):
            links += 1
            if links > LINK_LIMIT:
                raise OSError(40, "too many symbolic links", path)
            target = os.readlink(step)
            here = "/" if target.startswith("/") else here
            rest = [part for part in target.split("/") if part not in ("", ".")] + rest
            continue
        here = step
        if rest:
            folders.append(here)
    return folders, here


def interpreter(*programs: str) -> Iterator[Finding]:
    """Yield whether the interpreter that the helper was installed with is safe to run as root, and recent enough.

    :param programs: the first of them that begins with ``#!`` names it.
    """
    subject = "interpreter of the helper"
    try:
        path = next(filter(None, map(_named_interpreter, programs)), "")
    except OSError as error:
        yield _unseen(subject, error)
        return
    if not path:
        yield Finding(subject=subject, found=f"{programs[-1]} does not name one", right=False, advice="install the helper again")
        return
    above = folders_above(path, links=False)
    yield above
    try:
        info = os.stat(path)
    except OSError as error:
        yield _unseen(path, error)
        return
    problem = loose(info) or ("" if stat.S_ISREG(info.st_mode) and info.st_mode & stat.S_IXOTH else "cannot be run by everybody")
    advice = "install again with an interpreter of the distribution" if problem else ""
    yield Finding(subject=path, found=problem or "root's, writable by nobody else", right=not problem, advice=advice)
    yield from mount_flags(path, setuid=False)
    if os.geteuid() == 0 and (problem or not above.right):
        yield Finding(subject=f"version of {path}", found="not asked: root does not run what others may change", right=None)
        return
    yield from _interpreter_itself(path)


def _named_interpreter(program: str) -> str:
    with open(program, encoding="utf-8", errors="replace") as script:
        first = script.readline(os.pathconf("/", "PC_PATH_MAX"))
    return first.removeprefix("#!").split()[0] if first.startswith("#!/") else ""


def _interpreter_itself(path: str) -> Iterator[Finding]:
    import subprocess

    question = "import os,sys; print(*sys.version_info[:2], os.path.dirname(os.__file__))"
    subject = f"version of {path}"
    try:
        answer = subprocess.run(  # noqa: S603 (an absolute path; as root only if nobody else may change it)
            [path, "-ISBc", question],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=INTERPRETER_DEADLINE_S,
            text=True,
            check=True,
        ).stdout.split()
        version, library = (int(answer[0]), int(answer[1])), answer[2]
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        yield Finding(subject=subject, found=f"does not run: {error}", right=False, advice="install an interpreter, then the helper again")
        return
    recent = version >= OLDEST_PYTHON
    needs = ".".join(map(str, OLDEST_PYTHON))
    yield Finding(
        subject=subject,
        found=".".join(map(str, version)),
        right=recent,
        advice="" if recent else f"install Python {needs} or later, then the helper again",
    )
    yield tree(library)


def policy(path: str) -> Finding:
    """Return what is known of root's own policy; without one the defaults are in force."""
    import tomllib

    subject = f"policy {path}"
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return Finding(subject=subject, found="absent: the defaults are in force", right=True)
    except OSError as error:
        return _unseen(subject, error)
    problem = loose(info) or ("" if stat.S_ISREG(info.st_mode) else "is no regular file")
    if problem:
        return Finding(subject=subject, found=problem, right=False, advice=f"chown root:root {path} && chmod 0644 {path}")
    try:
        with open(path, "rb") as file:
            tomllib.load(file)
    except OSError as error:
        return _unseen(subject, error)
    except ValueError as error:
        return Finding(subject=subject, found=f"is not TOML: {error}", right=False, advice="correct that line: until then all is refused")
    return Finding(subject=subject, found="root's, and well-formed", right=True)


def this_process(status: str = "/proc/self/status", uid_map: str = "/proc/self/uid_map") -> Iterator[Finding]:
    """Yield what this shell hands down to a helper that is started from it, and the kernel's version."""
    release = kernel.release()
    needs = ".".join(map(str, OLDEST_KERNEL))
    recent = _recent(release)
    yield Finding(subject="kernel", found=release, right=recent, advice="" if recent else f"Linux {needs} or later is needed")
    blocked = status_field("NoNewPrivs", status) == "1"
    yield Finding(
        subject="no_new_privs",
        found="on: setuid programs stay powerless" if blocked else "off",
        right=not blocked,
        advice="remove NoNewPrivileges= from the unit, or leave the container or sandbox that set it" if blocked else "",
    )
    yield _bounding(int(status_field("CapBnd", status) or "0", 16))
    filtered = status_field("Seccomp", status)
    yield Finding(
        subject="seccomp",
        found={"0": "off", "1": "strict", "2": "a filter is on, which the helper inherits"}.get(filtered, "not known"),
        right={"0": True, "1": False}.get(filtered),
        advice="if mounts fail, look at the container's or unit's system call filter" if filtered == "2" else "",
    )
    yield _user_namespace(uid_map)


def _recent(release: str) -> bool | None:
    try:
        return kernel.version(release) >= OLDEST_KERNEL
    except ValueError:
        return None


def _bounding(held: int) -> Finding:
    missing = {name for name in HELPER_BOUNDING if not held >> capabilities.NAMES[name] & 1}
    serious = sorted(missing - {ONLY_RAISES_LIMITS})
    found = f"lacks {', '.join(sorted(missing))}" if missing else "has all that the helper needs"
    if missing and not serious:
        found += ", which only raises limits"
    advice = "start it where these are not dropped: a container needs them added" if serious else ""
    return Finding(subject="capability bounding set", found=found, right=not serious, advice=advice)


def _user_namespace(uid_map: str) -> Finding:
    subject = "user namespace"
    try:
        with open(uid_map, encoding="ascii") as lines:
            initial = " ".join(lines.read().split()) == INITIAL_USER_NAMESPACE
    except OSError as error:
        return _unseen(subject, error)
    advice = "" if initial else "leave the rootless container: root in it is not root of the host"
    return Finding(subject=subject, found="the initial one" if initial else "not the initial one", right=initial, advice=advice)


def limits(read: Callable[[int], tuple[int, int]] = resource.getrlimit) -> Iterator[Finding]:
    """Yield whether this shell's hard limits are above the launcher's floors; it raises them only where it may."""
    for name, (number, floor) in LIMIT_FLOORS.items():
        hard = read(number)[1]
        enough = hard == resource.RLIM_INFINITY or hard >= floor
        found = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
        advice = "" if enough else f"raise the hard limit to {floor} or more: limits.conf for a login, Limit{name}= in a unit"
        yield Finding(subject=f"hard limit {name}", found=found, right=enough, advice=advice)


def mount_propagation() -> Iterator[Finding]:
    """Yield whether a mount made from here would be seen by the rest of the host."""
    subject = "mounts reach the host"
    try:
        table = mounts.read()
        slaves = {root: at.mount_point for root in MOUNT_ROOTS if (at := mounts.containing(table, root)) and _is_slave(at)}
    except (OSError, ValueError) as error:
        yield Finding(subject=subject, found=str(error), right=None)
        return
    if not slaves:
        yield Finding(subject=subject, found="no mount root is below a slave mount", right=True)
        return
    yield Finding(
        subject=subject,
        found=", ".join(f"{root} is on {point}, a slave mount" for root, point in slaves.items()),
        right=False,
        advice="remove ProtectSystem=, PrivateTmp=, ProtectKernelTunables= and other directives of the unit that give it mounts of its own",
    )


def _is_slave(mount: mounts.Mount) -> bool:
    return any(tag.startswith("master:") for tag in mount.propagation)


def ping(installation: Installation, program: Sequence[Finding]) -> Finding:
    """Return whether a live helper answers; who may not start it does not try.

    :param program: what is known of the launcher: root does not run what others may change.
    """
    subject = "answer of the helper"
    server, caller = _account(installation.account), os.getresuid()
    if server is None or caller not in ((0, 0, 0), (server.pw_uid,) * 3):
        return Finding(subject=subject, found=f"not asked: only root and {installation.account} may start it", right=None)
    wrong = [point.subject for point in program if point.right is False]
    if wrong and caller[1] == 0:
        return Finding(subject=subject, found=f"not asked: first repair {', '.join(wrong)}", right=None)
    from daos_pbin import PROTOCOL_VERSION
    from daos_pbin.faults import Fault
    from daos_pbin.plain import PlainSession

    try:
        with PlainSession(installation.helper) as session:
            session.ping()
            version = session.hello.version
    except Fault as fault:
        return Finding(subject=subject, found=str(fault), right=False, advice=fault.resolution)
    return Finding(subject=subject, found=f"version {version}, protocol {PROTOCOL_VERSION}, both as here", right=True)


def _lstat(path: str) -> os.stat_result | Finding:
    try:
        return os.lstat(path)
    except OSError as error:
        return _unseen(path, error)


def _unseen(subject: str, error: OSError) -> Finding:
    """Return a finding for what could not be looked at: absent is wrong, forbidden is unknown."""
    if isinstance(error, PermissionError):
        return Finding(subject=subject, found="may not be looked at by this user", right=None, advice="ask again as root")
    return Finding(subject=subject, found=error.strerror or str(error), right=False, advice="install the helper again")


def _mode(info: os.stat_result) -> str:
    return f"{stat.S_IMODE(info.st_mode):04o}"


def _group_name(gid: int) -> str:
    from grp import getgrgid

    try:
        return getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
