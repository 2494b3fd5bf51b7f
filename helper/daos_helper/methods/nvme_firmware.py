# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Firmware of controllers that the kernel's driver has: which they run, and new one (storage facts A.3, B.2)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from daos_bindings.linux.parallel import spread
from daos_bindings.linux.pci import PciFunction, Scan
from daos_bindings.nvme import firmware
from daos_bindings.nvme.admin import AdminError, Handle
from daos_bindings.nvme.structures import IdentifyController
from daos_helper import image
from daos_helper.context import Context
from daos_helper.methods import nvme_ask
from daos_helper.methods import nvme_machine as machine
from daos_helper.methods.nvme_ask import Known
from daos_helper.privileges import UPDATE_FIRMWARE
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import FirmwareController, NvmeFirmwareQuery, NvmeFirmwareResult, NvmeFirmwareUpdate, WireFault

UPDATE_S: Final = 600.0
"""Seconds that all controllers are given together."""


class Updated(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of controllers: place, what starts the new firmware, or the fault."""

    rows: Annotated[tuple[tuple[int, Annotated[str, Meta(max_length=64)], WireFault | None], ...], Meta(max_length=nvme_ask.BATCH)]


def query(request: NvmeFirmwareQuery, context: Context) -> Work[NvmeFirmwareResult]:
    """Tell which firmware the chosen controllers have."""
    rows = yield from _known(request, context)
    return NvmeFirmwareResult(tuple(row for _, _, row in rows))


def update(request: NvmeFirmwareUpdate, context: Context) -> Work[NvmeFirmwareResult]:
    """Give the chosen controllers new firmware.

    :raises Fault: 304 (one that was named is not there), 305, 306 (none is chosen), 2105 (the image is not root's own).
    """
    if len(set(request.devices)) != len(request.devices):
        raise Fault(codes.BDEV_DUPLICATES_IN_DEVICE_LIST)
    with image.opened(request.path) as descriptor:
        rows = yield from _known(request, context)
        absent = [row.address for _, function, row in rows if function is None]
        if absent:
            raise Fault(codes.BDEV_NOT_FOUND, variant="ssd", addresses=", ".join(absent))
        if not rows:
            raise Fault(codes.BDEV_NO_DEVICES_MATCH_FILTER)
        answers: list[FirmwareController] = []
        for start in range(0, len(rows), nvme_ask.BATCH):
            batch = [(known, function, row) for known, function, row in rows[start : start + nvme_ask.BATCH] if function is not None]
            answers += yield from _update(batch, descriptor, request.path)
    return NvmeFirmwareResult(tuple(answers))


Chosen = tuple[Known | None, PciFunction | None, FirmwareController]


def _known(request: NvmeFirmwareQuery | NvmeFirmwareUpdate, context: Context) -> Work[list[Chosen]]:
    """Return what is known of the controllers that the request is about; those of which too little is known to say are among them."""
    scan = machine.read()
    functions, absent = machine.chosen(scan, request.devices, vmd=False)
    refused = _refused(functions, scan, context) if isinstance(request, NvmeFirmwareUpdate) else {}
    functions = yield from machine.when_ready(functions)
    asked = [one for one in functions if one.driver == machine.KERNEL_DRIVER and one.kernel not in refused]
    known = yield from nvme_ask.ask(asked, context, health=False)
    rows: list[Chosen] = [(None, None, _failed(text, machine.missing(text, vmd=False))) for text in absent]
    for one in functions:
        said = known.get(one.kernel)
        address = str(one.address)
        if one.kernel in refused:
            rows.append((None, one, _failed(address, refused[one.kernel])))
        elif said is None:
            rows.append((None, one, _failed(address, _unreachable(one))))
        elif said.record is None or said.firmware is None:
            rows.append((said, one, FirmwareController(address, fault=said.fault)))
        elif _matches(request.model, said.record.model) and _matches(request.fw_rev, said.record.fw_rev):
            row = FirmwareController(address, said.record.model, said.record.fw_rev, updatable=said.firmware.can_update)
            rows.append((said, one, row))
    return rows


def _unreachable(function: PciFunction) -> Fault:
    """Return the fault that the kernel's driver does not have a controller: 2150.

    Not by way of SPDK: the new firmware wants a reset, which takes the drive from its engine anyway; the way back and forth is two
    commands; and no foreign library has to have an image in its hands as root.
    """
    reason = f"its firmware is reached through the kernel's driver only, and {function.driver or 'no driver'} has it"
    return machine.unusable(function, reason, "stop its engine, give it back with 'daos_server nvme reset', and prepare it again then")


def _refused(functions: Sequence[PciFunction], scan: Scan, context: Context) -> dict[str, Fault]:
    """Return why controllers get no new firmware, by the kernel's address: denied, or the system itself was started from them."""
    roots = machine.usage_table().roots
    found: dict[str, Fault] = {}
    for one in functions:
        try:
            machine.check_denied(one, scan, context)
        except Fault as denied:
            found[one.kernel] = denied
        spaces = one.controller.namespaces if one.controller is not None else ()
        if not roots.isdisjoint(space.name for space in spaces) and not machine.is_named(one, context):
            address = str(one.address)
            what = f"the running system was started from {address}, and firmware that fails would take it away"
            found.setdefault(one.kernel, context.file.refuse(what, context.file.device_line(context.policy, address), address))
    return found


def _matches(wanted: str, found: str) -> bool:
    return not wanted or wanted.casefold() == found.casefold()


def _failed(address: str, fault: Fault) -> FirmwareController:
    return FirmwareController(address, fault=WireFault.of(fault))


def _update(rows: Sequence[tuple[Known | None, PciFunction, FirmwareController]], image: int, path: str) -> Work[list[FirmwareController]]:
    size = os.fstat(image).st_size
    answers: dict[int, FirmwareController] = {}
    with ExitStack() as stack:
        handles: dict[int, Handle] = {}
        for place, (known, function, row) in enumerate(rows):
            answers[place] = row
            if row.fault is not None or known is None:
                continue
            try:
                problem = firmware.problem(_identify(known), size)
                if problem:
                    raise firmware.unusable(row.address, path, problem)
                handles[place] = nvme_ask.open_controller(function, stack)
            except Fault as fault:
                answers[place] = replace(row, fault=WireFault.of(fault))
        if handles:
            silent = {place: replace(answers[place], fault=WireFault.of(_silent(answers[place].address))) for place in handles}
            found = yield from _send(rows, handles, image, path)
            for place in handles:
                if place not in found:
                    answers[place] = silent[place]
                    continue
                needs, refused = found[place]
                answers[place] = replace(answers[place], updated=refused is None, needs=needs, fault=refused)
    return [answers[place] for place in sorted(answers)]


def _silent(address: str) -> Fault:
    reason = f"it did not finish within {UPDATE_S:.0f} seconds"
    return Fault(codes.NVME_COMMAND_FAILED, object=address, address=address, command="the firmware update", reason=reason)


def _identify(known: Known) -> IdentifyController:
    """Return as much of what a controller says about itself as the update goes by."""
    if known.firmware is None:
        raise RuntimeError("only controllers whose answers were understood are updated")
    said = known.firmware
    return IdentifyController(0, "", "", "", said.max_transfer_pages, said.can_update, said.granularity, 0)


def _send(
    rows: Sequence[tuple[Known | None, PciFunction, FirmwareController]], handles: dict[int, Handle], image: int, path: str
) -> Work[dict[int, tuple[str, WireFault | None]]]:
    places = sorted(handles)

    def run(io: WorkerIO) -> Built:
        content = os.pread(image, firmware.IMAGE_LIMIT, 0)
        results: list[tuple[int, str, object]] = []

        def one(number: int) -> tuple[str, Fault | None]:
            known, _, row = rows[places[number]]
            try:
                return (firmware.update(handles[places[number]], _identify(known), content), None) if known else ("", None)
            except AdminError as error:
                return "", firmware.not_updated(row.address, path, error)

        def done(number: int, result: tuple[str, Fault | None]) -> None:
            needs, fault = result
            results.append((places[number], needs, None if fault is None else fault.to_wire()))
            io.progress(len(results), len(places), "controllers", rows[places[number]][2].address)

        spread(len(places), one, threads=UPDATE_FIRMWARE.threads, seconds=UPDATE_S, done=done)
        return {"rows": results}

    keep = (image, *(descriptor for handle in handles.values() for descriptor in handle.descriptors))
    updated = yield from perform(Step(UPDATE_FIRMWARE, f"{len(handles)} NVMe controllers", keep=keep, run=run), Updated)
    return {place: (needs, fault) for place, needs, fault in updated.rows}
