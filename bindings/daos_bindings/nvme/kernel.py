# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One controller, read through the kernel's own driver: nothing is unbound, no hugepage is needed.

In two halves, so that a worker can give up CAP_SYS_ADMIN, which sending needs, before it takes a drive's bytes apart.
"""

from __future__ import annotations

from msgspec import Struct

from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.nvme import admin, structures
from daos_bindings.nvme.admin import TIMEOUT_MS, AdminError, Handle
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme import ControllerRecord, HealthStats, NamespaceRecord


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
    identify = admin.read(handle, admin.identify_controller(), timeout_ms=timeout_ms)
    numbers = structures.active_namespaces(admin.read(handle, admin.active_namespaces(), timeout_ms=timeout_ms))
    namespaces = {number: admin.read(handle, admin.identify_namespace(number), timeout_ms=timeout_ms) for number in numbers}
    if not health:
        return Answers(identify, namespaces)
    log = _optional_log(handle, structures.HEALTH_LOG, structures.HEALTH_BYTES, timeout_ms)
    is_intel = int.from_bytes(identify[:2], "little") == structures.VENDOR_INTEL
    intel = _optional_log(handle, structures.INTEL_LOG, structures.INTEL_BYTES, timeout_ms) if is_intel and log else b""
    return Answers(identify, namespaces, log, intel or None)


def _optional_log(handle: Handle, log: int, length: int, timeout_ms: int) -> bytes:
    """Return a log page; empty if the controller has no such log, as some clouds' have none."""
    try:
        return admin.read(handle, admin.get_log(log, length), timeout_ms=timeout_ms)
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
