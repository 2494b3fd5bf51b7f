# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How large the RAM disk of each engine becomes, and whether memory is there for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin.faults import Fault
from daos_server.plan import hugepages, memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daos_server.plan.format.draft import Draft


def sizes(draft: Draft) -> Mapping[int, int]:
    """Return the size in GiB of each engine's RAM disk, computed where the configuration leaves it open."""
    found = _found(draft)
    draft.notes += found.arithmetic
    if found.all_known:
        for each in found.faults:
            draft.notes.append(f"{each.object or 'memory'}: {each.description}: an engine will not start ({each.code})")
    else:
        draft.refusals += found.faults
    return found.sizes


def _found(draft: Draft) -> memory.Ramdisks:
    wanted, host = draft.wanted, draft.facts.host
    try:
        need = hugepages.need(wanted, host.page_kib)
    except Fault as fault:
        configured = memory.configured_sizes(wanted)
        return memory.Ramdisks(sizes=configured, faults=(fault,) if configured else ())
    found = memory.ramdisks(wanted, hugepage_bytes=need.total_bytes, total_kib=host.total_kib)
    draft.notes += need.arithmetic if found.sizes else ()
    return found


def check(draft: Draft, sizes_gib: Mapping[int, int]) -> None:
    """If every engine needs its SCM formatted, memory must be there for all the RAM disks."""
    wanted = [sizes_gib[step.engine] for step in draft.scm if step.engine is not None and step.engine in sizes_gib]
    if not wanted or not all(state.scm.needs_format for state in draft.facts.engines):
        return
    try:
        draft.notes.append(memory.check_available(wanted, draft.facts.host.available_kib))
    except Fault as fault:
        draft.refusals.append(fault)
