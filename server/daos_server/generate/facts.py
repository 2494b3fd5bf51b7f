# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a configuration is generated from, as plain data; ``host.py`` reads it from this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daos_server.network.interfaces import FabricScan


@dataclass(frozen=True, kw_only=True, slots=True)
class Ssd:
    """An NVMe SSD that an engine may have.

    :param address: PCI address as the kernel writes it.
    :param numa_node: node of its PCI slot; 0 if not known.
    :param vmd: PCI address of the VMD that it is behind; empty if it is behind none.
    """

    address: str
    numa_node: int
    vmd: str = ""

    @property
    def entry(self) -> str:
        """What stands for it in ``bdev_list``: an SSD behind a VMD is used through it, together with all others there."""
        return self.vmd or self.address


@dataclass(frozen=True, kw_only=True, slots=True)
class Pmem:
    """A namespace of persistent memory that an engine may have.

    :param device: path of its block device, such as ``/dev/pmem0``.
    """

    device: str
    numa_node: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A device that is there and that no engine may have.

    :param device: PCI address or path.
    :param why: such as ``it holds the root file system``.
    :param exclude: PCI address to be kept from ever being prepared; empty if there is none.
    """

    device: str
    why: str
    exclude: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineFacts:
    """One machine.

    :param fabric: its interfaces, and the cores of one NUMA node.
    :param numa_nodes: numbers of the nodes that have cores, ascending.
    :param left_out: devices that nobody may have, with the reason.
    :param hugepage_kib: size of a default hugepage in KiB; 0 on a kernel without them.
    :param mem_total_kib: all memory in KiB.
    :param provider_assumed: why the providers are a guess and not found by a fabric library; empty if they were found.
    """

    fabric: FabricScan
    numa_nodes: tuple[int, ...]
    hugepage_kib: int
    mem_total_kib: int
    ssds: tuple[Ssd, ...] = ()
    pmem: tuple[Pmem, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    provider_assumed: str = ""
