# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs programs as somebody else, with whatever inherited state a hostile caller can make."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 60.0
"""Seconds after which a program under test counts as hung."""
STRANGER_UID = 54321
"""A uid that no account of any distribution has."""


@dataclass(frozen=True)
class Caller:
    """Who runs a program: numbers, so that no account needs to exist."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @property
    def become(self) -> tuple[str, ...]:
        """The beginning of a command line whose rest is run as this caller, without supplementary groups."""
        return ("/usr/bin/setpriv", "--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups")

    def start(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        folder: str | Path = "/",
        executable: str | Path | None = None,
        umask: int = 0o022,
        inherit: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a program with pipes as its descriptors 0 to 2.

        :param environment: its whole environment; a plain PATH if left out.
        :param before: called as this caller, just before the program is executed.
        :param folder: its working directory, entered as root.
        :param inherit: let it inherit descriptors above 2.
        """
        return subprocess.Popen(
            [os.fspath(word) for word in command],
            executable=None if executable is None else os.fspath(executable),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin"} if environment is None else dict(environment),
            preexec_fn=before,
            cwd=folder,
            user=self.uid,
            group=self.gid,
            extra_groups=list(self.groups),
            umask=umask,
            close_fds=not inherit,
        )

    def run(
        self,
        command: Sequence[str | Path],
        *,
        payload: bytes = b"",
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        folder: str | Path = "/",
        executable: str | Path | None = None,
        umask: int = 0o022,
        inherit: bool = False,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end and return what it wrote and its status; the arguments are those of ``start``."""
        with self.start(
            command, environment=environment, before=before, folder=folder, executable=executable, umask=umask, inherit=inherit
        ) as process:
            try:
                out, err = process.communicate(payload, timeout=TIMEOUT_S)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


ROOT = Caller(0, 0)
STRANGER = Caller(STRANGER_UID, STRANGER_UID)
