# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The whole plan of a format, put together part by part and then into the order in which it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.plan.access import at_start
from daos_server.plan.format import bdev_tiers, interrupted, metadata, nvme_conf, ramdisks, room, scm_tier
from daos_server.plan.format.consent import Lacking
from daos_server.plan.format.draft import Draft, Judged
from daos_server.plan.steps import FormatDcpm, FormatMetadata, FormatRam, Plan, WipeSsd

if TYPE_CHECKING:
    from daos_pbin.faults import Fault
    from daos_server.plan.facts import Storage
    from daos_server.plan.steps import Step
    from daos_server.plan.unfinished import Unfinished
    from daos_server.plan.wanted import Wanted


def plan_format(wanted: Wanted, facts: Storage, *, force: bool, unfinished: Unfinished | None = None) -> Plan:
    """Return what formats everything that the configuration names and that is not formatted; all of it with ``force``.

    :param unfinished: the record of an interrupted format, if there is one.
    """
    digest = wanted.digest()
    draft = Draft(
        wanted=wanted,
        facts=facts,
        access=at_start(wanted, facts.host),
        consent=interrupted.consent(unfinished, digest, force=force),
        notes=interrupted.notes(unfinished, digest, force=force),
    )
    if not wanted.engines:
        draft.notes.append("the configuration has no engines: there is no storage to format")
    _plan_parts(draft)
    steps = _ordered(draft)
    _refuse(draft, steps)
    return Plan(
        command="format",
        steps=steps,
        standing=tuple(draft.standing),
        notes=tuple(draft.notes),
        refusals=_without_repeats(draft.refusals),
        force=force,
        digest=digest,
    )


def _plan_parts(draft: Draft) -> None:
    metadata.plan(draft)
    sizes = ramdisks.sizes(draft)
    _note_access(draft)
    for engine, state in zip(draft.wanted.engines, draft.facts.engines, strict=True):
        verdict = scm_tier.plan(draft, engine, state.scm, sizes.get(engine.index, 0))
        if engine.has_bdevs:
            _plan_bdevs(draft, Judged(engine, state, verdict))
    ramdisks.check(draft, sizes)
    room.check(draft)


def _note_access(draft: Draft) -> None:
    if draft.wanted.nvme_devices:
        draft.notes += [f"{fault.description}: an engine will not start ({fault.code})" for fault in draft.access.faults]
        draft.notes += draft.access.notices


def _plan_bdevs(draft: Draft, one: Judged) -> None:
    why = bdev_tiers.why_left(draft, one)
    if why:
        bdev_tiers.leave(draft, one, why)
        return
    steps = bdev_tiers.plan(draft, one)
    draft.bdevs += [*steps, *nvme_conf.plan(draft, one, steps)]


def _ordered(draft: Draft) -> tuple[Step, ...]:
    bdevs = sorted(draft.bdevs, key=lambda step: not isinstance(step, WipeSsd))  # the SSDs of all engines together
    steps = (*draft.metadata, *draft.scm, *metadata.late_mount(draft), *bdevs)
    return (*steps, *metadata.unmount(draft, steps))


def _refuse(draft: Draft, steps: tuple[Step, ...]) -> None:
    """Add the refusals that concern consent; a format that finds everything formatted already is refused like one of them."""
    consent = draft.consent
    if not steps and not consent.found and not draft.refusals and consent.resume is None:
        consent.found = [
            Lacking(part.subject, part.detail)
            for part in draft.standing
            if part.already and part.action in (FormatMetadata.action, FormatRam.action, FormatDcpm.action)
        ]
    draft.refusals += consent.refusals()


def _without_repeats(refusals: list[Fault]) -> tuple[Fault, ...]:
    """Return each refusal once: a helper that does not start says so for every device."""
    kept: dict[tuple[int, str], Fault] = {}
    for fault in refusals:
        kept.setdefault((fault.code, str(fault)), fault)
    return tuple(kept.values())
