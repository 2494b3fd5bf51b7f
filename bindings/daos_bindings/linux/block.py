# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Block devices as sysfs shows them: what a device is, and what has hold of it.  Reads only, and opens no device.

sysfs, not names in /dev: a node may have any name, its device number is what counts.
"""

from __future__ import annotations

import os
import stat
from functools import cached_property

import msgspec

from daos_bindings.linux import attributes, kernelfiles
from daos_bindings.linux import mounts as mount_table
from daos_bindings.linux.attributes import GONE
from daos_pbin import codes
from daos_pbin.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daos_bindings.linux.mounts import Mount

BY_NUMBER = "/sys/dev/block"
BY_NAME = "/sys/class/block"
WHOLE = "/sys/block"
BTRFS = "/sys/fs/btrfs"
SWAPS = "/proc/swaps"

SECTOR = 512
"""Unit of sysfs sizes in bytes, whatever the device's own block size is."""

DEPTH = 16
"""Deepest stack of devices on devices that is followed; the kernel itself gives up before that."""

# Longest first where one is the beginning of another.
KINDS = (
    ("mmcblk", "mmc"),
    ("bcache", "bcache"),
    ("zram", "zram"),
    ("ublk", "ublk"),
    ("nvme", "nvme"),
    ("pmem", "pmem"),
    ("loop", "loop"),
    ("drbd", "drbd"),
    ("dasd", "dasd"),
    ("nbd", "nbd"),
    ("rbd", "rbd"),
    ("ram", "ram"),
    ("dm-", "dm"),
    ("xvd", "xen"),
    ("md", "md"),
    ("sd", "sd"),
    ("vd", "virtio"),
    ("sr", "cdrom"),
    ("zd", "zfs"),
    ("fd", "floppy"),
)


class BlockIdentity(msgspec.Struct, frozen=True):
    """A block device, by number.

    :param major: device number.
    :param minor: device number.
    :param name: the kernel's name, such as ``sda1`` or ``dm-0``.
    :param path: the kernel's path, such as ``/dev/sda1``.
    :param disk: name of the whole disk; equal to *name* unless this is a partition.
    :param is_partition: whether it is a partition.
    :param size_bytes: size now; 0 for an unused loop device or an empty drive.
    :param dax: whether the device can be mapped directly, as ext4's ``dax`` needs.
    """

    major: int
    minor: int
    name: str
    path: str
    disk: str
    is_partition: bool
    size_bytes: int
    dax: bool


class Usage(msgspec.Struct, frozen=True):
    """One hold on a device.

    :param kind: ``mount``, ``swap``, ``holder`` (another block device is on it), ``loop`` (a loop device has it as its file)
        or ``partition`` (the disk is divided).
    :param device: kernel name of the device concerned: the one asked about, or a partition of it, or what is on top of those.
    :param detail: where it is mounted, or the name of the holder, loop device or partition.  Not yet fit to print: a mount
        point is whatever somebody called it (``kernelfiles.printable``).
    """

    kind: str
    device: str
    detail: str


def identify(fd: int) -> BlockIdentity:
    """Tell which device *fd* is.

    :raises Fault: 2102 if it is no block device, or one that went away.
    :raises OSError: if sysfs cannot be read.
    """
    status = os.fstat(fd)
    if not stat.S_ISBLK(status.st_mode):
        path = kernelfiles.printable(os.readlink(f"/proc/self/fd/{fd}"))
        raise Fault(codes.STORAGE_DEVICE_NOT_BLOCK, object=path, path=path, what=_file_type(status.st_mode))
    found = by_number(os.major(status.st_rdev), os.minor(status.st_rdev))
    if found is None:
        path = kernelfiles.printable(os.readlink(f"/proc/self/fd/{fd}"))
        raise Fault(codes.STORAGE_DEVICE_NOT_BLOCK, object=path, path=path, what="a node without a device behind it")
    return found


def _file_type(mode: int) -> str:
    names = {
        stat.S_IFREG: "a regular file",
        stat.S_IFDIR: "a directory",
        stat.S_IFCHR: "a character device",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFLNK: "a symbolic link",
    }
    return names.get(stat.S_IFMT(mode), "no file on a disk")


def by_number(major: int, minor: int) -> BlockIdentity | None:
    """Describe the device of that number, or return ``None`` if the kernel has none."""
    try:
        return _describe(_target(f"{BY_NUMBER}/{major}:{minor}"))
    except OSError as error:
        if error.errno in GONE:
            return None
        raise


def by_name(name: str) -> BlockIdentity | None:
    """Describe the device that the kernel calls *name*, or return ``None`` if there is none."""
    if "/" in name or name in {"", ".", ".."}:
        return None
    try:
        return _describe(_target(f"{BY_NAME}/{name}"))
    except OSError as error:
        if error.errno in GONE:
            return None
        raise


def _target(link: str) -> str:
    """Return where a link of sysfs leads to: there is no second one on the way."""
    return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))


