# SPDX-License-Identifier: BSD-2-Clause-Patent
"""SCM: a tmpfs, or ext4 on a block device (storage facts A.4 to A.6)."""

from __future__ import annotations

from typing import Final

from daos_bindings.linux import memory
from daos_bindings.linux.kernelfiles import printable
from daos_bindings.linux.mounts import Mount
from daos_helper import targets
from daos_helper.attach import Attached, attach_ext4, attach_tmpfs
from daos_helper.consent import check_ours, check_signatures, forget_unfinished, is_unfinished
from daos_helper.content import Probed, probe
from daos_helper.context import Context
from daos_helper.device import Device, check_exclusive, check_free, opened
from daos_helper.filesystems import DAX, SCM_MOUNT_OPTIONS, Option, scm_mkfs, tmpfs_options
from daos_helper.mkfs import first_mount, make_ext4
from daos_helper.steps import Work
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import (
    Dcpm,
    MountResult,
    Ramdisk,
    ScmCheckFormat,
    ScmFormat,
    ScmFormatResult,
    ScmMount,
    ScmUnmount,
)

GIB: Final = 1 << 30
UNFINISHED: Final = ", left by a format that did not end: the next one completes it"


def validate(target: str, ramdisk: Ramdisk | None, dcpm: Dcpm | None) -> None:
    """Check what a request must have, in the reference's order.

    :raises Fault: 203, 206, 205, 201, 202.
    """
    if not target:
        raise Fault(codes.SCM_FORMAT_MISSING_MOUNTPOINT)
    if ramdisk is not None and dcpm is not None:
        raise Fault(codes.SCM_FORMAT_CONFLICTING_PARAM, object=target)
    if ramdisk is None and dcpm is None:
        raise Fault(codes.SCM_FORMAT_MISSING_PARAM, object=target)
    if ramdisk is not None and ramdisk.size_gib == 0:
        raise Fault(codes.SCM_FORMAT_INVALID_SIZE, object=target)
    if dcpm is not None and not dcpm.device:
        raise Fault(codes.SCM_FORMAT_INVALID_DEVICE_COUNT, object=target)


def check_format(request: ScmCheckFormat, context: Context) -> Work[ScmFormatResult]:
    """Report the state of a mount point and of its device; change nothing."""
    mount = targets.mount_if_any(request.mountpoint)
    if mount is not None:
        return ScmFormatResult(request.mountpoint, True, True, False, found=_words(mount), options=targets.options_of(mount))
    if request.dcpm is None:
        return ScmFormatResult(request.mountpoint, False, False, False, found="no file system is mounted")
    with opened(request.dcpm.device, context.policy, context.file, missing=codes.SCM_FORMAT_MISSING_DEVICE) as device:
        probed = yield from probe(device)
        left = is_unfinished(device, probed, context.run)
    found = f"{device.path} carries {probed}{UNFINISHED if left else ''}"
    formatted, mountable = bool(probed.signatures) and not left, probed.is_ext4 and not left
    return ScmFormatResult(request.mountpoint, formatted, False, mountable, found=found)


def format_scm(request: ScmFormat, context: Context) -> Work[ScmFormatResult]:
    """Format and mount; without force, only what nothing would be lost with."""
    if request.ramdisk is not None:
        return (yield from _format_ramdisk(request, request.ramdisk, context))
    dcpm = request.dcpm or Dcpm("")
    return (yield from _format_device(request, dcpm, context))


def _format_ramdisk(request: ScmFormat, ramdisk: Ramdisk, context: Context) -> Work[ScmFormatResult]:
    mount = targets.mount_if_any(request.mountpoint)
    if mount is not None:
        _refuse_mounted(request, mount)
        yield from targets.unmount(request.mountpoint, context)
    attached = yield from _attach_ramdisk(request.mountpoint, ramdisk, context)
    return _formatted(request.mountpoint, attached)


def _format_device(request: ScmFormat, dcpm: Dcpm, context: Context) -> Work[ScmFormatResult]:
    mount = targets.mount_if_any(request.mountpoint)
    if mount is not None:
        _refuse_mounted(request, mount)
    missing = codes.SCM_FORMAT_MISSING_DEVICE
    with opened(dcpm.device, context.policy, context.file, missing=missing) as device:
        check_free(device, at=request.mountpoint if request.force else "")
        probed = yield from probe(device)
        check_signatures(device, probed, context.policy, context.file, context.run, force=request.force)
        if mount is not None:
            yield from targets.unmount(request.mountpoint, context)
        yield from targets.make_ready(request.mountpoint, context)
        identifier = yield from make_ext4(device, scm_mkfs, context)
        with first_mount(device, identifier, context):
            attached = yield from _attach_device(request.mountpoint, device, context)
    return _formatted(request.mountpoint, attached)


