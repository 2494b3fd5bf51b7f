# SPDX-License-Identifier: BSD-2-Clause-Patent
"""PCI buses of a NUMA node, from sysfs: an engine that takes hotplug events takes those of its node's buses."""

from __future__ import annotations

from daos_server.hardware import attributes

DEVICES = "/sys/bus/pci/devices"


def buses_of_node(node: int, devices: str = DEVICES) -> tuple[int, int] | None:
    """Return the lowest and highest PCI bus of a NUMA node; None if it has no PCI devices.

    A device that names no node counts as one of node 0; a bridge brings the buses behind it.
    """
    found: list[int] = []
    for address in attributes.entries(devices):
        parts = address.split(":")
        if len(parts) == 3 and attributes.number(f"{devices}/{address}/numa_node") == node:
            bus = int(parts[1], 16)
            found += (bus, attributes.number(f"{devices}/{address}/subordinate_bus_number", missing=bus))
    return (min(found), max(found)) if found else None
