# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Descriptors in sysfs, for those who write there: never through a link, never out of it, never of another file system."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daos_bindings.linux import mounts, syscalls
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY = "/sys"
BELOW = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV


@contextmanager
def opened(path: str = DIRECTORY) -> Iterator[int]:
    """Open the root of sysfs.

    :raises Fault: 2105 if what is mounted there is not sysfs.
    :raises OSError: if it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def _check(descriptor: int, path: str) -> None:
    """Compare the descriptor with the mount list: Python's ``fstatvfs`` does not tell the kind of a file system."""
    found = syscalls.statx_mount(descriptor)
    mount = next((mount for mount in mounts.read() if mount.mount_id == found.mount_id), None)
    if mount is None or mount.fs_type != "sysfs" or mount.root != "/" or not found.is_mount_root:
        raise Fault(codes.STORAGE_PATH_UNSAFE, object=path, path=path, reason="sysfs should be mounted there, and is not")


def opened_below(directory: int, path: str, flags: int) -> int:
    """Open *path*, which has no links in it, below the descriptor of a folder.

    :raises OSError: as ``openat2`` does: ``ELOOP`` for a link, ``EXDEV`` for another file system.
    """
    return syscalls.openat2(directory, path, flags, resolve=BELOW)


def opened_link(root: int, path: str, flags: int) -> int:
    """Open what the link *path* leads to: the lists of sysfs are links into ``devices``.

    :param root: descriptor of sysfs; the link must not lead out of it.
    :raises OSError: as ``openat2`` does.
    """
    parent = opened_below(root, os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        target = os.readlink(os.path.basename(path), dir_fd=parent)
    finally:
        os.close(parent)
    return opened_below(root, os.path.normpath(f"{os.path.dirname(path)}/{target}"), flags)
