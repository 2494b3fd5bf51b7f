# SPDX-License-Identifier: BSD-2-Clause-Patent
"""PCI buses of a NUMA node, from sysfs: an engine that takes hotplug events takes those of its node's buses."""

from __future__ import annotations

import os
from contextlib import suppress

from daos_bindings.linux import kernelfiles

DEVICES = "/sys/bus/pci/devices"


def buses_of_node(node: int, devices: str = DEVICES) -> tuple[int, int] | None:
    """Return the lowest and highest PCI bus of a NUMA node; None if it has no PCI devices.

    A device that names no node counts as one of node 0; a bridge brings the buses behind it.
    """
    found: list[int] = []
    try:
        addresses = os.listdir(devices)
    except FileNotFoundError:
        return None
    for address in addresses:
        parts = address.split(":")
        if len(parts) != 3 or _node(f"{devices}/{address}") != node:
            continue
        found.append(int(parts[1], 16))
        with suppress(OSError, kernelfiles.MalformedError):
            found.append(kernelfiles.number(f"{devices}/{address}/subordinate_bus_number"))
    return (min(found), max(found)) if found else None


def _node(device: str) -> int:
    try:
        text = kernelfiles.text(f"{device}/numa_node")
    except (OSError, kernelfiles.MalformedError):
        return 0
    return int(text) if text.isdigit() else 0