def _describe(directory: str) -> BlockIdentity:
    """Describe the device of a resolved sysfs directory; a partition's is inside its disk's."""
    name = os.path.basename(directory)
    is_partition = os.path.exists(f"{directory}/partition")
    disk = os.path.dirname(directory) if is_partition else directory
    major, _, minor = kernelfiles.text(f"{directory}/dev").partition(":")
    return BlockIdentity(
        major=kernelfiles.decimal(f"{directory}/dev", major),
        minor=kernelfiles.decimal(f"{directory}/dev", minor),
        name=name,
        # The kernel writes "/" as "!" in sysfs: cciss!c0d0 is /dev/cciss/c0d0.
        path="/dev/" + name.replace("!", "/"),
        disk=os.path.basename(disk),
        is_partition=is_partition,
        size_bytes=kernelfiles.number(f"{directory}/size") * SECTOR,
        dax=_optional(f"{disk}/queue/dax") == "1",
    )


def _optional(path: str) -> str:
    """Read an attribute that not every device has."""
    return attributes.optional(path)


def list_devices() -> tuple[BlockIdentity, ...]:
    """Describe every device that has a size, partitions included, by name.  One that goes away meanwhile is left out."""
    found = (by_name(name) for name in sorted(os.listdir(BY_NAME)))
    return tuple(device for device in found if device is not None and device.size_bytes)


def driver_kind(name: str) -> str:
    """Return what kind of device a kernel name stands for: ``loop``, ``nbd``, ``dm``, ``md``, ``nvme``, ``sd``, ``pmem``,
    ``virtio``, and others of ``KINDS``; ``other`` if none of them."""
    return next((kind for prefix, kind in KINDS if name.startswith(prefix)), "other")


def usage(identity: BlockIdentity, table: UsageTable) -> tuple[Usage, ...]:
    """List what has hold of a device: of itself, of its partitions or of the disk it is a partition of, and of whatever is
    stacked on those.  Empty means free as far as sysfs tells.

    A hold in another mount namespace or by a program does not show in sysfs: an ``O_EXCL`` open finds those.

    :raises OSError: if sysfs or /proc/swaps cannot be read.
    :raises MalformedError: if /proc/swaps is not as the kernel writes it.
    """
    if identity.is_partition:
        found: list[Usage] = []
        for name in (identity.name, identity.disk):
            _collect(name, table, found, DEPTH)
        return tuple(dict.fromkeys(found))
    return usage_of_disk(identity.name, table)


def usage_of_disk(name: str, table: UsageTable) -> tuple[Usage, ...]:
    """As ``usage``, of the whole disk of that name; empty if there is none."""
    found: list[Usage] = []
    for part in _partitions(name):
        found.append(Usage("partition", name, part))
        _collect(part, table, found, DEPTH)
    _collect(name, table, found, DEPTH)
    return tuple(dict.fromkeys(found))


class UsageTable:
    """What is mounted, swapped on and behind loop devices, and what ``/`` depends on: read once, for any number of devices.

    Each is read when it is first asked for, and not at all by who does not ask.

    :param mounts: of the whole mount namespace.
    """

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self._mounts = tuple(mounts)

    @cached_property
    def mounts(self) -> tuple[tuple[str, str], ...]:
        """Kernel name of each device that is mounted, and where."""
        return tuple((name, mount.mount_point) for mount in self._mounts for name in _devices_of(mount))

    @cached_property
    def swaps(self) -> frozenset[str]:
        """As ``swap_devices``."""
        return swap_devices()

    @cached_property
    def loops(self) -> tuple[tuple[str, str], ...]:
        """Each loop device whose file is a block device, and the kernel name of that."""
        return tuple(_loop_files())

    @cached_property
    def roots(self) -> frozenset[str]:
        """As ``root_disks``."""
        return root_disks(self._mounts)


def _collect(name: str, table: UsageTable, found: list[Usage], depth: int) -> None:
    found += (Usage("mount", name, place) for device, place in table.mounts if device == name)
    if name in table.swaps:
        found.append(Usage("swap", name, name))
    found += (Usage("loop", name, loop) for loop, backing in table.loops if backing == name)
    for holder in _entries(f"{BY_NAME}/{name}/holders"):
        label = _optional(f"{BY_NAME}/{holder}/dm/name")
        found.append(Usage("holder", name, f"{holder} ({label})" if label else holder))
        if depth:
            _collect(holder, table, found, depth - 1)


def family(identity: BlockIdentity) -> tuple[BlockIdentity, ...]:
    """Return the device, its disk, the disk's partitions if it is the whole disk, and every device that those are made of."""
    found: dict[str, BlockIdentity] = {}
    waiting = [identity, *filter(None, map(by_name, partitions(identity)))]
    while waiting:
        device = waiting.pop()
        if device.name not in found:
            found[device.name] = device
            below = (device.disk, *_entries(f"{BY_NAME}/{device.disk}/slaves"))
            waiting += filter(None, map(by_name, (name for name in below if name not in found)))
    return tuple(found.values())


