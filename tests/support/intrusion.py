# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Starts the installed helper behind ``intruder.c``: with hostile inherited state, as any caller."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from callers import ROOT, Caller
from hostile import Hostile, fault_code, helper_processes, ping
from installed import Installation
from monitored import Inherited, look


class Intruder:
    """Plays tricks and then becomes the helper.

    :param program: the compiled ``intruder.c``.
    """

    def __init__(self, installation: Installation, program: Path) -> None:
        self.installation = installation
        self.program = program
        self._opened: list[Hostile] = []

    def command(self, *tricks: str, arguments: tuple[str, ...] = ()) -> list[str]:
        """Return the command line that plays the tricks and executes the helper."""
        return [str(self.program), *tricks, "--", str(self.installation.helper), *arguments]

    def open(
        self,
        *tricks: str,
        caller: Caller | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        folder: str | Path = "/",
    ) -> Hostile:
        """Open a session behind the tricks, whose peak memory is measured.

        :param environment: set just before the helper is executed, so that it does not reach the intruder itself.
        """
        variables = [f"env={name}={value}" for name, value in (environment or {}).items()]
        command = self.command("measure", *variables, *tricks, arguments=arguments)
        return self._around((caller or self.installation.account).start(command, folder=folder))

    def open_by(self, command: list[str]) -> Hostile:
        """Open a session by a program of root's that ends in the command of an intruder that measures."""
        return self._around(ROOT.start(command))

    def _around(self, process: subprocess.Popen[bytes]) -> Hostile:
        session = Hostile.around(process)
        self._opened.append(session)
        return session

    def refused(
        self,
        *tricks: str,
        caller: Caller | None = None,
        code: int,
        words: tuple[str, ...] = (),
    ) -> None:
        """Check that the launcher refuses behind the tricks: with its code, in one line, before anything else ran."""
        done = (caller or self.installation.account).run(self.command(*tricks), payload=ping(1))
        is_refusal(done, code, *words)

    def forget(self, session: Hostile) -> None:
        """Let go of a session that has ended."""
        self._opened.remove(session)

    def abandon(self) -> None:
        """Leave all sessions that are still open."""
        for session in self._opened:
            session.abandon()


def is_refusal(done: subprocess.CompletedProcess[bytes], code: int, *words: str) -> None:
    """Check the launcher's own refusal: exit code, nothing on stdout, one line on stderr with these words."""
    text = done.stderr.decode()
    assert done.returncode == code, (done.returncode, text)
    assert done.stdout == b""
    assert text.startswith("daos_server_helper: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    for word in words:
        assert word in text, text


def monitor_of(session: Hostile, installation: Installation) -> int:
    """Return the pid of the only monitor, once it answered a ping; its session is this one."""
    session.send(ping(1))
    assert fault_code(session.answer(1)) == 0
    (pid,) = helper_processes(installation)
    return pid


def ready(session: Hostile, installation: Installation) -> int:
    """Return the pid of the only monitor, once it waits for a request."""
    session.hello()
    return monitor_of(session, installation)


def inherited_of(session: Hostile, installation: Installation) -> Inherited:
    """Return what the session's monitor inherited, after its first ping."""
    return look(monitor_of(session, installation))


def ends_well(session: Hostile) -> None:
    """End a session that has been served: no further message, no error, status 0."""
    rest, ending = session.end()
    assert rest == []
    assert (ending.status, ending.errors) == (0, b"")
