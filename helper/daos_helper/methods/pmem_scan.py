# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What persistent memory there is, and which state it is in."""

from __future__ import annotations

from daos_helper.context import Context
from daos_helper.methods import pmem_machine as machine
from daos_helper.steps import Work
from daos_pbin import pmem_plan
from daos_pbin.faults import Fault
from daos_pbin.pmem_messages import ScmScan, ScmScanResult
from daos_pbin.pmem_plan import Found
from daos_pbin.wire_fault import WireFault


def scan(request: ScmScan, context: Context) -> Work[ScmScanResult]:
    """Describe everything, or what is on one socket."""
    found = yield from machine.find(context)
    seen = pmem_plan.seen(found, request.socket)
    here = found.on(request.socket)
    fault = _fault(here)
    return ScmScanResult(
        state=int(seen.state),
        socket=seen.socket,
        modules=here.modules,
        regions=here.regions,
        namespaces=pmem_plan.namespaces_on(found, request.socket),
        goals=here.goals,
        reboot_required=pmem_plan.waits_for_reboot(found, request.socket),
        notes=pmem_plan.notes(found, request.socket),
        fault=WireFault.of(fault) if fault else None,
    )


def _fault(here: Found) -> Fault | None:
    return pmem_plan.not_applied(here) if here.modules else None