def partitions(identity: BlockIdentity) -> tuple[str, ...]:
    """Return the kernel names of a whole disk's partitions; none for a partition."""
    return () if identity.is_partition else _partitions(identity.name)


def _partitions(disk: str) -> tuple[str, ...]:
    directory = f"{BY_NAME}/{disk}"
    # A partition's name is its disk's with something behind it.
    names = (name for name in _entries(directory) if name.startswith(disk))
    return tuple(name for name in names if os.path.exists(f"{directory}/{name}/partition"))


def _entries(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def swap_devices() -> frozenset[str]:
    """Return the kernel names of the devices that are swap space.

    :raises OSError: if /proc/swaps cannot be read; a kernel without swap has none, and that is no error.
    :raises MalformedError: if it is not as the kernel writes it.
    """
    try:
        return frozenset(parse_swaps(kernelfiles.read(SWAPS)))
    except FileNotFoundError:
        return frozenset()


def parse_swaps(data: bytes) -> tuple[str, ...]:
    """Return the kernel names of the swap *partitions* in the text of /proc/swaps; swap files are on a mount anyway.

    :raises kernelfiles.MalformedError: if a line has not the five fields.
    """
    names: list[str] = []
    for line in data.split(b"\n")[1:]:
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 5:
            raise kernelfiles.MalformedError(SWAPS, f"not five fields: {kernelfiles.printable(line)}")
        if fields[1] == b"partition":
            path = kernelfiles.unescape(SWAPS, fields[0], strict=True).removesuffix(" (deleted)")
            names.append(_name_of_node(path) or os.path.basename(path))
    return tuple(names)


def _name_of_node(path: str) -> str:
    """Return the kernel name of the block device at *path*; empty if it is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ""
    if not stat.S_ISBLK(status.st_mode):
        return ""
    device = by_number(os.major(status.st_rdev), os.minor(status.st_rdev))
    return device.name if device is not None else ""


def _loop_files() -> list[tuple[str, str]]:
    """Return (loop device, kernel name) for each loop device whose file is itself a block device."""
    loops = [name for name in _entries(WHOLE) if driver_kind(name) == "loop"]
    backed = ((name, _backing_file(name)) for name in loops)
    return [(name, device) for name, path in backed if path and (device := _name_of_node(path))]


def _backing_file(loop: str) -> str:
    """Return the path of a loop device's file as the kernel has it; empty if it has none."""
    try:
        return os.fsdecode(kernelfiles.read(f"{WHOLE}/{loop}/loop/backing_file", limit=kernelfiles.CHUNK).removesuffix(b"\n"))
    except OSError as error:
        if error.errno in GONE:
            return ""
        raise


def _devices_of(mount: Mount) -> Sequence[str]:
    """Return the kernel names of the devices a mount's file system is on; none for tmpfs, network and zfs ones."""
    device = by_number(mount.major, mount.minor) if mount.major else None
    if device is not None:
        return (device.name,)
    # A file system over several devices has a number of its own; its source is one of them, or (bcachefs) all.
    named = [name for part in mount.source.split(":") if part.startswith("/dev/") and (name := _name_of_node(part))]
    return _btrfs_members(named) if mount.fs_type == "btrfs" else named


def _btrfs_members(named: list[str]) -> list[str]:
    """Return all devices of the btrfs that has one of *named*."""
    for file_system in _entries(BTRFS):
        members = _entries(f"{BTRFS}/{file_system}/devices")
        if set(named) & set(members):
            return members
    return named


def root_disks(mounts: Iterable[Mount]) -> frozenset[str]:
    """Return the kernel names of every whole disk that ``/`` depends on: through partitions, device mapper, md and loop files.

    Stacked devices are in it as well as what they are made of.  Empty when ``/`` is on no block device (tmpfs, overlay, 9p,
    network), and for zfs, which tells nobody (but holds its devices, so that an ``O_EXCL`` open fails).

    :raises OSError: if sysfs cannot be read.
    """
    listed = tuple(mounts)
    found: set[str] = set()
    _add_disks_under("/", listed, found)
    return frozenset(found)


def _add_disks_under(path: str, mounts: tuple[Mount, ...], found: set[str]) -> None:
    mount = mount_table.containing(mounts, path)
    for name in _devices_of(mount) if mount is not None else ():
        _add_disks(name, mounts, found)


def _add_disks(name: str, mounts: tuple[Mount, ...], found: set[str]) -> None:
    device = by_name(name)
    if device is None or device.disk in found:
        return
    found.add(device.disk)
    for lower in _entries(f"{BY_NAME}/{device.disk}/slaves"):
        _add_disks(lower, mounts, found)
    backing = _backing_file(device.disk)
    if backing.startswith("/"):
        _add_disks_under(backing, mounts, found)
