# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The controllers of this machine, for the methods about them: found, named, and judged.  What sysfs says is read here alone."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from daos_bindings.linux import block, inuse, mounts, nvme_controller, pci, pci_address, vfio
from daos_bindings.linux.block import UsageTable
from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.linux.pci import PciFunction, Scan
from daos_bindings.spdk import locks
from daos_helper.context import Context
from daos_helper.device import Device, opened
from daos_helper.methods import nvme_records
from daos_helper.policy import names_function
from daos_helper.privileges import AWAIT_CONTROLLER
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Result

KERNEL_DRIVER: Final = "nvme"
VMD_DRIVER: Final = "vmd"
USER_DRIVERS: Final = frozenset({"vfio-pci", "uio_pci_generic"})
DRIVERS: Final = USER_DRIVERS | {KERNEL_DRIVER}
"""Those through which we can talk to a controller."""
ON_THE_WAY: Final = frozenset({"new", "resetting", "connecting"})
"""States of a controller that the kernel has not finished with."""
READY_S: Final = 15.0
"""Seconds that controllers are given to become ready after they were bound."""
LOOK_S: Final = 0.01
"""Pause between two looks."""


class Nothing(Result, frozen=True, forbid_unknown_fields=True):
    """What a step returns that has nothing to return."""


@contextmanager
def strictly() -> Iterator[None]:
    """Make a fault of what is not as the kernel writes it: 2110."""
    try:
        yield
    except MalformedError as error:
        raise Fault(codes.STORAGE_FILE_UNUSABLE, object=error.path, path=error.path, reason=error.problem) from error


def read() -> Scan:
    """Read all controllers and VMDs."""
    with strictly():
        return pci.scan()


def names(function: PciFunction) -> frozenset[str]:
    """Return the address of a function in both spellings."""
    return frozenset({function.kernel, str(function.address)})


def missing(address: str, *, vmd: bool) -> Fault:
    """Return the fault that an address names nothing: 304."""
    return Fault(codes.BDEV_NOT_FOUND, object=address, variant="vmd" if vmd else "ssd", addresses=address)


def unusable(function: PciFunction, reason: str, remedy: str) -> Fault:
    """Return the fault that a controller cannot be used in the way asked for: 2150."""
    address = str(function.address)
    return Fault(codes.NVME_UNUSABLE, object=address, address=address, reason=reason, remedy=remedy)


def out_of_reach(function: PciFunction) -> Fault:
    """Return the fault that none of the drivers through which we can talk to a controller has it: 2150."""
    reason = f"the driver {function.driver} has it" if function.driver else "no driver has it"
    return unusable(function, reason, "give it to the kernel's driver with 'daos_server nvme reset'")


def chosen(scan: Scan, devices: Sequence[str], *, vmd: bool) -> tuple[list[PciFunction], list[str]]:
    """Return the controllers that were asked for, all of them if none was named, and the addresses of which there are none.

    With *vmd* a VMD stands for all that can be seen behind it, and for itself while a userspace driver has it.
    """
    if not devices:
        return [*scan.controllers, *(one for one in scan.vmds if vmd and one.driver in USER_DRIVERS)], []
    found: dict[str, PciFunction] = {}
    absent: list[str] = []
    for text in dict.fromkeys(devices):
        function = scan.find(text)
        if function is None or (function.is_vmd and not vmd):
            absent.append(text)
        elif function.is_vmd and function.driver not in USER_DRIVERS:
            found |= {one.kernel: one for one in scan.behind(function)}
        else:
            found[function.kernel] = function
    return sorted(found.values(), key=lambda one: one.address), absent


def resources(functions: Iterable[PciFunction]) -> tuple[str, ...]:
    """Return the locks of controllers, and of the disks that the kernel made of them."""
    found: list[str] = []
    for function in functions:
        found.append(f"pci:{function.kernel}")
        if function.controller is not None:
            found += (f"disk:{space.name}" for space in function.controller.namespaces)
    return tuple(dict.fromkeys(found))


def check_denied(function: PciFunction, scan: Scan, context: Context) -> None:
    """Refuse a controller, or a VMD with one behind it, that the policy denies.

    What is behind a VMD that a userspace driver has is seen by nobody: there, the spelling of the denied address tells.

    :raises Fault: 2005.
    """
    if not context.policy.devices_deny:
        return
    numbers: set[int] = set()
    addresses = {function.vmd} if function.vmd else set[str]()
    if function.is_vmd:
        denied = (pci_address.parse(entry) for entry in context.policy.devices_deny)
        addresses |= {str(one) for one in denied if one is not None and one.vmd_endpoint == function.kernel}
    for one in (function, *scan.behind(function)):
        addresses |= names(one)
        for space in one.controller.namespaces if one.controller is not None else ():
            identity = block.by_name(space.name)
            family = block.family(identity) if identity is not None else ()
            numbers |= {os.makedev(device.major, device.minor) for device in family}
    context.file.check_denied(context.policy, str(function.address), frozenset(numbers), frozenset(addresses))


def check_taken(function: PciFunction, context: Context) -> None:
    """Refuse a controller that nobody can look into, unless we took it, and so looked before, or the policy names it.

    :raises Fault: 2005.
    """
    if {function.kernel, function.vmd}.isdisjoint(nvme_records.all_of(context)) and not is_named(function, context):
        address = str(function.address)
        why = f"was given to {function.driver} by somebody else" if function.driver else "has no driver"
        what = f"{address} {why}, and what is on it cannot be looked at"
        raise context.file.refuse(what, context.file.device_line(context.policy, address), address)


