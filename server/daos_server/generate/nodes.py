# SPDX-License-Identifier: BSD-2-Clause-Patent
"""On which NUMA nodes the engines run, and with which provider: the nodes whose interfaces are best.

The best set is found without trying all combinations, of which there would be ten million for 8 of 32 nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.network.interfaces import FabricInterface

ByProvider = Mapping[str, Mapping[int, FabricInterface]]
"""For each provider, best first, the interface to use on each NUMA node."""


class Choice(NamedTuple):
    """The nodes of the engines, ascending, and the provider that has an interface on each of them."""

    provider: str
    nodes: tuple[int, ...]


def choose(fabric: ByProvider, ssds: Mapping[int, int], count: int) -> Choice:
    """Choose the nodes: the lowest sum of interface priorities, then the most SSDs on the node with the fewest, then the first.

    :param ssds: how many SSDs each node has that may be chosen.
    :param count: nodes wanted, at least 1.
    :raises Fault: 2340 if no provider has interfaces on so many of these nodes.
    """
    found = []
    for place, (provider, interfaces) in enumerate(fabric.items()):
        priorities = {node: interfaces[node].priority for node in ssds if node in interfaces}
        if len(priorities) >= count:
            nodes = _best(priorities, ssds, count)
            found.append((sum(priorities[node] for node in nodes), -min(ssds[node] for node in nodes), nodes, place, provider))
    if not found:
        raise _no_match(fabric, ssds, count)
    *_, nodes, _, provider = min(found)
    return Choice(provider, nodes)


def _best(priorities: Mapping[int, int], ssds: Mapping[int, int], count: int) -> tuple[int, ...]:
    """Return the best nodes for one provider: those under the threshold are in every best set, those on it compete."""
    threshold = sorted(priorities.values())[count - 1]
    certain = [node for node, priority in priorities.items() if priority < threshold]
    rivals = sorted(node for node, priority in priorities.items() if priority == threshold)
    seats = count - len(certain)
    least = min([sorted((ssds[node] for node in rivals), reverse=True)[seats - 1], *(ssds[node] for node in certain)])
    return tuple(sorted(certain + [node for node in rivals if ssds[node] >= least][:seats]))


def _no_match(fabric: ByProvider, ssds: Mapping[int, int], count: int) -> Fault:
    providers: dict[str, list[str]] = {}
    for provider, interfaces in fabric.items():
        providers.setdefault(_listed(interfaces), []).append(provider)
    offered = "; ".join(f"{', '.join(names)} on node {nodes}" for nodes, names in providers.items())
    most = max(len(ssds.keys() & interfaces.keys()) for interfaces in fabric.values())
    reason = f"{_want(count)}; storage is on node {_listed(ssds)}, and there is {offered}"
    remedy = (
        f"use --num-engines {most} (-e {most})"
        if most
        else "move a network card or the storage in the chassis, so that one NUMA node has both ('daos_server dump-topology' shows it)"
    )
    return Fault(codes.CONFIG_GENERATE_NO_FABRIC, reason=reason, remedy=remedy)


def _want(count: int) -> str:
    return "the engine wants storage and an interface on one node" if count == 1 else f"{count} engines want one provider on {count} nodes"


def _listed(nodes: Mapping[int, object]) -> str:
    return ", ".join(str(node) for node in sorted(nodes))
