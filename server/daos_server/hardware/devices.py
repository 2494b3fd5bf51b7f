# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Network, fabric and block devices as sysfs names them, with the hardware that each is on."""

from __future__ import annotations

import logging
import os
import re
from typing import NamedTuple

from daos_bindings.linux import kernelfiles
from daos_server.hardware import attributes, pci
from daos_server.hardware.topology import BlockDevice, DeviceKind, PciDevice, VirtualDevice

LOG = logging.getLogger(__name__)
CLASSES: tuple[tuple[str, DeviceKind], ...] = (("net", "network"), ("infiniband", "fabric"), ("cxi", "fabric"))
NETVSC = "hv_netvsc"
"""The network driver of a Hyper-V guest: a device without PCI, backed by a PCI device where acceleration is on."""
SECTOR = 512
STACK_LIMIT = 8
"""Most interfaces on top of each other that are followed; the kernel allows as many."""


class OnNode(NamedTuple):
    """A PCI device, or a block device that is on no PCI bus, and its NUMA node."""

    node: int
    device: PciDevice | BlockDevice


def network_devices(sysfs: str) -> list[OnNode]:
    """Return every network and fabric device that is on a PCI bus."""
    found = []
    for name, kind in CLASSES:
        for device in attributes.entries(f"{sysfs}/class/{name}"):
            if not is_netvsc(sysfs, device):
                found += _on_pci(sysfs, f"{sysfs}/class/{name}/{device}/device", device, kind, 0)
    return found


def block_devices(sysfs: str) -> list[OnNode]:
    """Return every disk that is on a PCI bus, as the function's device, and persistent memory, which is on none."""
    found = []
    for name in attributes.entries(f"{sysfs}/block"):
        folder = f"{sysfs}/block/{name}"
        if attributes.number(f"{folder}/hidden"):  # a path of a multipath NVMe namespace, which is listed itself
            continue
        size = attributes.number(f"{folder}/size") * SECTOR
        if name.startswith("pmem"):
            node = attributes.numa_node(os.path.realpath(f"{folder}/device")) or 0
            found.append(OnNode(node, BlockDevice(name=name, size=size)))
        else:
            found += _on_pci(sysfs, _hardware_of_disk(folder), name, "block", size)
    return found


def _hardware_of_disk(folder: str) -> str:
    """Return a disk's folder, or that of the first controller of a multipath NVMe namespace, which itself is virtual."""
    resolved = os.path.realpath(folder)
    above = os.path.dirname(resolved)
    if "/nvme-subsystem/" not in resolved:
        return resolved
    return next((f"{above}/{name}" for name in attributes.entries(above) if re.fullmatch(r"nvme[0-9]+", name)), resolved)


def _on_pci(sysfs: str, link: str, name: str, kind: DeviceKind, size: int) -> list[OnNode]:
    folder = os.path.realpath(link)
    address = pci.address_above(folder)
    if not address or not os.path.isdir(folder):
        return []
    speed = pci.link_gbps(folder[: folder.rindex(address)] + address)
    device = PciDevice(address=address, name=name, kind=kind, size=size, link_gbps=speed)
    return [OnNode(attributes.numa_node(folder) or 0, device)]


def virtual_devices(sysfs: str, hardware: set[str]) -> list[VirtualDevice]:
    """Return every network interface without hardware of its own, with the hardware interface that it is on.

    :param hardware: names of the network devices that are on a PCI bus.
    """
    found = []
    for name in attributes.entries(f"{sysfs}/class/net"):
        if is_netvsc(sysfs, name):
            backing = _backing(sysfs, name, hardware)
            if backing:
                found.append(VirtualDevice(name=name, backing=backing))
            else:
                shown = kernelfiles.printable(name)
                LOG.warning("network interface %s of Hyper-V is left out: no hardware interface is behind it", shown)
    for name in attributes.entries(f"{sysfs}/devices/virtual/net"):
        found.append(VirtualDevice(name=name, backing=_backing(sysfs, name, hardware)))
    return found


def is_netvsc(sysfs: str, name: str) -> bool:
    """Tell whether a network interface is Hyper-V's."""
    try:
        lines = kernelfiles.read(f"{sysfs}/class/net/{name}/device/uevent", limit=kernelfiles.CHUNK).splitlines()
    except (OSError, kernelfiles.MalformedError):
        return False
    return f"DRIVER={NETVSC}".encode() in lines


def _backing(sysfs: str, name: str, hardware: set[str], depth: int = STACK_LIMIT) -> str:
    """Return the hardware interface that an interface is on, through others if need be; empty if there is none.

    A child of an InfiniBand interface names its parent; others have a link to each interface below them.
    """
    folder = f"{sysfs}/class/net/{name}"
    below = [attributes.text(f"{folder}/parent")]
    below += [entry.removeprefix("lower_") for entry in attributes.entries(folder) if entry.startswith("lower_")]
    for lower in filter(None, below):
        if lower in hardware:
            return lower
    if depth:
        for lower in filter(None, below):
            if "/" not in lower and (found := _backing(sysfs, lower, hardware, depth - 1)):
                return found
    return ""
