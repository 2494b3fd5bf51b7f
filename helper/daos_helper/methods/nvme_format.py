# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Wiping controllers for DAOS: zeros over the first 4 KiB of every active namespace (storage facts B.2).

What may not be wiped is found out before anything is written, controller by controller: one of which a namespace is refused
is left alone as a whole.  Block devices are held exclusively from before they are looked at until they are wiped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Final

from msgspec import Meta, Struct

from daos_bindings.linux.block import UsageTable
from daos_bindings.linux.parallel import spread
from daos_bindings.linux.pci import PciFunction, Scan
from daos_bindings.nvme import wipe
from daos_helper.content import HEAD, Probed, probe_all
from daos_helper.context import Context
from daos_helper.device import Device, check_free, held_exclusively, udev_lock
from daos_helper.methods import nvme_ask, nvme_format_spdk, nvme_seen, nvme_spdk
from daos_helper.methods import nvme_machine as machine
from daos_helper.privileges import WIPE_NAMESPACE
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import BdevFormat, BdevFormatResult, FormattedController, FormattedNamespace, WireFault

BATCH: Final = 32
"""Controllers that are open at the same time."""
WIPE_S: Final = 120.0
"""Seconds that all namespaces are given together: the kernel gives a drive 30 for each write."""


class Target:
    """A controller that is to be wiped.

    :ivar known: ids of its active namespaces, as it says itself.
    :ivar devices: their block devices, by id.
    :ivar fault: why it is not wiped.
    """

    def __init__(self, function: PciFunction) -> None:
        self.function = function
        self.known: dict[int, int] = {}
        self.devices: dict[int, Device] = {}
        self.exclusive: dict[int, int] = {}
        self.fault: Fault | WireFault | None = None

    def row(self, results: dict[int, str]) -> FormattedController:
        """Return what to answer: why it was refused, or what became of each namespace.

        :param results: why a namespace was not wiped, by id; an empty text for one that was.
        """
        address = str(self.function.address)
        if self.fault is not None:
            fault = self.fault if isinstance(self.fault, WireFault) else WireFault.of(self.fault)
            return FormattedController(address, (), fault)
        rows = tuple(
            FormattedNamespace(number, size, not results.get(number, "?"), results.get(number, "it did not answer in time"))
            for number, size in sorted(self.known.items())
        )
        return FormattedController(address, rows, nvme_spdk.wire(wipe.fault(address, rows)))


