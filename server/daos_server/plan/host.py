# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the machine is, and everything that a configuration comes to on it.  Plain data and arithmetic; no machine needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daos_pbin.faults import Fault
from daos_server.plan.access import at_start
from daos_server.plan.affinity import affinity
from daos_server.plan.engine_memory import engine_memory
from daos_server.plan.hugepages import check_memory, need, per_node
from daos_server.plan.memory import ramdisks
from daos_server.plan.wanted import from_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daos_server.config.model import ServerConfig
    from daos_server.plan.access import Access
    from daos_server.plan.affinity import Affinity
    from daos_server.plan.engine_memory import EngineMemory
    from daos_server.plan.hugepages import Need, NodeRequest
    from daos_server.plan.memory import Ramdisks
    from daos_server.plan.wanted import Wanted


@dataclass(frozen=True, kw_only=True)
class NodePages:
    """Hugepages of the default size on one NUMA node."""

    node: int
    total: int = 0
    free: int = 0


@dataclass(frozen=True, kw_only=True)
class HugepageFile:
    """A hugepage file that an SPDK process made.

    :param size: bytes of memory that it can hold back.
    """

    name: str
    pid: int
    alive: bool
    size: int


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What of a machine decides about a configuration; ``storage.host_facts.read_host`` reads it.

    :param total_kib: all memory (MemTotal) in KiB.
    :param available_kib: memory that can be had now (MemAvailable) in KiB.
    :param page_kib: size of a default hugepage in KiB; 0 if the kernel has none.
    :param nodes: every NUMA node that has memory, with its hugepages, in the order of their numbers.
    :param files: hugepage files of SPDK processes, dead or alive.
    :param hugetlbfs_is_ours: whether the server's account owns the hugetlbfs root; None if none is mounted.
    :param interfaces: NUMA node of each network interface and fabric device; None for one that belongs to none.
    :param iommu: whether the kernel uses an IOMMU.
    :param vmd_endpoints: PCI addresses of the VMD controllers, sorted.
    :param user: name of the user that the engines run as.
    """

    total_kib: int
    available_kib: int
    page_kib: int
    nodes: tuple[NodePages, ...]
    files: tuple[HugepageFile, ...] = ()
    hugetlbfs_is_ours: bool | None = None
    interfaces: Mapping[str, int | None] = field(default_factory=dict)
    iommu: bool = False
    vmd_endpoints: tuple[str, ...] = ()
    user: str = "daos_server"

    @property
    def is_root(self) -> bool:
        """Whether the engines run as root, which needs neither VFIO nor an IOMMU."""
        return self.user == "root"

    @property
    def node_numbers(self) -> tuple[int, ...]:
        """Numbers of the NUMA nodes that have memory."""
        return tuple(node.node for node in self.nodes)

    @property
    def pages(self) -> dict[int, int]:
        """Hugepages that each node has."""
        return {node.node: node.total for node in self.nodes}

    @property
    def free_pages(self) -> int:
        """Hugepages that nobody uses, on all nodes."""
        return sum(node.free for node in self.nodes)

    @property
    def stale_files(self) -> tuple[HugepageFile, ...]:
        """The files whose process is gone."""
        return tuple(file for file in self.files if not file.alive)


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What a configuration comes to on a machine.  A part that cannot be computed is None, and its fault says why.

    :param affinity: on which NUMA node each engine runs.
    :param hugepages: how many hugepages all engines need together.
    :param node_pages: how many each NUMA node shall have; none where hugepages are disabled.
    :param ramdisks: size of each engine's RAM disk.
    :param access: how NVMe SSDs are handed to the engines.
    :param engine_memory: memory arguments of each engine, provided that all hugepages are granted.
    :param faults: why an engine could not start with this configuration on this machine; all of them.
    :param notices: what works, but not as one might think.
    """

    affinity: Affinity
    hugepages: Need | None = None
    node_pages: NodeRequest | None = None
    ramdisks: Ramdisks | None = None
    access: Access | None = None
    engine_memory: tuple[EngineMemory, ...] = ()
    faults: tuple[Fault, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def arithmetic(self) -> tuple[str, ...]:
        """How all of it came about, line by line."""
        parts = (self.affinity, self.hugepages, self.node_pages, self.ramdisks, *self.engine_memory, self.access)
        return tuple(line for part in parts if part is not None for line in part.arithmetic)


def derive(config: ServerConfig, host: HostFacts) -> Derived:
    """Compute all that a configuration comes to on a machine.  Never raises: what stands in the way is in ``faults``."""
    placed = affinity(config, host.interfaces)
    wanted = from_config(config, hostname="", canonical=str, nodes=placed.nodes)
    return _Derivation(wanted, host, placed).run()


class _Derivation:
    def __init__(self, wanted: Wanted, host: HostFacts, placed: Affinity) -> None:
        self._wanted = wanted
        self._host = host
        self._affinity = placed
        self._faults: list[Fault] = []
        self._notices = [*placed.notices]

    def run(self) -> Derived:
        pages = self._pages()
        node_pages = self._node_pages(pages) if pages else None
        disks = self._disks(pages) if pages else None
        access = at_start(self._wanted, self._host)
        self._faults += access.faults
        self._notices += access.notices
        return Derived(
            affinity=self._affinity,
            hugepages=pages,
            node_pages=node_pages,
            ramdisks=disks,
            access=access,
            engine_memory=engine_memory(self._wanted.engines, pages) if pages else (),
            faults=tuple(self._faults),
            notices=tuple(self._notices),
        )

    def _pages(self) -> Need | None:
        try:
            found = need(self._wanted, self._host.page_kib)
        except Fault as fault:
            self._faults.append(fault)
            return None
        self._notices += found.notices
        return found

    def _node_pages(self, pages: Need) -> NodeRequest | None:
        try:
            request = per_node(self._wanted, pages.total, self._host.node_numbers)
        except Fault as fault:
            self._faults.append(fault)
            return None
        try:
            check_memory(request, self._host.pages, self._host.page_kib, self._host.available_kib)
        except Fault as fault:
            # Memory that is taken now may be free when the server starts.
            self._notices.append(fault.description)
        return request

    def _disks(self, pages: Need) -> Ramdisks:
        found = ramdisks(self._wanted, hugepage_bytes=pages.total_bytes, total_kib=self._host.total_kib)
        self._faults += found.faults
        return found
