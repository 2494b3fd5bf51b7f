# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether what a device carries may be destroyed.

Without force only nothing, and what a format of ours had made when it was cut short.  Force covers what DAOS left there;
anything else only where the policy names the device, because the account that sets ``force`` is not trusted with other
people's data.  For the same reason only a file system that DAOS made, or a device that the policy names, is mounted or
looked into.
"""

from __future__ import annotations

import time
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.json import decode, encode

from daos_helper.content import UNKNOWN, Probed
from daos_helper.device import Device
from daos_helper.policy import Policy, PolicyFile
from daos_helper.rundir import RunDirectory
from daos_pbin import codes
from daos_pbin.faults import Fault

RECORD_LIFE_S: Final = 24 * 3600
"""Seconds for which an mkfs that was cut short is remembered."""


def check_signatures(device: Device, probed: Probed, policy: Policy, file: PolicyFile, run: RunDirectory, *, force: bool) -> None:
    """Refuse to destroy what a device carries.

    :raises Fault: 101 without force, 2005 with force on what is not ours and not named by the policy.
    """
    if not probed.signatures or is_unfinished(device, probed, run):
        return
    if not force:
        raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=device.path, cause=f"{device.path} carries {probed}")
    check_ours(device, probed, policy, file)


def check_ours(device: Device, probed: Probed, policy: Policy, file: PolicyFile) -> None:
    """Refuse what DAOS did not make, on a device that the policy does not name.

    :raises Fault: 2005 with the line that names it.
    """
    if not (probed.is_ours or device.allowed):
        what = f"{device.path} carries {probed}, which DAOS did not make"
        raise file.refuse(what, file.device_line(policy, device.path), device.path)


class Unfinished(Struct, frozen=True, forbid_unknown_fields=True):
    """A format that has begun, and has not come to a mounted file system.

    :param uuid: of the file system that it was making, chosen before it began, so that no other can be taken for it.
    :param sequence: the kernel's number of this appearance of the disk (``diskseq``); 0 if it has none.
    :param size: of the device, in bytes.
    :param begun: seconds since the epoch.
    """

    uuid: str
    sequence: int
    size: int
    begun: float


def is_unfinished(device: Device, probed: Probed, run: RunDirectory) -> bool:
    """Tell whether all that is there is what a format of ours had made when it ended too early: nobody has used it yet."""
    if probed.used:
        return False
    text = run.read(_name(device))
    if text is None:
        return False
    try:
        record = decode(text, type=Unfinished)
    except DecodeError:
        return False
    same = (record.sequence, record.size) == (_sequence(device), device.identity.size_bytes)
    if not same or time.time() - record.begun > RECORD_LIFE_S:
        return False
    return all(found.type == UNKNOWN or (found.type.startswith("ext") and found.uuid == record.uuid) for found in probed.signatures)


def mark_unfinished(device: Device, uuid: str, run: RunDirectory) -> None:
    """Remember that a file system is being made, or was made and never mounted."""
    record = Unfinished(uuid, _sequence(device), device.identity.size_bytes, time.time())
    run.write(_name(device), encode(record))


def forget_unfinished(device: Device, run: RunDirectory) -> None:
    """Forget it: the file system may be used from now on, and what is on it then is nobody's to destroy."""
    run.remove(_name(device))


def _name(device: Device) -> str:
    """Return the name of the record that an mkfs was begun on a device."""
    return f"mkfs-{device.identity.major}-{device.identity.minor}"


def _sequence(device: Device) -> int:
    try:
        with open(f"/sys/class/block/{device.identity.disk}/diskseq", encoding="ascii") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return 0  # Linux 5.14 has none