class Wiped(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of namespaces: controller by its place, id, and why it was not wiped."""

    results: Annotated[tuple[tuple[int, int, Annotated[str, Meta(max_length=1024)]], ...], Meta(max_length=4096)]


def format_controllers(request: BdevFormat, context: Context) -> Work[BdevFormatResult]:
    """Wipe what was named, as far as nothing speaks against it."""
    scan = machine.read()
    functions, absent = machine.chosen(scan, request.devices, vmd=request.vmd)
    rows = [FormattedController(text, (), WireFault.of(machine.missing(text, vmd=request.vmd))) for text in absent]
    kernel = [one for one in functions if one.driver == machine.KERNEL_DRIVER]
    for start in range(0, len(kernel), BATCH):
        rows += yield from _by_kernel(kernel[start : start + BATCH], request, context)
    rows += yield from nvme_format_spdk.wipe([one for one in functions if one.driver in machine.USER_DRIVERS], request, scan, context)
    for one in functions:
        if one.driver not in machine.DRIVERS:
            rows.append(FormattedController(str(one.address), (), WireFault.of(machine.out_of_reach(one))))
    return BdevFormatResult(tuple(sorted(rows, key=lambda row: row.address)))


def _by_kernel(functions: Sequence[PciFunction], request: BdevFormat, context: Context) -> Work[list[FormattedController]]:
    functions = yield from machine.when_ready(functions)
    known = yield from nvme_ask.ask(functions, context, health=False)
    targets = {one.kernel: Target(one) for one in functions}
    for kernel, target in targets.items():
        record = known[kernel].record
        target.fault = known[kernel].fault
        target.known = {space.id: space.size for space in record.namespaces} if record else {}
    expected = {kernel: frozenset(target.known) for kernel, target in targets.items() if target.fault is None}
    yield from machine.until_ready(nvme_seen.not_shown([targets[kernel].function for kernel in expected], expected), expected)
    scan = machine.read()
    with ExitStack() as stack:
        claims: dict[tuple[int, int], int] = {}
        table = machine.usage_table()
        for target in targets.values():
            if target.fault is None:
                _open(target, scan, table, claims, context, stack)
        going = [target for target in targets.values() if target.fault is None]
        yield from _check_content(going, request, context)
        going = [target for target in going if target.fault is None]
        results = yield from _wipe(going)
    places = {target.function.kernel: place for place, target in enumerate(going)}
    return [target.row(results.get(places.get(kernel, -1), {})) for kernel, target in targets.items()]


def _open(
    target: Target, scan: Scan, table: UsageTable, claims: dict[tuple[int, int], int], context: Context, stack: ExitStack
) -> None:
    """Open and claim every namespace of a controller that is found free.

    :param claims: what is claimed already, by number: both controllers of a drive with two ports have the same namespaces.
    """
    try:
        function = scan.find(target.function.kernel)
        if function is None or function.controller is None:
            raise Fault(codes.NVME_CONTROLLER_GONE, object=target.function.kernel, address=str(target.function.address))
        machine.check_denied(function, scan, context)
        spaces = {space.nsid: space for space in function.controller.namespaces}
        hidden = nvme_seen.hidden(function, frozenset(target.known))
        if hidden is not None:
            raise hidden
        for device, number in zip(machine.open_namespaces(function, scan, table, context, stack), spaces, strict=True):
            check_free(device, table=table)
            target.devices[number] = device
            if device.number not in claims:
                stack.enter_context(udev_lock(device))
                claims[device.number] = stack.enter_context(held_exclusively(device, wipe.OPEN_FLAGS))
            target.exclusive[number] = claims[device.number]
    except Fault as fault:
        target.fault = fault
    except OSError as error:
        target.fault = machine.unusable(target.function, os.strerror(error.errno or 0), "look at 'dmesg' for the drive")


def _check_content(targets: Sequence[Target], request: BdevFormat, context: Context) -> Work[None]:
    pairs = [(target, device) for target in targets for device in target.devices.values()]
    found = yield from probe_all([device for _, device in pairs], "namespaces", edge=HEAD)
    for place, (target, device) in enumerate(pairs):
        try:
            _check(device, found.get(place), target, request, context)
        except Fault as fault:
            target.fault = fault


def _check(device: Device, probed: Probed | None, target: Target, request: BdevFormat, context: Context) -> None:
    """Refuse to destroy what a namespace carries; zeros may be made zeros.

    :raises Fault: 2150 if it cannot be read, 101 without force, 2005 with force on what DAOS did not make.
    """
    if probed is None:
        raise machine.unusable(target.function, f"{device.path} cannot be read", "look at 'dmesg' for the drive")
    if not probed.signatures or probed.is_wiped:
        return
    if not request.force:
        raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=device.path, cause=f"{device.path} carries {probed}")
    if not (probed.is_ours or device.allowed):
        address = str(target.function.address)  # the names of block devices differ from boot to boot
        what = f"{device.path} of {address} carries {probed}, which DAOS did not make"
        raise context.file.refuse(what, context.file.device_line(context.policy, address), address)


def _wipe(targets: Sequence[Target]) -> Work[dict[int, dict[int, str]]]:
    """Wipe all controllers at the same time; return what became of their namespaces, by place in the list."""
    if not any(target.exclusive for target in targets):
        return {}

    def run(io: WorkerIO) -> Built:
        results: list[tuple[int, int, str]] = []

        def one(place: int) -> list[tuple[int, int, str]]:
            return [(place, number, _wiped(descriptor)) for number, descriptor in targets[place].exclusive.items()]

        def done(place: int, rows: list[tuple[int, int, str]]) -> None:
            results.extend(rows)
            io.progress(len({row[0] for row in results}), len(targets), "controllers", str(targets[place].function.address))

        spread(len(targets), one, threads=WIPE_NAMESPACE.threads, seconds=WIPE_S, done=done)
        return {"results": results}

    keep = tuple(descriptor for target in targets for descriptor in target.exclusive.values())
    wiped = yield from perform(Step(WIPE_NAMESPACE, f"{len(targets)} NVMe controllers", keep=keep, run=run), Wiped)
    found: dict[int, dict[int, str]] = {}
    for place, number, reason in wiped.results:
        found.setdefault(place, {})[number] = reason
    return found


def _wiped(descriptor: int) -> str:
    """Wipe one namespace; return why not, or nothing."""
    try:
        wipe.wipe(descriptor)
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    return ""
