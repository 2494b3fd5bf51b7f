# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A block device that a request names: opened once, identified by its descriptor, and refused unless it is free.

Refused whatever the request says: the disk that ``/`` is on, a device that is denied, mounted elsewhere, swapped on, or
held.  Refused without force: one that carries a signature.  Force covers a signature that DAOS left there; any other
only where the policy names the device, because the account that sets ``force`` is not trusted with other people's data.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from msgspec import Meta, Struct

from daos_bindings.linux import block, mounts
from daos_bindings.linux.kernelfiles import printable
from daos_helper.paths import components, open_path
from daos_helper.policy import SERVABLE_DRIVERS, Policy, PolicyFile, names_device
from daos_helper.privileges import PROBE
from daos_helper.rundir import RunDirectory
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault

LABEL: Final = "daos"
"""Label of every ext4 file system that we make; it tells ours from other people's."""
Text = Annotated[str, Meta(max_length=256)]


class Found(Struct, frozen=True, forbid_unknown_fields=True):
    """One signature, as a worker reports it."""

    type: Text
    usage: Text
    label: Text
    uuid: Text

    def __str__(self) -> str:
        details = [text for text in (f"label {self.label}" if self.label else "", f"uuid {self.uuid}" if self.uuid else "") if text]
        return f"{self.type} {self.usage}" + (f" ({', '.join(details)})" if details else "")


class Probed(Struct, frozen=True, forbid_unknown_fields=True):
    """All signatures of a device."""

    signatures: Annotated[tuple[Found, ...], Meta(max_length=64)]

    @property
    def is_ext4(self) -> bool:
        """Whether there is exactly one signature, and it is ext4."""
        return len(self.signatures) == 1 and self.signatures[0].type == "ext4"

    @property
    def is_ours(self) -> bool:
        """Whether all there is, is an ext4 file system that DAOS made."""
        return self.is_ext4 and self.signatures[0].label == LABEL

    def __str__(self) -> str:
        return ", ".join(str(found) for found in self.signatures) or "no signature"


