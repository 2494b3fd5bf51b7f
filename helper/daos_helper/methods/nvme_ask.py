# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What controllers say about themselves, by way of the kernel's driver: asked by one worker, taken apart by another.

The one that may ask has CAP_SYS_ADMIN and understands nothing; the one that understands has nothing.  Between them is a file
in memory that the monitor never reads.  What is in it counts even if the first worker hangs, crashes, or is killed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Final

from msgspec import DecodeError, Meta, Struct, to_builtins
from msgspec.msgpack import Decoder, encode

from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.linux.parallel import FEW, spread
from daos_bindings.linux.pci import PciFunction
from daos_bindings.nvme import admin, kernel, structures
from daos_bindings.nvme.admin import AdminError, Handle
from daos_helper.context import Context
from daos_helper.methods import nvme_machine as machine
from daos_helper.privileges import ASK_CONTROLLER, READ_ANSWERS
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Result
from daos_pbin.nvme import ControllerRecord
from daos_pbin.nvme_messages import WireFault

BATCH: Final = 64
"""Controllers that are asked at the same time: a process has so many descriptors."""
ASK_S: Final = 20.0
"""Seconds that all of them are given together; each command has a bound of its own."""
LENGTH: Final = 4
"""Bytes of a length in the file between the two workers."""
LIMIT: Final = 8 << 20
"""Bytes of the answers of one controller that are read: more than a thousand namespaces make."""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """What one controller answered, as it came: the same type at both ends of the file."""

    place: int
    answers: kernel.Answers | None = None
    fault: WireFault | None = None


class Firmware(Struct, frozen=True, forbid_unknown_fields=True):
    """What a controller says about taking new firmware: fields of ``IdentifyController``."""

    can_update: bool
    max_transfer_pages: Annotated[int, Meta(ge=0, le=1 << 20)]
    granularity: Annotated[int, Meta(ge=0, le=255)]


class Known(Struct, frozen=True, forbid_unknown_fields=True):
    """What one controller says about itself, or why that is not known."""

    place: Annotated[int, Meta(ge=0, lt=BATCH)]
    record: ControllerRecord | None = None
    firmware: Firmware | None = None
    fault: WireFault | None = None


class AllKnown(Result, frozen=True, forbid_unknown_fields=True):
    """What several controllers say."""

    rows: Annotated[tuple[Known, ...], Meta(max_length=BATCH)]


def ask(functions: Sequence[PciFunction], context: Context, *, health: bool) -> Work[dict[str, Known]]:
    """Ask controllers that the kernel's driver has; return what is known of each, by the kernel's address."""
    found: dict[str, Known] = {}
    for start in range(0, len(functions), BATCH):
        batch = functions[start : start + BATCH]
        rows = yield from _ask(batch, context, health=health)
        found |= {function.kernel: rows[place] for place, function in enumerate(batch)}
    return found


def _ask(functions: Sequence[PciFunction], context: Context, *, health: bool) -> Work[dict[int, Known]]:
    rows: dict[int, Known] = {}
    with ExitStack() as stack:
        file = os.memfd_create("answers", os.MFD_CLOEXEC)
        stack.callback(os.close, file)
        handles: dict[int, Handle] = {}
        for place, function in enumerate(functions):
            try:
                handles[place] = open_controller(function, stack)
            except Fault as fault:
                rows[place] = Known(place, fault=WireFault.of(fault))
        if handles:
            ended = yield from _fetch(handles, functions, file, context, health=health)
            for known in (yield from _read(functions, file)).rows:
                rows.setdefault(known.place, known)
            for place in handles:
                rows.setdefault(place, Known(place, fault=WireFault.of(ended or _silent(functions[place]))))
    return rows


