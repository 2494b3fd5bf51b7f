# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is written on a block device or file: file systems, RAID and LVM members, swap, encryption, partition tables.

libblkid reads through the descriptor it is given, without its cache and without udev.  It parses whatever somebody wrote on
the device, so this module belongs only in a worker that drops its privileges.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from daos_bindings._blkid import ffi, lib
from daos_bindings.linux import kernelfiles

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 64
"""Most signatures that are listed; libblkid knows fewer kinds than twice that, and finds each at most once or twice."""

SPDK_MAGIC = b"SPDKBLOB"
"""First bytes of an SPDK blobstore (``SPDK_BS_SUPER_BLOCK_SIG``), which holds a DAOS engine's data and which libblkid ignores."""

USAGES = frozenset({"filesystem", "raid", "crypto"})


class Signature(msgspec.Struct, frozen=True):
    """One thing that a device looks like.

    :param type: libblkid's name, such as ``ext4``, ``swap``, ``LVM2_member``, ``linux_raid_member``, ``crypto_LUKS``, ``gpt``;
        also ``spdk_blobstore``.
    :param usage: ``filesystem``, ``raid``, ``crypto``, ``partition table`` or ``other`` (swap and the like).
    :param label: its label, printable; empty if it has none.
    :param uuid: its UUID; empty if it has none.
    :param offset: where its magic bytes are, in bytes from the start; -1 if unknown.
    """

    type: str
    usage: str
    label: str
    uuid: str
    offset: int


def probe(fd: int, *, offset: int = 0, size: int = 0) -> tuple[Signature, ...]:
    """List every signature on the device or regular file *fd*, which must be readable.  Empty means: nothing known is on it.

    All of them, where the device looks like several things at once, so that the caller decides on the whole truth.

    :param offset: where in a file what is to be probed begins.
    :param size: how many bytes that is; 0 for all.
    :raises OSError: if it cannot be read.
    """
    found = list(_blobstore(fd, offset))
    with _prober(fd, offset, size) as prober:
        while len(found) < LIMIT:
            rc = int(lib.blkid_do_probe(prober))
            if rc == 1:
                break
            if rc != 0:
                raise _error(f"signatures cannot be read (libblkid answers {rc})")
            signature = _current(prober)
            if signature is not None and signature not in found:
                found.append(signature)
    return tuple(found)


def _error(what: str) -> OSError:
    number = int(ffi.errno)
    return OSError(number, f"{what}: {os.strerror(number)}") if number else OSError(what)


@contextmanager
def _prober(fd: int, offset: int, size: int) -> Iterator[object]:
    """Set up a probe of a part of *fd* for everything that libblkid knows."""
    prober = lib.blkid_new_probe()
    if prober == ffi.NULL:
        raise MemoryError("libblkid has no memory for a probe")
    try:
        ffi.errno = 0
        superblocks = lib.BLKID_SUBLKS_LABEL | lib.BLKID_SUBLKS_UUID | lib.BLKID_SUBLKS_TYPE | lib.BLKID_SUBLKS_USAGE
        # A superblock with a wrong checksum is still somebody's data, and so is a GPT whose protective MBR is gone.
        superblocks |= lib.BLKID_SUBLKS_MAGIC | lib.BLKID_SUBLKS_BADCSUM
        tables = lib.BLKID_PARTS_MAGIC | lib.BLKID_PARTS_FORCE_GPT
        steps = (
            lib.blkid_probe_set_device(prober, fd, offset, size),
            lib.blkid_probe_enable_superblocks(prober, 1),
            lib.blkid_probe_set_superblocks_flags(prober, superblocks),
            lib.blkid_probe_enable_partitions(prober, 1),
            lib.blkid_probe_set_partitions_flags(prober, tables),
        )
        if any(steps):
            raise _error("signatures cannot be looked for")
        yield prober
    finally:
        lib.blkid_free_probe(prober)


def _current(prober: object) -> Signature | None:
    """Return what the last step found."""
    table = _value(prober, "PTTYPE")
    if table:
        return Signature(table, "partition table", "", _value(prober, "PTUUID"), _offset(_value(prober, "PTMAGIC_OFFSET")))
    kind = _value(prober, "TYPE")
    if not kind:
        return None
    usage = _value(prober, "USAGE")
    return Signature(
        kind,
        usage if usage in USAGES else "other",
        _value(prober, "LABEL"),
        _value(prober, "UUID"),
        _offset(_value(prober, "SBMAGIC_OFFSET")),
    )


def _offset(digits: str) -> int:
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else -1


def _value(prober: object, name: str) -> str:
    """Return one value of the last finding, printable; empty if it has none.  Its bytes are whatever is on the device."""
    data = ffi.new("const char **")
    length = ffi.new("size_t *")
    if lib.blkid_probe_lookup_value(prober, name.encode("ascii"), data, length) != 0 or data[0] == ffi.NULL:
        return ""
    # The length counts the terminating NUL of a text.
    return kernelfiles.printable(bytes(ffi.buffer(data[0], int(length[0]))).partition(b"\0")[0])


def _blobstore(fd: int, offset: int) -> Iterator[Signature]:
    if os.pread(fd, len(SPDK_MAGIC), offset) == SPDK_MAGIC:
        yield Signature("spdk_blobstore", "other", "", "", 0)
