# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is on namespaces, by way of SPDK: both ends of each are copied into a memory file, for somebody without rights to look at.

A copy is as large as its namespace, with a hole in the middle, so that whoever probes it finds everything at its place.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from daos_bindings.nvme.admin import AdminError
from daos_bindings.spdk import namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_bindings.spdk.controllers import Controller
    from daos_bindings.spdk.namespaces import Queue
    from daos_bindings.spdk.tasks import Task

CHUNK: Final = 128 << 10
"""Bytes that are read at once."""
HEAD: Final = (4 << 20) + CHUNK
"""Bytes at the beginning: the furthest from there that libblkid looks for is the second header of LUKS 2, at 4 MiB."""
TAIL: Final = 2 << 20
"""Bytes at the end: the furthest from there is a RAID of Promise's, at 1.5 MiB."""
ALIGNMENT: Final = 1 << 20
"""Where copies begin in the file."""
KEPT_LIMIT: Final = 256 << 20
"""Bytes of memory that copies may occupy together; zeros are holes and occupy none."""


class ChangedError(Exception):
    """A namespace is not what its copy says any more."""

    def __str__(self) -> str:
        return "somebody changed it after it was looked at; nothing was written to it"


class Copied(Struct, frozen=True):
    """The copy of one namespace.

    :param size: bytes.
    :param offset: where it is in the file.
    :param reason: why there is none; empty if there is.
    """

    id: int
    size: int
    offset: int = 0
    reason: str = ""


class Copies:
    """The memory file that copies go into, behind those that are there already."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._end = os.fstat(file).st_size
        self._left = KEPT_LIMIT

    def begin(self, size: int) -> int:
        """Make room for a namespace; return where.

        :raises OSError: if a file cannot be that large (RLIMIT_FSIZE).
        """
        offset = self._end
        end = offset + max(-(-size // ALIGNMENT), 1) * ALIGNMENT
        os.ftruncate(self._file, end)
        self._end = end
        return offset

    def put(self, offset: int, data: bytes) -> None:
        """Write a part of a copy.

        :raises OSError: if there is too much already.
        """
        if not data.strip(b"\0"):
            return
        self._left -= len(data)
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.pwrite(self._file, data, offset)

    def is_still(self, offset: int, data: bytes) -> bool:
        """Tell whether that is what was copied."""
        return os.pread(self._file, len(data), offset) == data


def copy(controller: Controller, copies: Copies) -> Task[tuple[Copied, ...]]:
    """Copy both ends of every active namespace, by id."""
    results: list[Copied] = []
    with namespaces.queue_of(controller) as queue:
        for number, namespace in namespaces.active(controller):
            size = namespaces.size_of(namespace)
            try:
                offset = copies.begin(size)
                for blocks in _ends(namespace):
                    place, data = yield from _read(namespace, queue, blocks)
                    copies.put(offset + place, data)
                results.append(Copied(number, size, offset))
            except AdminError as error:
                results.append(Copied(number, size, reason=str(error)))
            except OSError as error:
                results.append(Copied(number, size, reason=f"its copy cannot be kept: {error.strerror}"))
    return tuple(results)


def check_unchanged(namespace: object, queue: Queue, copies: Copies, copied: Copied) -> Task[None]:
    """Compare both ends of a namespace with their copy.

    :raises ChangedError: if they differ.
    :raises AdminError: if they cannot be read.
    """
    if namespaces.size_of(namespace) != copied.size:
        raise ChangedError
    for blocks in _ends(namespace):
        place, data = yield from _read(namespace, queue, blocks)
        if not copies.is_still(copied.offset + place, data):
            raise ChangedError


def _ends(namespace: object) -> Iterator[range]:
    """Yield the blocks at both ends, as many at a time as are read at once."""
    block, _ = namespaces.block_of("Read", namespace)
    count = namespaces.size_of(namespace) // block
    step = max(CHUNK // block, 1)
    head = min(-(-HEAD // block), count)
    tail = max(count - -(-TAIL // block), head)
    for part in (range(head), range(tail, count)):
        for start in range(part.start, part.stop, step):
            yield range(start, min(start + step, part.stop))


def _read(namespace: object, queue: Queue, blocks: range) -> Task[tuple[int, bytes]]:
    """Return where blocks begin in their namespace, in bytes, and what is in them, without metadata."""
    block, wire = namespaces.block_of("Read", namespace)
    data = yield from namespaces.read(namespace, queue, blocks, bytes(len(blocks) * wire))
    if wire != block:
        data = b"".join(data[start : start + block] for start in range(0, len(data), wire))
    return blocks.start * block, data
