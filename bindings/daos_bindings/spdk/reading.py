# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One controller, asked by way of SPDK for the same bytes as by way of the kernel (``nvme.kernel``), which decodes both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.nvme import kernel
from daos_bindings.nvme.admin import AdminError
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from daos_bindings.spdk.controllers import Controller
    from daos_bindings.spdk.tasks import Task
    from daos_pbin.nvme import ControllerRecord


def read(controller: Controller, address: str, *, health: bool) -> Task[ControllerRecord | Fault]:
    """Return the record of a controller, or the fault that there is none: 2124, 2125 or 2126."""
    try:
        return kernel.decode((yield from kernel.ask(controller.admin, health=health)))
    except AdminError as error:
        return error.fault(address)
    except MalformedError as error:
        return kernel.malformed(address, error)
