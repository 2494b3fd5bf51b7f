# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Moving controllers between drivers, many at a time, by a worker without rights; none is left without one if it can be helped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Final

from msgspec import Meta, Struct, to_builtins

from daos_bindings.linux import binding, pci, sysfs
from daos_bindings.linux.binding import Goal, Outcome
from daos_bindings.linux.driver_state import State
from daos_bindings.linux.pci import PciFunction
from daos_helper.context import Context
from daos_helper.methods import nvme_records
from daos_helper.privileges import BIND_DRIVER
from daos_helper.rundir import Lock
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import DeviceResult, WireFault

WORDS_LIMIT: Final = 4096
"""Characters of ``Words``."""
BATCH: Final = 64
"""Controllers that are opened at the same time: a process has so many descriptors."""


class Moved(Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker did."""

    outcomes: Annotated[tuple[Outcome, ...], Meta(max_length=BATCH)]


def state_of(function: PciFunction) -> State:
    """Return who has a function now."""
    return State(function.driver, function.driver_override)


def move(goals: Sequence[Goal], homes: dict[str, State], context: Context) -> Work[dict[str, Outcome | Fault]]:
    """Bring every controller to its goal; return what became of each, by the kernel's address.

    :param homes: what each is to have if the worker dies over it.
    :raises Fault: 2121 if a driver is not loaded: nothing was done then; 2151 if a controller has no driver now; what ended the
        worker.
    """
    found: dict[str, Outcome | Fault] = {}
    for start in range(0, len(goals), BATCH):
        batch = goals[start : start + BATCH]
        try:
            found |= yield from _move(batch)
        except Fault:
            yield from _rescue(batch, homes, context)
            raise
    return found


def _move(goals: Sequence[Goal]) -> Work[dict[str, Outcome | Fault]]:
    found: dict[str, Outcome | Fault] = {}
    left = list(goals)
    with ExitStack() as stack:
        root = stack.enter_context(sysfs.opened())
        while left:
            try:
                bindings = stack.enter_context(binding.opened(left, root, lanes=BIND_DRIVER.threads))
            except Fault as fault:
                if fault.code != codes.NVME_CONTROLLER_GONE:
                    raise
                found[fault.object] = fault
                left = [goal for goal in left if goal.address != fault.object]
                continue
            run = partial(_act, bindings, len(left))
            moved = yield from perform(Step(BIND_DRIVER, _subject(left), keep=bindings.descriptors, run=run), Moved)
            return found | {outcome.address: outcome for outcome in moved.outcomes}
    return found


def _act(bindings: binding.Bindings, count: int, io: WorkerIO) -> Built:
    """Work in the worker."""
    finished = 0

    def report(outcome: Outcome) -> None:
        nonlocal finished
        finished += 1
        io.progress(finished, count, "controllers", f"{outcome.address}: {outcome.after}")

    return {"outcomes": to_builtins(bindings.act(report, threads=BIND_DRIVER.threads))}


def _subject(goals: Sequence[Goal]) -> str:
    return goals[0].address if len(goals) == 1 else f"{len(goals)} NVMe controllers"


def _rescue(goals: Sequence[Goal], homes: dict[str, State], context: Context) -> Work[None]:
    """Give what a dead worker left without a driver back to the one of before.

    :raises Fault: 2151 if that fails, too.
    """
    lost = [goal for goal in goals if _is_lost(goal.address)]
    if not lost:
        return
    context.log(f"{len(lost)} controllers lost their driver when the work was cut short; they get it back")
    yield from _move([Goal(goal.address, homes[goal.address], homes[goal.address]) for goal in lost])
    still = ", ".join(goal.address for goal in lost if _is_lost(goal.address))
    if still:
        raise Fault(codes.NVME_WITHOUT_DRIVER, object=still, addresses=still)


def _is_lost(address: str) -> bool:
    function = pci.read_function(address)
    return function is not None and not function.driver


def stranded(records: dict[str, State], mine: Iterable[str], context: Context) -> tuple[list[Goal], list[Lock]]:
    """Return the way back for controllers on record that an earlier run has left without a driver, and the locks on them.

    :param mine: those that the request deals with itself.
    """
    goals: list[Goal] = []
    locks: list[Lock] = []
    for address, state in records.items():
        if address in mine or not state.driver or not _is_lost(address):
            continue
        try:
            locks.append(context.run.lock(f"pci:{address}"))
        except Fault:
            continue  # somebody is at it
        goals.append(Goal(address, state, state))
    return goals, locks


def row_of(function: PciFunction, outcome: Outcome | Fault, reason: str = "") -> DeviceResult:
    """Return what to answer about a controller that was moved."""
    fault = outcome if isinstance(outcome, Fault) else outcome.fault()
    gone = fault is not None and fault.code == codes.NVME_CONTROLLER_GONE
    after = outcome.after.driver if isinstance(outcome, Outcome) else "" if gone else function.driver
    result = outcome.result if isinstance(outcome, Outcome) else "failed"
    return DeviceResult(
        address=str(function.address),
        kernel_address=function.kernel,
        outcome=result if result in {"done", "already"} else "failed",
        before=function.driver,
        driver=after,
        group=function.iommu_group,
        reason=(reason or (fault.description if fault else ""))[:WORDS_LIMIT],
        fault=WireFault.of(fault) if fault else None,
    )


def move_with_stranded(goals: Sequence[Goal], homes: dict[str, State], context: Context) -> Work[dict[str, Outcome | Fault]]:
    """As ``move``, and bring back on the way what an earlier run has left without a driver."""
    more, locks = stranded(nvme_records.all_of(context), {goal.address for goal in goals}, context)
    try:
        return (yield from move([*goals, *more], homes | {goal.address: goal.wanted for goal in more}, context))
    finally:
        for lock in locks:
            lock.release()


def rows_of_stranded(found: dict[str, Outcome | Fault], context: Context) -> list[DeviceResult]:
    """Return the rows of controllers that ``move_with_stranded`` brought back, and forget what they had before."""
    rows: list[DeviceResult] = []
    for address, outcome in found.items():
        function = pci.read_function(address)
        if isinstance(outcome, Outcome) and outcome.result in {"done", "already"}:
            nvme_records.forget(address, context)
        if function is not None:
            rows.append(row_of(function, outcome, "an earlier run was cut short and had left it without a driver"))
    return rows
