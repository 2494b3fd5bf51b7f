# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Wiping a controller for DAOS by way of SPDK: zeros over the first 4 KiB of every namespace, down to the medium, and read back."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from msgspec import Struct

from daos_bindings.nvme.admin import TIMEOUT_MS, AdminError
from daos_bindings.nvme.wipe import WIPED_BYTES
from daos_bindings.spdk.raw import CData, ffi, lib
from daos_bindings.spdk.tasks import transfer

if TYPE_CHECKING:
    from daos_bindings.spdk.controllers import Controller
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


def wipe(controller: Controller) -> Task[tuple[WipedNamespace, ...]]:
    """Wipe the active namespaces by id, up to the first that fails: a drive in trouble is left alone."""
    results: list[WipedNamespace] = []
    queue: object = ffi.NULL
    try:
        for number, namespace in _active(controller):
            size = int(lib.spdk_nvme_ns_get_size(namespace))
            if results and not results[-1].done:
                failed = next(result.id for result in results if not result.done)
                results.append(WipedNamespace(number, size, False, f"not tried, because namespace {failed} failed"))
                continue
            if not queue:
                queue = lib.spdk_nvme_ctrlr_alloc_io_qpair(controller.pointer, ffi.NULL, 0)
            try:
                yield from _wipe_one(namespace, queue)
                results.append(WipedNamespace(number, size, True))
            except AdminError as error:
                results.append(WipedNamespace(number, size, False, str(error)))
    finally:
        if queue:
            lib.spdk_nvme_ctrlr_free_io_qpair(queue)
    return tuple(results)


def _active(controller: Controller) -> list[tuple[int, object]]:
    """Return id and handle of the active namespaces, each once, whatever order SPDK lists them in."""
    found: dict[int, object] = {}
    number = int(lib.spdk_nvme_ctrlr_get_first_active_ns(controller.pointer))
    while number and number not in found:
        found[number] = lib.spdk_nvme_ctrlr_get_ns(controller.pointer, number)
        number = int(lib.spdk_nvme_ctrlr_get_next_active_ns(controller.pointer, number))
    return sorted(found.items())


def _wipe_one(namespace: object, queue: object) -> Task[None]:
    if not queue:
        raise AdminError("Create I/O queue", number=errno.ENOMEM)
    block = int(lib.spdk_nvme_ns_get_sector_size(namespace)) if namespace else 0
    if not block:
        raise AdminError("Write", number=errno.ENXIO)
    count = max(WIPED_BYTES // block, 1)
    # A block on the wire may have metadata behind its data.
    length = count * int(lib.spdk_nvme_ns_get_extended_sector_size(namespace))
    unit_access = lib.SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS  # past the drive's own cache
    yield from _io("Write", lib.spdk_nvme_ns_cmd_write, namespace, queue, (count, unit_access), bytes(length))
    found = yield from _io("Read", lib.spdk_nvme_ns_cmd_read, namespace, queue, (count, unit_access), FILL * length)
    if any(found):
        raise AdminError("Compare", number=errno.EIO)


def _io(name: str, call: CData, namespace: object, queue: object, how: tuple[int, int], data: bytes) -> Task[bytes]:
    count, flags = how

    def send(memory: object, context: object) -> int:
        return int(call(namespace, queue, memory, 0, count, lib.daos_spdk_completed, context, flags))

    def poll() -> int:
        return int(lib.spdk_nvme_qpair_process_completions(queue, 0))

    return transfer(name, send, poll, len(data), data, timeout_s=TIMEOUT_MS / 1000)
