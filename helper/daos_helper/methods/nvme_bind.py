# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Giving controllers to a userspace driver (storage facts A.8, F.2).

What a controller had is written down under /run before anything of it is changed (``nvme_records``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from daos_bindings.linux import inuse, modules, vfio
from daos_bindings.linux.binding import Goal
from daos_bindings.linux.block import UsageTable
from daos_bindings.linux.driver_state import State
from daos_bindings.linux.pci import PciFunction, Scan
from daos_helper.content import HEAD, probe_all
from daos_helper.context import Context
from daos_helper.device import Device
from daos_helper.methods import bdev, nvme_drivers, nvme_records, nvme_seen
from daos_helper.methods import nvme_machine as machine
from daos_helper.policy import names_function
from daos_helper.privileges import OWN_VFIO_GROUP
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import BdevBind, BdevBindResult, DeviceResult, WireFault

VFIO: Final = "vfio-pci"
BLOCKED: Final = "it is among those that are never to be used"


class Candidate:
    """A controller, or VMD, that may be bound.

    :ivar named: the request named it, so that leaving it alone is a failure.
    :ivar fault: why it is left alone.
    :ivar blocked: the request itself says to leave it alone.
    """

    def __init__(self, function: PciFunction, *, named: bool) -> None:
        self.function = function
        self.named = named
        self.fault: Fault | None = None
        self.blocked = False

    @property
    def goes(self) -> bool:
        """Whether nothing speaks against it."""
        return self.fault is None and not self.blocked

    def row(self) -> DeviceResult:
        """Return what to answer about one that is left alone."""
        one = self.function
        fault = self.fault if self.named else None
        reason = BLOCKED if self.blocked else str(self.fault or "")
        return DeviceResult(
            str(one.address),
            one.kernel,
            "failed" if fault else "skipped",
            one.driver,
            one.driver,
            one.iommu_group,
            reason[: nvme_drivers.WORDS_LIMIT],
            WireFault.of(fault) if fault else None,
        )


class Owned(Struct, frozen=True, forbid_unknown_fields=True):
    """Groups whose nodes could not be given away, and the errno of each."""

    failed: Annotated[tuple[tuple[int, int], ...], Meta(max_length=1024)]


def bind(request: BdevBind, context: Context) -> Work[BdevBindResult]:
    """Bind what was asked for, as far as nothing speaks against it."""
    owner = bdev.target_uid(request.target_user, context)
    scan = machine.read()
    candidates, rows = _candidates(request, scan)
    scan = yield from _look(candidates, scan, context)
    for start in range(0, len(candidates), nvme_drivers.BATCH):
        yield from _judge(candidates[start : start + nvme_drivers.BATCH], request, scan, owner[0], context)
    now = machine.read()
    _check_unchanged(candidates, scan, now, context)
    _check_groups(candidates, request.driver, now, context)
    rows += (one.row() for one in candidates if not one.goes)
    moved = yield from _move([one.function for one in candidates if one.goes], request.driver, context)
    if request.driver == VFIO:
        moved = yield from _own(moved, {one.function.kernel for one in candidates if one.goes}, owner)
    return BdevBindResult(tuple(sorted([*rows, *moved], key=lambda row: row.address)))


def _candidates(request: BdevBind, scan: Scan) -> tuple[list[Candidate], list[DeviceResult]]:
    """Return what may be bound, and the rows of those addresses that are none."""
    found: dict[str, Candidate] = {}
    rows: list[DeviceResult] = []
    for text in dict.fromkeys(request.devices):
        function = scan.find(text)
        if function is None or (function.is_vmd and not request.vmd):
            fault = machine.missing(text, vmd=request.vmd)
            rows.append(DeviceResult(text, "", "failed", reason=fault.description, fault=WireFault.of(fault)))
        else:
            function = _whole(function, scan, vmd=request.vmd)
            found[function.kernel] = Candidate(function, named=True)
    if request.all_devices:
        for function in (*scan.controllers, *(scan.vmds if request.vmd else ())):
            function = _whole(function, scan, vmd=request.vmd)
            found.setdefault(function.kernel, Candidate(function, named=False))
    blocked = set(request.blocked)
    for one in found.values():
        one.blocked = not blocked.isdisjoint(_all_names(one.function, scan))
    return list(found.values()), rows


def _whole(function: PciFunction, scan: Scan, *, vmd: bool) -> PciFunction:
    """Return what is bound for a controller: the VMD that it is behind, if VMDs are bound."""
    above = scan.find(function.vmd) if function.vmd and vmd else None
    return above or function


def _look(candidates: Sequence[Candidate], scan: Scan, context: Context) -> Work[Scan]:
    """Have everything of the candidates shown that is to be judged; return what there is to be seen then.

    What the policy names need not be looked at.
    """
    for one in candidates:
        try:
            if not one.blocked:
                machine.check_denied(one.function, scan, context)
        except Fault as denied:
            one.fault = denied
    asked: dict[str, Candidate] = {}
    for one in candidates:
        if one.goes and not machine.is_named(one.function, context):
            asked |= {each.kernel: one for each in (one.function, *scan.behind(one.function)) if each.driver == machine.KERNEL_DRIVER}
    found = (scan.find(kernel) for kernel in asked)
    now, faults = yield from nvme_seen.whole([function for function in found if function is not None], scan, context)
    for kernel, fault in faults.items():
        asked[kernel].fault = asked[kernel].fault or fault
    for one in candidates:
        one.function = now.find(one.function.kernel) or one.function
    return now


def _all_names(function: PciFunction, scan: Scan) -> frozenset[str]:
    return machine.names(function).union({function.vmd}, *(machine.names(one) for one in scan.behind(function)))


def _judge(candidates: Sequence[Candidate], request: BdevBind, scan: Scan, owner: int, context: Context) -> Work[None]:
    """Find what else speaks against each: use, and content."""
    with ExitStack() as stack:
        table = machine.usage_table()
        opened: list[tuple[Candidate, Device]] = []
        for one in candidates:
            if not one.goes:
                continue
            try:
                _check(one.function, request, scan, table, owner, context)
                opened += ((one, device) for device in machine.open_namespaces(one.function, scan, table, context, stack))
            except Fault as fault:
                one.fault = fault
            except OSError as error:
                one.fault = machine.unusable(one.function, os.strerror(error.errno or 0), "look at 'dmesg' for the drive")
        opened = [pair for pair in opened if pair[0].goes]
        found = yield from probe_all([device for _, device in opened], "namespaces", edge=HEAD)
        for place, (one, device) in enumerate(opened):
            probed = found.get(place)
            if probed is None:
                one.fault = machine.unusable(one.function, f"{device.path} cannot be read", "look at 'dmesg' for the drive")
            elif not (device.allowed or probed.is_of_engines):
                address = str(one.function.address)
                what = f"{device.path} of {address} carries {probed}, which no DAOS engine made"
                one.fault = context.file.refuse(what, context.file.device_line(context.policy, address), address)


def _check(function: PciFunction, request: BdevBind, scan: Scan, table: UsageTable, owner: int, context: Context) -> None:
    """Refuse what cannot be bound, or only because the policy names it.

    :raises Fault: 2005 (nobody can look into it), 311 (no IOMMU), 2122 (in use), 2150 (driver, VMD).
    """
    if function.vmd and not request.vmd:
        reason = f"it is behind the VMD {function.vmd}, and SPDK can only have all that is behind it"
        raise machine.unusable(function, reason, "leave 'disable_vmd' out of daos_server.yml, so that the VMD is prepared")
    if request.driver == VFIO and function.iommu_group < 0:
        raise Fault(codes.BDEV_NO_IOMMU, object=str(function.address))
    if function.driver in machine.USER_DRIVERS:
        is_ready = nvme_drivers.state_of(function) == State(request.driver, request.driver)
        if is_ready and machine.group_owner(function) == owner:
            return
        if not is_ready or request.driver == VFIO:
            machine.check_taken(function, context)
        machine.check_not_driven(function, context)
    elif not function.driver:
        machine.check_taken(function, context)
    elif function.driver in {machine.KERNEL_DRIVER, machine.VMD_DRIVER}:
        for behind in scan.behind(function):
            if behind.driver != machine.KERNEL_DRIVER:
                machine.check_taken(behind, context)
        machine.check_unused(function, scan, table, context)
    else:
        raise machine.unusable(function, f"the driver {function.driver} has it", "find out who needs it, and unbind it from that driver")


def _check_unchanged(candidates: Sequence[Candidate], judged: Scan, now: Scan, context: Context) -> None:
    """Refuse what is not any more what was judged, and go on with what is to be seen now.  (Moving finds what is gone.)"""
    for one in candidates:
        found = now.find(one.function.kernel)
        if found is None or not one.goes:
            continue
        whole = not machine.is_named(one.function, context)
        if _judged_by(found, now, whole=whole) != _judged_by(one.function, judged, whole=whole):
            one.fault = machine.unusable(one.function, "it changed while it was looked at", "run the command again")
        one.function = found


def _judged_by(function: PciFunction, scan: Scan, *, whole: bool) -> list[object]:
    """Return what a controller, or what is behind a VMD, was judged by: its driver and, where somebody looked, its namespaces."""
    functions = (function, *scan.behind(function))
    namespaces = [one.controller.namespaces for one in functions if whole and one.controller is not None]
    return [*((one.kernel, one.driver, one.iommu_group) for one in functions), *namespaces]


def _check_groups(candidates: Sequence[Candidate], driver: str, scan: Scan, context: Context) -> None:
    """Refuse every controller whose IOMMU group would not be free as a whole, until no more are left over."""
    if driver != VFIO:
        return
    for one in candidates:
        try:
            if one.goes:
                _check_members(one.function, {other.function.kernel for other in candidates if other.goes}, scan, context)
        except Fault as foreign:
            one.fault = foreign
    refused = True
    while refused:
        going = {one.function.kernel for one in candidates if one.goes}
        refused = False
        for one in candidates:
            rest = tuple(member for member in one.function.group_members if member.address not in going)
            fault = inuse.group_shared(replace(one.function, group_members=rest)) if one.goes else None
            if fault is not None:
                one.fault, refused = fault, True


def _check_members(function: PciFunction, going: set[str], scan: Scan, context: Context) -> None:
    """Refuse a controller in whose group is what is not ours to give: who has the group's node, has all that vfio-pci has of it.

    :raises Fault: 2005.
    """
    address = str(function.address)
    ours = going.union(nvme_records.all_of(context))
    for member in function.group_members:
        itself = frozenset({member.address})
        other = scan.find(member.address)
        if other is not None:
            machine.check_denied(other, scan, context)
        context.file.check_denied(context.policy, address, frozenset(), itself)
        if member.driver == VFIO and member.address not in ours and not names_function(context.policy.devices_allow, itself):
            what = f"{member.address}, in the same IOMMU group as {address}, was given to {VFIO} by somebody else"
            raise context.file.refuse(what, context.file.device_line(context.policy, member.address), address)


def _move(functions: Sequence[PciFunction], driver: str, context: Context) -> Work[list[DeviceResult]]:
    wanted = State(driver, driver)
    homes: dict[str, State] = {}
    for function in functions:
        now = nvme_drivers.state_of(function)
        homes[function.kernel] = now if now == wanted else nvme_records.remember(function.kernel, _home(function, now), context)
    goals = [Goal(one.kernel, wanted, homes[one.kernel]) for one in functions]
    found = yield from nvme_drivers.move_with_stranded(goals, homes, context)
    rows = [nvme_drivers.row_of(one, found.pop(one.kernel)) for one in functions]
    return [*rows, *nvme_drivers.rows_of_stranded(found, context)]


def _home(function: PciFunction, now: State) -> State:
    """Return what to go back to: what it has, or the kernel's own driver if it has none."""
    own = machine.VMD_DRIVER if function.is_vmd else machine.KERNEL_DRIVER
    return now if now.driver or not modules.driver_is_ready(own) else State(own)


def _own(rows: Sequence[DeviceResult], asked: set[str], owner: tuple[int, int]) -> Work[list[DeviceResult]]:
    """Give the nodes of the groups of what was asked for to the target user; one whose node cannot be given is a failed one."""
    groups = sorted({row.group for row in rows if row.driver == VFIO and row.group >= 0 and row.kernel_address in asked})
    faults: dict[int, Fault] = {}
    with ExitStack() as stack:
        nodes: dict[int, int] = {}
        for group in groups:
            try:
                nodes[group] = stack.enter_context(vfio.opened(group))
            except Fault as fault:
                faults[group] = fault
        if nodes:
            for group, number in (yield from _give(nodes, owner)).failed:
                path = vfio.node_path(group)
                cause = os.strerror(number)
                faults[group] = Fault(codes.STORAGE_SYSTEM_CALL_FAILED, object=path, cause=cause, call="chown", what=path)
    return [_failed(row, faults[row.group]) if row.driver == VFIO and row.group in faults else row for row in rows]


def _give(nodes: dict[int, int], owner: tuple[int, int]) -> Work[Owned]:
    def run(_io: WorkerIO) -> Built:
        failed: list[tuple[int, int]] = []
        for group, node in nodes.items():
            try:
                vfio.give(node, *owner)
            except OSError as error:
                failed.append((group, error.errno or 0))
        return {"failed": failed}

    return (yield from perform(Step(OWN_VFIO_GROUP, vfio.DEVICES, keep=tuple(nodes.values()), run=run), Owned))


def _failed(row: DeviceResult, fault: Fault) -> DeviceResult:
    return replace(row, outcome="failed", reason=fault.description[: nvme_drivers.WORDS_LIMIT], fault=WireFault.of(fault))
