# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A block device that a request names: opened once, identified by its descriptor, and refused unless it is free.

Refused whatever the request says: the disk that ``/`` is on, a device that is denied, mounted elsewhere, swapped on, or
held.  Refused without force: one that carries a signature, or data without one.  Force covers what DAOS left there; anything
else only where the policy names the device, because the account that sets ``force`` is not trusted with other people's
data.  For the same reason only a file system that DAOS made, or a device that the policy names, is mounted or looked into.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

from msgspec import DecodeError, Meta, Struct
from msgspec.json import decode, encode

from daos_bindings.linux import block, mounts, pci_address
from daos_bindings.linux.block import BlockIdentity, UsageTable
from daos_bindings.linux.kernelfiles import printable
from daos_helper.paths import components, open_path
from daos_helper.policy import SERVABLE_DRIVERS, Policy, PolicyFile, is_pci, names_device, names_function
from daos_helper.privileges import PROBE, PROBE_NAMESPACES
from daos_helper.rundir import RunDirectory
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault

LABEL: Final = "daos"
"""Label of every ext4 file system that we make; it tells ours from other people's."""
RECOVER: Final = 0x0004
"""EXT4_FEATURE_INCOMPAT_RECOVER"""
ORPHAN_PRESENT: Final = 0x10000
"""EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT"""
UNKNOWN: Final = "data without a signature"
EDGE: Final = 1 << 20
"""Bytes at each end of a device that must be zero for it to count as empty."""
HEAD: Final = 4096
"""Bytes at the beginning that a wiped NVMe namespace has zeros in."""
PROBE_S: Final = 30.0
"""Seconds that all devices of one probe are given together."""
BLOBSTORE: Final = "spdk_blobstore"
"""What SPDK leaves on an SSD that DAOS uses."""
RECORD_LIFE_S: Final = 24 * 3600
"""Seconds for which an mkfs that was cut short is remembered."""
Text = Annotated[str, Meta(max_length=256)]


class Found(Struct, frozen=True, forbid_unknown_fields=True):
    """One signature, as a worker reports it."""

    type: Text
    usage: Text
    label: Text
    uuid: Text

    def __str__(self) -> str:
        details = [text for text in (f"label {self.label}" if self.label else "", f"uuid {self.uuid}" if self.uuid else "") if text]
        return " ".join(filter(None, (self.type, self.usage))) + (f" ({', '.join(details)})" if details else "")


class Probed(Struct, frozen=True, forbid_unknown_fields=True):
    """All signatures of a device; data without a signature counts as one (``UNKNOWN``).

    :param settled: an ext4 file system was unmounted in order: no journal to replay, no orphans to clean.
    :param zeroed: the first 4 KiB are zeros.
    :param used: an ext4 file system was mounted for writing at least once.
    """

    signatures: Annotated[tuple[Found, ...], Meta(max_length=64)]
    settled: bool = True
    zeroed: bool = False
    used: bool = False

    @property
    def is_ext4(self) -> bool:
        """Whether there is exactly one signature, and it is ext4."""
        return len(self.signatures) == 1 and self.signatures[0].type == "ext4"

    @property
    def is_ours(self) -> bool:
        """Whether all there is, is an ext4 file system that DAOS made, or the blobstore of its engines."""
        return (self.is_ext4 and self.signatures[0].label == LABEL) or [found.type for found in self.signatures] == [BLOBSTORE]

    @property
    def is_wiped(self) -> bool:
        """Whether a wipe of the first 4 KiB destroys nothing, nor anything that begins with them."""
        return self.zeroed and all(found.type == UNKNOWN for found in self.signatures)

    @property
    def is_of_engines(self) -> bool:
        """Whether nothing is there but what engines, or we for them, make of an SSD: a blobstore, or a wiped beginning."""
        return self.is_wiped or all(found.type == BLOBSTORE for found in self.signatures)

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
    identity: BlockIdentity
    allowed: bool

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor number."""
        return self.identity.major, self.identity.minor

    @property
    def unfinished(self) -> str:
        """Name of the record that an mkfs was begun on it."""
        return f"mkfs-{self.identity.major}-{self.identity.minor}"


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
    text = run.read(device.unfinished)
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
    run.write(device.unfinished, encode(record))


def forget_unfinished(device: Device, run: RunDirectory) -> None:
    """Forget it: the file system may be used from now on, and what is on it then is nobody's to destroy."""
    run.remove(device.unfinished)


def _sequence(device: Device) -> int:
    try:
        with open(f"/sys/class/block/{device.identity.disk}/diskseq", encoding="ascii") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return 0  # Linux 5.14 has none


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


