# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a fabric scan finds, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

ETHERNET = 1
INFINIBAND = 32
LOOPBACK = 772
"""Classes of network interfaces: the kernel's ARPHRD numbers, as in ``/sys/class/net/<name>/type``."""

NET_CLASS_NAMES = {ETHERNET: "ethernet", INFINIBAND: "infiniband", LOOPBACK: "loopback"}


@dataclass(frozen=True, kw_only=True, slots=True)
class FabricInterface:
    """An interface with one provider that can use it; one with two providers is two of these.

    :param provider: such as ``ofi+tcp``.
    :param device: name of the network interface, or of the fabric device if it has none.
    :param numa_node: node of its hardware; 0 if not known.
    :param priority: of the provider on it; lower is better.
    :param net_class: the kernel's ARPHRD number.
    """

    provider: str
    device: str
    numa_node: int
    priority: int
    net_class: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FabricScan:
    """What one host can offer its engines.

    :param interfaces: in the order of priority, then name; without loopback.
    :param numa_count: NUMA nodes of the host.
    :param cores_per_numa: cores of one node.
    :param notes: what could not be looked at, and why, for a person.
    """

    interfaces: tuple[FabricInterface, ...]
    numa_count: int
    cores_per_numa: int
    notes: tuple[str, ...] = ()
