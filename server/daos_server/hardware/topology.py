# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The topology of a machine as plain data; what reads it from sysfs is in ``sysfs.py``, what prints it in ``show.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeviceKind = Literal["unknown", "network", "fabric", "block"]
"""What a device does: a network interface, an RDMA or other fabric device, a disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PciBus:
    """A range of PCI buses below one host bridge, both ends included."""

    domain: int
    low: int
    high: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PciDevice:
    """What the kernel's drivers made of one PCI function; a function with two names is two of these.

    :param address: such as ``0000:81:00.0``.
    :param name: such as ``eth0``, ``mlx5_0`` or ``nvme0n1``.
    :param size: bytes of a disk; 0 for anything else.
    :param link_gbps: speed of the PCIe link in GB/s; 0 if not known.
    """

    address: str
    name: str
    kind: DeviceKind = "unknown"
    size: int = 0
    link_gbps: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockDevice:
    """A disk, persistent memory included.

    :param pci_address: of the function that it belongs to; empty for one without, such as persistent memory.
    :param size: in bytes.
    """

    name: str
    size: int = 0
    pci_address: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualDevice:
    """A network interface without hardware of its own, such as a VLAN or a bond.

    :param backing: name of the hardware device below it; empty if there is none.
    """

    name: str
    kind: DeviceKind = "network"
    backing: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NumaNode:
    """One NUMA node: its cores (by the kernel's number of their first thread), PCI buses and devices."""

    id: int
    cores: tuple[int, ...] = ()
    buses: tuple[PciBus, ...] = ()
    pci_devices: tuple[PciDevice, ...] = ()
    block_devices: tuple[BlockDevice, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """A machine: at least one NUMA node, in the order of their numbers."""

    nodes: tuple[NumaNode, ...]
    virtual_devices: tuple[VirtualDevice, ...] = ()

    @property
    def cores_per_node(self) -> int:
        """Cores of the smallest node that has any; 0 if none is known."""
        return min((len(node.cores) for node in self.nodes if node.cores), default=0)