def probe(device: Device) -> Work[Probed]:
    """Find every signature on the device, and data without one."""
    descriptor = device.descriptor
    size = device.identity.size_bytes

    return (yield from perform(Step(PROBE, device.path, keep=(descriptor,), run=lambda _io: _probe(descriptor, size)), Probed))


class ProbedRows(Struct, frozen=True, forbid_unknown_fields=True):
    """What was found on several devices: pairs of a place in their list, and what is there."""

    found: Annotated[tuple[tuple[int, Probed], ...], Meta(max_length=4096)]


def probe_all(devices: Sequence[Device], subject: str, *, edge: int = EDGE) -> Work[dict[int, Probed]]:
    """Probe many devices at the same time; return what was found by place in the list.  One that is missing did not answer.

    :param edge: bytes at each end that must be zero for a device without a signature to be empty; ``HEAD`` is enough where
        ``is_wiped`` decides.
    """
    return (yield from _probe_parts([(device.descriptor, device.identity.size_bytes, 0) for device in devices], subject, edge))


def probe_copies(file: int, copies: Sequence[tuple[int, int]], subject: str) -> Work[dict[int, Probed]]:
    """Probe copies of devices in one file; otherwise as ``probe_all``.

    :param copies: where each begins, and its size, in bytes.
    """
    return (yield from _probe_parts([(file, size, offset) for offset, size in copies], subject, EDGE))


def _probe_parts(parts: Sequence[tuple[int, int, int]], subject: str, edge: int) -> Work[dict[int, Probed]]:
    if not parts:
        return {}
    from daos_bindings.linux.parallel import FEW, spread  # here: who probes one device does without threads

    def run(_io: WorkerIO) -> Built:
        found: dict[int, Built] = {}

        def one(place: int) -> Built | None:
            try:
                return _probe(*parts[place], edge)
            except OSError:
                return None  # it is gone, or cannot be read

        def done(place: int, built: Built | None) -> None:
            if built is not None:
                found[place] = built

        spread(len(parts), one, threads=PROBE_NAMESPACES.threads, seconds=PROBE_S, done=done, first=FEW)
        return {"found": [[place, built] for place, built in found.items()]}

    keep = tuple(dict.fromkeys(descriptor for descriptor, _, _ in parts))
    rows = yield from perform(Step(PROBE_NAMESPACES, subject, keep=keep, run=run), ProbedRows)
    return dict(rows.found)


def _probe(descriptor: int, size: int, offset: int = 0, edge: int = EDGE) -> Built:
    """Probe what is in a file from an offset on; in a device that is 0."""
    from daos_bindings.linux import signatures  # loads libblkid: in the worker, after the drop

    found = [
        {"type": one.type[:256], "usage": one.usage[:256], "label": one.label[:256], "uuid": one.uuid[:256]}
        for one in signatures.probe(descriptor, offset=offset, size=size)[:64]
    ]
    if not found and not _is_blank(descriptor, size, offset, edge):
        found = [{"type": UNKNOWN, "usage": "", "label": "", "uuid": ""}]
    zeroed = not any(os.pread(descriptor, HEAD, offset))
    settled, used = _read_superblock(descriptor, offset)
    return {"signatures": found, "settled": settled, "zeroed": zeroed, "used": used}


def _is_blank(descriptor: int, size: int, offset: int, edge: int) -> bool:
    """Tell whether both ends of the device are zero: plain encryption and raw databases have no signature, and are not empty."""
    edge = min(edge, size)
    zeros = bytes(edge)
    return all(zeros.startswith(os.pread(descriptor, edge, offset + start)) for start in (0, size - edge))


def _read_superblock(descriptor: int, offset: int) -> tuple[bool, bool]:
    """Tell whether an ext4 superblock says that nothing is left to replay or to clean, and whether it has ever been mounted.

    (fs/ext4/ext4.h, struct ext4_super_block; mkfs leaves the time and the number of mounts at 0.)
    """
    superblock = os.pread(descriptor, 1024, offset + 1024)
    if len(superblock) < 1024 or superblock[0x38:0x3A] != b"\x53\xef":
        return True, False
    used = any(superblock[0x2C:0x30]) or any(superblock[0x34:0x36])
    incompatible = int.from_bytes(superblock[0x60:0x64], "little")
    read_only_compatible = int.from_bytes(superblock[0x64:0x68], "little")
    last_orphan = int.from_bytes(superblock[0xE8:0xEC], "little")
    return not (incompatible & RECOVER or read_only_compatible & ORPHAN_PRESENT or last_orphan), used
