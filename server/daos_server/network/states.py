# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether an interface can carry an engine's traffic: pure, from what the kernel says of it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from daos_bindings.linux.kernelfiles import printable
from daos_server.network.interfaces import INFINIBAND, LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from daos_server.network.links import Link, RdmaPort

PARENTS_LIMIT = 8


class Readiness(Enum):
    """What an interface is good for now."""

    READY = "ready"
    WAIT = "not ready yet"
    DOWN = "down"
    UNKNOWN = "in a state that nobody knows"


_OF_STATE = {
    "up": Readiness.READY,
    "down": Readiness.DOWN,
    "lowerlayerdown": Readiness.DOWN,
    "notpresent": Readiness.DOWN,
    "testing": Readiness.WAIT,
    "dormant": Readiness.WAIT,
}
_OF_PORT = {1: Readiness.DOWN, 2: Readiness.WAIT, 3: Readiness.WAIT, 4: Readiness.READY}


def readiness(link: Link, links: Mapping[str, Link]) -> Readiness:
    """Return what an interface is good for; InfiniBand goes by its ports, a child of it by its parent's.

    :param links: all interfaces, by name.
    """
    if link.net_class == INFINIBAND:
        return _of_ports(_with_ports(link, links).ports)
    found = _OF_STATE.get(link.state, Readiness.UNKNOWN)
    return Readiness.READY if link.net_class == LOOPBACK and found is Readiness.UNKNOWN else found


def _with_ports(link: Link, links: Mapping[str, Link]) -> Link:
    for _ in range(PARENTS_LIMIT):
        if link.parent not in links:
            break
        link = links[link.parent]
    return link


def _of_ports(ports: Iterable[RdmaPort]) -> Readiness:
    """One port that is not ready makes all wait; else one that is ready is enough; down is what all are."""
    found = {_OF_PORT.get(port.state, Readiness.UNKNOWN) for port in ports}
    order = (Readiness.WAIT, Readiness.READY, Readiness.DOWN)
    return next((each for each in order if each in found), Readiness.UNKNOWN)


def problem(link: Link, links: Mapping[str, Link]) -> tuple[str, str]:
    """Return why an interface that is down, or unknown, is so, and what to do about it."""
    name = printable(link.name)
    if not link.enabled:
        return "it is switched off", f"switch it on: 'ip link set {name} up'"
    if readiness(link, links) is Readiness.UNKNOWN:
        return (
            f"the kernel cannot say whether it is up (state {link.state or 'none'})",
            f"name an interface whose state is known; see 'ip link show {name}'",
        )
    if link.net_class == INFINIBAND:
        return "its InfiniBand ports are down", "check cable and switch port; 'ibstat' shows the ports"
    if link.state == "lowerlayerdown":
        return "the interface below it, or at its other end, is down", f"see which it is ('ip link show {name}') and switch that one on"
    if link.state == "notpresent":
        return "its hardware is not there", "reseat or replace the card, and look at 'dmesg' for its driver"
    return "it has no link", "check cable and switch port, and that the other end is on"
