# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Levels, by folder; and a loud account of what could not run here."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No property test passes or fails by how long it takes.
settings.register_profile("daos", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("daos")

pytest_plugins = ["installed"]

# Under nohup, or in the background of a script, these are ignored, and so they would be in every program that a test starts and stops.
for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGQUIT, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

LEVELS = ("unit", "host", "attack", "vm", "bench")
NEEDS_ROOT = ("host", "attack", "vm")
HERE = Path(__file__).parent


def level_of(path: Path) -> str:
    """Return the level of a test file: the first folder below tests/."""
    return path.relative_to(HERE).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its level, and skip what needs root when there is none."""
    for item in items:
        level = level_of(item.path)
        if level not in LEVELS:
            raise pytest.UsageError(f"{item.path} is in none of tests/{{{','.join(LEVELS)}}}")
        item.add_marker(getattr(pytest.mark, level))
        if level in NEEDS_ROOT and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason=f"level {level} needs root: run make test as root"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not run, and why, in a section of its own."""
    reasons: dict[str, list[str]] = {}
    for report in terminalreporter.getreports("skipped"):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    if not reasons:
        return
    terminalreporter.write_sep("!", "NOT RUN", red=True, bold=True)
    for reason, tests in reasons.items():
        terminalreporter.write_line(f"{len(tests)} not run: {reason}", red=True)
        for test in tests:
            terminalreporter.write_line(f"    {test}")
