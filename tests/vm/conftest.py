# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Sends the tests below ``inside`` into guests, and says loudly if this machine cannot run any."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest
from installed import installed
from vmlab.errors import GuestError, UnavailableError
from vmlab.guest import HOSTNAME, requirements
from vmlab.inside import Inside
from vmlab.spec import FLAVOURS

INSIDE = Path(__file__).parent / "inside"
IN_GUEST = socket.gethostname() == HOSTNAME
INSTALLATION = "installation"
"""Tests that ask for this fixture find the project installed in the guest."""

LONG = "takes minutes in a guest: DAOS_LONG=1 runs it"


def is_left_out(item: pytest.Item) -> bool:
    """Say whether a test is one of the long ones, and they are not wanted."""
    return item.get_closest_marker("long") is not None and not os.environ.get("DAOS_LONG") and not IN_GUEST


def flavour(item: pytest.Item) -> str:
    """Return the name of the guest that a test wants."""
    marker = item.get_closest_marker("guest")
    if marker is None or marker.args[0] not in FLAVOURS:
        raise pytest.UsageError(f"{item.nodeid}: mark it with pytest.mark.guest, one of {', '.join(FLAVOURS)}")
    return str(marker.args[0])


class Lab:
    """The guests of this run of pytest.

    :param items: the tests that run inside.
    """

    def __init__(self, items: list[pytest.Item]) -> None:
        self._stack = contextlib.ExitStack()
        self._names: dict[str, list[str]] = {}
        for item in items:
            self._names.setdefault(flavour(item), []).append(item.nodeid)
        self._installs = any(INSTALLATION in fixtures(item) for item in items)
        self._guests: dict[str, Inside] = {}
        self._reports: dict[str, dict[str, pytest.TestReport]] = {}

    def fetch(self, item: pytest.Item) -> None:
        """Let a test run, and keep the reports about it.

        :raises GuestError: if there are none.
        """
        if not self._guests:
            # The guests' root is this machine's, so what is installed here before they boot is installed there.
            installation = self._stack.enter_context(installed()) if self._installs else None
            for name, names in self._names.items():
                self._guests[name] = Inside(FLAVOURS[name], names, installation)
                self._stack.callback(self._guests[name].close)
        self._reports[item.nodeid] = self._guests[flavour(item)].reports(item.config, item.nodeid)

    def report(self, item: pytest.Item, phase: str) -> pytest.TestReport | None:
        """Return what the guest reported about a phase of a test."""
        return self._reports.get(item.nodeid, {}).get(phase)

    def close(self) -> None:
        """End everything."""
        self._stack.close()


LAB = pytest.StashKey[Lab]()


def fixtures(item: pytest.Item) -> list[str]:
    """Return the names of the fixtures that a test uses."""
    return item.fixturenames if isinstance(item, pytest.Function) else []


def belongs_inside(item: pytest.Item) -> bool:
    """Say whether a test is to be sent into a guest."""
    return not IN_GUEST and INSIDE in item.path.parents


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take note of the tests that run inside, once it is known which are selected."""
    inside = [item for item in items if belongs_inside(item) and not is_left_out(item)]
    config.stash[LAB] = Lab(inside)
    for item in inside:
        if isinstance(item, pytest.Function):
            item.fixturenames = []  # they are set up in the guest, not here


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run on this machine; wait for what runs in a guest."""
    if IN_GUEST:
        return
    if is_left_out(item):
        pytest.skip(LONG)
    try:
        requirements(FLAVOURS[flavour(item)] if belongs_inside(item) else None)
    except UnavailableError as error:
        pytest.skip(str(error))
    if belongs_inside(item):
        try:
            item.config.stash[LAB].fetch(item)
        except GuestError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Do not call here what was called in a guest."""
    return True if belongs_inside(pyfuncitem) else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
    """Return the guest's report in place of one about this machine."""
    return item.config.stash[LAB].report(item, call.when) if belongs_inside(item) else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the guests."""
    if LAB in session.config.stash:
        session.config.stash[LAB].close()