def is_named(function: PciFunction, context: Context) -> bool:
    """Tell whether the policy names a controller, or its VMD, by its address, so that what is on it may be destroyed."""
    return names_function(context.policy.devices_allow, names(function) | ({function.vmd} if function.vmd else set()))


def usage_table() -> UsageTable:
    """Read what is used now."""
    with strictly():
        return UsageTable(mounts.read())


def check_unused(function: PciFunction, scan: Scan, table: UsageTable, context: Context) -> None:
    """Refuse a controller that anybody uses, whatever the driver.

    :raises Fault: 2122.
    """
    with strictly():
        reasons = inuse.of_function(function, scan, table) or inuse.exclusively_open(function, scan)
    fault = inuse.in_use(function, reasons)
    if fault is not None:
        raise fault
    check_not_driven(function, context)


def check_not_driven(function: PciFunction, context: Context) -> None:
    """Refuse a controller that a program drives by way of a userspace driver.

    :raises Fault: 2122.
    """
    user = driven_by(function, context)
    if not user and function.driver == "vfio-pci" and _group_is_open(function.iommu_group):
        user = f"a program has its IOMMU group open (see 'fuser -v {vfio.node_path(function.iommu_group)}')"
    if user:
        address = str(function.address)
        raise Fault(codes.NVME_CONTROLLER_IN_USE, object=address, address=address, found=user)


def driven_by(function: PciFunction, context: Context) -> str:
    """Return which SPDK process drives a controller, in words; empty for none.  Touches nothing.

    Everybody can make and lock SPDK's lock files, so only processes of those who may drive a controller count.
    """
    if function.driver not in USER_DRIVERS:
        return ""
    try:
        pid = locks.holder(locks.path(function.address))
    except OSError:
        return ""  # there is none, or no file that can be locked
    try:
        owner = os.stat(f"/proc/{pid}").st_uid if pid else -1
    except FileNotFoundError:
        return ""
    if owner not in {0, context.account.uid, *context.policy.target_users.values()}:
        return ""
    return f"the SPDK process {pid} drives it"


def group_owner(function: PciFunction) -> int:
    """Return the owner of the node of a controller's IOMMU group; -1 if there is none."""
    try:
        return os.stat(vfio.node_path(function.iommu_group)).st_uid
    except OSError:
        return -1


def _group_is_open(group: int) -> bool:
    """Ask the kernel, by the one open of a group that it allows at a time."""
    try:
        os.close(os.open(vfio.node_path(group), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def uses(function: PciFunction, scan: Scan, table: UsageTable, context: Context) -> tuple[str, ...]:
    """Say what is known to use a controller; opens nothing."""
    with strictly():
        reasons = tuple(str(reason) for reason in inuse.of_function(function, scan, table))
    driver = driven_by(function, context)
    return (*reasons, driver) if driver else reasons


def open_namespaces(function: PciFunction, scan: Scan, table: UsageTable, context: Context, stack: ExitStack) -> list[Device]:
    """Open the block devices of a controller, or of those behind a VMD, for reading; ask the policy about each.

    :raises Fault: 2101 (the disk of ``/``), 2102 (one is gone), 2005 (policy).
    """
    found: list[Device] = []
    for one in (function, *scan.behind(function)):
        for space in one.controller.namespaces if one.controller is not None else ():
            device = opened(space.path, context.policy, context.file, missing=codes.STORAGE_DEVICE_NOT_BLOCK, table=table)
            found.append(stack.enter_context(device))
    return found


def is_ready(function: PciFunction) -> bool:
    """Tell whether the kernel's driver has finished with a controller that it has, well or badly."""
    return function.driver != KERNEL_DRIVER or (function.controller is not None and function.controller.state not in ON_THE_WAY)


def until_ready(functions: Sequence[PciFunction], namespaces: dict[str, frozenset[int]] | None = None) -> Work[None]:
    """Wait, a bounded time, until controllers that were just bound answer, and until the kernel shows certain namespaces.

    :param namespaces: ids of those, by the kernel's address of their controller.
    """
    expected = namespaces or {}

    def is_whole(function: PciFunction) -> bool:
        controller = nvme_controller.read(function.directory)
        if controller is None or controller.state in ON_THE_WAY:
            return not os.path.exists(f"{function.directory}/driver")
        return controller.state != "live" or expected.get(function.kernel, frozenset()) <= {space.nsid for space in controller.namespaces}

    def run(_io: WorkerIO) -> Built:
        import time

        deadline = time.monotonic() + READY_S
        while not all(is_whole(function) for function in functions) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return {}

    if functions:
        yield from perform(Step(AWAIT_CONTROLLER, f"{len(functions)} NVMe controllers", run=run), Nothing)


def when_ready(functions: Sequence[PciFunction]) -> Work[list[PciFunction]]:
    """Wait for those that were just bound, and return all as they are then; one that is gone, as it was."""
    waiting = [function for function in functions if not is_ready(function)]
    if not waiting:
        return list(functions)
    yield from until_ready(waiting)
    scan = read()
    return [scan.find(function.kernel) or function for function in functions]
