# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Real block devices: what they are, what is written on them, what holds them."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daos_bindings.linux import block, mounts, signatures, syscalls
from daos_pbin.faults import Fault

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes loop devices"),
]

MIB = 1024 * 1024
SIZE = 32 * MIB
SECTOR = 512

LOSETUP = "/sbin/losetup"
SWAPON = "/sbin/swapon"
SWAPOFF = "/sbin/swapoff"


def run(*command: str) -> str:
    if not os.path.exists(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@contextmanager
def loop_device(backing: Path | str, *options: str) -> Iterator[str]:
    path = run(LOSETUP, "--find", "--show", *options, str(backing))
    try:
        yield path
    finally:
        run(LOSETUP, "--detach", path)


@contextmanager
def opened(path: Path | str, flags: int = os.O_RDONLY) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture
def loop(image: Path) -> Iterator[str]:
    with loop_device(image) as path:
        yield path


def found_on(path: Path | str) -> tuple[signatures.Signature, ...]:
    with opened(path) as fd:
        return signatures.probe(fd)


def identity(path: str) -> block.BlockIdentity:
    with opened(path, os.O_PATH) as fd:
        return block.identify(fd)


def write(path: Path | str, *pieces: tuple[int, bytes]) -> None:
    with opened(path, os.O_WRONLY) as fd:
        for offset, data in pieces:
            os.pwrite(fd, data, offset)
        os.fsync(fd)


# What real programs write


def test_nothing_is_on_a_new_device(loop: str) -> None:
    assert found_on(loop) == ()


def test_ext4(loop: str) -> None:
    run("/sbin/mkfs.ext4", "-q", "-L", "daos", "-U", "6a2f41a3-c54c-fce8-32d2-0324e1c32e22", loop)
    assert found_on(loop) == (signatures.Signature("ext4", "filesystem", "daos", "6a2f41a3-c54c-fce8-32d2-0324e1c32e22", 1024 + 56),)


def test_a_regular_file_can_be_probed(image: Path) -> None:
    run("/sbin/mkfs.ext4", "-q", "-L", "daos", str(image))
    assert [(found.type, found.label) for found in found_on(image)] == [("ext4", "daos")]


def test_swap(loop: str) -> None:
    run("/sbin/mkswap", "-L", "pages", loop)
    (found,) = found_on(loop)
    assert (found.type, found.usage, found.label, found.offset) == ("swap", "other", "pages", os.sysconf("SC_PAGE_SIZE") - 10)


def test_a_hostile_label_is_printable(loop: str) -> None:
    run("/sbin/mkfs.ext4", "-q", loop)
    write(loop, (1024 + 120, b"\x1b[31m\n\xff"))
    (found,) = found_on(loop)
    assert found.type == "ext4"
    assert found.label.isprintable()
    assert "31m" in found.label


# What this machine has no program for, by the formats' own definitions


def mbr(*partitions: tuple[int, int, int]) -> bytes:
    """Make an MBR with (type, first sector, sectors) entries."""
    entries = b"".join(struct.pack("<4xB3xII", kind, first, count) for kind, first, count in partitions)
    return b"\0" * 440 + b"DAOS\0\0" + entries.ljust(64, b"\0") + b"\x55\xaa"


def gpt(size: int) -> tuple[tuple[int, bytes], ...]:
    """Make a GPT with one partition of the second MiB: protective MBR, header, entries, and the backup."""
    last = size // SECTOR - 1
    linux = bytes.fromhex("af3dc60f838472478e793d69d8477de4")
    entry = (
        linux + b"\x11" * 16 + struct.pack("<QQQ", MIB // SECTOR, 2 * MIB // SECTOR - 1, 0) + "daos".encode("utf-16-le").ljust(72, b"\0")
    )
    entries = entry.ljust(128 * 128, b"\0")

    def header(own: int, other: int, table: int) -> bytes:
        fields = (own, other, 34, last - 33, b"\x22" * 16, table, 128, 128, zlib.crc32(entries))
        blank = b"EFI PART" + struct.pack("<III4xQQQQ16sQIII", 0x10000, 92, 0, *fields)
        return blank[:16] + struct.pack("<I", zlib.crc32(blank)) + blank[20:]

    return (
        (0, mbr((0xEE, 1, last))),
        (SECTOR, header(1, last, 2)),
        (2 * SECTOR, entries),
        ((last - 32) * SECTOR, entries),
        (last * SECTOR, header(last, 1, last - 32)),
    )


def lvm2() -> bytes:
    """Make the label sector of an LVM physical volume (lib/format_text/layout.h)."""
    body = struct.pack("<I8s", 32, b"LVM2 001") + b"abcdefghijklmnopqrstuvwxyz012345" + struct.pack("<Q", SIZE)
    body = body.ljust(SECTOR - 20, b"\0")
    # LVM's CRC has a start value of its own and no final inversion.
    crc = zlib.crc32(body, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return struct.pack("<8sQI", b"LABELONE", 1, crc) + body


def raid() -> bytes:
    """Make a version 1.2 superblock of md (include/uapi/linux/raid/md_p.h) for 4 KiB into the device."""
    block_ = bytearray(256)
    struct.pack_into("<III", block_, 0, 0xA92B4EFC, 1, 0)
    block_[16:32] = b"\x33" * 16
    block_[32:42] = b"host:array"
    struct.pack_into("<Q", block_, 144, 8)
    total = sum(struct.unpack("<64I", block_))
    struct.pack_into("<I", block_, 216, ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF)
    return bytes(block_)


def xfs() -> bytes:
    """Make a version 4 XFS superblock that passes libblkid's plausibility checks (fs/xfs/libxfs/xfs_format.h)."""
    blocks = struct.pack(">4sIQQQ16s", b"XFSB", 4096, 8192, 0, 0, b"\x44" * 16)
    inodes = struct.pack(">QQQQ", 4, 128, 129, 130)
    groups = struct.pack(">IIIIIHHHH", 1, 2048, 4, 0, 855, 0xB4A4, 512, 512, 8)
    logarithms = struct.pack(">12sBBBBBBBB", b"daos-xfs", 12, 9, 9, 3, 11, 0, 0, 25)
    return (blocks + inodes + groups + logarithms + struct.pack(">QQQQ", 64, 0, 100, 0)).ljust(SECTOR, b"\0")


LUKS = b"LUKS\xba\xbe\0\x01".ljust(168, b"\0") + b"6a2f41a3-c54c-fce8-32d2-0324e1c32e22"


# A boot sector that says where the metadata is, and the metadata's own mark there.
BITLOCKER = ((0, b"\xeb\x58\x90-FVE-FS-"), (176, struct.pack("<Q", 4096)), (4096, b"-FVE-FS-"))


@pytest.mark.parametrize(
    ("pieces", "type_", "usage"),
    [
        pytest.param(gpt(SIZE), "gpt", "partition table", id="gpt"),
        pytest.param(((0, mbr((0x83, 2048, 4096))),), "dos", "partition table", id="mbr"),
        pytest.param(((SECTOR, lvm2()),), "LVM2_member", "raid", id="lvm"),
        pytest.param(((4096, raid()),), "linux_raid_member", "raid", id="md"),
        pytest.param(((0, LUKS),), "crypto_LUKS", "crypto", id="luks"),
        pytest.param(((0, xfs()),), "xfs", "filesystem", id="xfs"),
        pytest.param(BITLOCKER, "BitLocker", "crypto", id="bitlocker"),
        pytest.param(((0, b"SPDKBLOB"),), "spdk_blobstore", "other", id="spdk"),
    ],
)
def test_foreign_formats(loop: str, pieces: tuple[tuple[int, bytes], ...], type_: str, usage: str) -> None:
    write(loop, *pieces)
    assert [(found.type, found.usage) for found in found_on(loop)] == [(type_, usage)]


def test_a_gpt_without_its_mbr_or_with_only_its_backup_is_found(loop: str) -> None:
    pieces = gpt(SIZE)
    write(loop, *pieces[1:])
    assert "gpt" in [found.type for found in found_on(loop)]
    write(loop, (SECTOR, b"\0" * SECTOR))
    assert "gpt" in [found.type for found in found_on(loop)]


def test_a_device_that_looks_like_several_things_is_told_in_full(loop: str) -> None:
    run("/sbin/mkfs.ext4", "-q", "-L", "daos", loop)
    write(loop, (0, mbr((0x83, 2048, 4096))))
    # ext4 begins at 1 KiB and leaves room for both: the label sector, and the table before it.
    write(loop, (SECTOR, lvm2()))
    assert {found.type for found in found_on(loop)} == {"ext4", "LVM2_member", "dos"}


def test_a_superblock_with_a_wrong_checksum_is_still_found(loop: str) -> None:
    spoiled = bytearray(raid())
    spoiled[216] ^= 0xFF
    write(loop, (4096, bytes(spoiled)))
    assert [found.type for found in found_on(loop)] == ["linux_raid_member"]


def test_garbage_is_no_signature_and_no_crash(image: Path) -> None:
    write(image, (0, bytes(range(256)) * 4096))
    assert found_on(image) == ()


def test_what_cannot_be_probed(tmp_path: Path) -> None:
    with opened(tmp_path, os.O_RDONLY) as fd, pytest.raises(OSError, match="directory"):
        signatures.probe(fd)


def test_an_unreadable_device_is_not_an_empty_one(image: Path, loop: str) -> None:
    os.truncate(image, 4096)
    with pytest.raises(OSError, match="signatures cannot be read"):
        found_on(loop)


def test_an_empty_file_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert found_on(tmp_path / "empty") == ()


# What a device is


def test_a_loop_device_is_identified(loop: str) -> None:
    found = identity(loop)
    status = os.stat(loop)
    assert found == block.BlockIdentity(
        major=os.major(status.st_rdev),
        minor=os.minor(status.st_rdev),
        name=os.path.basename(loop),
        path=loop,
        disk=os.path.basename(loop),
        is_partition=False,
        size_bytes=SIZE,
        dax=False,
    )
    assert block.driver_kind(found.name) == "loop"
    assert found in block.list_devices()


def test_the_number_counts_and_not_the_name(loop: str, tmp_path: Path) -> None:
    node = tmp_path / "sda"
    os.mknod(node, 0o600 | 0o060000, os.stat(loop).st_rdev)
    assert identity(str(node)) == identity(loop)


def test_a_node_without_a_device(tmp_path: Path) -> None:
    node = tmp_path / "node"
    os.mknod(node, 0o600 | 0o060000, os.makedev(4095, 77))
    with pytest.raises(Fault, match="2102"):
        identity(str(node))


def test_dax_is_what_the_kernel_says() -> None:
    devices = block.list_devices()
    assert devices
    for device in devices:
        assert device.dax == (Path(f"/sys/block/{device.disk}/queue/dax").read_text() == "1\n")


def test_the_root_disk_is_found() -> None:
    table = mounts.read()
    root = mounts.at(table, "/")
    if root is None or root.major == 0:
        pytest.skip("/ is on no block device here (a container?): there is no root disk to find")
    disk = block.by_number(root.major, root.minor)
    assert disk is not None
    assert disk.disk in block.root_disks(table)
    assert "mount" in {use.kind for use in block.usage(disk, block.UsageTable(table))}


# What holds a device


@contextmanager
def mounted(device: str, target: Path) -> Iterator[None]:
    fs = syscalls.fsopen("ext4")
    try:
        syscalls.fsconfig_string(fs, "source", device)
        syscalls.fsconfig_create(fs)
        mount = syscalls.fsmount(fs, syscalls.MOUNT_ATTR_NOSUID)
    finally:
        os.close(fs)
    try:
        with opened(target, os.O_PATH) as directory:
            syscalls.move_mount(mount, directory)
    finally:
        os.close(mount)
    try:
        yield
    finally:
        syscalls.umount_nofollow(str(target))


@contextmanager
def swapped_on(device: str) -> Iterator[None]:
    run(SWAPON, device)
    try:
        yield
    finally:
        run(SWAPOFF, device)


def test_a_mounted_device_is_in_use(loop: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    run("/sbin/mkfs.ext4", "-q", loop)
    name = os.path.basename(loop)
    assert block.usage(identity(loop), block.UsageTable(mounts.read())) == ()
    with mounted(loop, target):
        assert block.usage(identity(loop), block.UsageTable(mounts.read())) == (block.Usage("mount", name, str(target)),)
    assert block.usage(identity(loop), block.UsageTable(mounts.read())) == ()


def test_swap_space_is_in_use(loop: str) -> None:
    run("/sbin/mkswap", loop)
    name = os.path.basename(loop)
    with swapped_on(loop):
        assert block.usage(identity(loop), block.UsageTable(mounts.read())) == (block.Usage("swap", name, name),)
    assert block.usage(identity(loop), block.UsageTable(mounts.read())) == ()


def test_a_loop_device_on_a_device_is_a_use(loop: str) -> None:
    with loop_device(loop) as upper:
        assert block.usage(identity(loop), block.UsageTable(())) == (block.Usage("loop", os.path.basename(loop), os.path.basename(upper)),)


def test_a_partition_and_its_disk(loop: str, tmp_path: Path) -> None:
    disk = identity(loop)
    # Told to the kernel directly: it need not know any partition table for this.
    run("/usr/bin/addpart", loop, "1", str(MIB // SECTOR), str(MIB // SECTOR))
    try:
        (part,) = block.partitions(disk)
        found = block.by_name(part)
        assert found is not None
        assert (found.disk, found.is_partition, found.size_bytes) == (disk.name, True, MIB)
        assert block.usage(disk, block.UsageTable(mounts.read())) == (block.Usage("partition", disk.name, part),)
        assert block.usage(found, block.UsageTable(mounts.read())) == ()
        node = tmp_path / "part"
        os.mknod(node, 0o600 | 0o060000, os.makedev(found.major, found.minor))
        assert identity(str(node)) == found
        run("/sbin/mkswap", str(node))
        with swapped_on(str(node)):
            assert block.Usage("swap", part, part) in block.usage(disk, block.UsageTable(mounts.read()))
            assert block.usage(found, block.UsageTable(mounts.read())) == (block.Usage("swap", part, part),)
    finally:
        run("/usr/bin/delpart", loop, "1")


def test_the_root_of_a_loop_file_is_the_disk_below(loop: str, tmp_path: Path) -> None:
    """A root on a loop device leads to the disk that its file is on."""
    table = mounts.read()
    below = mounts.containing(table, str(tmp_path))
    if below is None or below.major == 0:
        pytest.skip("the test's files are on no block device here: there is nothing below the loop device")
    device = identity(loop)
    pretended = mounts.Mount(1, 0, device.major, device.minor, "/", "/", (), (), "ext4", loop, ())
    # The file's own mount stays below the pretended root.
    files = mounts.Mount(2, 1, below.major, below.minor, "/", str(tmp_path), (), (), "ext4", below.source, ())
    disk = block.by_number(below.major, below.minor)
    assert disk is not None
    assert block.root_disks((pretended, files)) >= {device.name, disk.disk}


def test_programs_of_these_tests_are_there() -> None:
    """Say in one place what is missing: each of these makes a test above skip."""
    programs = (LOSETUP, SWAPON, SWAPOFF, "/sbin/mkswap", "/sbin/mkfs.ext4", "/usr/bin/addpart", "/usr/bin/delpart")
    assert [name for name in programs if not os.access(name, os.X_OK)] == []
