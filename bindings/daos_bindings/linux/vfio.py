# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The device node of an IOMMU group: who owns it, may drive the devices in it."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from daos_bindings.linux import kernelfiles, syscalls
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICES: Final = "/dev/vfio"
CLASS: Final = "/sys/class/vfio"
MODE: Final = 0o600
"""For its owner alone."""


def node_path(group: int) -> str:
    """Return the path of the group's node."""
    return f"{DEVICES}/{group}"


@contextmanager
def opened(group: int, *, devices: str = DEVICES, sysfs_class: str = CLASS) -> Iterator[int]:
    """Get hold of the group's node without opening the device, which only one process at a time may do.

    The kernel makes the node before the bind returns, so there is nothing to wait for.

    :raises Fault: 2105 if the node is missing, a link, or not the device of that group.
    :raises OSError: if it cannot be reached for another reason.
    """
    path = f"{devices}/{group}"
    try:
        number = kernelfiles.text(f"{sysfs_class}/{group}/dev")
        descriptor = syscalls.openat2(-100, path, os.O_PATH | os.O_NOFOLLOW, resolve=syscalls.RESOLVE_NO_SYMLINKS)
    except FileNotFoundError as error:
        raise _unsafe(path, "the kernel shows no such group: is one of its devices bound to vfio-pci?") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISCHR(found.st_mode) or f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" != number:
            raise _unsafe(path, f"it should be the character device {number}")
        yield descriptor
    finally:
        os.close(descriptor)


def give(descriptor: int, uid: int, gid: int) -> bool:
    """Make the node that of *uid*, for it alone; return whether that changed anything.

    :param descriptor: of ``opened``.
    :raises OSError: without CAP_CHOWN, unless nothing is to be done.
    """
    found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (uid, gid, MODE):
        return False
    place = f"/proc/self/fd/{descriptor}"  # chmod(2) and chown(2) refuse a descriptor that only stands for a place
    if found.st_uid != os.geteuid():
        os.chown(place, os.geteuid(), -1)  # to change the mode of what is another's would need CAP_FOWNER
    os.chmod(place, MODE)
    os.chown(place, uid, gid)
    return True


def _unsafe(path: str, reason: str) -> Fault:
    return Fault(codes.STORAGE_PATH_UNSAFE, object=path, path=path, reason=reason)
