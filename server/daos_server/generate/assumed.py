# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Network interfaces as sysfs shows them, each with the provider that it most likely works with: for hosts without a fabric library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux import kernelfiles
from daos_server.generate.options import ANY_PROVIDER
from daos_server.network.interfaces import ETHERNET, INFINIBAND, FabricInterface

if TYPE_CHECKING:
    from daos_server.generate.options import GenerateOptions
    from daos_server.hardware.topology import Topology

NET = "/sys/class/net"
PROVIDERS = {ETHERNET: "ofi+tcp", INFINIBAND: "ofi+verbs"}
HARDWARE, ON_HARDWARE, WITHOUT_HARDWARE, DOWN = 0, 1, 2, 10
"""Priorities: of real interfaces, of a VLAN or bond on one, of others such as a bridge; added to those that are not up."""


def interfaces(topology: Topology, options: GenerateOptions, directory: str = NET) -> tuple[FabricInterface, ...]:
    """Return the interfaces with the provider that was asked for, else the usual one of their class; best first."""
    nodes = {device.name: node.id for node in topology.nodes for device in node.pci_devices if device.kind == "network"}
    ranks = [(HARDWARE, name, node) for name, node in nodes.items()]
    ranks += [
        (ON_HARDWARE if each.backing in nodes else WITHOUT_HARDWARE, each.name, nodes.get(each.backing, 0))
        for each in topology.virtual_devices
        if each.kind == "network"
    ]
    asked = "" if options.net_provider == ANY_PROVIDER else options.net_provider
    found = []
    for rank, name, node in ranks:
        net_class, is_up = _state(f"{directory}/{name}")
        if net_class in PROVIDERS and name.isascii() and name.isprintable():  # others cannot be named in a configuration
            priority = rank + (0 if is_up else DOWN)
            provider = asked or PROVIDERS[net_class]
            found.append(FabricInterface(provider=provider, device=name, numa_node=node, priority=priority, net_class=net_class))
    return tuple(sorted(found, key=lambda each: (each.priority, each.device)))


def _state(directory: str) -> tuple[int, bool]:
    """Return the class of an interface, -1 if it is gone, and whether it is up."""
    try:
        return kernelfiles.number(f"{directory}/type"), kernelfiles.text(f"{directory}/operstate") == "up"
    except (OSError, kernelfiles.MalformedError):
        return -1, False
