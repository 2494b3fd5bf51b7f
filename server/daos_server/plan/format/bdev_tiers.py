# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The bdevs of one engine: SSDs are wiped, files are made, kernel devices are used as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.plan import nvme
from daos_server.plan.facts import FileState
from daos_server.plan.format import keys
from daos_server.plan.steps import CreateFile, WipeSsd
from daos_server.plan.units import bytes_text
from daos_server.plan.wanted import is_within
from daos_server.storage.files import file_size

if TYPE_CHECKING:
    from daos_pbin.faults import Fault
    from daos_server.plan.format.draft import Draft, Judged
    from daos_server.plan.steps import Step
    from daos_server.plan.wanted import Bdevs

USED_AS_IT_IS = "is used as it is: a format does nothing to it"
HAS_SUPERBLOCK = "its engine has a superblock: it is in use and stays"


def why_left(draft: Draft, one: Judged) -> str:
    """Return why nothing is done to the bdevs of an engine; empty if something may be."""
    if one.scm == "stays" and not draft.metadata_fresh:
        return "the SCM of this engine was formatted before and is in use"
    if draft.wanted.disable_hugepages and any(tier.storage_class == "nvme" for tier in one.engine.bdevs):
        return "disable_hugepages is set in the configuration, and SSDs are of no use without hugepages"
    return ""


def leave(draft: Draft, one: Judged, detail: str) -> None:
    """Leave all bdevs of an engine as they are, for that reason."""
    for tier in one.engine.bdevs:
        action = WipeSsd.action if tier.storage_class == "nvme" else CreateFile.action
        for device in tier.devices:
            draft.stand(device, action, already=False, detail=detail, engine=one.engine.index, tier=tier.tier)


def plan(draft: Draft, one: Judged) -> list[Step]:
    """Return the steps for the bdevs of an engine; what needs none, or stands in the way, goes into the draft."""
    tiers = _Tiers(draft, one)
    for tier in one.engine.bdevs:
        for device in tier.devices:
            tiers.add(tier, device)
    return tiers.steps


class _Tiers:
    def __init__(self, draft: Draft, one: Judged) -> None:
        self.steps: list[Step] = []
        self._draft = draft
        self._one = one
        self._index = one.engine.index
        self._has_superblock = _superblock(draft, one)
        # A step has to look for a superblock itself if nobody can see yet whether there is one.
        looks = self._has_superblock is None and one.engine.metadata_dir
        self._unseen_superblock = f"{one.engine.metadata_dir}/superblock" if looks else ""

    def add(self, tier: Bdevs, device: str) -> None:
        if tier.storage_class == "nvme":
            self._add_ssd(tier, device)
            return
        found = self._file_state(device)
        if found.problem is not None:
            self._draft.refusals.append(found.problem)
        elif tier.storage_class == "kdev":
            self._draft.stand(device, "use kernel device", already=False, detail=USED_AS_IT_IS, engine=self._index, tier=tier.tier)
        elif self._has_superblock:
            self._stand_file(tier, device, HAS_SUPERBLOCK)
        else:
            self._add_file(tier, device, found)

    # SSDs

    def _add_ssd(self, tier: Bdevs, device: str) -> None:
        """Plan one SSD; one that cannot be used fails alone, the others are formatted."""
        key = keys.ssd(self._index, tier.tier, device)
        done = self._ssd_done(key)
        fault = None if done else self._ssd_fault(device)
        if done or fault is not None:
            detail = done or str(fault)
            self._draft.stand(
                device, WipeSsd.action, already=fault is None, detail=detail, engine=self._index, tier=tier.tier, fault=fault
            )
            return
        consent = self._draft.consent.given(key)
        self.steps.append(
            WipeSsd(
                key=key,
                engine=self._index,
                tier=tier.tier,
                subject=device,
                vmd=self._draft.access.vmd,
                force=consent,
                lost="whatever it carries" if consent else "",
                superblock=self._unseen_superblock,
                needs=self._draft.bdev_needs(self._one.engine),
            )
        )

    def _ssd_done(self, key: str) -> str:
        """Return why an SSD needs no format; empty if it needs one."""
        if self._has_superblock:
            return HAS_SUPERBLOCK
        return "the interrupted format did it" if self._draft.consent.state(key) == "done" else ""

    def _ssd_fault(self, device: str) -> Fault | None:
        ssds = self._draft.facts.ssds
        return nvme.obstacle(device, ssds, vmd=self._draft.access.vmd) or (ssds[device].fault if device in ssds else None)

    # Files

    def _add_file(self, tier: Bdevs, device: str, found: FileState) -> None:
        key = keys.file(self._index, tier.tier, device)
        size = file_size(tier.size_gib)
        consent = self._draft.consent.given(key)
        if found.has_data and not consent:
            self._draft.consent.need(key, device, f"a file of {bytes_text(found.size)} that holds data")
            return
        if found.exists and not found.has_data and found.size == size:
            self._stand_file(tier, device, f"is a file of {bytes_text(size)} without data")
            return
        step = CreateFile(
            key=key,
            engine=self._index,
            tier=tier.tier,
            subject=device,
            size=size,
            force=consent,
            lost=f"the data in the file of {bytes_text(found.size)}" if found.has_data else "",
            superblock=self._unseen_superblock,
            needs=self._draft.bdev_needs(self._one.engine),
        )
        self.steps.append(step)
        self._draft.files.append((step, found))

    def _stand_file(self, tier: Bdevs, device: str, detail: str) -> None:
        self._draft.stand(device, CreateFile.action, already=True, detail=detail, engine=self._index, tier=tier.tier)

    def _file_state(self, device: str) -> FileState:
        """Return what is there when the file's turn comes: nothing, in a file system that is made before."""
        wanted, scm = self._draft.wanted, self._one.engine.scm
        if scm is not None and self._one.scm == "format" and is_within(device, scm.mount):
            return FileState()
        if self._draft.metadata_fresh and wanted.metadata_device and is_within(device, wanted.metadata_root):
            return FileState()
        return self._one.state.files.get(device, FileState())


def _superblock(draft: Draft, one: Judged) -> bool | None:
    """Tell whether the engine will have a superblock when its bdevs are formatted; None if nobody can see it yet."""
    if one.engine.has_meta_role:
        return False if draft.metadata_fresh else None if draft.metadata_is_hidden else one.state.superblock
    return False if one.scm == "format" else one.state.superblock
