# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Wiping a controller for DAOS by way of SPDK: zeros over the first 4 KiB of every namespace, down to the medium, and read back."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from msgspec import Struct

from daos_bindings.nvme.admin import AdminError
from daos_bindings.nvme.wipe import WIPED_BYTES
from daos_bindings.spdk import looking, namespaces
from daos_bindings.spdk.looking import ChangedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daos_bindings.spdk.controllers import Controller
    from daos_bindings.spdk.looking import Copied, Copies
    from daos_bindings.spdk.namespaces import Queue
    from daos_bindings.spdk.tasks import Task

FILL = b"\xff"
"""In the memory that is read into, so that a drive that reads nothing is found out."""


class WipedNamespace(Struct, frozen=True):
    """What came of one namespace.

    :param size: bytes.
    :param done: whether its first 4 KiB (one block, if blocks are larger) are zeros now.
    :param reason: why not; empty if they are.
    """

    id: int
    size: int
    done: bool
    reason: str = ""


def wipe(controller: Controller, copies: Copies | None = None, copied: Sequence[Copied] = ()) -> Task[tuple[WipedNamespace, ...]]:
    """Wipe the active namespaces by id, up to the first that fails: a drive in trouble is left alone.

    :param copies: what was looked at before it was decided that they may be wiped.  None for nothing.
    :param copied: of this controller; one that changed since is not wiped, and none that was not there.
    """
    looked = {one.id: one for one in copied}
    results: list[WipedNamespace] = []
    with namespaces.queue_of(controller) as queue:
        for number, namespace in namespaces.active(controller):
            size = namespaces.size_of(namespace)
            if results and not results[-1].done:
                failed = next(result.id for result in results if not result.done)
                results.append(WipedNamespace(number, size, False, f"not tried, because namespace {failed} failed"))
                continue
            try:
                if copies is not None:
                    yield from _compare(namespace, queue, copies, looked.get(number))
                yield from _wipe_one(namespace, queue)
                results.append(WipedNamespace(number, size, True))
            except (AdminError, ChangedError) as error:
                results.append(WipedNamespace(number, size, False, str(error)))
    return tuple(results)


def _compare(namespace: object, queue: Queue, copies: Copies, copied: Copied | None) -> Task[None]:
    if copied is None:
        raise ChangedError
    if not copied.reason:
        yield from looking.check_unchanged(namespace, queue, copies, copied)


def _wipe_one(namespace: object, queue: Queue) -> Task[None]:
    queue.need()
    block, wire = namespaces.block_of("Write", namespace)
    if block > WIPED_BYTES:
        raise AdminError("Write", number=errno.EINVAL)  # more would be wiped than was looked at
    blocks = range(WIPED_BYTES // block)
    length = len(blocks) * wire
    yield from namespaces.write(namespace, queue, blocks, bytes(length))
    if any((yield from namespaces.read(namespace, queue, blocks, FILL * length))):
        raise AdminError("Compare", number=errno.EIO)
