# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Wiping controllers on a userspace driver, which no signature protects by itself: SPDK looks first, and wipes what is still so.

One worker copies both ends of every namespace into a memory file; another, without rights, tells what is in the copies; a third
wipes what may be wiped, and compares again before it does.  Between the first and the third, an engine may start.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from daos_bindings.linux.pci import PciFunction, Scan
from daos_helper.content import Probed, probe_copies
from daos_helper.context import Context
from daos_helper.methods import nvme_machine as machine
from daos_helper.methods import nvme_spdk
from daos_helper.methods.nvme_spdk import CopiedController, CopiedNamespace
from daos_helper.steps import Work
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import BdevFormat, FormattedController, WireFault


def wipe(functions: Sequence[PciFunction], request: BdevFormat, scan: Scan, context: Context) -> Work[list[FormattedController]]:
    """Wipe controllers, and those behind VMDs, that a userspace driver has, as far as nothing speaks against it."""
    rows: list[FormattedController] = []
    free: list[PciFunction] = []
    for one in functions:
        try:
            machine.check_denied(one, scan, context)
            machine.check_not_driven(one, context)
            free.append(one)
        except Fault as fault:
            rows.append(_refused(str(one.address), fault))
    file = os.memfd_create("copies", os.MFD_CLOEXEC)
    try:
        return [*rows, *(yield from _wipe(free, file, request, context))]
    finally:
        os.close(file)


def _wipe(functions: Sequence[PciFunction], file: int, request: BdevFormat, context: Context) -> Work[list[FormattedController]]:
    looked, faults = yield from nvme_spdk.look(nvme_spdk.by_driver(functions), file, context, vmd=request.vmd)
    by_address = {str(one.address): one for one in functions}
    rows = [_refused(address, _unseen(by_address[address], fault, request, context)) for address, fault in faults.items()]
    copies = [(one.offset, one.size) for row in looked for one in row.namespaces if not one.reason]
    probed = yield from probe_copies(file, copies, "copies of namespaces")
    found = {offset: probed[place] for place, (offset, _) in enumerate(copies) if place in probed}
    due: dict[str, list[str]] = {}
    going: list[CopiedController] = []
    for row in looked:
        function = by_address.get(row.address) or by_address.get(nvme_spdk.vmd_of(row.address))
        if row.fault is not None or function is None:
            rows.append(FormattedController(row.address, (), row.fault))
            continue
        try:
            context.file.check_denied(context.policy, row.address, frozenset(), frozenset({row.address}))
            for space in row.namespaces:
                _check(row.address, space, found.get(space.offset), function, request, context)
        except Fault as fault:
            rows.append(_refused(row.address, fault))
        else:
            due.setdefault(function.driver, []).append(row.address)
            going.append(row)
    wiped, failed = yield from nvme_spdk.wipe(due, going, file, context)
    return [*rows, *wiped, *(_refused(address, fault) for address, fault in failed.items())]


def _refused(address: str, fault: Fault) -> FormattedController:
    return FormattedController(address, (), WireFault.of(fault))


def _check(
    address: str, space: CopiedNamespace, probed: Probed | None, function: PciFunction, request: BdevFormat, context: Context
) -> None:
    """Refuse to destroy what a namespace carries, as by way of the kernel.

    :raises Fault: 2150 if it cannot be read, 101 without force, 2005 with force on what DAOS did not make.
    """
    place = f"namespace {space.id} of {address}"
    if probed is None or space.reason:
        if not request.force:
            raise _cannot_look(function, f"{place} cannot be read: {space.reason or 'it was not looked at in time'}")
        machine.check_taken(function, context)
    elif probed.signatures and not probed.is_wiped:
        if not request.force:
            raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=address, cause=f"{place} carries {probed}")
        if not (probed.is_ours or machine.is_named(function, context)):
            what = f"{place} carries {probed}, which DAOS did not make"
            raise context.file.refuse(what, context.file.device_line(context.policy, address), address)


def _unseen(function: PciFunction, fault: Fault, request: BdevFormat, context: Context) -> Fault:
    """Return why a controller is not wiped that SPDK could not look at: without SPDK it could not be wiped either.

    :return: 2150 without force; with it 2005 if neither we took it nor the policy names it, else SPDK's own fault.
    """
    if not request.force:
        return _cannot_look(function, f"what is on it cannot be looked at while {function.driver} has it: {fault}")
    try:
        machine.check_taken(function, context)
    except Fault as refusal:
        return refusal
    return fault


def _cannot_look(function: PciFunction, reason: str) -> Fault:
    remedy = "give it back with 'daos_server nvme reset' and format it first, or use --force if what is on it may be destroyed"
    return machine.unusable(function, reason, remedy)
