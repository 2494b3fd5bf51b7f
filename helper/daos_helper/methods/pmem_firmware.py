# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Firmware of persistent memory modules: which they run, and new one (storage facts A.3, C.6)."""

from __future__ import annotations

from msgspec import to_builtins
from msgspec.structs import replace

from daos_helper import image
from daos_helper.context import Context
from daos_helper.methods import pmem_machine as machine
from daos_helper.privileges import IPMCTL_FIRMWARE, IPMCTL_READ
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin.faults import Fault
from daos_pbin.pmem import FirmwareInfo, Module
from daos_pbin.pmem_messages import FirmwareModule, ScmFirmwareQuery, ScmFirmwareResult, ScmFirmwareUpdate
from daos_pbin.wire_fault import WireFault


def query(request: ScmFirmwareQuery, _context: Context) -> Work[ScmFirmwareResult]:
    """Tell which firmware the chosen modules have."""
    return (yield from _known(request, strict=False))


def update(request: ScmFirmwareUpdate, context: Context) -> Work[ScmFirmwareResult]:
    """Give the chosen modules new firmware, one after the other.

    :raises Fault: 211, 209, 2168 (one that was named is not there), 210 (none is chosen), 2105 (the image is not root's own).
    """
    with image.opened(request.path) as descriptor:
        known = yield from _known(request, strict=True)
        rows = []
        for place, row in enumerate(known.modules):
            if row.fault is None:
                context.log(f"{row.module.uid}: {request.path}, module {place + 1} of {len(known.modules)}")
                row = yield from _update(row, descriptor)
            rows.append(row)
    return ScmFirmwareResult(tuple(rows))


def _known(request: ScmFirmwareQuery | ScmFirmwareUpdate, *, strict: bool) -> Work[ScmFirmwareResult]:
    machine.before_ipmctl()

    def run(io: WorkerIO) -> Built:
        from daos_bindings.ipmctl import firmware, memory  # opens libipmctl: in the worker, after the drop

        modules = firmware.chosen(memory.modules(), request.uids, request.model, request.fw_rev, strict=strict)
        rows = []
        for module in modules:
            rows.append(_asked(module))
            io.progress(len(rows), len(modules), "modules", module.uid)
        return {"modules": to_builtins(rows)}

    return (yield from perform(Step(IPMCTL_READ, machine.SUBJECT, run=run), ScmFirmwareResult))


def _asked(module: Module) -> FirmwareModule:
    from daos_bindings.ipmctl import firmware

    try:
        return FirmwareModule(module, firmware.query(module.uid))
    except Fault as fault:
        return FirmwareModule(module, fault=WireFault.of(fault))


def _update(row: FirmwareModule, descriptor: int) -> Work[FirmwareModule]:
    machine.before_ipmctl()

    def run(_io: WorkerIO) -> Built:
        from daos_bindings.ipmctl import firmware  # opens libipmctl: in the worker, after the drop

        firmware.update(row.module.uid, f"/proc/self/fd/{descriptor}")
        return dict(to_builtins(firmware.query(row.module.uid)))

    try:
        info = yield from perform(Step(IPMCTL_FIRMWARE, row.module.uid, keep=(descriptor,), run=run), FirmwareInfo)
    except Fault as fault:
        if fault.code in machine.ENDS:
            raise
        return replace(row, fault=WireFault.of(fault))
    return replace(row, info=info, updated=True)
