# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Namespaces that a reset would destroy: looked at, all of them, before anything is done to any.

The rules are those for a forced format: in use is never destroyed, and what DAOS did not make only where the policy names the
device.  A mount of ours is no use by others: the reset takes it away itself.  Data without a signature is left from before
in a namespace that we made; in others it may be anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from daos_helper.content import UNKNOWN, Probed, probe_all
from daos_helper.context import Context
from daos_helper.device import Device, check_exclusive, check_free, opened
from daos_helper.methods import pmem_machine as machine
from daos_helper.methods.pmem_record import Records
from daos_helper.policy import device_number
from daos_helper.steps import Work
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import Namespace

BY_ID: Final = "/dev/disk/by-id/pmem-"
"""Begin of udev's links to namespaces, before the UUID of what the namespace was made into, or of its label."""


def check(namespaces: Sequence[Namespace], records: Records, context: Context) -> Work[None]:
    """Refuse a reset if one namespace speaks against it.

    :raises Fault: 2173 (it cannot be looked at), 103 or 2100 (in use), 2005 (the policy, or not ours), 2101, 2102.
    """
    with ExitStack() as stack:
        devices: list[tuple[Namespace, Device]] = []
        for one in namespaces:
            if one.blockdev:
                devices.append((one, _open(one, context, stack)))
            elif not records.is_marked(one):
                state = f"it is of mode {one.mode or 'none'}" if one.enabled else "it is switched off"
                raise Fault(codes.SCM_NAMESPACE_UNSEEN, object=one.dev, namespace=one.dev, state=state)
        found = yield from probe_all([device for _, device in devices], machine.SUBJECT)
        for place, (one, device) in enumerate(devices):
            _check_content(one, device, found.get(place), context, marked=records.is_marked(one))


def _open(namespace: Namespace, context: Context, stack: ExitStack) -> Device:
    device = stack.enter_context(
        opened(f"/dev/{namespace.blockdev}", context.policy, context.file, missing=codes.STORAGE_DEVICE_NOT_BLOCK)
    )
    places = machine.mount_points(namespace)
    for place in places:
        context.file.check_target(context.policy, place)
    check_free(device, at=places[0] if places else "")
    if not places:
        check_exclusive(device)
    return device


def _check_content(namespace: Namespace, device: Device, probed: Probed | None, context: Context, *, marked: bool) -> None:
    if device.allowed or (probed is not None and (not probed.signatures or probed.is_ours)):
        return
    if marked and probed is not None and all(one.type == UNKNOWN for one in probed.signatures):
        return
    carries = str(probed) if probed is not None else "what cannot be read"
    what = f"{device.path} carries {carries}, which DAOS did not make"
    raise context.file.refuse(what, context.file.device_line(context.policy, lasting_path(namespace, device)), device.path)


def lasting_path(namespace: Namespace, device: Device) -> str:
    """Return udev's name of a namespace, which stays its own when numbers of devices move at a restart; the device's, if there is none."""
    paths = (f"{BY_ID}{uuid}" for uuid in (namespace.uuid, namespace.raw_uuid) if uuid)
    return next((path for path in paths if device_number(path) == os.makedev(*device.number)), device.path)


def check_let_go(namespaces: Sequence[Namespace], context: Context) -> None:
    """Refuse to go on if somebody holds one of the block devices: the last word before the first is switched off.

    :raises Fault: 2100.
    """
    for one in namespaces:
        if one.blockdev:
            path = f"/dev/{one.blockdev}"
            with opened(path, context.policy, context.file, missing=codes.STORAGE_DEVICE_NOT_BLOCK) as device:
                check_exclusive(device)


def check_seen(namespaces: Sequence[Namespace], seen: Sequence[str]) -> None:
    """Refuse to destroy what the caller was not shown.

    :raises Fault: 2172.
    """
    others = [one.dev for one in namespaces if one.dev not in seen]
    if others:
        raise Fault(codes.SCM_NAMESPACES_CHANGED, object=others[0], namespaces=", ".join(others))
