# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Wiping controllers for DAOS: zeros over the first 4 KiB of every active namespace (storage facts B.2).

What may not be wiped is found out before anything is written, controller by controller: one of which a namespace is refused
is left alone as a whole.  Block devices are held exclusively from before they are looked at until they are wiped.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Final

from msgspec import Meta, Struct

from daos_bindings.linux.pci import PciFunction, Scan
from daos_bindings.nvme import wipe
from daos_helper.context import Context
from daos_helper.device import Device, Probed, check_free, probe_all, udev_lock
from daos_helper.methods import nvme_ask, nvme_spdk
from daos_helper.methods import nvme_machine as machine
from daos_helper.methods import nvme_records as records
from daos_helper.parallel import spread
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
        return FormattedController(address, rows, nvme_spdk.wire(_failure(address, rows)))


class Wiped(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of namespaces: controller by its place, id, and why it was not wiped."""

    results: Annotated[tuple[tuple[int, int, Annotated[str, Meta(max_length=1024)]], ...], Meta(max_length=4096)]


def _failure(address: str, rows: Sequence[FormattedNamespace]) -> Fault | None:
    bad = [row for row in rows if not row.done]
    if rows and not bad:
        return None
    numbers = ", ".join(str(row.id) for row in bad)
    reason = f"namespaces [{numbers}] are not wiped (namespace {bad[0].id}: {bad[0].reason})" if bad else "it has no active namespace"
    return Fault(codes.BDEV_FORMAT_FAILURE, object=address, dev=address, err=reason)


def format_controllers(request: BdevFormat, context: Context) -> Work[BdevFormatResult]:
    """Wipe what was named, as far as nothing speaks against it."""
    scan = machine.read()
    functions, absent = machine.chosen(scan, request.devices, vmd=request.vmd)
    rows = [FormattedController(text, (), WireFault.of(machine.missing(text, vmd=request.vmd))) for text in absent]
    kernel = [one for one in functions if one.driver == machine.KERNEL_DRIVER]
    for start in range(0, len(kernel), BATCH):
        rows += yield from _by_kernel(kernel[start : start + BATCH], request, context)
    rows += yield from _by_spdk([one for one in functions if one.driver in machine.USER_DRIVERS], request, scan, context)
    for one in functions:
        if one.driver != machine.KERNEL_DRIVER and one.driver not in machine.USER_DRIVERS:
            reason = f"the driver {one.driver} has it" if one.driver else "no driver has it"
            fault = machine.unusable(one, reason, "give it to the kernel's driver with 'daos_server nvme reset'")
            rows.append(FormattedController(str(one.address), (), WireFault.of(fault)))
    return BdevFormatResult(tuple(sorted(rows, key=lambda row: row.address)))


def _by_spdk(functions: Sequence[PciFunction], request: BdevFormat, scan: Scan, context: Context) -> Work[list[FormattedController]]:
    rows: list[FormattedController] = []
    free: list[PciFunction] = []
    for one in functions:
        try:
            machine.check_denied(one, scan, context)
            machine.check_not_driven(one, context)
            _check_unseen(one, request, context)
            free.append(one)
        except Fault as fault:
            rows.append(FormattedController(str(one.address), (), WireFault.of(fault)))
    wiped, faults = yield from nvme_spdk.wipe(free, context, vmd=request.vmd)
    refused = (FormattedController(str(one.address), (), WireFault.of(faults[one.kernel])) for one in free if one.kernel in faults)
    return [*rows, *wiped, *refused]


def _check_unseen(function: PciFunction, request: BdevFormat, context: Context) -> None:
    """Refuse to wipe what nobody can look at first: without force, and with force what neither we took nor the policy names.

    :raises Fault: 2150 without force, 2005 with it.
    """
    address = str(function.address)
    if not request.force:
        remedy = "give it back with 'daos_server nvme reset' and format it first, or use --force if what is on it may be destroyed"
        raise machine.unusable(function, f"what is on it cannot be looked at while {function.driver} has it", remedy)
    taken = {function.kernel, function.vmd}.intersection(records.all_of(context))
    if not taken and machine.names(function).isdisjoint(context.policy.devices_allow):
        what = f"{address} was given to {function.driver} by somebody else, and what is on it cannot be looked at"
        raise context.file.refuse(what, context.file.device_line(context.policy, address), address)


def _by_kernel(functions: Sequence[PciFunction], request: BdevFormat, context: Context) -> Work[list[FormattedController]]:
    functions = yield from machine.when_ready(functions)
    known = yield from nvme_ask.ask(functions, context, health=False)
    targets = {one.kernel: Target(one) for one in functions}
    for kernel, target in targets.items():
        record = known[kernel].record
        target.fault = known[kernel].fault
        target.known = {space.id: space.size for space in record.namespaces} if record else {}
    scan = yield from _with_namespaces([target for target in targets.values() if target.fault is None])
    with ExitStack() as stack:
        for target in targets.values():
            if target.fault is None:
                _open(target, scan, context, stack)
        going = [target for target in targets.values() if target.fault is None]
        yield from _check_content(going, request, context)
        going = [target for target in going if target.fault is None]
        results = yield from _wipe(going)
    places = {target.function.kernel: place for place, target in enumerate(going)}
    return [target.row(results.get(places.get(kernel, -1), {})) for kernel, target in targets.items()]


def _with_namespaces(targets: Sequence[Target]) -> Work[Scan]:
    """Wait until the kernel shows a block device for every namespace, a bounded time; return what it shows then."""
    expected = {target.function.kernel: frozenset(target.known) for target in targets}
    waiting = [target.function for target in targets if not expected[target.function.kernel] <= _shown(target.function)]
    yield from machine.until_ready(waiting, expected)
    return machine.read()


def _shown(function: PciFunction) -> frozenset[int]:
    return frozenset(space.nsid for space in function.controller.namespaces) if function.controller else frozenset()


def _open(target: Target, scan: Scan, context: Context, stack: ExitStack) -> None:
    """Open and claim every namespace of a controller that is found free."""
    try:
        function = scan.find(target.function.kernel)
        if function is None or function.controller is None:
            raise Fault(codes.NVME_CONTROLLER_GONE, object=target.function.kernel, address=str(target.function.address))
        machine.check_denied(function, scan, context)
        spaces = {space.nsid: space for space in function.controller.namespaces}
        hidden = sorted(target.known.keys() - spaces.keys())
        if hidden:
            reason = f"the kernel shows no block device for its namespaces {', '.join(map(str, hidden))}"
            raise machine.unusable(function, reason, "look at 'dmesg' and 'nvme list'")
        for device, number in zip(machine.open_namespaces(function, scan, context, stack), spaces, strict=True):
            check_free(device)
            target.devices[number] = device
            stack.enter_context(udev_lock(device))
            target.exclusive[number] = _claim(device, stack)
    except Fault as fault:
        target.fault = fault
    except OSError as error:
        target.fault = machine.unusable(target.function, os.strerror(error.errno or 0), "look at 'dmesg' for the drive")


def _claim(device: Device, stack: ExitStack) -> int:
    """Open a block device so that nobody else can have it exclusively.

    :raises Fault: 2100 if somebody has, 2105 if it is another device by now.
    """
    try:
        descriptor = os.open(device.identity.path, wipe.OPEN_FLAGS | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.EBUSY:
            found = "the kernel holds it exclusively"
            raise Fault(codes.STORAGE_DEVICE_IN_USE, object=device.path, device=device.path, found=found) from error
        raise
    stack.callback(os.close, descriptor)
    if os.fstat(descriptor).st_rdev != os.fstat(device.descriptor).st_rdev:
        raise Fault(codes.STORAGE_PATH_UNSAFE, path=device.path, reason="the device changed while it was being checked")
    return descriptor


def _check_content(targets: Sequence[Target], request: BdevFormat, context: Context) -> Work[None]:
    pairs = [(target, device) for target in targets for device in target.devices.values()]
    found = yield from probe_all([device for _, device in pairs], "namespaces")
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
