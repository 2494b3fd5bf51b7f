# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the helper runs as root once it has started: its own files, and the interpreter that they name."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from daos_server.doctor import ownership
from daos_server.doctor.finding import Finding
from daos_server.doctor.helper_program import mount_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.installation import Installation

OLDEST_PYTHON = (3, 11)
DEADLINE_S = 10
QUESTION = "import os,sys; print(*sys.version_info[:2], os.path.dirname(os.__file__))"


def start_files(installation: Installation) -> Iterator[Finding]:
    """Yield whether what the helper runs as root is root's alone."""
    start, library = f"{installation.helper_lib}/start.py", f"{installation.helper_lib}/lib"
    yield ownership.folders_above(start, links=False)
    for path in (start, library):
        info = ownership.lstat(path)
        yield info if isinstance(info, Finding) else ownership.tree(path)


def interpreter(*programs: str) -> Iterator[Finding]:
    """Yield whether the interpreter that the helper was installed with is safe to run as root, and recent enough.

    :param programs: the first of them that begins with ``#!`` names it.
    """
    subject = "interpreter of the helper"
    try:
        path = next(filter(None, map(_named_interpreter, programs)), "")
    except OSError as error:
        yield ownership.unseen(subject, error)
        return
    if not path:
        found = f"{programs[-1]} does not name one"
        yield Finding(subject=subject, found=found, verdict="stops", why=ownership.NOT_THERE, advice=ownership.INSTALL_AGAIN)
        return
    above = ownership.folders_above(path, links=False)
    yield above
    try:
        info = os.stat(path)
    except OSError as error:
        yield ownership.unseen(path, error)
        return
    problem = ownership.loose(info) or ("" if stat.S_ISREG(info.st_mode) and info.st_mode & stat.S_IXOTH else "cannot be run by everybody")
    yield Finding.of(
        path,
        problem or "root's, writable by nobody else",
        right=not problem,
        why="root runs it",
        advice="install again with an interpreter of the distribution",
    )
    yield from mount_flags(path, setuid=False)
    if os.geteuid() == 0 and (problem or above.verdict != "ok"):
        yield Finding(subject=f"version of {path}", found="not asked: root does not run what others may change", verdict="unknown")
        return
    yield from _interpreter_itself(path)


def _named_interpreter(program: str) -> str:
    with open(program, encoding="utf-8", errors="replace") as script:
        first = script.readline(os.pathconf("/", "PC_PATH_MAX"))
    return first.removeprefix("#!").split()[0] if first.startswith("#!/") else ""


def _interpreter_itself(path: str) -> Iterator[Finding]:
    import subprocess

    subject = f"version of {path}"
    try:
        answer = subprocess.run(  # noqa: S603 (an absolute path; as root only if nobody else may change it)
            [path, "-ISBc", QUESTION],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=DEADLINE_S,
            text=True,
            check=True,
        ).stdout.split()
        version, library = (int(answer[0]), int(answer[1])), answer[2]
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        advice = "install an interpreter, then the helper again"
        yield Finding(subject=subject, found=f"does not run: {error}", verdict="stops", why=ownership.NOT_THERE, advice=advice)
        return
    needs = ".".join(map(str, OLDEST_PYTHON))
    yield Finding.of(
        subject,
        ".".join(map(str, version)),
        right=version >= OLDEST_PYTHON,
        why="the helper uses what older ones do not have",
        advice=f"install Python {needs} or later, then the helper again",
    )
    yield ownership.tree(library)
