# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How much hugepage memory each engine is told to take when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daos_server.plan.units import KIB, MIB, pages_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daos_server.plan.hugepages import Need
    from daos_server.plan.wanted import Engine


@dataclass(frozen=True, kw_only=True)
class EngineMemory:
    """Memory arguments of one engine; both are 0 for an engine without bdevs.

    :param mem_size_mib: memory that it may take from hugepages (``-r``), in MiB.
    :param hugepage_mib: size of one hugepage (``-H``), in MiB.
    :param notice: that it gets less than its share; empty if it does not.
    """

    index: int
    mem_size_mib: int = 0
    hugepage_mib: int = 0
    arithmetic: tuple[str, ...] = ()
    notice: str = ""


def engine_memory(engines: Sequence[Engine], need: Need, *, free_pages: int | None = None) -> tuple[EngineMemory, ...]:
    """Return the memory arguments of every engine: equal shares of all hugepages, rounded down.

    :param free_pages: hugepages that nobody uses at the time of the start, on all nodes; none gets more than that.  None
        means that all of them will be granted.
    """
    return tuple(
        _arguments(engine.index, len(engines), need, free_pages) if engine.has_bdevs else EngineMemory(index=engine.index)
        for engine in engines
    )


def _arguments(index: int, engines: int, need: Need, free_pages: int | None) -> EngineMemory:
    pages = need.total // engines
    line = f"engine {index}: its share is {need.total} / {engines} = {pages} hugepages, {pages_text(pages, need.page_kib)}"
    notice = ""
    if free_pages is not None and free_pages < pages:
        free, share = pages_text(free_pages, need.page_kib), pages_text(pages, need.page_kib)
        notice = f"engine {index}: only {free_pages} hugepages ({free}) are free instead of {pages} ({share}): it starts with those"
        pages = free_pages
    page_bytes = need.page_kib * KIB
    return EngineMemory(
        index=index, mem_size_mib=pages * page_bytes // MIB, hugepage_mib=page_bytes // MIB, arithmetic=(line,), notice=notice
    )
