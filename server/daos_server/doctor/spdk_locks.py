# SPDX-License-Identifier: BSD-2-Clause-Patent
"""SPDK's lock files: one per controller, locked by the process that drives it; the file stays when the process goes.

Who holds a lock is asked with ``F_GETLK``, which takes nothing and writes nothing.
"""

from __future__ import annotations

import os
import stat
from shlex import quote
from typing import TYPE_CHECKING

from daos_bindings.linux.kernelfiles import printable
from daos_bindings.spdk.locks import holder
from daos_server.doctor import reading
from daos_server.doctor.finding import Finding
from daos_server.identity import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.doctor.finding import Verdict
    from daos_server.doctor.machine import Machine, Setting

PREFIX = "spdk_pci_lock_"
UNLOCKED, UNKNOWN_OWNER = None, 0


def check(machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield what is known of each lock file."""
    names = [name for name in reading.names(machine.lock_dir) if name.startswith(PREFIX)]
    if not names:
        yield Finding(subject="SPDK lock files", found=f"none in {machine.lock_dir}", verdict="ok")
    for name in names:
        try:
            yield _file(machine, setting, name)
        except FileNotFoundError:
            continue  # its process ended meanwhile


def _file(machine: Machine, setting: Setting, name: str) -> Finding:
    path = f"{machine.lock_dir}/{name}"
    subject = printable(path)
    info = os.lstat(path)
    if not stat.S_ISREG(info.st_mode):
        return _foreign(subject, _removal(path), "no regular file", setting, name)
    owner, ours = user_name(info.st_uid), info.st_uid == setting.uid
    try:
        pid = holder(path)
    except PermissionError:
        found = f"belongs to {owner}; whether it is locked, root can see"
        ask = "see who holds it, as root:\n  daos_server doctor"
        return _foreign(subject, ask, found, setting, name) if setting.uid is not None and not ours else _unknown(subject, found)
    if pid is not UNLOCKED:
        return _held(machine, setting, name, subject, owner, pid)
    found = f"belongs to {owner}, and no process holds it"
    if ours:
        return Finding(subject=subject, found=found, verdict="ok")
    return _unknown(subject, found) if setting.uid is None else _foreign(subject, _removal(path), found, setting, name)


def _removal(path: str) -> str:
    """Only for what no process holds: a lock on a removed file keeps nobody out."""
    return f"remove it, as no process holds it:\n  rm {quote(path)}"


def _unknown(subject: str, found: str) -> Finding:
    return Finding(subject=subject, found=found, verdict="unknown")


def _held(machine: Machine, setting: Setting, name: str, subject: str, owner: str, pid: int) -> Finding:
    who = reading.program(machine.proc, pid) if pid > UNKNOWN_OWNER else "a process that cannot be seen from here"
    found = f"belongs to {owner}, held by {who}"
    ours = owner == setting.installation.account
    why = "one process at a time drives an SSD: no engine can until this one ends"
    advice = f"end it, if it is no engine of yours:\n  kill {pid}" if pid > UNKNOWN_OWNER else "end it in its own container"
    return Finding.of(subject, found, right=ours, why=why, advice=advice, bad=_gravity(setting, name))


def _foreign(subject: str, advice: str, found: str, setting: Setting, name: str) -> Finding:
    return Finding.of(
        subject,
        found,
        right=False,
        why=f"engines, which run as {setting.installation.account}, cannot open it, and so not the SSD",
        advice=advice,
        bad=_gravity(setting, name),
    )


def _gravity(setting: Setting, name: str) -> Verdict:
    """A lock on an SSD that no engine wants disturbs nobody."""
    return "stops" if name.removeprefix(PREFIX) in setting.controllers else "warning"
