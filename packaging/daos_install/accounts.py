# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The two system accounts: found, made, and taken away again if we made them and no installation uses them any more.

Several installations can share a machine, and the accounts.  Each is an empty file in ``REGISTER``; what the last one
takes away is what any of them made.
"""

from __future__ import annotations

import grp
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from daos_install.errors import InstallError
from daos_install.layout import SERVER_ACCOUNT, WORKER_ACCOUNT, Layout

USERADD = "/usr/sbin/useradd"
USERDEL = "/usr/sbin/userdel"
GROUPDEL = "/usr/sbin/groupdel"
NO_SHELL = "/usr/sbin/nologin"
COMMENTS = {SERVER_ACCOUNT: "DAOS server", WORKER_ACCOUNT: "DAOS helper's workers"}


REGISTER = Path("/var/lib/daos-installations")
USER, MADE = "user ", "made "
"""A file's name begins with one of them: an installation, by its manifest with % for /, or an account that one of them made."""


@dataclass(frozen=True)
class Account:
    """Numbers of one account; never 0."""

    name: str
    uid: int
    gid: int


def lookup(name: str) -> Account | None:
    """Return an account and the group of the same name, or None if there is no such account.

    :raises InstallError: if it is there but cannot be ours: uid 0, or no group of its own.
    """
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return None
    try:
        group = grp.getgrnam(name)
    except KeyError:
        raise InstallError(
            f"account {name} exists, but the group {name} does not: make it (groupadd --system {name}), or remove the account"
        ) from None
    if user.pw_uid == 0 or group.gr_gid == 0:
        raise InstallError(f"account {name} is root under another name: remove it, then install again")
    return Account(name, user.pw_uid, group.gr_gid)


def missing(layout: Layout) -> list[str]:
    """Return the names of our accounts that this machine does not have."""
    return [name for name in (layout.account, layout.worker_account) if lookup(name) is None]


def make(name: str, home: str) -> None:
    """Make a system account without a password, a shell, or a home directory of its own.

    :raises InstallError: with useradd's own words.
    """
    command = [USERADD, "--system", "--no-create-home", "--home-dir", home, "--shell", NO_SHELL, "--comment", COMMENTS.get(name, "DAOS")]
    try:
        grp.getgrnam(name)
        command += ["--gid", name]
    except KeyError:
        command += ["--user-group"]
    done = subprocess.run([*command, name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"account {name} could not be made: {done.stderr.strip()}")


def required(layout: Layout) -> tuple[Account, Account]:
    """Return the server's account and the workers'.

    :raises InstallError: if one is missing, or both are the same uid.
    """
    server, worker = lookup(layout.account), lookup(layout.worker_account)
    if server is None or worker is None:
        raise InstallError(f"accounts {layout.account} and {layout.worker_account} must exist")
    if server.uid == worker.uid:
        raise InstallError(f"accounts {server.name} and {worker.name} are the same uid {server.uid}: the workers' must be one of its own")
    return server, worker


def remove(name: str) -> str:
    """Remove an account that an installation made.

    :returns: empty, or why it was left (a process still runs as it, mostly).
    """
    if lookup(name) is not None:
        done = subprocess.run([USERDEL, name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return done.stderr.strip() or f"userdel ended with {done.returncode}"
    try:
        grp.getgrnam(name)
    except KeyError:
        return ""
    done = subprocess.run([GROUPDEL, name], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode != 0 else ""


def register(manifest: str, made: set[str]) -> None:
    """Write down that an installation uses the accounts, and which of them it made."""
    REGISTER.mkdir(mode=0o755, exist_ok=True)
    for name in [USER + manifest.replace("/", "%"), *(MADE + account for account in made)]:
        (REGISTER / name).touch(mode=0o644)


def others(manifest: str) -> list[str]:
    """Return the manifests of the other installations that are still there."""
    if not REGISTER.is_dir():
        return []
    found = [path.name.removeprefix(USER).replace("%", "/") for path in REGISTER.iterdir() if path.name.startswith(USER)]
    return sorted(path for path in found if path != manifest and Path(path).exists())


def removable(manifest: str, made: set[str]) -> set[str]:
    """Return the accounts that go when this installation goes: none while another is there."""
    if others(manifest):
        return set()
    if not REGISTER.is_dir():
        return made
    return made | {path.name.removeprefix(MADE) for path in REGISTER.iterdir() if path.name.startswith(MADE)}


def release(manifest: str) -> None:
    """Forget an installation; with the last one, the register itself."""
    (REGISTER / (USER + manifest.replace("/", "%"))).unlink(missing_ok=True)
    if REGISTER.is_dir() and not others(manifest):
        shutil.rmtree(REGISTER)
