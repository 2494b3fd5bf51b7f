# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A pytest plugin for inside the guest: prints every report as a line of JSON, for the pytest on the host.

Standard output belongs to those lines; what pytest itself prints goes to standard error.
"""

from __future__ import annotations

import json
import os

import pytest

CHANNEL = os.dup(1)
os.dup2(2, 1)


def say(message: dict[str, object]) -> None:
    """Write one line."""
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[os.write(CHANNEL, data) :]


class Relay:
    """Passes reports on."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Pass on how one phase of a test went."""
        say({"report": self._config.hook.pytest_report_to_serializable(config=self._config, report=report)})

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Say that nothing more comes about a test."""
        say({"finished": nodeid})


def pytest_configure(config: pytest.Config) -> None:
    """Put the relay in."""
    config.pluginmanager.register(Relay(config))
