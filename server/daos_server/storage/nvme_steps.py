# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs steps about NVMe SSDs: one request for all of them, and an ending for each, checked against what was meant."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.steps import BindSsd, RestoreSsd, WipeSsd
from daos_server.plan.units import bytes_text
from daos_server.storage.report import Outcome, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from daos_pbin.envelope import Progress
    from daos_pbin.nvme_messages import BdevBindResult, DeviceResult, FormattedController, UserDriver
    from daos_server.plan.steps import Step
    from daos_server.storage.facts import Helper

    SsdStep = BindSsd | RestoreSsd | WipeSsd
    Endings = tuple[dict[str, Row], tuple[Row, ...]]
    """Rows of steps by their key, and rows of what the helper did beside."""
    OnProgress = Callable[[Progress], None]

DRIVERS_S = 900.0
"""Seconds that all SSDs together may take to change their drivers; VMDs with many drives take minutes."""
WIPE_S = 600.0

NOT_FREE = frozenset({codes.NVME_CONTROLLER_IN_USE, codes.NVME_GROUP_SHARED, codes.NVME_UNUSABLE, codes.HELPER_POLICY_REFUSED})
"""Faults of an SSD that was to be taken only if nothing is in the way."""
BESIDE = "give back besides"
"""The action of rows about SSDs that the command did not name."""
LEFT_ALONE = "daos_server did not take it from its driver: it is left alone"


async def run(steps: Sequence[SsdStep], helper: Helper, on_progress: OnProgress) -> Endings:
    """Run steps of one kind together.

    :raises Fault: if a request as a whole fails.
    """
    first = steps[0]
    if isinstance(first, BindSsd):
        return await _bind([step for step in steps if isinstance(step, BindSsd)], first, helper, on_progress)
    if isinstance(first, RestoreSsd):
        return await _restore([step for step in steps if isinstance(step, RestoreSsd)], first, helper, on_progress)
    return await _wipe([step for step in steps if isinstance(step, WipeSsd)], helper, on_progress)


def row(step: Step, outcome: Outcome, detail: str, fault: Fault | None = None) -> Row:
    """Return the row of a step."""
    return Row(engine=step.engine, tier=step.tier, subject=step.subject, action=step.action, outcome=outcome, detail=detail, fault=fault)


def failed(step: Step, fault: Fault) -> Row:
    """Return the row of a step that failed; what else there is to say of the fault is said below the table."""
    return row(step, Outcome.FAILED, fault.description, fault)


# Drivers


async def _bind(steps: Sequence[BindSsd], first: BindSsd, helper: Helper, on_progress: OnProgress) -> Endings:
    from daos_pbin.nvme_messages import BdevBind

    driver: UserDriver = "uio_pci_generic" if first.driver == "uio_pci_generic" else "vfio-pci"
    user = "" if first.account else first.user
    request = BdevBind(devices=tuple(step.subject for step in steps), driver=driver, vmd=first.vmd, target_user=user)
    answer = await helper.call(request, deadline_s=DRIVERS_S, on_progress=on_progress)
    found = {result.address: result for result in answer.devices}
    rows = {step.key: _bound(step, found.pop(step.subject, None)) for step in steps}
    return rows, _others(found.values())


def _bound(step: BindSsd, result: DeviceResult | None) -> Row:
    """Return what became of an SSD; it counts as done only if its driver now is the one that was meant."""
    if result is None:
        return failed(step, _unanswered(step))
    fault = None if result.fault is None else result.fault.fault()
    if fault is not None and step.only_if_free and fault.code in NOT_FREE:
        return row(step, Outcome.SKIPPED, fault.description)
    if fault is None and result.outcome in ("done", "already") and result.driver != step.driver:
        fault = _not_as_meant(step, result, f"binding to {step.driver}")
    if fault is None and result.outcome in ("skipped", "failed"):
        reason = result.reason or "the helper did not say why"
        remedy = "look at it with 'daos_server nvme scan --ignore-config', and put right what the reason says"
        fault = Fault(codes.NVME_UNUSABLE, object=step.subject, address=step.subject, reason=reason, remedy=remedy)
    return failed(step, fault) if fault is not None else row(step, _outcome(result), _drivers(result))


async def _restore(steps: Sequence[RestoreSsd], first: RestoreSsd, helper: Helper, on_progress: OnProgress) -> Endings:
    from daos_pbin.nvme_messages import BdevRestore

    devices = () if first.all_on_record else tuple(step.subject for step in steps)
    answer = await helper.call(BdevRestore(devices=devices, vmd=first.vmd), deadline_s=DRIVERS_S, on_progress=on_progress)
    rows = _restored(steps, answer)
    if any(step.kind == "VMD" and rows[0][step.key].outcome is Outcome.DONE for step in steps):
        # The kernel sees the SSDs behind it only now; those that were taken one by one go back, too.
        behind = await helper.call(BdevRestore(), deadline_s=DRIVERS_S, on_progress=on_progress)
        again = _restored((), behind)[1]
        return rows[0], (*rows[1], *(each for each in again if each.outcome is not Outcome.ALREADY))
    return rows


