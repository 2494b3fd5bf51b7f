# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One controller, read through the kernel's own driver: nothing is unbound, no hugepage is needed.  (``spdk.reading`` asks the same.)

In two halves, so that a worker can give up CAP_SYS_ADMIN, which sending needs, before it takes a drive's bytes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from msgspec import Struct

from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.nvme import admin, structures
from daos_bindings.nvme.admin import TIMEOUT_MS, AdminError, Command, Handle
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme import ControllerRecord, HealthStats, NamespaceRecord

T = TypeVar("T")
Asking = Generator[None, None, T]
"""Yields while a controller has not answered yet."""


class Answers(Struct, frozen=True):
    """What a controller answered, as it came.

    :param namespaces: Identify Namespace of each active one, by id.
    :param health: None if it was not asked for, empty if the controller has none.
    :param intel: Intel's own log; None if there is none.
    """

    identify: bytes
    namespaces: dict[int, bytes]
    health: bytes | None = None
    intel: bytes | None = None


def fetch(handle: Handle, *, health: bool = True, timeout_ms: int = TIMEOUT_MS) -> Answers:
    """Ask a controller for all that a scan reports.

    :param timeout_ms: of each command.
    :raises AdminError: if a command does not succeed that every controller must know.
    :raises MalformedError: if its list of namespaces cannot be.
    """

    def send(command: Command) -> Asking[bytes]:
        yield from ()  # the kernel waits for us
        return admin.read(handle, command, timeout_ms=timeout_ms)

    asking = ask(send, health=health)
    try:
        next(asking)
    except StopIteration as end:
        answers: Answers = end.value
        return answers
    raise RuntimeError("nothing here waits")


def ask(send: Callable[[Command], Asking[bytes]], *, health: bool) -> Asking[Answers]:
    """Ask a controller as ``fetch`` does, by whatever way.

    :param send: sends a command and returns the data that the controller answers with; yields while it waits for that.
    """
    identify = yield from send(admin.identify_controller())
    numbers = structures.active_namespaces((yield from send(admin.active_namespaces())))
    namespaces: dict[int, bytes] = {}
    for number in numbers:
        namespaces[number] = yield from send(admin.identify_namespace(number))
    if not health:
        return Answers(identify, namespaces)
    log = yield from _optional_log(send, structures.HEALTH_LOG, structures.HEALTH_BYTES)
    is_intel = int.from_bytes(identify[:2], "little") == structures.VENDOR_INTEL
    intel = (yield from _optional_log(send, structures.INTEL_LOG, structures.INTEL_BYTES)) if is_intel and log else b""
    return Answers(identify, namespaces, log, intel or None)


def _optional_log(send: Callable[[Command], Asking[bytes]], log: int, length: int) -> Asking[bytes]:
    """Return a log page; empty if the controller has no such log, as some clouds' have none."""
    try:
        return (yield from send(admin.get_log(log, length)))
    except AdminError as error:
        if error.unsupported:
            return b""
        raise


def decode(answers: Answers) -> ControllerRecord:
    """Make the record of what a controller answered.

    :raises MalformedError: if an answer cannot be.
    """
    controller = structures.identify_controller(answers.identify)
    sizes = {number: structures.identify_namespace(data).size_bytes for number, data in sorted(answers.namespaces.items())}
    health: HealthStats | None = None
    if answers.health is not None:
        health = structures.health(answers.health, answers.intel) if answers.health else HealthStats()
    return ControllerRecord(
        model=controller.model,
        serial=controller.serial,
        fw_rev=controller.firmware,
        vendor=controller.vendor,
        namespaces=tuple(NamespaceRecord(number, size) for number, size in sizes.items()),
        health_stats=health,
    )


def malformed(address: str, error: MalformedError) -> Fault:
    """Return the fault that an answer is which cannot be: 2126."""
    return Fault(codes.NVME_DATA_MALFORMED, object=address, address=address, command=error.path, reason=error.problem)
