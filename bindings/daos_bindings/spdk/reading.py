# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One controller, asked by way of SPDK for the same bytes as by way of the kernel (``nvme.kernel``), which decodes both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.nvme import admin, kernel, structures
from daos_bindings.nvme.admin import AdminError
from daos_bindings.nvme.kernel import Answers
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from daos_bindings.spdk.controllers import Controller
    from daos_bindings.spdk.tasks import Task
    from daos_pbin.nvme import ControllerRecord


def read(controller: Controller, address: str, *, health: bool) -> Task[ControllerRecord | Fault]:
    """Return the record of a controller, or the fault that there is none: 2124, 2125 or 2126."""
    try:
        return kernel.decode((yield from _fetch(controller, health=health)))
    except AdminError as error:
        return error.fault(address)
    except MalformedError as error:
        return kernel.malformed(address, error)


def _fetch(controller: Controller, *, health: bool) -> Task[Answers]:
    identify = yield from controller.admin(admin.identify_controller())
    numbers = structures.active_namespaces((yield from controller.admin(admin.active_namespaces())))
    namespaces: dict[int, bytes] = {}
    for number in numbers:
        namespaces[number] = yield from controller.admin(admin.identify_namespace(number))
    if not health:
        return Answers(identify, namespaces)
    log = yield from _optional_log(controller, structures.HEALTH_LOG, structures.HEALTH_BYTES)
    is_intel = int.from_bytes(identify[:2], "little") == structures.VENDOR_INTEL
    intel = (yield from _optional_log(controller, structures.INTEL_LOG, structures.INTEL_BYTES)) if is_intel and log else b""
    return Answers(identify, namespaces, log, intel or None)


def _optional_log(controller: Controller, log: int, length: int) -> Task[bytes]:
    """Return a log page; empty if the controller has no such log."""
    try:
        return (yield from controller.admin(admin.get_log(log, length)))
    except AdminError as error:
        if error.unsupported:
            return b""
        raise