def open_controller(function: PciFunction, stack: ExitStack) -> Handle:
    """Open a controller for commands, until the stack is left.

    :raises Fault: 2124 (gone), 2150 (not ready), 2105 (its node is something else).
    """
    if function.controller is None:
        raise _not_ready(function, "the kernel has not taken it over")
    try:
        return stack.enter_context(admin.opened(function.controller))
    except AdminError as error:
        raise error.fault(str(function.address)) from error
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise _not_ready(function, f"the kernel says that it is {function.controller.state or 'going away'}") from error
        raise _not_ready(function, os.strerror(error.errno or 0)) from error


def _not_ready(function: PciFunction, reason: str) -> Fault:
    return machine.unusable(function, f"it is not ready: {reason}", "wait, or look at 'dmesg' for what the kernel has against the drive")


def _silent(function: PciFunction) -> Fault:
    address = str(function.address)
    reason = f"it did not answer within {ASK_S:.0f} seconds"
    return Fault(codes.NVME_COMMAND_FAILED, object=address, address=address, command="what it was asked", reason=reason)


def _fetch(
    handles: dict[int, Handle], functions: Sequence[PciFunction], file: int, context: Context, *, health: bool
) -> Work[Fault | None]:
    """Let a worker ask; return how it ended, if that was badly."""
    places = sorted(handles)

    def run(io: WorkerIO) -> Built:
        answered = 0

        def one(number: int) -> Asked:
            place = places[number]
            try:
                return Asked(place, kernel.fetch(handles[place], health=health))
            except AdminError as error:
                return Asked(place, fault=WireFault.of(error.fault(str(functions[place].address))))
            except MalformedError as error:
                return Asked(place, fault=WireFault.of(kernel.malformed(str(functions[place].address), error)))

        def done(number: int, asked: Asked) -> None:
            nonlocal answered
            data = encode(asked)
            os.write(file, len(data).to_bytes(LENGTH, "little") + data)
            answered += 1
            io.progress(answered, len(places), "controllers", str(functions[places[number]].address))

        spread(len(places), one, threads=ASK_CONTROLLER.threads, seconds=ASK_S, done=done, first=FEW)
        return {}

    keep = (file, *(descriptor for handle in handles.values() for descriptor in handle.descriptors))
    try:
        yield from perform(Step(ASK_CONTROLLER, f"{len(handles)} NVMe controllers", keep=keep, run=run), machine.Nothing)
    except Fault as fault:
        if fault.code == codes.HELPER_CANCELLED:
            raise
        context.log(f"not every controller was asked: {fault}")
        return fault
    return None


def _read(functions: Sequence[PciFunction], file: int) -> Work[AllKnown]:
    """Let another worker take apart what is in the file."""

    def run(_io: WorkerIO) -> Built:
        return {"rows": [to_builtins(_understand(asked, str(functions[asked.place].address))) for asked in _parts(file, len(functions))]}

    return (yield from perform(Step(READ_ANSWERS, f"{len(functions)} NVMe controllers", keep=(file,), run=run), AllKnown))


def _parts(file: int, count: int) -> list[Asked]:
    """Read the file up to its end, or to where a killed worker stopped writing."""
    decoder = Decoder(Asked)
    found: dict[int, Asked] = {}
    offset = 0
    while len(head := os.pread(file, LENGTH, offset)) == LENGTH:
        length = int.from_bytes(head, "little")
        data = os.pread(file, min(length, LIMIT), offset + LENGTH)
        if len(data) != length:
            break
        try:
            asked = decoder.decode(data)
        except DecodeError:
            break
        if 0 <= asked.place < count:
            found[asked.place] = asked
        offset += LENGTH + length
    return list(found.values())


def _understand(asked: Asked, address: str) -> Known:
    if asked.answers is None:
        return Known(asked.place, fault=asked.fault)
    try:
        identify = structures.identify_controller(asked.answers.identify)
        record = kernel.decode(asked.answers)
    except MalformedError as error:
        return Known(asked.place, fault=WireFault.of(kernel.malformed(address, error)))
    return Known(
        asked.place,
        record,
        Firmware(identify.can_update_firmware, identify.max_transfer_pages, identify.firmware_granularity),
    )
