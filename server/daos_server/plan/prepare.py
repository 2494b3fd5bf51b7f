# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The plan of ``storage prepare``: hugepages for the engines, and stale hugepage files away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan import hugepages
from daos_server.plan.access import at_start
from daos_server.plan.steps import CleanHugepages, Plan, SetHugepages, Standing, Step
from daos_server.plan.units import pages_text

if TYPE_CHECKING:
    from daos_server.plan.host import HostFacts
    from daos_server.plan.wanted import Wanted

ACTION = "set hugepages"


def plan_prepare(wanted: Wanted, host: HostFacts) -> Plan:
    """Return what gives the engines their hugepages; what stands in the way is in the plan's refusals."""
    steps: list[Step] = [*clean_steps(host)]
    if wanted.disable_hugepages and not wanted.has_bdevs:
        standing = Standing(subject="hugepages", action=ACTION, already=False, detail="disable_hugepages is set in the configuration")
        return Plan(command="prepare", steps=tuple(steps), standing=(standing,), digest=wanted.digest())
    access = at_start(wanted, host)
    notes: tuple[str, ...] = (*access.arithmetic, *access.notices)
    refusals = not_built(wanted) or access.faults
    try:
        need = hugepages.need(wanted, host.page_kib)
        notes = (*notes, *need.arithmetic)
        request = hugepages.per_node(wanted, need.total, host.node_numbers)
        notes = (*notes, *request.arithmetic)
        hugepages.check_memory(request, host.pages, host.page_kib, host.available_kib)
    except Fault as fault:
        return Plan(command="prepare", notes=notes, refusals=(*refusals, fault), digest=wanted.digest())
    return Plan(
        command="prepare",
        steps=(*steps, *_steps(request, host)),
        standing=_standing(request, host),
        notes=notes,
        refusals=refusals,
        digest=wanted.digest(),
    )


def _is_ready(host: HostFacts, node: int, count: int) -> bool:
    return host.pages.get(node, 0) >= count and host.hugetlbfs_is_ours is not False


def _steps(request: hugepages.NodeRequest, host: HostFacts) -> tuple[Step, ...]:
    nodes = tuple((node, host.pages.get(node, 0), count) for node, count in request.nodes if not _is_ready(host, node, count))
    if not nodes:
        return ()
    subject = "node " + ", ".join(str(node) for node, _, _ in nodes)
    return (SetHugepages(key="hugepages", subject=subject, nodes=nodes, page_kib=host.page_kib),)


def _standing(request: hugepages.NodeRequest, host: HostFacts) -> tuple[Standing, ...]:
    return tuple(
        Standing(
            subject=f"node {node}",
            action=ACTION,
            already=True,
            detail=f"has {host.pages[node]} pages ({pages_text(host.pages[node], host.page_kib)}), {count} are needed",
        )
        for node, count in request.nodes
        if _is_ready(host, node, count)
    )


def clean_steps(host: HostFacts) -> tuple[CleanHugepages, ...]:
    """Return the step that removes hugepage files whose process is gone, if there are any."""
    stale = tuple(file.name for file in host.stale_files)
    return (CleanHugepages(key="clean", subject="/dev/hugepages", files=stale),) if stale else ()


def not_built(wanted: Wanted) -> tuple[Fault, ...]:
    """Return fault 2111 if the configuration names real SSDs, which this build does not handle yet."""
    places = wanted.nvme_places
    if not places:
        return ()
    where = ", ".join(places)
    return (Fault(codes.STORAGE_CLASS_NOT_BUILT, object=where, storage_class="nvme", where=where),)
