# SPDX-License-Identifier: BSD-2-Clause-Patent
"""New firmware for a controller by way of SPDK, with the commands of ``nvme.firmware``: active after its next reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.nvme import admin, firmware, kernel, structures
from daos_bindings.nvme.admin import AdminError
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from daos_bindings.nvme.firmware import Needs
    from daos_bindings.spdk.controllers import Controller
    from daos_bindings.spdk.tasks import Task


def update(controller: Controller, address: str, image: bytes, path: str) -> Task[Needs | Fault]:
    """Return what starts the new firmware, or why the drive goes on with the firmware that it has: 2124 to 2127.

    :param path: of the image, for messages.
    """
    try:
        identify = structures.identify_controller((yield from controller.admin(admin.identify_controller())))
        problem = firmware.problem(identify, len(image))
        if problem:
            return firmware.unusable(address, path, problem)
        for command, piece in firmware.downloads(image, firmware.piece_bytes(identify)):
            yield from controller.admin(command, piece)
        return (yield from _commit(controller))
    except AdminError as error:
        return firmware.not_updated(address, path, error)
    except MalformedError as error:
        return kernel.malformed(address, error)


def _commit(controller: Controller) -> Task[Needs]:
    try:
        yield from controller.admin(firmware.commit(), timeout_ms=firmware.COMMIT_TIMEOUT_MS)
    except AdminError as error:
        needs = firmware.RESETS.get(error.status)
        if needs is None:
            raise
        return needs
    return "reset"
