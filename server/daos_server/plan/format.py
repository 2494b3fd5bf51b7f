# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The plan of ``storage format``: control metadata first, then SCM, then the bdevs of each engine and its NVMe configuration.

Nothing is planned that destroys data without consent: ``--force``, or the consent given to an interrupted format for a step
that it had begun.  One part that needs consent and has none refuses the whole command, before anything is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan import hugepages, memory, nvme
from daos_server.plan.access import at_start
from daos_server.plan.facts import FileState
from daos_server.plan.reset import lost_content
from daos_server.plan.steps import (
    CreateFile,
    FormatDcpm,
    FormatMetadata,
    FormatRam,
    MakeMetadataFolders,
    MountMetadata,
    Plan,
    Standing,
    Step,
    UnmountMetadata,
    WipeSsd,
    WriteNvmeConf,
)
from daos_server.plan.units import GIB, bytes_text
from daos_server.plan.wanted import is_within
from daos_server.storage import nvme_json
from daos_server.storage.files import file_size, no_room

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daos_server.plan.facts import EngineState, MetadataState, ScmState, Storage
    from daos_server.plan.unfinished import Unfinished
    from daos_server.plan.wanted import Bdevs, Engine, Scm, Wanted

METADATA = "metadata"
FOLDERS = "metadata-folders"
MOUNT = "metadata-mount"
UNMOUNT = "metadata-unmount"

USED_AS_IT_IS = "is used as it is: a format does nothing to it"
HAS_SUPERBLOCK = "its engine has a superblock: it is in use and stays"

Verdict = Literal["format", "fresh", "empty", "stays", "blocked"]
"""What becomes of an engine's SCM: formatted now; formatted by the run that this one completes; formatted, mounted and empty;
formatted and in use; or in need of consent."""


def plan_format(wanted: Wanted, facts: Storage, *, force: bool, unfinished: Unfinished | None = None) -> Plan:
    """Return what formats everything that the configuration names and that is not formatted; all of it with ``force``.

    :param unfinished: the record of an interrupted format, if there is one.
    """
    return _Planner(wanted, facts, force=force, unfinished=unfinished).plan()


@dataclass(frozen=True)
class _Need:
    """Something that a format would destroy, and for which there is no consent."""

    subject: str
    found: str


