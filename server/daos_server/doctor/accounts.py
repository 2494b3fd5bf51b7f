# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The system accounts and groups, and the empty files whose owners name the accounts to the helper."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from daos_server.doctor import ownership
from daos_server.doctor.finding import Finding
from daos_server.identity import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pwd import struct_passwd

    from daos_server.doctor.machine import Machine, Setting
    from daos_server.installation import Installation

OWNER_MODE = 0o0000
"""Of the files whose owner names an account: nobody ever opens them."""
FURTHER_GROUPS = ("daos_metrics", "daos_daemons")
"""Groups that the agent and the tools for metrics use; nothing here needs them."""
NO_ROOT = "the server and its engines never run as root"
WRONG_CALLER = "the helper takes orders from the owner of this file, and from nobody if it is not exactly so"


def account(name: str) -> struct_passwd | None:
    """Return an account, or None if there is none of that name."""
    from pwd import getpwnam

    try:
        return getpwnam(name)
    except KeyError:
        return None


def accounts(installation: Installation) -> Iterator[Finding]:
    """Yield what is known of the two system accounts."""
    server, worker = account(installation.account), account(installation.worker_account)
    for name, entry in ((installation.account, server), (installation.worker_account, worker)):
        yield _account(name, entry)
    if server is not None and worker is not None:
        differ = server.pw_uid != worker.pw_uid
        yield Finding.of(
            "the two accounts",
            "differ" if differ else f"share uid {server.pw_uid}",
            right=differ,
            why="processes of one uid may kill and trace each other: the server could take over the helper's workers",
            advice="give each its own uid",
        )


def _account(name: str, entry: struct_passwd | None) -> Finding:
    subject = f"account {name}"
    if entry is None:
        advice = f"create it:\n  useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {name}"
        return Finding(subject=subject, found="does not exist", verdict="stops", why=NO_ROOT, advice=advice)
    found = f"uid {entry.pw_uid}, gid {entry.pw_gid}"
    return Finding.of(subject, found, right=entry.pw_uid != 0, why=NO_ROOT, advice="make it a system account of its own, never root")


def owner_files(installation: Installation) -> Iterator[Finding]:
    """Yield what is known of the files that name the accounts to the helper."""
    for file, name in (("account", installation.account), ("worker", installation.worker_account)):
        yield owner_file(f"{installation.helper_lib}/{file}", name, account(name))


def owner_file(path: str, name: str, entry: struct_passwd | None) -> Finding:
    """Return what is known of an empty file whose owner tells the helper which account to trust."""
    info = ownership.lstat(path)
    if isinstance(info, Finding):
        return info
    problems = []
    if not stat.S_ISREG(info.st_mode):
        problems.append("is no regular file")
    if stat.S_IMODE(info.st_mode) != OWNER_MODE:
        problems.append(f"has mode {ownership.mode_text(info)}, not 0000")
    if info.st_size or info.st_nlink != 1:
        problems.append("is not empty, or has a second name")
    if entry is not None and info.st_uid != entry.pw_uid:
        problems.append(f"belongs to {user_name(info.st_uid)}, not {name}")
    if problems:
        advice = f"  chown {name}: {path} && chmod 0000 {path}"
        return Finding(subject=path, found=", ".join(problems), verdict="stops", why=WRONG_CALLER, advice=advice)
    found = f"owned by {user_name(info.st_uid)}, mode 0000"
    return Finding(subject=path, found=found, verdict="unknown" if entry is None else "ok")


def groups(_: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield what is known of the groups; those that only other parts of DAOS use are told, not judged."""
    from grp import getgrnam

    entry = account(setting.installation.account)
    for name in FURTHER_GROUPS:
        try:
            members, gid = getgrnam(name).gr_mem, getgrnam(name).gr_gid
        except KeyError:
            found = "does not exist; only the agent and the tools for metrics use it"
        else:
            joined = entry is not None and (entry.pw_name in members or entry.pw_gid == gid)
            found = f"gid {gid}, {'with' if joined else 'without'} {setting.installation.account}"
        yield Finding(subject=f"group {name}", found=found, verdict="ok")
