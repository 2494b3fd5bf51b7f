# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which file system a path is on, and whether control metadata may live there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_bindings.linux import kernelfiles, mounts
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from daos_bindings.linux.mounts import Mount

OURS = frozenset({"tmpfs", "ext4"})
"""What the helper mounts, always nosuid."""


def mount_id(descriptor: int) -> int:
    """Return the number of the mount that an open file is on; it tells bind mounts of one file system apart."""
    for line in kernelfiles.read(f"/proc/self/fdinfo/{descriptor}").splitlines():
        key, _, value = line.partition(b":")
        if key == b"mnt_id":
            return int(value)
    raise OSError(f"/proc/self/fdinfo/{descriptor} has no mnt_id")


def existing_ancestor(path: str) -> str:
    """Return the nearest existing directory at or above a path, free of symbolic links."""
    here = os.path.realpath(path)
    while not os.path.isdir(here) and here != "/":
        here = os.path.dirname(here)
    return here


def check_metadata_file_system(path: str, table: tuple[Mount, ...] | None = None) -> None:
    """Refuse a directory for control metadata that is not on a local file system which honours set-user-ID programs.

    A nosuid mount of ours is fine: the helper mounts everything so.

    :param path: need not exist: the nearest folder above it that does is looked at.
    :param table: the mounts; read if left out.
    :raises Fault: 1001.
    """
    mount = mounts.containing(mounts.read() if table is None else table, existing_ancestor(path))
    if mount is None:
        return
    if mount.fs_type in mounts.NETWORK_FILE_SYSTEMS:
        raise Fault(codes.CONTROL_METADATA_BAD_FILESYSTEM, object=path, variant="plain", fs=mount.fs_type)
    if "nosuid" in mount.options and not _is_ours(mount):
        raise Fault(codes.CONTROL_METADATA_BAD_FILESYSTEM, object=path, variant="nosuid", fs=mount.fs_type)


def _is_ours(mount: Mount) -> bool:
    try:
        owner = os.stat(mount.mount_point, follow_symlinks=False).st_uid
    except OSError:
        return False
    return mount.fs_type in OURS and owner == os.geteuid()
