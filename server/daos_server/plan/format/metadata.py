# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Control metadata: its root, its folders, and its device, which is mounted only as long as a format needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.plan.format import keys
from daos_server.plan.steps import FormatMetadata, MakeMetadataFolders, MountMetadata, UnmountMetadata

if TYPE_CHECKING:
    from daos_server.plan.facts import MetadataState
    from daos_server.plan.format.draft import Draft
    from daos_server.plan.steps import Step


def plan(draft: Draft) -> None:
    """Plan the control metadata, if the configuration has any."""
    if not draft.wanted.metadata_root:
        return
    state = draft.facts.metadata
    if state.fault is not None:
        draft.refusals.append(state.fault)
    elif draft.consent.force:
        _format(draft, state, force=True)
    elif not (draft.consent.resume is not None and _resume(draft, state)):
        _plan_new(draft, state)


def _plan_new(draft: Draft, state: MetadataState) -> None:
    root = draft.wanted.metadata_root
    if not state.needs_format and draft.consent.was_to_be_forced(keys.METADATA):
        draft.consent.need(keys.METADATA, root, state.reason)
    elif not state.needs_format:
        draft.stand(root, FormatMetadata.action, already=True, detail=f"formatted already: {state.reason}")
    elif state.formatted:
        draft.consent.need(keys.METADATA, state.device or root, state.found or state.reason)
    else:
        _format(draft, state, force=False)


def _resume(draft: Draft, state: MetadataState) -> bool:
    """Plan what completes the metadata of an interrupted format; False if it had not come to that."""
    consent = draft.consent
    begun, folders = consent.state(keys.METADATA), consent.state(keys.FOLDERS)
    reachable = not state.device or state.mounted or state.mountable
    # An unforced run began on a blank device, and makes the folders only when this step is done: metadata is not its work.
    blank_then = state.needs_format and (state.mountable or not state.formatted)
    if begun == "begun" and (consent.given(keys.METADATA) or blank_then):
        _format(draft, state, force=consent.given(keys.METADATA) or state.formatted)
    elif begun == "done" and folders == "done" and not state.needs_format:
        draft.metadata_fresh = True
        draft.stand(draft.wanted.metadata_root, FormatMetadata.action, already=True, detail="the interrupted format did it")
    elif begun == "done" and folders != "done" and reachable:
        _complete_folders(draft, state)
    else:
        return False
    return True


def _complete_folders(draft: Draft, state: MetadataState) -> None:
    """Plan the folders of an interrupted format; on a device they are in a file system that it had just made."""
    holds = not state.device and state.formatted
    if holds and draft.consent.state(keys.FOLDERS) != "begun":
        draft.consent.need(keys.FOLDERS, draft.wanted.data_path, state.found)
        return
    if state.device and not state.mounted:
        draft.metadata.append(_mount(draft))
    _make_folders(draft, force=draft.consent.given(keys.FOLDERS), lost=state.found if holds else "")


def _format(draft: Draft, state: MetadataState, *, force: bool) -> None:
    root, device = draft.wanted.metadata_root, state.device
    lost = (state.found or state.reason) if state.formatted else ""
    draft.metadata.append(FormatMetadata(key=keys.METADATA, subject=root, device=device, force=force, lost=lost if device else ""))
    _make_folders(draft, force=force, lost="" if device else lost)


def _make_folders(draft: Draft, *, force: bool, lost: str) -> None:
    draft.metadata_fresh = True
    draft.metadata.append(
        MakeMetadataFolders(
            key=keys.FOLDERS,
            subject=draft.wanted.data_path,
            root=draft.wanted.metadata_root,
            engines=tuple(engine.index for engine in draft.wanted.engines),
            force=force,
            lost=lost,
            needs=draft.metadata_keys,
        )
    )


def late_mount(draft: Draft) -> tuple[Step, ...]:
    """Return what mounts metadata that is formatted already, if a step for a bdev has to look into it."""
    needed = any(keys.MOUNT in step.needs for step in draft.bdevs)
    return (_mount(draft),) if needed and keys.MOUNT not in draft.metadata_keys else ()


def _mount(draft: Draft) -> Step:
    return MountMetadata(key=keys.MOUNT, subject=draft.wanted.metadata_root, device=draft.facts.metadata.device)


def unmount(draft: Draft, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return what unmounts the device after all other steps: they mount it, or an interrupted format left it mounted."""
    state = draft.facts.metadata
    uses = any(isinstance(step, FormatMetadata | MountMetadata | MakeMetadataFolders) for step in steps)
    if not state.device or not (uses or (draft.consent.resume is not None and state.mounted)):
        return ()
    return (UnmountMetadata(key=keys.UNMOUNT, subject=draft.wanted.metadata_root, device=state.device),)
