# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What controllers there are, and what is known of each: read through the driver that it has, never unbound to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from daos_bindings.linux import pci_address
from daos_bindings.linux.pci import PciFunction, Scan
from daos_helper.context import Context
from daos_helper.methods import nvme_ask, nvme_spdk
from daos_helper.methods import nvme_machine as machine
from daos_helper.rundir import Lock
from daos_helper.steps import Work
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import BdevScan, BdevScanResult, ScannedController, Source, WireFault

Uses = dict[str, tuple[str, ...]]
"""What uses each controller, by the kernel's address."""


def scan(request: BdevScan, context: Context) -> Work[BdevScanResult]:
    """Describe what was asked for, in the order of addresses; what is not there is a row with a fault."""
    before = machine.read()
    waiting = [one for one in machine.chosen(before, request.devices, vmd=request.vmd)[0] if not machine.is_ready(one)]
    yield from machine.until_ready(waiting)
    found = machine.read() if waiting else before
    functions, absent = machine.chosen(found, request.devices, vmd=request.vmd)
    rows = [ScannedController(text, "", fault=WireFault.of(machine.missing(text, vmd=request.vmd))) for text in absent]
    table = machine.usage_table()
    used = {one.kernel: machine.uses(one, found, table, context)[:64] for one in functions}
    rows += yield from _by_kernel([one for one in functions if one.driver == machine.KERNEL_DRIVER], request, used, context)
    rows += yield from _by_spdk([one for one in functions if one.driver in machine.USER_DRIVERS], request, found, used, context)
    for one in functions:
        if one.driver not in machine.DRIVERS:
            rows.append(_row(one, used, fault=WireFault.of(machine.out_of_reach(one))))
    return BdevScanResult(tuple(sorted(rows, key=lambda row: row.address)), _notes(found, request))


def _row(
    function: PciFunction, used: Uses, *, source: Source = "none", answer: ScannedController | None = None, fault: WireFault | None = None
) -> ScannedController:
    """Return the row of a function: what sysfs knows of it, and what it said itself."""
    endpoint = function.address.vmd_endpoint or function.vmd
    return ScannedController(
        address=str(function.address),
        kernel_address=function.kernel,
        driver=function.driver,
        numa_node=function.numa_node,
        iommu_group=function.iommu_group,
        vmd_endpoint=endpoint,
        source=source,
        record=answer.record if answer else None,
        in_use=used[function.kernel],
        fault=answer.fault if answer else fault,
    )


def _by_kernel(functions: Sequence[PciFunction], request: BdevScan, used: Uses, context: Context) -> Work[list[ScannedController]]:
    known = yield from nvme_ask.ask(functions, context, health=request.health)
    rows = []
    for one in functions:
        said = known[one.kernel]
        answer = ScannedController(str(one.address), one.kernel, record=said.record, fault=said.fault)
        rows.append(_row(one, used, source="kernel", answer=answer))
    return rows


def _by_spdk(
    functions: Sequence[PciFunction], request: BdevScan, scan: Scan, used: Uses, context: Context
) -> Work[list[ScannedController]]:
    """Ask SPDK, keeping out of the way of whoever gives the same controllers another driver meanwhile."""
    rows: list[ScannedController] = []
    free: list[PciFunction] = []
    locks: list[Lock] = []
    try:
        for one in functions:
            try:
                locks.append(context.run.lock(f"pci:{one.kernel}"))
            except Fault as fault:
                rows.append(_row(one, used, fault=WireFault.of(fault)))
            else:
                free.append(one)
        answers, faults = yield from nvme_spdk.scan(nvme_spdk.by_driver(free), context, vmd=request.vmd, health=request.health)
    finally:
        for lock in locks:
            lock.release()
    by_address = {answer.address: answer for answer in answers}
    for one in free:
        if str(one.address) in faults:
            rows.append(_row(one, used, fault=WireFault.of(faults[str(one.address)])))
        elif str(one.address) in by_address:
            rows.append(_row(one, used, source="spdk", answer=by_address.pop(str(one.address))))
    return [*rows, *(_behind(answer, scan) for answer in by_address.values())]


def _behind(answer: ScannedController, scan: Scan) -> ScannedController:
    """Complete the row of a controller behind a VMD that SPDK has: the kernel does not see it."""
    address = pci_address.parse(answer.address)
    endpoint = address.vmd_endpoint if address else ""
    vmd = scan.find(endpoint) if endpoint else None
    if vmd is None:
        return answer
    return replace(answer, vmd_endpoint=endpoint, driver=vmd.driver, numa_node=vmd.numa_node, iommu_group=vmd.iommu_group)


def _notes(scan: Scan, request: BdevScan) -> tuple[str, ...]:
    hidden = [str(one.address) for one in scan.vmds if one.driver in machine.USER_DRIVERS]
    if hidden and not request.vmd:
        return (f"SSDs behind the VMD {', '.join(hidden)} are not listed: a userspace driver has it, and VMD is switched off",)
    return ()
