# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The plans of ``storage reset`` and ``nvme reset``: unmount what a format mounted, give back what a prepare took; formats stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan import nvme
from daos_server.plan.access import addresses, at_start
from daos_server.plan.prepare import clean_steps
from daos_server.plan.steps import Plan, ReturnHugepages, Standing, Step, UnmountMetadata, UnmountScm
from daos_server.plan.units import GIB, bytes_text

if TYPE_CHECKING:
    from daos_server.plan.access import Asked
    from daos_server.plan.facts import Mounted, Storage
    from daos_server.plan.host import HostFacts
    from daos_server.plan.nvme import Ssds
    from daos_server.plan.wanted import Engine, Scm, Wanted

REPLACEABLE = frozenset({"daos_nvme.conf"})
"""What the server itself put there and can write again: no loss."""


def plan_reset(wanted: Wanted, facts: Storage, *, force: bool, unfinished: bool = False) -> Plan:
    """Return what undoes a prepare and the mounts of a format.

    :param force: unmount a tmpfs although its content is lost with it.
    :param unfinished: an interrupted format is on record.
    """
    steps: list[Step] = []
    standing: list[Standing] = []
    refusals: list[Fault] = []
    for engine, state in zip(wanted.engines, facts.engines, strict=True):
        if engine.scm is None:
            continue
        _plan_scm(engine, engine.scm, state.scm.mount, steps, standing)
        standing += [*_namespace(engine, engine.scm), *_files(engine)]
    if not force:
        refusals += [_refusal(step) for step in steps if isinstance(step, UnmountScm) and step.lost]
    _plan_metadata(wanted, facts, steps, standing)
    steps += clean_steps(facts.host)
    if wanted.nvme_devices:
        _plan_ssds(wanted, facts, steps, standing)
    steps.append(ReturnHugepages(key="return-hugepages", subject="hugepages"))
    notes = ["what is on devices, in files and in the metadata folders stays: reset formats nothing"]
    if unfinished:
        notes.append("an interrupted format is on record and stays so: the next 'daos_server storage format' completes it")
    return Plan(
        command="reset",
        steps=tuple(steps),
        standing=tuple(standing),
        notes=tuple(notes),
        refusals=tuple(refusals),
        force=force,
        digest=wanted.digest(),
    )


def plan_nvme_reset(asked: Asked, host: HostFacts, ssds: Ssds, wanted: Wanted | None = None) -> Plan:
    """Return what gives SSDs back to the drivers of before: those that are named, else all that this system ever took.

    :param asked: the options of the command.
    :param wanted: what the configuration asks for; None without one, or if it shall be ignored.
    :raises Fault: 303 for an address that is none.
    """
    named = addresses(asked.allow)
    blocked = addresses(asked.block) or (wanted.bdev_exclude if wanted else ())
    drives = nvme.restore(ssds, named=named, blocked=blocked, place=nvme.places(wanted))
    which = f"SSDs: {' '.join(named)}" if named else "SSDs: all that this system took from their drivers, whatever the configuration names"
    return Plan(
        command="reset",
        group="nvme",
        steps=(*clean_steps(host, optional=True), *drives.steps),
        standing=tuple(drives.standing),
        notes=(which, "hugepages stay as they are: 'daos_server storage reset' gives them back"),
    )


def _plan_ssds(wanted: Wanted, facts: Storage, steps: list[Step], standing: list[Standing]) -> None:
    drives = nvme.restore(
        facts.ssds,
        named=wanted.nvme_devices,
        blocked=wanted.bdev_exclude,
        vmd=at_start(wanted, facts.host).vmd,
        place=nvme.places(wanted),
    )
    steps += drives.steps
    standing += drives.standing


def lost_content(mount: Mounted) -> str:
    """Return what is lost when this is unmounted, in words; empty if nothing is."""
    if mount.kind != "tmpfs":
        return ""
    if mount.content is None:
        return "content that the server's account cannot list"
    names = [name for name in mount.content if name not in REPLACEABLE]
    return f"{len(names)} entries, such as {names[0]}" if len(names) > 1 else names[0] if names else ""


def _plan_scm(engine: Engine, scm: Scm, mount: Mounted, steps: list[Step], standing: list[Standing]) -> None:
    if not mount.kind:
        detail = "nothing is mounted"
        standing.append(
            Standing(engine=engine.index, tier=scm.tier, subject=scm.mount, action=UnmountScm.action, already=True, detail=detail)
        )
        return
    if not mount.is_ours:
        found = f"{mount.kind}, whose kind or owner is none that the helper unmounts"
        foreign = Fault(codes.STORAGE_MOUNT_FOREIGN, object=scm.mount, target=scm.mount, found=found)
        standing.append(
            Standing(
                engine=engine.index,
                tier=scm.tier,
                subject=scm.mount,
                action=UnmountScm.action,
                already=False,
                detail=foreign.description,
                fault=foreign,
            )
        )
        return
    steps.append(
        UnmountScm(
            key=f"unmount-scm:{engine.index}",
            engine=engine.index,
            tier=scm.tier,
            subject=scm.mount,
            kind=mount.kind,
            lost=lost_content(mount),
        )
    )


def _refusal(step: UnmountScm) -> Fault:
    return Fault(codes.STORAGE_CONTENT_LOST, object=step.subject, target=step.subject, found=step.lost)


def _namespace(engine: Engine, scm: Scm) -> list[Standing]:
    if not scm.device:
        return []
    detail = "a reset keeps it with what is on it; 'daos_server scm reset' destroys namespaces"
    return [Standing(engine=engine.index, tier=scm.tier, subject=scm.device, action="keep SCM device", already=False, detail=detail)]


def _files(engine: Engine) -> list[Standing]:
    return [
        Standing(
            engine=engine.index,
            tier=tier.tier,
            subject=device,
            action="keep bdev",
            already=False,
            detail=f"a reset keeps it ({bytes_text(tier.size_gib * GIB)})"
            if tier.storage_class == "file"
            else "a reset does nothing to it",
        )
        for tier in engine.bdevs
        for device in tier.devices
        if tier.storage_class != "nvme"
    ]


def _plan_metadata(wanted: Wanted, facts: Storage, steps: list[Step], standing: list[Standing]) -> None:
    if not wanted.metadata_root:
        return
    action = UnmountMetadata.action
    if wanted.metadata_device and facts.metadata_mount.kind:
        steps.append(UnmountMetadata(key="unmount-metadata", subject=wanted.metadata_root, device=facts.metadata.device))
    elif wanted.metadata_device:
        standing.append(Standing(subject=wanted.metadata_root, action=action, already=True, detail="nothing is mounted"))
    else:
        standing.append(
            Standing(subject=wanted.metadata_root, action="keep control metadata", already=False, detail="a reset keeps the folder")
        )
