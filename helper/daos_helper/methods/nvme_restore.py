# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Giving controllers back to the driver that they had before they were first bound."""

from __future__ import annotations

from daos_bindings.linux.binding import Goal, Outcome
from daos_bindings.linux.driver_state import State
from daos_bindings.linux.pci import PciFunction, Scan
from daos_helper.context import Context
from daos_helper.methods import nvme_drivers, nvme_records
from daos_helper.methods import nvme_machine as machine
from daos_helper.steps import Work
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import BdevBindResult, BdevRestore, DeviceResult, WireFault

GONE = "it is gone, and has nothing to get back"
NO_RECORD = "nothing was on record for it: it gets the kernel's own driver"


def restore(request: BdevRestore, context: Context) -> Work[BdevBindResult]:
    """Restore what was asked for, or all that is on record; what has what it had before is forgotten."""
    scan = machine.read()
    if not request.devices:
        nvme_records.forget_stale(context)
    records = nvme_records.all_of(context)
    functions, rows = _chosen(request, scan, records, context)
    goals: list[Goal] = []
    reasons: dict[str, str] = {}
    for function in functions:
        now = nvme_drivers.state_of(function)
        wanted = _wanted(function, now, records)
        try:
            if function.kernel not in records:
                machine.check_denied(function, scan, context)
                _check_ours(function, context)
                reasons[function.kernel] = NO_RECORD if wanted != now else ""
            if now != wanted:
                machine.check_not_driven(function, context)
        except Fault as fault:
            rows.append(nvme_drivers.row_of(function, fault))
            continue
        goals.append(Goal(function.kernel, wanted, now if now.driver else wanted))
    found = yield from nvme_drivers.move_with_stranded(goals, {goal.address: goal.wanted for goal in goals}, context)
    for function in functions:
        outcome = found.pop(function.kernel, None)
        if outcome is not None:
            rows.append(nvme_drivers.row_of(function, outcome, reasons.get(function.kernel, "")))
            if isinstance(outcome, Outcome) and outcome.result in {"done", "already"}:
                nvme_records.forget(function.kernel, context)
    rows += nvme_drivers.rows_of_stranded(found, context)
    return BdevBindResult(tuple(sorted(rows, key=lambda row: row.address)))


def _chosen(
    request: BdevRestore, scan: Scan, records: dict[str, State], context: Context
) -> tuple[list[PciFunction], list[DeviceResult]]:
    """Return what is to be restored, and the rows of what is not there; a record of that is forgotten."""
    found: dict[str, PciFunction] = {}
    rows: list[DeviceResult] = []
    for text in dict.fromkeys(request.devices or records):
        function = scan.find(text)
        if function is not None and function.vmd and request.vmd and function.kernel not in records:
            function = scan.find(function.vmd)
        if function is not None:
            found[function.kernel] = function
            continue
        nvme_records.forget(text, context)
        if request.devices:
            fault = machine.missing(text, vmd=request.vmd)
            rows.append(DeviceResult(text, "", "failed", reason=fault.description, fault=WireFault.of(fault)))
        else:
            rows.append(DeviceResult(text, text, "skipped", reason=GONE))
    return list(found.values()), rows


def _wanted(function: PciFunction, now: State, records: dict[str, State]) -> State:
    """Return what a controller is to have; one that a driver of the kernel's has, keeps it: it may be in use again."""
    known = records.get(function.kernel)
    if known is None or (_is_kernels(now.driver) and now.driver != known.driver):
        return _default(function, now)
    return known


def _check_ours(function: PciFunction, context: Context) -> None:
    """Refuse to take a controller without a record from a userspace driver, unless its group was given to us or the policy names it.

    :raises Fault: 2005.
    """
    ours = {context.account.uid, *context.policy.target_users.values()}
    if function.driver in machine.USER_DRIVERS and machine.group_owner(function) not in ours:
        machine.check_taken(function, context)


def _is_kernels(driver: str) -> bool:
    return bool(driver) and driver not in machine.USER_DRIVERS


def _default(function: PciFunction, now: State) -> State:
    """Return what a controller without a record is to have: the kernel's own driver, unless another of the kernel's has it."""
    if _is_kernels(now.driver):
        return now
    return State(machine.VMD_DRIVER if function.is_vmd else machine.KERNEL_DRIVER)
