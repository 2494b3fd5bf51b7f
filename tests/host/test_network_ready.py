# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Waiting for interfaces of the real kernel, in a network namespace of the test."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_world import World, world

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.network.ready import LOG, Changes, wait_ready

DORMANT = 1
LONG_S = 120.0
"""Far more than any of it takes: only a lost event makes a test wait so long, and then it fails."""


@pytest.fixture
def net(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


class Waiter(logging.Handler):
    """``wait_ready`` in a thread; ``looks`` has an entry for each time that it found it has to wait."""

    def __init__(self, net: World, *names: str, deadline_s: float = LONG_S) -> None:
        super().__init__(logging.INFO)
        self.looks: queue.Queue[str] = queue.Queue()
        self.faults: list[Fault] = []
        self._thread = threading.Thread(target=self._wait, args=(net.sysfs, names, deadline_s))

    def _wait(self, sysfs: str, names: tuple[str, ...], deadline_s: float) -> None:
        try:
            wait_ready(names, deadline_s, sysfs)
        except Fault as fault:
            self.faults.append(fault)

    def emit(self, record: logging.LogRecord) -> None:
        """Note that it waits."""
        self.looks.put(record.getMessage())

    def look(self) -> str:
        """Return what it waits for, once it does."""
        return self.looks.get(timeout=LONG_S)

    def __enter__(self) -> Waiter:
        LOG.setLevel(logging.INFO)
        LOG.addHandler(self)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended()
        LOG.removeHandler(self)
        LOG.setLevel(logging.NOTSET)

    def ended(self) -> list[Fault]:
        """Return the fault that it ended with, or none."""
        self._thread.join(LONG_S)
        assert not self._thread.is_alive(), "no event woke it"
        return self.faults


def dormant(net: World, name: str = "d0", peer: str = "d1") -> None:
    """Make an interface with a link that waits to be declared ready."""
    net.add(name, "veth", peer=peer)
    net.set(name, linkmode=DORMANT)
    net.set(name, state="up")
    net.set(peer, state="up")
    net.until(name, "dormant")


def test_what_is_ready_is_not_waited_for(net: World) -> None:
    net.pair("v0", "v1")
    net.set("lo", state="up")
    net.until("lo", "unknown")
    wait_ready(["v0", "v1", "lo", "v0"], 0, net.sysfs)
    wait_ready([], 0, net.sysfs)


def test_an_interface_that_becomes_ready_later_ends_the_wait(net: World) -> None:
    net.pair("v0", "v1")
    dormant(net)
    with Waiter(net, "v0", "d0") as waiter:
        assert waiter.look() == "waiting for d0 (dormant)"
        net.set("d0", operstate="UP")
        assert waiter.ended() == []


def test_all_of_several_are_waited_for(net: World) -> None:
    dormant(net, "d0", "d1")
    dormant(net, "e0", "e1")
    with Waiter(net, "d0", "e0") as waiter:
        assert waiter.look() == "waiting for d0 (dormant), e0 (dormant)"
        net.set("e0", operstate="UP")
        while waiter.look() != "waiting for d0 (dormant)":
            pass
        net.set("d0", operstate="UP")
        assert waiter.ended() == []


def test_a_change_of_another_interface_is_none(net: World) -> None:
    dormant(net)
    with Waiter(net, "d0") as waiter:
        waiter.look()
        net.pair("v0", "v1")
        assert waiter.look() == "waiting for d0 (dormant)"
        net.set("d0", operstate="UP")
        assert waiter.ended() == []


def test_one_that_goes_down_while_waited_for_is_a_fault(net: World) -> None:
    dormant(net)
    with Waiter(net, "d0") as waiter:
        waiter.look()
        net.set("d1", state="down")
        (fault,) = waiter.ended()
    assert fault.code == codes.NETWORK_INTERFACE_UNUSABLE
    assert fault.object == "d0"


def test_one_that_is_removed_while_waited_for_is_a_fault(net: World) -> None:
    dormant(net)
    with Waiter(net, "d0") as waiter:
        waiter.look()
        net.remove("d0")
        (fault,) = waiter.ended()
    assert fault.code == codes.NETWORK_INTERFACE_UNUSABLE
    assert "none of that name" in fault.description


@pytest.mark.parametrize("deadline_s", [-1, 0, 0.05])
def test_one_that_is_never_ready_is_a_fault_after_the_deadline(net: World, deadline_s: float) -> None:
    dormant(net)
    with pytest.raises(Fault, match=r"not ready: d0 \(dormant\)") as caught:
        wait_ready(["d1", "d0"], deadline_s, net.sysfs)
    assert caught.value.code == codes.NETWORK_INTERFACE_NOT_READY


@pytest.mark.parametrize(
    ("enabled", "peer_enabled", "why", "remedy"),
    [
        (False, True, "switched off", "ip link set v0 up"),
        (True, False, "below it, or at its other end", "ip link show v0"),
    ],
)
def test_down_is_a_fault_at_once_that_says_why(net: World, enabled: bool, peer_enabled: bool, why: str, remedy: str) -> None:
    net.add("v0", "veth", peer="v1")
    net.set("v0", state="up" if enabled else "down")
    net.set("v1", state="up" if peer_enabled else "down")
    with pytest.raises(Fault, match=why) as caught:
        wait_ready(["v0"], LONG_S, net.sysfs)
    assert caught.value.code == codes.NETWORK_INTERFACE_UNUSABLE
    assert remedy in caught.value.resolution


def test_without_a_link_is_a_fault_that_says_so(net: World) -> None:
    net.add("v0", "veth", peer="v1")
    net.add("b0", "bridge")
    net.set("v0", master=net.index("b0"), state="up")
    net.set("b0", state="up")
    net.until("b0", "down")
    with pytest.raises(Fault, match="it has no link") as caught:
        wait_ready(["b0"], LONG_S, net.sysfs)
    assert "check cable" in caught.value.resolution


@pytest.mark.parametrize("kind", ["bridge", "dummy"])
def test_an_unknown_state_is_a_fault(net: World, kind: str) -> None:
    net.add("u0", kind)
    net.set("u0", state="up")
    with pytest.raises(Fault, match="state unknown") as caught:
        wait_ready(["u0"], LONG_S, net.sysfs)
    assert caught.value.code == codes.NETWORK_INTERFACE_UNUSABLE


def test_absent_names_those_that_there_are(net: World) -> None:
    net.pair("v0", "v1")
    with pytest.raises(Fault, match="v7") as caught:
        wait_ready(["v0", "v7"], LONG_S, net.sysfs)
    assert caught.value.code == codes.NETWORK_INTERFACE_UNUSABLE
    assert "there are lo, v0, v1" in caught.value.resolution


def test_no_change_is_lost_between_subscription_and_wait(net: World) -> None:
    with Changes() as changes:
        assert not changes.wait(0)
        net.pair("v0", "v1")
        assert changes.wait(LONG_S)
        assert not changes.wait(0.01)
        net.set("v0", state="down")
        assert changes.wait(LONG_S)


def test_more_changes_than_fit_are_a_change(net: World) -> None:
    net.add("v0", "veth", peer="v1")
    with Changes() as changes:
        for turn in range(400):
            net.set("v0", mtu=1400 + turn % 2)
        assert changes.wait(LONG_S)
        assert not changes.wait(0.01)
