# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How many hugepages the engines need, and on which NUMA nodes.  Each result carries its arithmetic as lines of text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.units import GIB, KIB, apart, kib_text, pages_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daos_server.plan.wanted import Engine, Wanted

WITHOUT_BDEVS = 128
"""Pages for a host whose engines have no bdevs and whose configuration sets no number."""
EXTRA_PER_ENGINE = 2
"""Pages per engine on top of the count: for what SPDK takes beside its pools."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """How many hugepages all engines together need.

    :param total: pages to plan with; 0 if nothing asks for any.
    :param minimum: what the targets need, whatever the configuration says.
    :param page_kib: size of one page in KiB.
    :param arithmetic: how the numbers came about, line by line.
    """

    total: int
    minimum: int
    page_kib: int
    arithmetic: tuple[str, ...]

    @property
    def notices(self) -> tuple[str, ...]:
        """That the configuration asks for too few, if it does: an engine may start with them, and fail later."""
        if self.total >= self.minimum:
            return ()
        return (f"nr_hugepages is {self.total}, and the targets need {self.minimum}: set it to that, or to 0 (automatic)",)

    @property
    def total_bytes(self) -> int:
        """Memory of all the pages."""
        return self.total * self.page_kib * KIB


@dataclass(frozen=True, kw_only=True)
class NodeRequest:
    """How many hugepages each NUMA node shall have: (node, pages) in the order of the nodes."""

    nodes: tuple[tuple[int, int], ...]
    arithmetic: tuple[str, ...]


def required_targets(engines: Sequence[Engine]) -> int:
    """Return the targets that need hugepages: those of engines with bdevs, and one more per engine with the meta role."""
    return sum(engine.targets + (1 if engine.has_meta_role else 0) for engine in engines if engine.has_bdevs)


def minimum_pages(targets: int, page_kib: int) -> int:
    """Return the pages that so many targets need: 1 GiB each, divided by the page size and rounded down.

    :param targets: above 0.
    :raises Fault: 2202 if the kernel has no hugepages (size 0).
    :raises ValueError: if there are no targets.
    """
    if targets < 1:
        raise ValueError(f"hugepages are counted for at least one target, not {targets}")
    if page_kib < 1:
        raise Fault(codes.HUGEPAGES_UNSUPPORTED, reason="the kernel reports no size for them")
    return GIB * targets // (page_kib * KIB)


def need(wanted: Wanted, page_kib: int) -> Need:
    """Return the number of hugepages for a configuration.

    :param page_kib: size of a default hugepage in KiB; 0 if the kernel has none.
    :raises Fault: 726 if hugepages are disabled and a bdev needs them, 2202 if the kernel has none.
    """
    targets = required_targets(wanted.engines)
    if wanted.disable_hugepages:
        if wanted.has_bdevs:
            raise Fault(codes.SERVER_CONFIG_HUGEPAGES_DISABLED_WITH_BDEVS)
        return Need(total=0, minimum=0, page_kib=page_kib, arithmetic=("hugepages: none, disable_hugepages is set",))
    if targets < 1:
        line = "hugepages: no engine has block devices that need any"
        return Need(total=wanted.nr_hugepages, minimum=0, page_kib=page_kib, arithmetic=(line,))
    minimum = minimum_pages(targets, page_kib)
    lines = [
        f"hugepages: for {targets} target{'s' if targets > 1 else ''} ({_targets_text(wanted.engines)})",
        f"hugepages: {targets} x 1.0 GiB / {kib_text(page_kib)} = {minimum} pages at least",
    ]
    if wanted.nr_hugepages == 0:
        lines.append(f"hugepages: nr_hugepages is 0 (automatic): {minimum} pages, {pages_text(minimum, page_kib)}")
        total = minimum
    else:
        total = wanted.nr_hugepages
        lines.append(f"hugepages: nr_hugepages is {total}: {pages_text(total, page_kib)}" + _shortage(total, minimum))
    return Need(total=total, minimum=minimum, page_kib=page_kib, arithmetic=tuple(lines))


def _targets_text(engines: Sequence[Engine]) -> str:
    return ", ".join(
        f"engine {engine.index}: {engine.targets}" + (" + 1 for its metadata" if engine.has_meta_role else "")
        for engine in engines
        if engine.has_bdevs
    )


def _shortage(total: int, minimum: int) -> str:
    return f", which is {minimum - total} pages less than the targets need" if total < minimum else ""


def per_node(wanted: Wanted, total: int, machine_nodes: Sequence[int]) -> NodeRequest:
    """Return what each NUMA node shall have.

    With bdevs: the total, and two more pages per engine, divided evenly by the nodes that the engines use.  Without: the
    total, or 128, over all the nodes of the machine.  None at all if they are disabled.

    :param total: pages for all engines, as ``need`` returns it.
    :param machine_nodes: the nodes that have memory.
    :raises Fault: 728 if the engines are not spread evenly; 2201 if an engine is on a node that the machine has not; 2202 if
        the machine has no nodes.
    """
    if wanted.disable_hugepages:
        return NodeRequest(nodes=(), arithmetic=())
    if not machine_nodes:
        raise Fault(codes.HUGEPAGES_UNSUPPORTED, reason="the kernel names no NUMA node that has memory")
    if not wanted.has_bdevs:
        why = f"nr_hugepages is {total}" if total else f"{WITHOUT_BDEVS} for a host without block devices and nr_hugepages"
        return spread(total or WITHOUT_BDEVS, machine_nodes, why)
    counts = Counter(engine.numa_node for engine in wanted.engines)
    for node in sorted(counts):
        if node not in machine_nodes:
            raise Fault(codes.HUGEPAGES_NODE_MISSING, node=node)
    if len(set(counts.values())) > 1:
        layout = ", ".join(f"node {node}: {count}" for node, count in sorted(counts.items()))
        raise Fault(codes.SERVER_CONFIG_ENGINE_NUMA_IMBALANCE, layout=layout)
    engines, nodes = len(wanted.engines), len(counts)
    extra = EXTRA_PER_ENGINE * engines // nodes
    count = total // nodes + extra
    names = ", ".join(str(node) for node in sorted(counts))
    where = f"on each of the nodes {names}" if nodes > 1 else f"on node {names}"
    there = f"{engines // nodes} engine{'s' if engines > nodes else ''} there"
    line = f"hugepages {where}: {total} / {nodes} + {EXTRA_PER_ENGINE} x {there} = {count} pages"
    return NodeRequest(nodes=tuple((node, count) for node in sorted(counts)), arithmetic=(line,))


def spread(total: int, machine_nodes: Sequence[int], why: str) -> NodeRequest:
    """Return so many pages divided evenly by NUMA nodes.

    :param machine_nodes: the nodes that have memory.
    :param why: there are so many, in words.
    :raises Fault: 2202 if the machine has no nodes.
    """
    if not machine_nodes:
        raise Fault(codes.HUGEPAGES_UNSUPPORTED, reason="the kernel names no NUMA node that has memory")
    nodes = sorted(machine_nodes)
    share, rest = divmod(total, len(nodes))
    line = f"hugepages: {why}, over {len(nodes)} NUMA node(s)"
    return NodeRequest(nodes=tuple((node, share + (1 if place < rest else 0)) for place, node in enumerate(nodes)), arithmetic=(line,))


def addition_bytes(request: NodeRequest, present: dict[int, int], page_kib: int) -> int:
    """Return the memory that a request takes beyond the pages that the nodes have already."""
    return sum(max(count - present.get(node, 0), 0) for node, count in request.nodes) * page_kib * KIB


def check_memory(request: NodeRequest, present: dict[int, int], page_kib: int, available_kib: int) -> None:
    """Refuse a request that memory cannot satisfy.

    :raises Fault: 2204 if the pages to be added are more than the memory that is available now.
    """
    added = addition_bytes(request, present, page_kib)
    if added > available_kib * KIB:
        wanted, available = apart(added, available_kib * KIB)
        raise Fault(codes.HUGEPAGES_OVER_MEMORY, wanted=wanted, available=available)
