# SPDX-License-Identifier: BSD-2-Clause-Patent
"""PCI as sysfs has it: addresses in the path of a device, the buses below each host bridge, the speed of a link."""

from __future__ import annotations

import os
import re

from daos_bindings.linux.pci_address import parse_kernel
from daos_server.hardware import attributes
from daos_server.hardware.topology import PciBus

HOST_BRIDGE = re.compile(r"pci([0-9a-f]{4,8}):([0-9a-f]{2})")
SPEED = re.compile(r"([0-9]{1,3}(?:\.[0-9])?) GT/s(?: PCIe)?")
LANES_LIMIT = 32

# Share of the bits of a lane that are data: 8b/10b up to 5 GT/s, 128b/130b up to 32, then flits of 256 bytes with 242 of payload.
CODINGS = ((5.0, 8 / 10), (32.0, 128 / 130), (float("inf"), 242 / 256))


def sort_key(address: str) -> tuple[int, ...]:
    """Return what addresses are ordered by: domain, bus, device, function."""
    found = parse_kernel(address)
    return (found.domain, found.bus, found.device, found.function) if found else ()


def address_above(folder: str) -> str:
    """Return the address of the PCI function that a device is, or is below of; empty if it is on no PCI bus.

    :param folder: the resolved folder of the device.
    """
    return next((part for part in reversed(folder.split("/")) if parse_kernel(part)), "")


def host_bridges(sysfs: str) -> list[tuple[int, PciBus]]:
    """Return the buses below each host bridge that has devices, with the NUMA node of its devices."""
    functions = f"{sysfs}/bus/pci/devices"
    highest: dict[tuple[int, int], int] = {}
    nodes: dict[tuple[int, int], int] = {}
    for address in attributes.entries(functions):
        folder = os.path.realpath(f"{functions}/{address}")
        bridge = next((found for part in reversed(folder.split("/")) if (found := HOST_BRIDGE.fullmatch(part))), None)
        function = parse_kernel(address)
        if bridge is None or function is None:
            continue
        root = int(bridge[1], 16), int(bridge[2], 16)
        last = attributes.number(f"{folder}/subordinate_bus_number")
        highest[root] = max(highest.get(root, root[1]), function.bus, min(last, 0xFF))
        nodes[root] = nodes.get(root, 0) or attributes.numa_node(folder) or 0
    return [(nodes[domain, low], PciBus(domain=domain, low=low, high=high)) for (domain, low), high in sorted(highest.items())]


def link_gbps(function: str) -> float:
    """Return the speed of a function's PCIe link as it is now, in GB/s of data; 0 if it has none or does not say."""
    speed = SPEED.fullmatch(attributes.text(f"{function}/current_link_speed"))
    lanes = attributes.number(f"{function}/current_link_width")
    if speed is None or not 1 <= lanes <= LANES_LIMIT:
        return 0.0
    transfers = float(speed[1])
    share = next(share for limit, share in CODINGS if transfers <= limit)
    return transfers * share * lanes / 8