def _restored(steps: Sequence[RestoreSsd], answer: BdevBindResult) -> Endings:
    found = {result.address: result for result in answer.devices}
    rows = {step.key: _given_back(step, found.pop(step.subject, None)) for step in steps}
    return rows, _others(found.values())


def _others(results: Iterable[DeviceResult]) -> tuple[Row, ...]:
    """Return the rows of SSDs that the helper had to see to beside, such as those that an interrupted run left without a driver."""
    return tuple(replace(_given_back(RestoreSsd(key="", subject=result.address), result), action=BESIDE) for result in results)


def notes_beside(rows: Sequence[Row]) -> tuple[str, ...]:
    """Say why SSDs are in a report that nobody asked about."""
    if not rows:
        return ()
    names = ", ".join(row.subject for row in rows)
    return (f"{names}: not among those of this command, but taken by an earlier one and seen to on the way ('{BESIDE}')",)


def _given_back(step: RestoreSsd, result: DeviceResult | None) -> Row:
    if result is None:
        return row(step, Outcome.SKIPPED, LEFT_ALONE) if step.all_on_record else failed(step, _unanswered(step))
    fault = None if result.fault is None else result.fault.fault()
    if fault is None and result.outcome == "failed":
        fault = _not_as_meant(step, result, "giving it back")
    if fault is None and result.outcome == "done" and not result.driver and result.kernel_address:
        fault = _not_as_meant(step, result, "giving it back")
    return failed(step, fault) if fault is not None else row(step, _outcome(result), result.reason or _drivers(result))


def _not_as_meant(step: BindSsd | RestoreSsd, result: DeviceResult, what: str) -> Fault:
    driver = result.driver or "no driver"
    return Fault(codes.NVME_BINDING_FAILED, object=step.subject, cause=result.reason, address=step.subject, step=what, driver=driver)


def _unanswered(step: Step) -> Fault:
    return Fault(codes.NVME_ANSWER_INCOMPLETE, object=step.subject, address=step.subject)


def _outcome(result: DeviceResult) -> Outcome:
    return Outcome(result.outcome)


def _drivers(result: DeviceResult) -> str:
    now = result.driver or "no driver"
    changed = now if result.before == result.driver else f"{result.before or 'no driver'} -> {now}"
    group = f", IOMMU group {result.group}" if result.group >= 0 else ""
    return f"{changed}{group}" + (f"; {result.reason}" if result.reason else "")


# Formats


async def _wipe(steps: Sequence[WipeSsd], helper: Helper, on_progress: OnProgress) -> Endings:
    """Wipe SSDs; those with consent to destroy, and those without, are different requests."""
    rows: dict[str, Row] = {}
    due: list[WipeSsd] = []
    for step in steps:
        if step.superblock and os.path.lexists(step.superblock):
            rows[step.key] = row(step, Outcome.ALREADY, f"{step.superblock} is there: the engine's SSDs stay as they are")
        else:
            due.append(step)
    for force, group in groupby(sorted(due, key=lambda step: step.force), key=lambda step: step.force):
        rows |= await _wiped(tuple(group), helper, on_progress, force=force)
    return rows, ()


async def _wiped(steps: Sequence[WipeSsd], helper: Helper, on_progress: OnProgress, *, force: bool) -> dict[str, Row]:
    from daos_pbin.nvme_messages import BdevFormat

    request = BdevFormat(devices=tuple(step.subject for step in steps), force=force, vmd=steps[0].vmd)
    answer = await helper.call(request, deadline_s=WIPE_S, on_progress=on_progress)
    return {step.key: _formatted(step, tuple(_answers_for(step, answer.controllers))) for step in steps}


def _answers_for(step: WipeSsd, rows: Sequence[FormattedController]) -> Iterator[FormattedController]:
    """Yield the rows of an SSD, or of those behind a VMD."""
    from daos_bindings.linux.pci_address import parse

    for each in rows:
        parsed = parse(each.address)
        if each.address == step.subject or (parsed is not None and parsed.vmd_endpoint == step.subject):
            yield each


def _formatted(step: WipeSsd, rows: Sequence[FormattedController]) -> Row:
    if not rows:
        return failed(step, _unanswered(step))
    detail = "; ".join(_namespaces(each, prefix=len(rows) > 1) for each in rows)
    fault = next((each.fault.fault() for each in rows if each.fault is not None), None)
    not_done = [space for each in rows for space in each.namespaces if not space.done]
    if fault is None and not_done:
        err = f"namespace {not_done[0].id}: {not_done[0].reason or 'not written'}"
        fault = Fault(codes.BDEV_FORMAT_FAILURE, object=step.subject, dev=step.subject, err=err)
    if fault is not None:
        return row(step, Outcome.FAILED, f"{fault}" + (f" ({detail})" if detail else ""), fault)
    return row(step, Outcome.DONE, detail)


def _namespaces(found: FormattedController, *, prefix: bool) -> str:
    parts = (
        f"namespace {space.id} ({bytes_text(space.size)}) {'wiped' if space.done else f'not wiped: {space.reason}'}"
        for space in found.namespaces
        if space.id
    )
    text = ", ".join(parts)
    return f"{found.address}: {text}" if prefix and text else text
