# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The plans of ``storage prepare`` and ``nvme prepare``: hugepages, stale hugepage files away, SSDs to a userspace driver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan import hugepages, nvme
from daos_server.plan.access import at_start, for_prepare
from daos_server.plan.steps import CleanHugepages, Plan, SetHugepages, Standing, Step
from daos_server.plan.units import pages_text

if TYPE_CHECKING:
    from daos_server.plan.access import Asked
    from daos_server.plan.host import HostFacts
    from daos_server.plan.nvme import Ssds
    from daos_server.plan.wanted import Wanted

BY_HAND = 1024
"""Pages that ``nvme prepare`` asks for if neither it nor the configuration says how many."""


def plan_prepare(wanted: Wanted, host: HostFacts, ssds: Ssds | None = None) -> Plan:
    """Return what gives the engines their hugepages and SSDs; what stands in the way is in the plan's refusals.

    :param ssds: the SSDs and VMDs of this machine, by address.
    """
    steps: list[Step] = [*clean_steps(host)]
    if wanted.disable_hugepages and not wanted.has_bdevs:
        why = "disable_hugepages is set in the configuration"
        standing = Standing(subject="hugepages", action=SetHugepages.action, already=False, detail=why)
        return Plan(command="prepare", steps=tuple(steps), standing=(standing,), digest=wanted.digest())
    access = at_start(wanted, host)
    notes: tuple[str, ...] = (*access.arithmetic, *access.notices)
    try:
        need = hugepages.need(wanted, host.page_kib)
        notes = (*notes, *need.arithmetic)
        request = hugepages.per_node(wanted, need.total, host.node_numbers)
        notes = (*notes, *request.arithmetic)
        hugepages.check_memory(request, host.pages, host.page_kib, host.available_kib)
    except Fault as fault:
        return Plan(command="prepare", notes=notes, refusals=(*access.faults, fault), digest=wanted.digest())
    drives = nvme.bind(access, ssds or {}, place=nvme.places(wanted)) if wanted.nvme_devices else nvme.Part()
    return Plan(
        command="prepare",
        steps=(*steps, *_steps(request, host), *drives.steps),
        standing=(*_standing(request, host), *drives.standing),
        notes=notes,
        refusals=access.faults,
        digest=wanted.digest(),
    )


def plan_nvme_prepare(asked: Asked, host: HostFacts, ssds: Ssds, wanted: Wanted | None = None, *, everything: bool = False) -> Plan:
    """Return what gives SSDs to userspace, with the hugepages for it.

    :param asked: the options of the command.
    :param wanted: what the configuration asks for; None without one, or if it shall be ignored.
    :param everything: every SSD that nothing uses, and not only those that are named.
    :raises Fault: 619 if the configuration disables hugepages, 303 for an address that is none.
    """
    access = for_prepare(asked, host, wanted)
    plan = Plan(command="prepare", group="nvme", refusals=access.faults)
    if not access.allowed and not everything:
        return replace(plan, refusals=(*access.faults, Fault(codes.NVME_NONE_NAMED)))
    if everything:
        access = replace(access, allowed=())
    notes: tuple[str, ...] = (*access.arithmetic, *access.notices)
    why = f"{access.hugepages} were asked for" if access.hugepages else f"{BY_HAND}, as nothing says how many"
    try:
        request = hugepages.spread(access.hugepages or BY_HAND, host.node_numbers, why)
        notes = (*notes, *request.arithmetic)
        hugepages.check_memory(request, host.pages, host.page_kib, host.available_kib)
    except Fault as fault:
        return replace(plan, notes=notes, refusals=(*plan.refusals, fault))
    drives = nvme.bind(access, ssds, place=nvme.places(wanted), everything=everything)
    return replace(
        plan,
        steps=(*_steps(request, host), *drives.steps),
        standing=(*_standing(request, host), *drives.standing),
        notes=notes,
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
            action=SetHugepages.action,
            already=True,
            detail=f"has {host.pages[node]} pages ({pages_text(host.pages[node], host.page_kib)}), {count} are needed",
        )
        for node, count in request.nodes
        if _is_ready(host, node, count)
    )


def clean_steps(host: HostFacts, *, optional: bool = False) -> tuple[CleanHugepages, ...]:
    """Return the step that removes hugepage files whose process is gone, if there are any.

    :param optional: if it fails, nothing else does.
    """
    stale = tuple(file.name for file in host.stale_files)
    return (CleanHugepages(key="clean", subject="/dev/hugepages", files=stale, optional=optional),) if stale else ()
