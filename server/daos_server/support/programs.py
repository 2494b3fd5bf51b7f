# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Programs whose output is collected: found in fixed folders, with a constant environment, no input, and a deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDERS = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")
ENVIRONMENT = {"PATH": ":".join(FOLDERS), "LC_ALL": "C.UTF-8", "TERM": "dumb", "COLUMNS": "512"}
DEADLINE_S = 60
LINE_LIMIT = 64 * 1024


class ProgramError(Exception):
    """A program did not give what it was started for; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program and its arguments.

    :param name: without a path, to be looked for in ``FOLDERS``; or an absolute path.
    :param bad_news: an exit status that is an answer as well, if not a good one; 0 means none is.
    """

    name: str
    arguments: tuple[str, ...] = ()
    deadline_s: float = DEADLINE_S
    bad_news: int = 0

    @property
    def command(self) -> str:
        """The command line, for a person."""
        return " ".join((os.path.basename(self.name), *self.arguments))


SYSTEM = (
    Program(name="dmesg"),
    Program(name="df", arguments=("-h",)),
    Program(name="mount"),
    Program(name="ps", arguments=("axf",)),
    Program(name="top", arguments=("-bcn1", "-w512")),
    Program(name="lspci", arguments=("-D",)),
    Program(name="sysctl", arguments=("-a",)),
)
PACKAGES = (Program(name="rpm", arguments=("-qa",)), Program(name="dpkg-query", arguments=("--list",)))
"""The first of them that is installed."""


def find(name: str, folders: Sequence[str] = FOLDERS) -> str | None:
    """Return the absolute path of a program, or None if it is in none of the folders."""
    paths = (name,) if name.startswith("/") else (f"{folder}/{name}" for folder in folders)
    return next((path for path in paths if os.access(path, os.X_OK) and os.path.isfile(path)), None)


def output_of(program: Program, folders: Sequence[str] = FOLDERS) -> Iterator[bytes]:
    """Run a program to its end, then yield what it printed, on either stream, by lines.

    :raises ProgramError: if it is not installed, does not end in time, or, after the lines, if it failed.
    """
    path = find(program.name, folders)
    if path is None:
        raise ProgramError("it is not installed")
    with tempfile.TemporaryFile() as output:
        status = _run(path, program, output)
        output.seek(0)
        yield from lines_of(output)
    if status < 0:
        raise ProgramError(f"it was ended by {signal.Signals(-status).name}")
    if status not in (0, program.bad_news):
        raise ProgramError(f"it ended with status {status}")


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file; one that is too long to be text comes in pieces."""
    while line := file.readline(LINE_LIMIT):
        yield line


def _run(path: str, program: Program, output: IO[bytes]) -> int:
    try:
        process = subprocess.Popen(  # noqa: S603 (an absolute path and constant arguments)
            [path, *program.arguments],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramError(f"it cannot be started: {error.strerror}") from error
    try:
        return process.wait(program.deadline_s)
    except subprocess.TimeoutExpired:
        raise ProgramError(f"it did not end within {program.deadline_s:g} s") from None
    finally:
        # Its children with it; the name of the group stays taken until it has been waited for.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