class Device(Struct, frozen=True):
    """An open block device.

    :param path: as the request named it.
    :param descriptor: kept open, so that the number cannot be given to another device meanwhile.
    :param allowed: the policy names it.
    """

    path: str
    descriptor: int
    identity: block.BlockIdentity
    allowed: bool

    @property
    def resource(self) -> str:
        """Name of its lock: one for a whole disk and its partitions."""
        return f"device:{self.identity.disk}"

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor number."""
        return self.identity.major, self.identity.minor

    @property
    def unfinished(self) -> str:
        """Name of the record that an mkfs was begun on it."""
        return f"mkfs-{self.identity.major}-{self.identity.minor}"


@contextmanager
def opened(path: str, policy: Policy, file: PolicyFile, *, missing: int) -> Iterator[Device]:
    """Identify a device, ask the policy, and only then open it; read only, since mke2fs opens it again by its descriptor.

    :param missing: fault code if there is none: 204 for SCM, 2102 otherwise.
    :raises Fault: also 2101 (the disk of ``/``), 2102 (not a block device), 2104, 2105 (symbolic link), 2005 (policy).
    """
    if components(path)[0] != "dev":
        raise Fault(codes.STORAGE_DEVICE_NOT_BLOCK, path=path, what="a path outside /dev")
    try:
        place = open_path(path, os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        if missing == codes.SCM_FORMAT_MISSING_DEVICE:
            raise Fault(missing, object=path, device=path) from error
        raise Fault(missing, object=path, path=path, what="missing") from error
    try:
        identity = block.identify(place)
        rdev = os.makedev(identity.major, identity.minor)
        allowed = names_device(policy.devices_allow, rdev)
        _check_policy(path, identity, rdev, policy, file, allowed=allowed)
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(place)
    try:
        yield Device(path, descriptor, identity, allowed)
    finally:
        os.close(descriptor)


def _check_policy(path: str, identity: block.BlockIdentity, rdev: int, policy: Policy, file: PolicyFile, *, allowed: bool) -> None:
    if names_device(policy.devices_deny, rdev):
        raise file.refuse(f"{path} is in devices_deny", file.deny_line(policy, rdev), path)
    if identity.disk in block.root_disks(mounts.read()) and not (identity.is_partition and allowed):
        raise Fault(codes.STORAGE_DEVICE_HOLDS_ROOT, object=path, device=path)
    driver = block.driver_kind(identity.name)
    if driver in SERVABLE_DRIVERS and not allowed:
        what = f"{path} is a {driver} device, whose content an ordinary account may control"
        raise file.refuse(what, file.device_line(policy, path), path)


def check_free(device: Device, *, at: str = "") -> None:
    """Refuse a device that somebody uses, force or not.  (A partition table is a signature: see ``check_signatures``.)

    :param at: a mount point where the device may be mounted already, because this request deals with that mount itself.
    :raises Fault: 103 if it is mounted, 2100 if it is held or swapped on.
    """
    for usage in block.usage(device.identity, mounts.read()):
        if usage.kind == "partition" or (usage.kind == "mount" and at and usage.detail == at):
            continue
        if usage.kind == "mount":
            cause = f"{usage.device} is mounted on {printable(usage.detail)}"
            raise Fault(codes.STORAGE_DEVICE_ALREADY_MOUNTED, object=device.path, cause=cause)
        found = f"{usage.kind} {printable(usage.detail)} on {usage.device}"
        raise Fault(codes.STORAGE_DEVICE_IN_USE, object=device.path, device=device.path, found=found)


def check_signatures(device: Device, probed: Probed, policy: Policy, file: PolicyFile, run: RunDirectory, *, force: bool) -> None:
    """Refuse to destroy what a device carries.

    :raises Fault: 101 without force, 2005 with force on what is not ours and not named by the policy.
    """
    if not probed.signatures or _left_by_us(device, probed, run):
        return
    if not force:
        raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=device.path, cause=f"{device.path} carries {probed}")
    if not (probed.is_ours or device.allowed):
        what = f"{device.path} carries {probed}, which DAOS did not make"
        raise file.refuse(what, file.device_line(policy, device.path), device.path)


def _left_by_us(device: Device, probed: Probed, run: RunDirectory) -> bool:
    """Tell whether an mkfs of ours on this device was cut short, so that what is there is half a file system of ours."""
    return run.read(device.unfinished) == _mark(device) and all(found.type.startswith("ext") for found in probed.signatures)


def mark_unfinished(device: Device, run: RunDirectory) -> None:
    """Remember that an mkfs has begun."""
    run.write(device.unfinished, _mark(device))


def _mark(device: Device) -> bytes:
    return f"{device.identity.name} {device.identity.size_bytes}".encode()


def check_exclusive(device: Device) -> None:
    """Ask the kernel whether anybody holds the device exclusively: the last word, after all that sysfs said.

    :raises Fault: 2100 if somebody does.
    """
    try:
        probe = os.open(device.identity.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.EBUSY:
            found = "the kernel holds it exclusively"
            raise Fault(codes.STORAGE_DEVICE_IN_USE, object=device.path, device=device.path, found=found) from error
        raise
    try:
        if os.fstat(probe).st_rdev != os.fstat(device.descriptor).st_rdev:
            raise Fault(codes.STORAGE_PATH_UNSAFE, path=device.path, reason="the device changed while it was being checked")
    finally:
        os.close(probe)


@contextmanager
def udev_lock(device: Device) -> Iterator[None]:
    """Keep udev away from a device while it changes (systemd's BLOCK_DEVICE_LOCKING): a lock on the whole disk's node.

    :raises Fault: 2010 if somebody else has it.
    """
    path = f"/dev/{device.identity.disk}"
    node = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(node, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(node)
        holder = "another program that locked the device node"
        raise Fault(codes.HELPER_RESOURCE_BUSY, object=path, resource=path, holder=holder) from error
    try:
        yield
    finally:
        os.close(node)


def probe(device: Device) -> Work[Probed]:
    """Find every signature on the device."""
    descriptor = device.descriptor

    def run(_io: WorkerIO) -> Built:
        from daos_bindings.linux import signatures  # loads libblkid: in the worker, after the drop

        return {
            "signatures": [
                {"type": found.type[:256], "usage": found.usage[:256], "label": found.label[:256], "uuid": found.uuid[:256]}
                for found in signatures.probe(descriptor)[:64]
            ]
        }

    return (yield from perform(Step(PROBE, device.path, keep=(descriptor,), run=run), Probed))
