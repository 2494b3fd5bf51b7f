# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A block device that a request names: opened once, identified by its descriptor, and refused unless it is free.

Refused whatever the request says: the disk that ``/`` is on, a device that is denied, mounted elsewhere, swapped on, or
held.  Whether what it carries may be destroyed is another question (``content``, ``consent``).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from daos_bindings.linux import block, mounts, pci_address
from daos_bindings.linux.block import BlockIdentity, UsageTable
from daos_bindings.linux.kernelfiles import printable
from daos_helper.paths import components, open_path
from daos_helper.policy import SERVABLE_DRIVERS, Policy, PolicyFile, is_pci, names_device, names_function
from daos_pbin import codes
from daos_pbin.faults import Fault


class Device(Struct, frozen=True):
    """An open block device.

    :param path: as the request named it.
    :param descriptor: kept open, so that the number cannot be given to another device meanwhile.
    :param allowed: the policy names it.
    """

    path: str
    descriptor: int
    identity: BlockIdentity
    allowed: bool

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor number."""
        return self.identity.major, self.identity.minor


@contextmanager
def opened(path: str, policy: Policy, file: PolicyFile, *, missing: int, table: UsageTable | None = None) -> Iterator[Device]:
    """Identify a device, ask the policy, and only then open it; read only, since mke2fs opens it again by its descriptor.

    :param missing: fault code if there is none: 204 for SCM, 2102 otherwise.
    :param table: what is used now, if the caller has just read it.
    :raises Fault: also 2101 (the disk of ``/``, which nothing allows), 2102 (no block device), 2104, 2105 (a link), 2005 (policy).
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
        allowed = names_device(policy.devices_allow, rdev) or names_function(
            policy.devices_allow, pci_addresses(identity.disk, policy)
        )
        _check_policy(path, identity, table or UsageTable(mounts.read()), policy, file, allowed=allowed)
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(place)
    try:
        yield Device(path, descriptor, identity, allowed)
    finally:
        os.close(descriptor)


def _check_policy(path: str, identity: BlockIdentity, table: UsageTable, policy: Policy, file: PolicyFile, *, allowed: bool) -> None:
    family = block.family(identity)
    numbers = frozenset({os.makedev(identity.major, identity.minor), *(os.makedev(device.major, device.minor) for device in family)})
    addresses = frozenset[str]().union(*(pci_addresses(disk, policy) for disk in {device.disk for device in family}))
    file.check_denied(policy, path, numbers, addresses)
    if identity.disk in table.roots and not (identity.is_partition and allowed):
        if identity.is_partition and not any(usage.kind != "partition" for usage in block.usage(identity, table)):
            what = f"{path} is a partition of the disk that the running system was started from"
            raise file.refuse(what, file.device_line(policy, path), path)
        raise Fault(codes.STORAGE_DEVICE_HOLDS_ROOT, object=path, device=path)
    for device in family:
        driver = block.driver_kind(device.name)
        if driver in SERVABLE_DRIVERS and not allowed:
            what = f"{path} is, or is made of, a {driver} device, whose content an ordinary account may control"
            raise file.refuse(what, file.device_line(policy, path), path)


def pci_addresses(disk: str, policy: Policy) -> frozenset[str]:
    """Return the addresses of the PCI functions that a whole disk is on, in every spelling, if the policy names any function.

    For a namespace with several paths those of all of them.
    """
    if not any(is_pci(entry) for entry in policy.devices_allow + policy.devices_deny):
        return frozenset()
    from daos_bindings.linux import pci

    place = os.path.realpath(f"/sys/class/block/{disk}")
    places = [place]
    if "/nvme-subsystem/" in place:
        subsystem = os.path.dirname(place)
        places += (os.path.realpath(f"{subsystem}/{name}") for name in os.listdir(subsystem) if name.removeprefix("nvme").isdigit())
    kernel = {part for one in places for part in one.split("/") if pci_address.parse_kernel(part) is not None}
    functions = (pci.read_function(address) for address in kernel)
    return frozenset(kernel | {str(function.address) for function in functions if function is not None})


def check_free(device: Device, *, at: str = "", table: UsageTable | None = None) -> None:
    """Refuse a device that somebody uses, force or not.  (A partition table is a signature: see ``check_signatures``.)

    :param table: what is used now, if the caller has just read it.
    :param at: a mount point where the device may be mounted already, because this request deals with that mount itself.
    :raises Fault: 103 if it is mounted, 2100 if it is held or swapped on.
    """
    for usage in block.usage(device.identity, table or UsageTable(mounts.read())):
        if usage.kind == "partition" or (usage.kind == "mount" and at and usage.detail == at):
            continue
        if usage.kind == "mount":
            cause = f"{usage.device} is mounted on {printable(usage.detail)}"
            raise Fault(codes.STORAGE_DEVICE_ALREADY_MOUNTED, object=device.path, cause=cause)
        found = f"{usage.kind} {printable(usage.detail)} on {usage.device}"
        raise Fault(codes.STORAGE_DEVICE_IN_USE, object=device.path, device=device.path, found=found)


def check_exclusive(device: Device) -> None:
    """Ask the kernel whether anybody holds the device exclusively: the last word, after all that sysfs said.

    :raises Fault: as ``held_exclusively``.
    """
    with held_exclusively(device, os.O_RDONLY | os.O_NONBLOCK):
        return


@contextmanager
def held_exclusively(device: Device, flags: int) -> Iterator[int]:
    """Open a device again, by its kernel name, so that nobody else can have it exclusively; yield the descriptor.

    :param flags: of ``open``, beside those for this.
    :raises Fault: 2100 if somebody else has it, 2105 if it is another device by now.
    """
    try:
        descriptor = os.open(device.identity.path, flags | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            found = "the kernel holds it exclusively"
            raise Fault(codes.STORAGE_DEVICE_IN_USE, object=device.path, device=device.path, found=found) from error
        raise
    try:
        if os.fstat(descriptor).st_rdev != os.fstat(device.descriptor).st_rdev:
            raise Fault(codes.STORAGE_PATH_UNSAFE, path=device.path, reason="the device changed while it was being checked")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def udev_lock(device: Device) -> Iterator[None]:
    """Keep udev away from a device while it changes (systemd's BLOCK_DEVICE_LOCKING): a lock on the whole disk's node.

    :raises Fault: 2010 if somebody else has it.
    """
    path = "/dev/" + device.identity.disk.replace("!", "/")
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
