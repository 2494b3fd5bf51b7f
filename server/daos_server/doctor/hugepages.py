# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Hugepages of each NUMA node: how many there are, how many are wanted, and whether the missing ones can still be made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daos_bindings.linux import kernel, kernelfiles, memory, numa
from daos_server.doctor import boot
from daos_server.doctor.finding import Finding
from daos_server.plan.units import kib_text, pages_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.doctor.finding import Verdict
    from daos_server.doctor.machine import Machine, Setting

PER_NODE_ARGUMENT = (5, 16)
"""The first Linux that takes ``hugepages=<node>:<pages>``."""
NO_MEMORY_FOR_DMA = "an engine's DMA buffers come from hugepages of its own NUMA node: with fewer it fails at start, or later, under load"
LOW_MEMORY_ZONE = "DMA"
"""Zone below 16 MiB, which the kernel keeps for old devices."""
RECLAIMABLE = (b"MemFree", b"Active(file)", b"Inactive(file)", b"SReclaimable")
_BUDDY_LINE = re.compile(r"Node +(\d{1,4}), zone +(\w+)((?: +\d{1,19})+) *", re.ASCII)
_MEMINFO_LINE = re.compile(rb"Node +\d+ +([\w()]+): +(\d{1,19}) kB", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One NUMA node.

    :param total: hugepages of the default size that it has.
    :param free: those that nobody uses.
    :param unbroken: further ones that fit into the blocks of memory that are free now.
    :param possible: further ones for which there is memory, once caches are dropped and blocks are joined.
    """

    number: int
    total: int
    free: int
    unbroken: int
    possible: int


def check(machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield how many hugepages are wanted, and for each node what it has of them."""
    page_kib = memory.parse(kernelfiles.read(f"{machine.proc}/meminfo")).hugepage_size_kb
    if not page_kib:
        yield Finding(
            subject="hugepages",
            found="this kernel has none",
            verdict="stops",
            why=NO_MEMORY_FOR_DMA,
            advice="boot a kernel of the distribution: they all have them (CONFIG_HUGETLBFS)",
        )
        return
    nodes = read_nodes(machine, page_kib)
    wanted, request = (setting.derived.hugepages, setting.derived.node_pages) if setting.derived else (None, None)
    if wanted is None or request is None:
        yield from (_not_judged(node, page_kib) for node in nodes)
        return
    yield Finding.of(
        "hugepages wanted",
        "; ".join(line.removeprefix("hugepages: ") for line in (*wanted.arithmetic, *request.arithmetic)),
        right=wanted.total >= wanted.minimum,
        why="the engines' targets need at least the number first named",
        advice="set nr_hugepages to 0 in the configuration, which means as many as are needed",
        bad="warning",
    )
    arguments = kernel_arguments(request.nodes, page_kib, machine.release)
    short: Verdict = "stops" if wanted.minimum else "warning"
    by_number = {node.number: node for node in nodes}
    for number, count in request.nodes:
        yield judge(by_number[number], count, page_kib, boot.adding(machine, arguments), short)


def _not_judged(node: Node, page_kib: int) -> Finding:
    found = f"{node.total} of {kib_text(page_kib)}, {node.free} free, memory for {node.possible} more ({node.unbroken} of them at once)"
    return Finding(subject=f"hugepages of node {node.number}", found=f"{found}; how many are wanted is not known", verdict="unknown")


def judge(node: Node, count: int, page_kib: int, at_boot: str, short: Verdict) -> Finding:
    """Return what is to be said of a node that shall have ``count`` pages.

    :param at_boot: advice to let the kernel make the pages when it boots.
    :param short: verdict if there is no memory for them.
    """
    subject, missing = f"hugepages of node {node.number}", count - node.total
    if missing <= 0:
        return Finding(subject=subject, found=f"{node.total} of {count} wanted, {node.free} free", verdict="ok")
    found = f"{node.total} of {count} wanted, {missing} missing ({pages_text(missing, page_kib)}); "
    if node.unbroken >= missing:
        found += f"free memory holds {node.unbroken} more"
        why = "none is lost yet: they are made when the storage is prepared"
        return Finding(subject=subject, found=found, verdict="warning", why=why, advice="  daos_server storage prepare")
    if node.possible >= missing:
        found += f"memory for {node.possible} more is there, but only {node.unbroken} fit into unbroken blocks of it"
        why = f"fragmented memory: the kernel may grant fewer than asked for. {NO_MEMORY_FOR_DMA}"
        return Finding(
            subject=subject, found=found, verdict="warning", why=why, advice=f"let the kernel make them when it boots: {at_boot}"
        )
    found += f"there is memory for {node.possible} more"
    advice = f"lower targets or nr_hugepages in the configuration, end what takes the memory of node {node.number}, or {at_boot}"
    return Finding(subject=subject, found=found, verdict=short, why=NO_MEMORY_FOR_DMA, advice=advice)


def kernel_arguments(nodes: tuple[tuple[int, int], ...], page_kib: int, release: str) -> str:
    """Return the arguments of the kernel that make these pages at boot; one that takes no nodes spreads them evenly itself."""
    size = f"{page_kib // 1024}M" if page_kib < 1024 * 1024 else f"{page_kib // 1024 // 1024}G"
    if kernel.version(release) >= PER_NODE_ARGUMENT:
        counts = ",".join(f"{node}:{count}" for node, count in nodes)
    else:
        counts = str(sum(count for _, count in nodes))
    return f"hugepagesz={size} hugepages={counts}"


def read_nodes(machine: Machine, page_kib: int) -> tuple[Node, ...]:
    """Read every node that has memory; node 0 is all there is on a kernel without NUMA."""
    folder = f"{machine.sys}/devices/system/node"
    free_blocks = parse_buddyinfo(kernelfiles.read(f"{machine.proc}/buddyinfo").decode("ascii", "replace"))
    order = (page_kib * 1024 // os.sysconf("SC_PAGE_SIZE")).bit_length() - 1
    if not os.path.isdir(folder):
        pool, meminfo = f"{machine.sys}/kernel/mm/hugepages", kernelfiles.read(f"{machine.proc}/meminfo")
        possible = sum(_sizes(re.sub(rb"(?m)^", b"Node 0 ", meminfo))) // page_kib
        return (_node(0, f"{pool}/hugepages-{page_kib}kB", unbroken(free_blocks, 0, order), possible),)
    numbers = numa.parse_list(kernelfiles.text(f"{folder}/has_memory"))
    return tuple(
        _node(
            number,
            f"{folder}/node{number}/hugepages/hugepages-{page_kib}kB",
            unbroken(free_blocks, number, order),
            sum(_sizes(kernelfiles.read(f"{folder}/node{number}/meminfo"))) // page_kib,
        )
        for number in numbers
    )


def _node(number: int, pool: str, now: int, possible: int) -> Node:
    total, free = (kernelfiles.number(f"{pool}/{name}_hugepages") for name in ("nr", "free"))
    return Node(number=number, total=total, free=free, unbroken=now, possible=possible)


def _sizes(meminfo: bytes) -> Iterator[int]:
    """Yield the KiB that could be made free: what is, caches of files, caches of the kernel."""
    yield from (int(size) for name, size in _MEMINFO_LINE.findall(meminfo) if name in RECLAIMABLE)


def parse_buddyinfo(text: str) -> dict[tuple[int, str], tuple[int, ...]]:
    """Parse /proc/buddyinfo: for each node and zone, how many blocks are free of 1 base page, 2, 4, ...

    :raises MalformedError: if any line is not as the kernel writes it.
    """
    found = {}
    for line in text.splitlines():
        match = _BUDDY_LINE.fullmatch(line)
        if match is None:
            raise kernelfiles.MalformedError("buddyinfo", f"not a zone: {kernelfiles.printable(line)}")
        found[int(match[1]), match[2]] = tuple(int(count) for count in match[3].split())
    return found


def unbroken(blocks: dict[tuple[int, str], tuple[int, ...]], node: int, order: int) -> int:
    """Return how many blocks of 2**order base pages the free memory of a node holds."""
    return sum(
        count << (size - order)
        for (number, zone), counts in blocks.items()
        if number == node and zone != LOW_MEMORY_ZONE
        for size, count in enumerate(counts)
        if size >= order
    )
