# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The namespaces of an attached controller, and blocks of them read and written."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daos_bindings.nvme.admin import TIMEOUT_MS, AdminError
from daos_bindings.spdk.raw import CData, ffi, lib
from daos_bindings.spdk.tasks import transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_bindings.spdk.controllers import Controller
    from daos_bindings.spdk.tasks import Task


class Queue:
    """A controller's queue for reads and writes, made when it is first needed."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.pointer: object = ffi.NULL

    def need(self) -> object:
        """Return SPDK's own queue.

        :raises AdminError: if the controller has none left.
        """
        if not self.pointer:
            self.pointer = lib.spdk_nvme_ctrlr_alloc_io_qpair(self._controller.pointer, ffi.NULL, 0)
        if not self.pointer:
            raise AdminError("Create I/O queue", number=errno.ENOMEM)
        return self.pointer


@contextmanager
def queue_of(controller: Controller) -> Iterator[Queue]:
    """Yield a controller's queue, and give it back."""
    queue = Queue(controller)
    try:
        yield queue
    finally:
        if queue.pointer:
            lib.spdk_nvme_ctrlr_free_io_qpair(queue.pointer)


def active(controller: Controller) -> list[tuple[int, object]]:
    """Return id and handle of the active namespaces, each once, whatever order SPDK lists them in."""
    found: dict[int, object] = {}
    number = int(lib.spdk_nvme_ctrlr_get_first_active_ns(controller.pointer))
    while number and number not in found:
        found[number] = lib.spdk_nvme_ctrlr_get_ns(controller.pointer, number)
        number = int(lib.spdk_nvme_ctrlr_get_next_active_ns(controller.pointer, number))
    return sorted(found.items())


def size_of(namespace: object) -> int:
    """Return the size of a namespace in bytes."""
    return int(lib.spdk_nvme_ns_get_size(namespace))


def block_of(name: str, namespace: object) -> tuple[int, int]:
    """Return how many bytes a block has, and how many on the wire, where it may have metadata behind its data.

    :param name: of the command that wants to know.
    :raises AdminError: if the namespace is gone.
    """
    block = int(lib.spdk_nvme_ns_get_sector_size(namespace)) if namespace else 0
    if not block:
        raise AdminError(name, number=errno.ENXIO)
    return block, int(lib.spdk_nvme_ns_get_extended_sector_size(namespace))


def write(namespace: object, queue: Queue, blocks: range, data: bytes) -> Task[bytes]:
    """Write blocks, down to the medium; *data* is as on the wire."""
    return _io("Write", lib.spdk_nvme_ns_cmd_write, namespace, queue, blocks, data)


def read(namespace: object, queue: Queue, blocks: range, before: bytes) -> Task[bytes]:
    """Read blocks, from the medium, as on the wire, into memory that *before* was in."""
    return _io("Read", lib.spdk_nvme_ns_cmd_read, namespace, queue, blocks, before)


def _io(name: str, call: CData, namespace: object, queue: Queue, blocks: range, data: bytes) -> Task[bytes]:
    pointer = queue.need()
    unit_access = lib.SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS  # past the drive's own cache

    def send(memory: object, context: object) -> int:
        return int(call(namespace, pointer, memory, blocks.start, len(blocks), lib.daos_spdk_completed, context, unit_access))

    def poll() -> int:
        return int(lib.spdk_nvme_qpair_process_completions(pointer, 0))

    return transfer(name, send, poll, len(data), data, timeout_s=TIMEOUT_MS / 1000)
