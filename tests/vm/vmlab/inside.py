# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs the tests that belong into a guest there: one boot per kind of guest, every test reported on the host under its own name."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from installed import Installation

from vmlab.errors import GuestError
from vmlab.guest import SOURCE, Guest
from vmlab.session import Running
from vmlab.spec import Spec

PACKAGES = Path(__file__).parents[1]
SILENCE_S = 300.0
"""Seconds after which a guest that reports nothing counts as hung."""
BOOTS = 3
"""A guest that died while it ran tests is booted again for the rest of them, but not for ever."""
INSTALLATION = "DAOS_LAB_INSTALLATION"
"""Variable that tells tests in the guest where the host has installed the project for them."""
COVERAGE = "/run/coverage"


def measured_folder() -> Path | None:
    """Return where this process, if its coverage is measured, puts its data."""
    if "coverage" not in sys.modules:
        return None
    import coverage

    current = coverage.Coverage.current()
    return None if current is None else Path(current.config.data_file).absolute().parent


def pytest_command(names: Sequence[str], *, measured: bool) -> list[str]:
    """Return the command that runs tests in the guest and relays their reports."""
    coverage = ["-m", "coverage", "run"] if measured else []
    options = ["-p", "vmlab.relay", "-p", "no:cacheprovider", "--basetemp", "/run/pytest", "--color=no"]
    return [sys.executable, "-B", *coverage, "-m", "pytest", *options, *names]


class Inside:
    """The tests of one kind of guest, and what was reported about them so far.

    :param spec: the guest.
    :param names: ids of its tests.
    :param installation: what the host has installed for them, if any of them asks for it.
    """

    def __init__(self, spec: Spec, names: Sequence[str], installation: Installation | None) -> None:
        self._spec = spec
        self._left = dict.fromkeys(names)
        self._installation = installation
        self._reports: dict[str, dict[str, pytest.TestReport]] = {}
        self._boots = 0
        self._stack = contextlib.ExitStack()
        self._lines: Iterator[bytes] | None = None
        self._guest: Guest | None = None
        self._running: Running | None = None

    def reports(self, config: pytest.Config, name: str) -> dict[str, pytest.TestReport]:
        """Return the reports about a test by phase; boots the guest if need be, and waits.

        :raises GuestError: if the guest died over it.
        :raises UnavailableError: if this machine cannot run guests.
        """
        try:
            while name in self._left:
                self._read(config)
        except GuestError:
            self._left.pop(name, None)
            self.close()
            raise
        if not self._left:
            self._finish()
        return self._reports.pop(name)

    def _read(self, config: pytest.Config) -> None:
        if self._lines is None or self._guest is None:
            self._begin()
            return
        with self._guest.explained():
            self._take(config, self._lines)

    def _take(self, config: pytest.Config, lines: Iterator[bytes]) -> None:
        """Take in reports up to the end of a test."""
        for line in lines:
            message = json.loads(line)
            if "finished" in message:
                self._left.pop(message["finished"], None)
                return
            report = config.hook.pytest_report_from_serializable(config=config, data=message["report"])
            if isinstance(report.longrepr, list):  # of a skip; JSON has no tuples
                report.longrepr = tuple(report.longrepr)
            self._reports.setdefault(report.nodeid, {})[report.when] = report
        said = b"" if self._running is None else self._running.err
        raise GuestError(f"pytest ended in the guest before all tests were run:\n{said.decode(errors='replace')}")

    def _begin(self) -> None:
        if self._boots == BOOTS:
            raise GuestError(f"the guest died {BOOTS} times; its other tests were not run")
        self._boots += 1
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"daos-{self._spec.name}-")))
        self._guest = self._stack.enter_context(Guest(self._spec, folder))
        env = {"PYTHONPATH": str(PACKAGES), "COVERAGE_FILE": f"{COVERAGE}/.coverage"}
        if self._installation is not None:
            env[INSTALLATION] = str(self._installation.root)
        self._guest.run(["/bin/mkdir", COVERAGE])
        command = pytest_command(list(self._left), measured=measured_folder() is not None)
        self._running = self._guest.start(command, env=env, folder=str(SOURCE))
        self._lines = self._running.lines(SILENCE_S)

    def _finish(self) -> None:
        """Bring coverage back, and end the guest."""
        target = measured_folder()
        if self._running is not None and self._guest is not None and target is not None:
            self._running.wait(SILENCE_S)
            self._guest.run(["/bin/cp", "-r", COVERAGE, "/run/lab"])
            for path in (self._guest.share / os.path.basename(COVERAGE)).iterdir():
                shutil.copy(path, target)
        self.close()

    def close(self) -> None:
        """End the guest."""
        self._stack.close()
        self._lines = self._running = self._guest = None