def _refuse_mounted(request: ScmFormat, mount: Mount) -> None:
    if not request.force:
        raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=request.mountpoint, cause=_words(mount))


def _formatted(path: str, attached: Attached) -> ScmFormatResult:
    """Return the reference's answer to a format that succeeded: formatted, mounted, not mountable."""
    mount = targets.by_id(attached.mount_id)
    return ScmFormatResult(path, True, True, False, changed=True, options=targets.options_of(mount))


def mount_scm(request: ScmMount, context: Context) -> Work[MountResult]:
    """Mount; the same mount that is there already is a success that changed nothing.

    :raises Fault: 104 if something else is mounted there.
    """
    mount = targets.mount_if_any(request.target)
    if request.ramdisk is not None:
        if mount is not None:
            return _already(request.target, mount, same=mount.fs_type == "tmpfs" and _has_size(mount, request.ramdisk))
        attached = yield from _attach_ramdisk(request.target, request.ramdisk, context)
    else:
        dcpm = request.dcpm or Dcpm("")
        with opened(dcpm.device, context.policy, context.file, missing=codes.SCM_FORMAT_MISSING_DEVICE) as device:
            if mount is not None:
                return _already(request.target, mount, same=(mount.major, mount.minor) == device.number)
            check_free(device)
            yield from require_ext4(device, context)
            attached = yield from _attach_device(request.target, device, context)
    return MountResult(request.target, True, True, targets.options_of(targets.by_id(attached.mount_id)))


def unmount_scm(request: ScmUnmount, context: Context) -> Work[MountResult]:
    """Unmount; nothing mounted is a success that changed nothing."""
    changed = yield from targets.unmount(request.target, context)
    return MountResult(request.target, False, changed)


def require_ext4(device: Device, context: Context) -> Work[Probed]:
    """Refuse to mount what is not plainly ext4, or not ours on a device that the policy does not name.

    :raises Fault: 2109 naming what is there, 2005 for what DAOS did not make.
    """
    probed = yield from probe(device)
    if not probed.is_ext4:
        raise Fault(codes.STORAGE_FORMAT_UNVERIFIED, object=device.path, device=device.path, found=str(probed))
    check_ours(device, probed, context.policy, context.file)
    return probed


def _already(path: str, mount: Mount, *, same: bool) -> MountResult:
    if not same:
        raise Fault(codes.STORAGE_TARGET_ALREADY_MOUNTED, object=path, cause=_words(mount))
    return MountResult(path, True, False, targets.options_of(mount))


def _attach_ramdisk(path: str, ramdisk: Ramdisk, context: Context) -> Work[Attached]:
    root = context.file.check_target(context.policy, path)
    yield from targets.make_mount_point(path, root)
    _check_memory(path, ramdisk)
    options, left_out = tmpfs_options(ramdisk, context.account)
    for line in left_out:
        context.log(f"{path}: mounted without {line}")
    with targets.opened_in_place(path, root) as target:
        return (yield from attach_tmpfs(path, target, options))


def _check_memory(path: str, ramdisk: Ramdisk) -> None:
    """Refuse a RAM disk that this machine could never fill.

    :raises Fault: 214.
    """
    have = memory.read().mem_total_kb >> 20
    if ramdisk.size_gib > have:
        size = f"{ramdisk.size_gib} GiB"
        raise Fault(codes.SCM_RAMDISK_LOW_MEM, object=path, variant="Total", size=size, need=size, have=f"{have} GiB")


def _attach_device(path: str, device: Device, context: Context) -> Work[Attached]:
    root = context.file.check_target(context.policy, path)
    yield from targets.make_mount_point(path, root)
    options: tuple[Option, ...] = SCM_MOUNT_OPTIONS
    if device.identity.dax:
        options = (DAX, *options)
    else:
        context.log(f"{path}: mounted without dax, which {device.path} does not have")
    check_exclusive(device)
    forget_unfinished(device, context.run)
    with targets.opened_in_place(path, root) as target:
        return (yield from attach_ext4(path, target, device.identity.path, device.number, options, noatime=True))


def _has_size(mount: Mount, ramdisk: Ramdisk) -> bool:
    return f"size={ramdisk.size_gib * GIB // 1024}k" in mount.super_options


def _words(mount: Mount) -> str:
    options = ",".join(mount.super_options)
    return printable(f"{mount.fs_type} from {mount.source} is mounted on {mount.mount_point} ({options})")
