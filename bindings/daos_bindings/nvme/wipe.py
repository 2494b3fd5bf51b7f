# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Wiping a namespace for DAOS through its block device: zeros over its first 4 KiB, past every cache, and read back."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Sequence
from typing import Final, Protocol

from daos_pbin import codes
from daos_pbin.faults import Fault

WIPED_BYTES: Final = 4096
"""What the reference wipes; a namespace with larger blocks loses its first block."""
OPEN_FLAGS: Final = os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_DSYNC | os.O_CLOEXEC
"""For the block device: exclusively, so that nobody mounts it meanwhile; without the page cache; down to the medium."""
BLKSSZGET: Final = 0x1268
"""include/uapi/linux/fs.h: size of a logical block."""


class Wiped(Protocol):
    """What came of one namespace, however it was wiped."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def done(self) -> bool:
        """Whether its beginning is zeros now."""

    @property
    def reason(self) -> str:
        """Why not."""


def fault(address: str, namespaces: Sequence[Wiped]) -> Fault | None:
    """Return the fault that a controller is not wiped as a whole (302); None if it is."""
    bad = [space for space in namespaces if not space.done]
    if namespaces and not bad:
        return None
    numbers = ", ".join(str(space.id) for space in bad)
    reason = f"namespaces [{numbers}] are not wiped (namespace {bad[0].id}: {bad[0].reason})" if bad else "it has no active namespace"
    return Fault(codes.BDEV_FORMAT_FAILURE, object=address, dev=address, err=reason)


def block_bytes(fd: int) -> int:
    """Return the size of a logical block of an open block device."""
    (size,) = struct.unpack("i", fcntl.ioctl(fd, BLKSSZGET, bytes(4)))
    return int(size)


def wipe(fd: int) -> int:
    """Write zeros over the beginning of a namespace, read them back, and return how many bytes that were.

    :param fd: its block device, opened with ``OPEN_FLAGS``.
    :raises OSError: if it cannot be written or read; ``EINVAL`` if its blocks are larger than what was looked at before;
        ``EIO`` if what is read is not what was written.
    """
    length = WIPED_BYTES
    if block_bytes(fd) > length:
        raise OSError(errno.EINVAL, f"its blocks have {block_bytes(fd)} bytes, and only {length} may be wiped")
    # Memory of its own pages: without the page cache the kernel takes only aligned addresses.
    with mmap.mmap(-1, length) as zeros, mmap.mmap(-1, length) as found:
        if os.pwrite(fd, zeros, 0) != length:
            raise OSError(errno.EIO, f"fewer than {length} bytes were written")
        os.fsync(fd)
        found[:] = b"\xff" * length
        if os.preadv(fd, [found], 0) != length or found[:] != bytes(length):
            raise OSError(errno.EIO, "zeros were written, and something else was read back")
    return length
