# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The four steps that hold CAP_SYS_ADMIN.  Each executes nothing, loads nothing, and takes neither path nor option from the
caller: options are made by ``filesystems.py`` from numbers, a device is named by the kernel's own name, places are
descriptors.  Review this page with care: what runs here is root in effect.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from msgspec import Struct

from daos_bindings.linux import syscalls
from daos_helper.filesystems import Option
from daos_helper.privileges import ATTACH_EXT4, ATTACH_TMPFS, DETACH, INSPECT_EXT4
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault

ATTRIBUTES: Final = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOEXEC
"""What every mount of ours has; access times are added for SCM only, as the reference has it."""


class Attached(Struct, frozen=True, forbid_unknown_fields=True):
    """The mount that was made."""

    mount_id: int


class Inspected(Struct, frozen=True, forbid_unknown_fields=True):
    """What an unattached file system has inside."""

    has_data: bool


class Detached(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the mount was there to be detached."""

    detached: bool


def attach_tmpfs(target: str, target_fd: int, options: tuple[Option, ...]) -> Work[Attached]:
    """Mount a new tmpfs on the descriptor."""

    def run(_io: WorkerIO) -> Built:
        mount = _mount("tmpfs", target, (("source", "tmpfs"), *options), ATTRIBUTES | syscalls.MOUNT_ATTR_NOATIME)
        syscalls.move_mount(mount, target_fd)
        return {"mount_id": syscalls.statx_mount(mount).mount_id}

    return (yield from perform(Step(ATTACH_TMPFS, target, keep=(target_fd,), run=run), Attached))


def attach_ext4(
    target: str, target_fd: int, device: str, number: tuple[int, int], options: tuple[Option, ...], *, noatime: bool
) -> Work[Attached]:
    """Mount the device on the descriptor, if what the kernel opened under its name has that number."""

    def run(_io: WorkerIO) -> Built:
        attributes = ATTRIBUTES | (syscalls.MOUNT_ATTR_NOATIME if noatime else 0)
        mount = _mount("ext4", target, (("source", device), *options), attributes)
        _check_number(mount, device, number)
        syscalls.move_mount(mount, target_fd)
        return {"mount_id": syscalls.statx_mount(mount).mount_id}

    return (yield from perform(Step(ATTACH_EXT4, target, keep=(target_fd,), run=run), Attached))


def inspect_ext4(device: str, number: tuple[int, int], folder: str, *, settled: bool) -> Work[Inspected]:
    """Tell whether the file system on the device has the folder; nothing is attached anywhere.

    :param settled: nothing is left to replay or clean, so that nothing is written.  Otherwise the kernel replays the journal, as
        any mount would: without that it would clean orphans by metadata that is out of date.
    """

    def run(_io: WorkerIO) -> Built:
        options: tuple[Option, ...] = (("source", device), ("ro", None))
        if settled:
            options = (*options, ("noload", None))
        mount = _mount("ext4", device, options, ATTRIBUTES | syscalls.MOUNT_ATTR_RDONLY)
        _check_number(mount, device, number)
        try:
            found = os.stat(folder, dir_fd=mount, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return {"has_data": False}
        if stat.S_ISLNK(found):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), folder)
        return {"has_data": stat.S_ISDIR(found)}

    return (yield from perform(Step(INSPECT_EXT4, device, run=run), Inspected))


def detach(target: str, parent_fd: int, name: str, mount_id: int) -> Work[Detached]:
    """Unmount exactly the mount that was looked at, found by its parent's descriptor and its last component."""

    def run(_io: WorkerIO) -> Built:
        os.fchdir(parent_fd)
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)  # openat: seccomp sees its flags
        try:
            identity = syscalls.statx_mount(found)
        finally:
            os.close(found)
        if not identity.is_mount_root or identity.mount_id != mount_id:
            return {"detached": False}
        try:
            syscalls.umount_nofollow(name)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise Fault(codes.STORAGE_MOUNT_BUSY, object=target, target=target) from error
            raise
        return {"detached": True}

    return (yield from perform(Step(DETACH, target, keep=(parent_fd,), run=run), Detached))


def _mount(file_system: str, subject: str, options: tuple[Option, ...], attributes: int) -> int:
    """Return a descriptor of a new mount that is attached nowhere yet."""
    context = syscalls.fsopen(file_system)
    try:
        for key, value in options:
            if value is None:
                syscalls.fsconfig_flag(context, key)
            else:
                syscalls.fsconfig_string(context, key, value)
        syscalls.fsconfig_create(context)
        return syscalls.fsmount(context, attributes)
    except OSError as error:
        said = "; ".join(syscalls.fscontext_messages(context)) or os.strerror(error.errno or 0)
        raise Fault(codes.STORAGE_MOUNT_FAILED, object=subject, cause=said, source=file_system, target=subject) from error
    finally:
        os.close(context)


def _check_number(mount: int, device: str, number: tuple[int, int]) -> None:
    identity = syscalls.statx_mount(mount)
    if (identity.major, identity.minor) != number:
        raise Fault(codes.STORAGE_PATH_UNSAFE, path=device, reason="the kernel's name led to another device than was checked")
