# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Control metadata: a directory of the account's, or ext4 on a device of its own (storage facts A.7)."""

from __future__ import annotations

import os
from typing import Final

from daos_bindings.linux import mounts
from daos_bindings.linux.kernelfiles import printable
from daos_bindings.linux.mounts import NETWORK_FILE_SYSTEMS, Mount
from daos_helper import targets
from daos_helper.attach import attach_ext4, inspect_ext4
from daos_helper.consent import check_ours, check_signatures, forget_unfinished, is_unfinished
from daos_helper.content import probe
from daos_helper.context import Context
from daos_helper.device import Device, check_exclusive, check_free, opened
from daos_helper.filesystems import metadata_mkfs
from daos_helper.methods.scm import UNFINISHED, require_ext4
from daos_helper.mkfs import first_mount, make_ext4
from daos_helper.paths import open_directory, open_path
from daos_helper.steps import Work
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import (
    MetadataFormat,
    MetadataMount,
    MetadataNeedsFormat,
    MetadataNeedsFormatResult,
    MetadataUnmount,
    MountResult,
)

DATA: Final = "daos_control"
"""The folder of the control metadata, below its root."""


def needs_format(request: MetadataNeedsFormat, context: Context) -> Work[MetadataNeedsFormatResult]:
    """Report whether a format is needed, and why; leaves nothing mounted and changes nothing."""
    if not _is_directory(request.root_path):
        return MetadataNeedsFormatResult(True, f"{request.root_path} does not exist")
    if request.device:
        return (yield from _device_needs_format(request, context))
    return _data_verdict(_is_directory(f"{request.root_path}/{DATA}"), request.root_path, mounted=False)


def _device_needs_format(request: MetadataNeedsFormat, context: Context) -> Work[MetadataNeedsFormatResult]:
    with opened(request.device, context.policy, context.file, missing=codes.STORAGE_DEVICE_NOT_BLOCK) as device:
        mount = targets.mount_if_any(request.root_path)
        if mount is not None:
            _require_same(request.root_path, mount, device)
            return _data_verdict(_is_directory(f"{request.root_path}/{DATA}"), device.path, mounted=True)
        probed = yield from probe(device)
        left = is_unfinished(device, probed, context.run)
        if left or not probed.is_ext4:
            return MetadataNeedsFormatResult(True, f"{device.path} carries {probed}{UNFINISHED if left else ''}")
        check_ours(device, probed, context.policy, context.file)
        check_free(device)
        inspected = yield from inspect_ext4(device.identity.path, device.number, DATA, settled=probed.settled)
    return _data_verdict(inspected.has_data, device.path, mounted=False)


def _data_verdict(has_data: bool, place: str, *, mounted: bool) -> MetadataNeedsFormatResult:
    reason = f"{place} holds {DATA}" if has_data else f"{place} holds no {DATA}"
    return MetadataNeedsFormatResult(not has_data, reason, mounted)


def format_metadata(request: MetadataFormat, context: Context) -> Work[MountResult]:
    """Make the root; a device is left mounted, for the server to make its folders in."""
    root = context.file.check_target(context.policy, request.root_path)
    if not request.device:
        check_file_system(request.root_path, context)
        made = yield from targets.make_account_directory(request.root_path, root, context)
        return MountResult(request.root_path, False, made)
    missing = codes.STORAGE_DEVICE_NOT_BLOCK
    with opened(request.device, context.policy, context.file, missing=missing) as device:
        mount = targets.mount_if_any(request.root_path)
        if mount is not None and not request.force:
            cause = printable(f"{mount.fs_type} from {mount.source} is mounted on it")
            raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=request.root_path, cause=cause)
        check_free(device, at=request.root_path if request.force else "")
        probed = yield from probe(device)
        check_signatures(device, probed, context.policy, context.file, context.run, force=request.force)
        if mount is not None:
            yield from targets.unmount(request.root_path, context)
        yield from targets.make_ready(request.root_path, context)
        identifier = yield from make_ext4(device, metadata_mkfs, context)
        with first_mount(device, identifier, context):
            return (yield from _attach(request.root_path, device, context))


def mount_metadata(request: MetadataMount, context: Context) -> Work[MountResult]:
    """Mount the device; a plain directory needs none."""
    if not request.device:
        return MountResult(request.root_path, False, False)
    with opened(request.device, context.policy, context.file, missing=codes.STORAGE_DEVICE_NOT_BLOCK) as device:
        mount = targets.mount_if_any(request.root_path)
        if mount is not None:
            _require_same(request.root_path, mount, device)
            return MountResult(request.root_path, True, False, targets.options_of(mount))
        check_free(device)
        yield from require_ext4(device, context)
        return (yield from _attach(request.root_path, device, context))


def unmount_metadata(request: MetadataUnmount, context: Context) -> Work[MountResult]:
    """Unmount the device; nothing mounted is a success that changed nothing."""
    if not request.device:
        return MountResult(request.root_path, False, False)
    changed = yield from targets.unmount(request.root_path, context)
    return MountResult(request.root_path, False, changed)


def _attach(path: str, device: Device, context: Context) -> Work[MountResult]:
    root = context.file.check_target(context.policy, path)
    yield from targets.make_mount_point(path, root)
    check_exclusive(device)
    forget_unfinished(device, context.run)
    with targets.opened_in_place(path, root) as target:
        attached = yield from attach_ext4(path, target, device.identity.path, device.number, (), noatime=False)
    return MountResult(path, True, True, targets.options_of(targets.by_id(attached.mount_id)))


def _require_same(path: str, mount: Mount, device: Device) -> None:
    if (mount.major, mount.minor) != device.number:
        cause = printable(f"{mount.fs_type} from {mount.source} is mounted on it, not {device.path}")
        raise Fault(codes.STORAGE_TARGET_ALREADY_MOUNTED, object=path, cause=cause)


def check_file_system(path: str, context: Context) -> None:
    """Refuse a directory on a file system that control metadata must not live on.

    :raises Fault: 1001 for a network file system, and for a nosuid mount that is not ours.
    """
    mount = mounts.containing(mounts.read(), path)
    if mount is None:
        return
    if mount.fs_type in NETWORK_FILE_SYSTEMS:
        raise Fault(codes.CONTROL_METADATA_BAD_FILESYSTEM, object=path, variant="plain", fs=mount.fs_type)
    if "nosuid" in mount.options and not _is_ours(mount, context):
        raise Fault(codes.CONTROL_METADATA_BAD_FILESYSTEM, object=path, variant="nosuid", fs=mount.fs_type)


def _is_ours(mount: Mount, context: Context) -> bool:
    """Tell whether we mounted it: on a mount root of the policy, of a kind that we make, owned by the account."""
    try:
        context.file.check_target(context.policy, mount.mount_point)
        descriptor = open_directory(mount.mount_point)
    except (Fault, FileNotFoundError):
        return False
    try:
        return mount.fs_type in targets.OURS and os.fstat(descriptor).st_uid == context.account.uid
    finally:
        os.close(descriptor)


def _is_directory(path: str) -> bool:
    try:
        os.close(open_path(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))
    except FileNotFoundError:
        return False
    return True
