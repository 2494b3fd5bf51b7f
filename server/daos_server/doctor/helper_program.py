# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The program that root starts, setuid or by systemd, its mount, root's policy for it, and whether it answers."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from daos_bindings.linux import mounts
from daos_server.doctor import helper_socket, ownership
from daos_server.doctor.accounts import account
from daos_server.doctor.finding import Finding
from daos_server.identity import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daos_server.installation import Installation

HELPER_MODE = 0o4750
WITHOUT_SETUID = (0o750, 0o755, 0o700)
"""Modes that do as well where systemd starts it."""
WRONG_OWNER_OR_MODE = "with any other owner or mode it is not root, or others than the server may start it"


def launcher(installation: Installation) -> Iterator[Finding]:
    """Yield what is known of the setuid program, of the folders above it and of its mount."""
    path, server = installation.helper, account(installation.account)
    info = ownership.lstat(path)
    if isinstance(info, Finding):
        yield info
        return
    regular = stat.S_ISREG(info.st_mode)
    yield Finding.of(
        path,
        "a regular file" if regular else "no regular file",
        right=regular,
        why="the setuid bit counts only for a file of its own",
        advice="install it again; it must not be a link",
    )
    repair = f"  chown root:{installation.account} {path} && chmod 4750 {path}"
    owner = f"{user_name(info.st_uid)}:{_group_name(info.st_gid)}"
    if server is None:
        yield Finding(subject="owner of the helper", found=owner, verdict="unknown")
    else:
        owned = info.st_uid == 0 and info.st_gid == server.pw_gid
        yield Finding.of("owner of the helper", owner, right=owned, why=WRONG_OWNER_OR_MODE, advice=repair)
    setuid = not helper_socket.is_there(installation)
    exact = stat.S_IMODE(info.st_mode) in (HELPER_MODE, *(() if setuid else WITHOUT_SETUID))
    yield Finding.of("mode of the helper", ownership.mode_text(info), right=exact, why=WRONG_OWNER_OR_MODE, advice=repair)
    yield ownership.folders_above(path)
    yield from mount_flags(path, setuid=setuid)


def mount_flags(path: str, *, setuid: bool) -> Iterator[Finding]:
    """Yield whether programs on the mount of ``path`` can run, and run setuid."""
    try:
        flags = os.statvfs(path).f_flag
        where = mounts.containing(mounts.read(), os.path.realpath(path))
    except (OSError, ValueError) as error:
        yield Finding(subject=f"mount of {path}", found=str(error), verdict="unknown")
        return
    place = "?" if where is None else where.mount_point
    wanted = {"noexec": os.ST_NOEXEC} | ({"nosuid": os.ST_NOSUID} if setuid else {})
    bad = [name for name, flag in wanted.items() if flags & flag]
    allowing = {"noexec": "exec", "nosuid": "suid"}
    yield Finding.of(
        f"mount of {path}",
        f"{place} has {', '.join(bad)}" if bad else f"{place}, without {' or '.join(wanted)}",
        right=not bad,
        why="the kernel ignores the setuid bit there, or does not run programs at all",
        advice=f"remount it, or install under a prefix on another file system:\n"
        f"  mount -o remount,{','.join(allowing[name] for name in bad)} {place}",
    )


def policy(path: str) -> Finding:
    """Return what is known of root's own policy; without one the defaults are in force."""
    import tomllib

    subject = f"policy {path}"
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return Finding(subject=subject, found="absent: the defaults are in force", verdict="ok")
    except OSError as error:
        return ownership.unseen(subject, error)
    problem = ownership.loose(info) or ("" if stat.S_ISREG(info.st_mode) else "is no regular file")
    why = "the helper refuses every request until it is root's alone and well-formed"
    if problem:
        advice = f"  chown root:root {path} && chmod 0644 {path}"
        return Finding(subject=subject, found=problem, verdict="stops", why=why, advice=advice)
    try:
        with open(path, "rb") as file:
            tomllib.load(file)
    except OSError as error:
        return ownership.unseen(subject, error)
    except ValueError as error:
        return Finding(subject=subject, found=f"is not TOML: {error}", verdict="stops", why=why, advice=f"correct that line of {path}")
    return Finding(subject=subject, found="root's, and TOML", verdict="ok")


def answers(installation: Installation, program: Sequence[Finding]) -> Iterator[Finding]:
    """Yield whether a live helper answers, and whether it can read its policy; who may not start it does not try.

    :param program: what is known of the launcher: root does not run what others may change.
    """
    subject = "answer of the helper"
    server, caller = account(installation.account), os.getresuid()
    if server is None or caller not in ((0, 0, 0), (server.pw_uid,) * 3):
        yield Finding(subject=subject, found=f"not asked: only root and {installation.account} may start it", verdict="unknown")
        return
    wrong = [point.subject for point in program if point.verdict == "stops"]
    if wrong and caller[1] == 0:
        yield Finding(subject=subject, found=f"not asked: first repair {', '.join(wrong)}", verdict="unknown")
        return
    from daos_pbin import PROTOCOL_VERSION
    from daos_pbin.faults import Fault
    from daos_pbin.messages import HelperPolicy
    from daos_pbin.plain import PlainSession

    try:
        with PlainSession(installation.helper, socket=installation.helper_socket) as session:
            session.ping()
            version = session.hello.version
            yield Finding(subject=subject, found=f"version {version}, protocol {PROTOCOL_VERSION}, both as here", verdict="ok")
            subject = "policy as the helper reads it"
            if HelperPolicy.__name__ in session.hello.methods:
                keys = [entry.key for entry in session.call(HelperPolicy()).entries if entry.from_file]
                yield Finding(subject=subject, found=f"understood; set by the file: {', '.join(keys) or 'nothing'}", verdict="ok")
    except Fault as fault:
        yield Finding.of_fault(subject, fault, why="no storage can be prepared, formatted or mounted without it")


def _group_name(gid: int) -> str:
    from grp import getgrgid

    try:
        return getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
