# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The rows of the dispatch table that are about NVMe controllers; loaded with the first request for one of them."""

from __future__ import annotations

from typing import Final

from daos_helper.context import Context
from daos_helper.methods import bdev, nvme_bind, nvme_firmware, nvme_format, nvme_restore, nvme_scan
from daos_helper.methods import nvme_machine as machine
from daos_helper.methods.table import Method, method
from daos_helper.paths import components
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import BdevBind, BdevFormat, BdevRestore, BdevScan, NvmeFirmwareQuery, NvmeFirmwareUpdate

NAMED: Final = 30
"""Addresses that a line of the audit trail has room for."""


def _need_devices(request: BdevBind | BdevFormat, *, otherwise: bool) -> None:
    if not (request.devices or otherwise):
        name = type(request).__name__
        raise Fault(codes.HELPER_MESSAGE_INVALID, object=name, method=name, reason="it names no device")


def _authorise_bind(request: BdevBind, context: Context) -> None:
    _need_devices(request, otherwise=request.all_devices)
    bdev.target_uid(request.target_user, context)


def _resources(devices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the locks of controllers, or of all, with the VMDs that they are behind and everything else behind those."""
    scan = machine.read()
    if not devices:
        return machine.resources((*scan.controllers, *scan.vmds))
    found = [function for text in devices if (function := scan.find(text)) is not None]
    vmds = [vmd for one in found if (vmd := one if one.is_vmd else scan.find(one.vmd) if one.vmd else None) is not None]
    return machine.resources((*found, *vmds, *(one for vmd in vmds for one in scan.behind(vmd))))


def _subject(devices: tuple[str, ...]) -> str:
    """Return what a request is about, for the audit trail: which ones, as far as a line has room."""
    if not devices:
        return "all NVMe controllers"
    more = f" and {len(devices) - NAMED} more" if len(devices) > NAMED else ""
    return " ".join(devices[:NAMED]) + more


TABLE: Final[dict[str, Method]] = {
    row.request.__name__: row
    for row in (
        method(
            BdevBind,
            authorise=_authorise_bind,
            resources=lambda request: _resources(() if request.all_devices else request.devices),
            changes=True,
            subject=lambda request: _subject(() if request.all_devices else request.devices),
            work=nvme_bind.bind,
        ),
        method(
            BdevRestore,
            authorise=lambda _request, _context: None,
            resources=lambda request: _resources(request.devices),
            changes=True,
            subject=lambda request: _subject(request.devices),
            work=nvme_restore.restore,
        ),
        method(
            BdevScan,
            authorise=lambda _request, _context: None,
            resources=lambda _request: (),
            changes=False,
            subject=lambda request: _subject(request.devices),
            work=nvme_scan.scan,
        ),
        method(
            BdevFormat,
            authorise=lambda request, _context: _need_devices(request, otherwise=False),
            resources=lambda request: _resources(request.devices),
            changes=True,
            subject=lambda request: _subject(request.devices),
            work=nvme_format.format_controllers,
        ),
        method(
            NvmeFirmwareQuery,
            authorise=lambda _request, _context: None,  # off by default: see policy.OFF_BY_DEFAULT
            resources=lambda _request: (),
            changes=False,
            subject=lambda request: _subject(request.devices),
            work=nvme_firmware.query,
        ),
        method(
            NvmeFirmwareUpdate,
            authorise=lambda request, _context: components(request.path),
            resources=lambda request: _resources(request.devices),
            changes=True,
            subject=lambda request: f"{request.path} for {_subject(request.devices)}",
            work=nvme_firmware.update,
        ),
    )
}
"""All methods of ``NVME_METHODS``, by name."""
