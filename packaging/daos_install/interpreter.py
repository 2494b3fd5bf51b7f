# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The interpreter under the helper: found, and refused with the reason if anyone but root could change what root would run."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from daos_install.errors import InstallError

MINIMUM = (3, 11)
QUESTION = "import sys, sysconfig; print(*sys.version_info[:2], sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib'), sep='\\n')"


@dataclass(frozen=True)
class Interpreter:
    """An interpreter that root may run.

    :param path: its real path: no component is a link.
    :param version: major and minor.
    """

    path: str
    version: tuple[int, int]


def newest() -> str:
    """Return the newest interpreter that the distribution has installed.

    :raises InstallError: if none is new enough to be tried.
    """
    found = sorted(Path("/usr/bin").glob("python3.[0-9][0-9]"), key=lambda path: int(path.suffix[1:]))
    if not found or int(found[-1].suffix[1:]) < MINIMUM[1]:
        raise InstallError("no /usr/bin/python3.11 or newer: install the distribution's package (Debian, Ubuntu: python3.11)")
    return str(found[-1])


def find(given: str) -> Interpreter:
    """Return the interpreter that the administrator named, or the newest of the distribution if ``given`` is empty.

    :raises InstallError: if it is too old, or if it, its library, or any folder above them could be changed by others than root
        or not be reached by the server's account.
    """
    named = given or newest()
    path = os.path.realpath(named)
    shown = named if path == named else f"{named} ({path})"
    if not os.path.isfile(path):
        raise InstallError(f"interpreter {shown}: no such program; set INTERPRETER= to the distribution's python3.11 or newer")
    require_trusted(path, f"interpreter {shown}")
    major, minor, stdlib, platform = ask(path)
    if (int(major), int(minor)) < MINIMUM:
        raise InstallError(
            f"interpreter {shown} is Python {major}.{minor}; 3.11 or newer is needed (Debian, Ubuntu: apt-get install python3.11)"
        )
    for folder in {stdlib, platform}:
        require_trusted(os.path.realpath(folder), f"interpreter {shown}: its library")
    return Interpreter(path, (int(major), int(minor)))


def ask(path: str) -> list[str]:
    """Return version and library folders, from the interpreter itself in isolated mode."""
    try:
        answer = subprocess.run([path, "-I", "-S", "-B", "-c", QUESTION], capture_output=True, text=True, env={}, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InstallError(f"interpreter {path} does not run: {error}") from error
    return answer.stdout.split("\n")[:4]


def require_trusted(path: str, what: str) -> None:
    """Check a real path and every folder above it: root's, changed by nobody else, reachable by everybody.

    :raises InstallError: naming the first component that is not.
    """
    for part in [*reversed(Path(path).parents), Path(path)]:
        found = part.stat()
        problem = ""
        if found.st_uid != 0:
            problem = f"belongs to uid {found.st_uid}, not to root"
        elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
            problem = f"can be written by others than root (mode {stat.S_IMODE(found.st_mode):04o})"
        elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            problem = f"is a shared folder (mode {stat.S_IMODE(found.st_mode):04o})"
        elif not found.st_mode & stat.S_IXOTH:
            problem = f"cannot be entered or executed by the server's account (mode {stat.S_IMODE(found.st_mode):04o})"
        if problem:
            raise InstallError(
                f"{what}: {part} {problem}. What root runs must be changed by root alone: "
                "use the distribution's own interpreter and a PREFIX like /opt/daos (INTERPRETER=, PREFIX=)"
            )