class _Planner:
    def __init__(self, wanted: Wanted, facts: Storage, *, force: bool, unfinished: Unfinished | None) -> None:
        self._wanted = wanted
        self._facts = facts
        self._force = force
        self._digest = wanted.digest()
        same = unfinished is not None and unfinished.digest == self._digest
        self._resume = unfinished if same and not force else None
        self._metadata_steps: list[Step] = []
        self._scm_steps: list[Step] = []
        self._bdev_steps: list[Step] = []
        self._standing: list[Standing] = []
        self._notes = _notes_of(unfinished, same=same, force=force)
        self._refusals: list[Fault] = []
        self._found: list[_Need] = []
        self._left: list[_Need] = []
        self._metadata_fresh = False
        self._access = at_start(wanted, facts.host)

    def plan(self) -> Plan:
        if not self._wanted.engines:
            self._notes.append("the configuration has no engines: there is no storage to format")
        self._plan_metadata()
        sizes = self._ramdisk_sizes()
        if self._wanted.nvme_devices:
            self._notes += [f"{fault.description}: an engine will not start ({fault.code})" for fault in self._access.faults]
            self._notes += self._access.notices
        for engine, state in zip(self._wanted.engines, self._facts.engines, strict=True):
            verdict = self._plan_scm(engine, state.scm, sizes.get(engine.index, 0))
            self._plan_bdevs(engine, state, verdict)
        self._check_memory(sizes)
        self._check_room()
        steps = self._ordered()
        self._refuse(steps)
        return Plan(
            command="format",
            steps=steps,
            standing=tuple(self._standing),
            notes=tuple(self._notes),
            refusals=_without_repeats(self._refusals),
            force=self._force,
            digest=self._digest,
        )

    # Consent

    def _state(self, key: str) -> str | None:
        return None if self._resume is None else self._resume.state(key)

    def _consent(self, key: str) -> bool:
        return self._resume is not None and self._resume.consent(key)

    def _was_to_be_forced(self, key: str) -> bool:
        """Tell whether an interrupted forced format meant to do this and had not begun: its consent does not reach so far."""
        return self._resume is not None and self._resume.force and self._state(key) in ("pending", "failed")

    def _need_consent(self, key: str, subject: str, found: str) -> None:
        (self._left if self._was_to_be_forced(key) else self._found).append(_Need(subject, found))

    # Control metadata

    def _plan_metadata(self) -> None:
        if not self._wanted.metadata_root:
            return
        state = self._facts.metadata
        if state.fault is not None:
            self._refusals.append(state.fault)
            return
        if self._force:
            self._format_metadata(state, force=True)
        elif not (self._resume is not None and self._resume_metadata(state)):
            self._plan_new_metadata(state)

    def _plan_new_metadata(self, state: MetadataState) -> None:
        root = self._wanted.metadata_root
        if not state.needs_format and self._was_to_be_forced(METADATA):
            self._left.append(_Need(root, state.reason))
        elif not state.needs_format:
            self._stand(root, FormatMetadata.action, already=True, detail=f"formatted already: {state.reason}")
        elif state.formatted:
            self._need_consent(METADATA, state.device or root, state.found or state.reason)
        else:
            self._format_metadata(state, force=False)

    def _resume_metadata(self, state: MetadataState) -> bool:
        """Plan what completes the metadata of an interrupted format; False if it had not come to that."""
        begun, folders = self._state(METADATA), self._state(FOLDERS)
        reachable = not state.device or state.mounted or state.mountable
        # An unforced run began on a blank device, and makes the folders only when this step is done: metadata is not its work.
        blank_then = state.needs_format and (state.mountable or not state.formatted)
        if begun == "begun" and (self._consent(METADATA) or blank_then):
            self._format_metadata(state, force=self._consent(METADATA) or state.formatted)
        elif begun == "done" and folders == "done" and not state.needs_format:
            self._metadata_fresh = True
            self._stand(self._wanted.metadata_root, FormatMetadata.action, already=True, detail="the interrupted format did it")
        elif begun == "done" and folders != "done" and reachable:
            self._complete_folders(state)
        else:
            return False
        return True

    def _complete_folders(self, state: MetadataState) -> None:
        """Plan the folders of an interrupted format; on a device they are in a file system that it had just made."""
        holds = not state.device and state.formatted
        if holds and self._state(FOLDERS) != "begun":
            self._need_consent(FOLDERS, self._wanted.data_path, state.found)
            return
        self._mount_metadata()
        needs = tuple(step.key for step in self._metadata_steps)
        self._make_folders(needs=needs, force=self._consent(FOLDERS), lost=state.found if holds else "")

    def _format_metadata(self, state: MetadataState, *, force: bool) -> None:
        root, device = self._wanted.metadata_root, state.device
        lost = (state.found or state.reason) if state.formatted else ""
        self._metadata_steps.append(FormatMetadata(key=METADATA, subject=root, device=device, force=force, lost=lost if device else ""))
        self._make_folders(needs=(METADATA,), force=force, lost="" if device else lost)

    def _make_folders(self, *, needs: tuple[str, ...], force: bool, lost: str) -> None:
        self._metadata_fresh = True
        self._metadata_steps.append(
            MakeMetadataFolders(
                key=FOLDERS,
                subject=self._wanted.data_path,
                root=self._wanted.metadata_root,
                engines=tuple(engine.index for engine in self._wanted.engines),
                force=force,
                lost=lost,
                needs=needs,
            )
        )

    def _mount_metadata(self) -> None:
        state = self._facts.metadata
        if state.device and not state.mounted:
            self._metadata_steps.append(MountMetadata(key=MOUNT, subject=self._wanted.metadata_root, device=state.device))

    @property
    def _metadata_is_hidden(self) -> bool:
        """Whether the metadata folders are on a device that is not mounted, so that nobody can look into them."""
        state = self._facts.metadata
        return bool(state.device) and not state.mounted and not self._metadata_steps

    # SCM

    def _plan_scm(self, engine: Engine, state: ScmState, size_gib: int) -> Verdict:
        scm = engine.scm
        if scm is None:
            self._refusals.append(Fault(codes.SCM_CONFIG_TIER_MISSING, object=f"engine {engine.index}"))
            return "blocked"
        if state.fault is not None:
            self._refusals.append(state.fault)
            return "blocked"
        key = f"scm:{engine.index}"
        if self._force or self._consent(key):
            return self._format_scm(engine, scm, state, size_gib, force=True)
        if self._state(key) == "begun" and state.mounted:
            return self._scm_was_done(engine, scm)
        if self._state(key) == "begun" and state.mountable:
            # The device was blank when the interrupted run began; what is on it now is what that run made.
            return self._format_scm(engine, scm, state, size_gib, force=True)
        if self._state(key) == "done" and not state.needs_format:
            return self._scm_was_done(engine, scm)
        return self._plan_new_scm(engine, scm, state, size_gib, key)

    def _plan_new_scm(self, engine: Engine, scm: Scm, state: ScmState, size_gib: int, key: str) -> Verdict:
        is_empty = scm.storage_class == "ram" and state.mount.kind == "tmpfs" and state.mount.content == ()
        if state.needs_format:
            if state.formatted:
                self._need_consent(key, state.device or scm.mount, state.found)
                return "blocked"
            return self._format_scm(engine, scm, state, size_gib, force=False)
        if self._was_to_be_forced(key) and not is_empty:
            self._left.append(_Need(state.device or scm.mount, state.found))
            return "blocked"
        self._stand_scm(engine, scm, f"formatted already: {state.found}")
        if is_empty and state.mount.size and state.mount.size != size_gib * GIB:
            self._notes.append(
                f"engine {engine.index}: {scm.mount} has {bytes_text(state.mount.size)}, the configuration leads to {size_gib} GiB:"
                " --force makes it anew"
            )
        return "empty" if is_empty else "stays"

    def _scm_was_done(self, engine: Engine, scm: Scm) -> Verdict:
        self._stand_scm(engine, scm, "the interrupted format did it")
        return "fresh"

    def _stand_scm(self, engine: Engine, scm: Scm, detail: str) -> None:
        action = FormatDcpm.action if scm.storage_class == "dcpm" else FormatRam.action
        self._stand(scm.mount, action, already=True, detail=detail, engine=engine.index, tier=scm.tier)

    def _format_scm(self, engine: Engine, scm: Scm, state: ScmState, size_gib: int, *, force: bool) -> Verdict:
        key, needs = f"scm:{engine.index}", self._metadata_needs()
        if scm.storage_class == "dcpm":
            lost = state.found if state.formatted or state.mounted or state.mountable else ""
            step: Step = FormatDcpm(
                key=key, engine=engine.index, tier=scm.tier, subject=scm.mount, device=state.device, force=force, lost=lost, needs=needs
            )
        else:
            step = FormatRam(
                key=key,
                engine=engine.index,
                tier=scm.tier,
                subject=scm.mount,
                size_gib=size_gib,
                numa_node=engine.numa_node,
                disable_hugepages=scm.disable_hugepages,
                force=force,
                lost=lost_content(state.mount) if state.mount.kind == "tmpfs" else state.mount.kind,
                needs=needs,
            )
        self._scm_steps.append(step)
        return "format"

    def _metadata_needs(self) -> tuple[str, ...]:
        return tuple(step.key for step in self._metadata_steps)

    # Block devices

    def _plan_bdevs(self, engine: Engine, state: EngineState, verdict: Verdict) -> None:
        if not engine.has_bdevs:
            return
        if verdict == "stays" and not self._metadata_fresh:
            self._leave_bdevs(engine, "the SCM of this engine was formatted before and is in use")
            return
        if self._wanted.disable_hugepages and any(tier.storage_class == "nvme" for tier in engine.bdevs):
            self._leave_bdevs(engine, "disable_hugepages is set in the configuration, and SSDs are of no use without hugepages")
            return
        steps: list[Step] = []
        has_superblock = self._superblock(engine, state, verdict)
        for tier in engine.bdevs:
            for device in tier.devices:
                self._plan_bdev(engine, state, tier, device, steps, verdict=verdict, has_superblock=has_superblock)
        self._plan_conf(engine, state, steps, verdict)
        self._bdev_steps += steps

    def _leave_bdevs(self, engine: Engine, detail: str) -> None:
        for tier in engine.bdevs:
            action = WipeSsd.action if tier.storage_class == "nvme" else CreateFile.action
            for device in tier.devices:
                self._stand(device, action, already=False, detail=detail, engine=engine.index, tier=tier.tier)

    def _superblock(self, engine: Engine, state: EngineState, verdict: Verdict) -> bool | None:
        """Tell whether the engine will have a superblock when its bdevs are formatted; None if nobody can see it yet."""
        if engine.has_meta_role:
            return False if self._metadata_fresh else None if self._metadata_is_hidden else state.superblock
        return False if verdict == "format" else state.superblock

    def _plan_bdev(
        self,
        engine: Engine,
        state: EngineState,
        tier: Bdevs,
        device: str,
        steps: list[Step],
        *,
        verdict: Verdict,
        has_superblock: bool | None,
    ) -> None:
        engine_index, place = engine.index, tier.tier
        if tier.storage_class == "nvme":
            self._plan_ssd(engine, tier, device, steps, has_superblock=has_superblock)
            return
        found = self._file_state(engine, state, device, verdict)
        if found.problem is not None:
            self._refusals.append(found.problem)
        elif tier.storage_class == "kdev":
            self._stand(device, "use kernel device", already=False, detail=USED_AS_IT_IS, engine=engine_index, tier=place)
        elif has_superblock:
            self._stand(device, CreateFile.action, already=True, detail=HAS_SUPERBLOCK, engine=engine_index, tier=place)
        else:
            self._plan_file(engine, tier, device, found, steps, has_superblock=has_superblock)

    def _plan_ssd(self, engine: Engine, tier: Bdevs, device: str, steps: list[Step], *, has_superblock: bool | None) -> None:
        """Plan one SSD; one that cannot be used fails alone, the others are formatted."""
        key = f"ssd:{engine.index}:{tier.tier}:{device}"
        detail, fault = "", None
        if has_superblock:
            detail = HAS_SUPERBLOCK
        elif self._state(key) == "done":
            detail = "the interrupted format did it"
        else:
            ssds = self._facts.ssds
            fault = nvme.obstacle(device, ssds, vmd=self._access.vmd) or (ssds[device].fault if device in ssds else None)
        if detail or fault is not None:
            detail = detail or str(fault)
            self._stand(
                device, WipeSsd.action, already=fault is None, detail=detail, engine=engine.index, tier=tier.tier, fault=fault
            )
            return
        consent = self._force or self._consent(key)
        steps.append(
            WipeSsd(
                key=key,
                engine=engine.index,
                tier=tier.tier,
                subject=device,
                vmd=self._access.vmd,
                force=consent,
                lost="whatever it carries" if consent else "",
                superblock=_unseen_superblock(engine, has_superblock),
                needs=self._bdev_needs(engine),
            )
        )

    def _file_state(self, engine: Engine, state: EngineState, device: str, verdict: Verdict) -> FileState:
        """Return what is there when the file's turn comes: nothing, in a file system that is made before."""
        if engine.scm is not None and verdict == "format" and is_within(device, engine.scm.mount):
            return FileState()
        if self._metadata_fresh and self._wanted.metadata_device and is_within(device, self._wanted.metadata_root):
            return FileState()
        return state.files.get(device, FileState())

    def _plan_file(
        self, engine: Engine, tier: Bdevs, device: str, found: FileState, steps: list[Step], *, has_superblock: bool | None
    ) -> None:
        key = f"bdev:{engine.index}:{tier.tier}:{device}"
        size = file_size(tier.size_gib)
        consent = self._force or self._consent(key)
        if found.has_data and not consent:
            self._need_consent(key, device, f"a file of {bytes_text(found.size)} that holds data")
            return
        if found.exists and not found.has_data and found.size == size:
            detail = f"is a file of {bytes_text(size)} without data"
            self._stand(device, CreateFile.action, already=True, detail=detail, engine=engine.index, tier=tier.tier)
            return
        steps.append(
            CreateFile(
                key=key,
                engine=engine.index,
                tier=tier.tier,
                subject=device,
                size=size,
                force=consent,
                lost=f"the data in the file of {bytes_text(found.size)}" if found.has_data else "",
                superblock=_unseen_superblock(engine, has_superblock),
                needs=self._bdev_needs(engine),
            )
        )

    def _bdev_needs(self, engine: Engine) -> tuple[str, ...]:
        scm = tuple(step.key for step in self._scm_steps if step.engine == engine.index)
        return (*self._metadata_needs(), *self._late_mount(engine), *scm)

    def _late_mount(self, engine: Engine) -> tuple[str, ...]:
        return (MOUNT,) if self._metadata_is_hidden and engine.has_meta_role else ()

    def _plan_conf(self, engine: Engine, state: EngineState, steps: list[Step], verdict: Verdict) -> None:
        if not engine.nvme_conf:
            return
        if any(part.fault is not None and part.engine == engine.index for part in self._standing):
            detail = "is not written, because an SSD of this engine cannot be used"
            self._stand(engine.nvme_conf, WriteNvmeConf.action, already=False, detail=detail, engine=engine.index)
            return
        content = self._conf(engine, state)
        key = f"conf:{engine.index}"
        in_metadata = engine.has_meta_role and bool(engine.metadata_dir)
        gone = self._metadata_fresh and self._state(key) != "done" if in_metadata else verdict == "format"
        hidden = in_metadata and self._metadata_is_hidden
        if hidden and not steps and verdict != "format" and self._state(key) in (None, "done"):
            detail = "cannot be seen while the control metadata is not mounted, and nothing else of this engine changes"
            self._stand(engine.nvme_conf, WriteNvmeConf.action, already=True, detail=detail, engine=engine.index)
            return
        if not gone and not steps and state.nvme_conf == content:
            self._stand(engine.nvme_conf, WriteNvmeConf.action, already=True, detail="is as it should be", engine=engine.index)
            return
        steps.append(
            WriteNvmeConf(
                key=key,
                engine=engine.index,
                subject=engine.nvme_conf,
                content=content,
                folder=engine.metadata_dir if in_metadata else "",
                needs=(*self._bdev_needs(engine), *(step.key for step in steps)),
            )
        )

    def _conf(self, engine: Engine, state: EngineState) -> str:
        buses = state.buses
        if self._wanted.enable_hotplug and buses is None:
            buses = nvme_json.ALL_BUSES
            node = engine.numa_node
            self._notes.append(f"engine {engine.index}: NUMA node {node} shows no PCI buses: hotplug events of all buses are taken")
        content = nvme_json.render(
            engine,
            hostname=self._wanted.hostname,
            enable_hotplug=self._wanted.enable_hotplug,
            enable_vmd=bool(self._access.vmds),
            backing=nvme.backing(self._facts.ssds),
            buses=buses,
        )
        return content or ""

    # Memory and room

    def _ramdisk_sizes(self) -> Mapping[int, int]:
        """Return the size in GiB of each engine's RAM disk, computed where the configuration leaves it open."""
        try:
            need = hugepages.need(self._wanted, self._facts.host.page_kib)
        except Fault as fault:
            configured = memory.configured_sizes(self._wanted)
            found = memory.Ramdisks(sizes=configured, faults=(fault,) if configured else ())
        else:
            found = memory.ramdisks(self._wanted, hugepage_bytes=need.total_bytes, total_kib=self._facts.host.total_kib)
            self._notes += need.arithmetic if found.sizes else ()
        self._notes += found.arithmetic
        if found.all_known:
            for each in found.faults:
                self._notes.append(f"{each.object or 'memory'}: {each.description}: an engine will not start ({each.code})")
        else:
            self._refusals += found.faults
        return found.sizes

    def _check_memory(self, sizes: Mapping[int, int]) -> None:
        """If every engine needs its SCM formatted, memory must be there for all the RAM disks."""
        states = self._facts.engines
        wanted = [sizes[step.engine] for step in self._scm_steps if step.engine is not None and step.engine in sizes]
        if not wanted or not all(state.scm.needs_format for state in states):
            return
        try:
            self._notes.append(memory.check_available(wanted, self._facts.host.available_kib))
        except Fault as fault:
            self._refusals.append(fault)

    def _check_room(self) -> None:
        """Refuse files that do not fit on their file systems."""
        more: dict[int, int] = {}
        free: dict[int, int] = {}
        last: dict[int, str] = {}
        for step in self._bdev_steps:
            found = self._found_file(step)
            if isinstance(step, CreateFile) and found is not None and found.device:
                more[found.device] = more.get(found.device, 0) + step.size - found.allocated
                free[found.device] = found.free
                last[found.device] = step.subject
        self._refusals += [no_room(last[device], more[device], free[device]) for device in more if more[device] > free[device]]

    def _found_file(self, step: Step) -> FileState | None:
        for engine, state in zip(self._wanted.engines, self._facts.engines, strict=True):
            if engine.index == step.engine:
                verdict: Verdict = "format" if any(other.engine == step.engine for other in self._scm_steps) else "stays"
                return self._file_state(engine, state, step.subject, verdict)
        return None

    # The whole

    def _ordered(self) -> tuple[Step, ...]:
        steps = [*self._metadata_steps, *self._scm_steps]
        if any(MOUNT in step.needs for step in self._bdev_steps) and MOUNT not in self._metadata_needs():
            state = self._facts.metadata
            steps.append(MountMetadata(key=MOUNT, subject=self._wanted.metadata_root, device=state.device))
        steps += sorted(self._bdev_steps, key=lambda step: not isinstance(step, WipeSsd))  # the SSDs of all engines together
        device = self._facts.metadata.device
        uses = any(isinstance(step, FormatMetadata | MountMetadata | MakeMetadataFolders) for step in steps)
        if device and (uses or (self._resume is not None and self._facts.metadata.mounted)):
            steps.append(UnmountMetadata(key=UNMOUNT, subject=self._wanted.metadata_root, device=device))
        return tuple(steps)

    def _refuse(self, steps: tuple[Step, ...]) -> None:
        """Add the refusals that concern consent: one for everything that was found, one for what an interrupted format left."""
        if self._left:
            subjects = ", ".join(need.subject for need in self._left)
            cause = "; ".join(f"{need.subject}: {need.found}" for need in self._left)
            self._refusals.append(Fault(codes.STORAGE_FORMAT_INTERRUPTED, object=subjects, cause=cause, what=subjects))
        if not steps and not self._found and not self._refusals and self._resume is None:
            self._found = [
                _Need(part.subject, part.detail)
                for part in self._standing
                if part.already and part.action in (FormatMetadata.action, FormatRam.action, FormatDcpm.action)
            ]
        if self._found:
            subjects = ", ".join(need.subject for need in self._found)
            cause = "; ".join(f"{need.subject}: {need.found}" for need in self._found)
            self._refusals.append(Fault(codes.STORAGE_ALREADY_FORMATTED, object=subjects, cause=cause))

    def _stand(
        self,
        subject: str,
        action: str,
        *,
        already: bool,
        detail: str,
        engine: int | None = None,
        tier: int | None = None,
        fault: Fault | None = None,
    ) -> None:
        part = Standing(engine=engine, tier=tier, subject=subject, action=action, already=already, detail=detail, fault=fault)
        self._standing.append(part)


def _unseen_superblock(engine: Engine, has_superblock: bool | None) -> str:
    """Return the path of the superblock that a step has to look for itself; empty if it is known whether there is one."""
    return f"{engine.metadata_dir}/superblock" if has_superblock is None and engine.metadata_dir else ""


def _notes_of(unfinished: Unfinished | None, *, same: bool, force: bool) -> list[str]:
    if unfinished is None:
        return []
    what = f"a format{' with --force' if unfinished.force else ''} that was started at {unfinished.started} did not end"
    if not same:
        return [f"{what}, but it was for another configuration: this format takes its place, and nothing is taken over from it"]
    if force:
        return [f"{what}: everything is formatted anew, because of --force"]
    begun = [entry.subject for entry in unfinished.steps.values() if entry.state == "begun"]
    notes = [f"{what}: this run completes it"]
    if begun:
        notes.append(f"begun and not done then, and done again now with the consent given then: {', '.join(begun)}")
    return notes


def _without_repeats(refusals: list[Fault]) -> tuple[Fault, ...]:
    """Return each refusal once: a helper that does not start says so for every device."""
    kept: dict[tuple[int, str], Fault] = {}
    for fault in refusals:
        kept.setdefault((fault.code, str(fault)), fault)
    return tuple(kept.values())
