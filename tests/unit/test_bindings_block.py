# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Block devices over a made-up sysfs: stacks that no development machine has.  The real one is in the host tests."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daos_bindings.linux import block, kernelfiles
from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.linux.mounts import Mount
from daos_pbin.faults import Fault

pytestmark = pytest.mark.unit


class Sysfs:
    """A sysfs with just what ``block`` reads, laid out as the kernel does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.devices = root / "devices"
        for name in ("class", "block", "dev", "btrfs"):
            (root / name).mkdir(parents=True)

    def disk(self, name: str, number: str, *, sectors: int = 2048, dax: int = 0, slaves: tuple[str, ...] = (), label: str = "") -> None:
        directory = self.devices / name
        (directory / "queue").mkdir(parents=True)
        (directory / "queue/dax").write_text(f"{dax}\n")
        (directory / "slaves").mkdir()
        self._node(directory, name, number, sectors)
        (self.root / "block" / name).symlink_to(directory)
        if label:
            (directory / "dm").mkdir()
            (directory / "dm/name").write_text(f"{label}\n")
        for slave in slaves:
            (directory / "slaves" / slave).symlink_to(self.root / "class" / slave)
            (self.root / "class" / slave / "holders" / name).symlink_to(directory)

    def partition(self, disk: str, name: str, number: str) -> None:
        directory = self.devices / disk / name
        directory.mkdir()
        (directory / "partition").write_text("1\n")
        self._node(directory, name, number, 1024)

    def loop_file(self, loop: str, path: str) -> None:
        (self.devices / loop / "loop").mkdir()
        (self.devices / loop / "loop/backing_file").write_text(f"{path}\n")

    def _node(self, directory: Path, name: str, number: str, sectors: int) -> None:
        (directory / "dev").write_text(f"{number}\n")
        (directory / "size").write_text(f"{sectors}\n")
        (directory / "holders").mkdir()
        (self.root / "class" / name).symlink_to(directory)
        (self.root / "dev" / number).symlink_to(directory)


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    made = Sysfs(tmp_path / "sys")
    monkeypatch.setattr(block, "BY_NAME", str(made.root / "class"))
    monkeypatch.setattr(block, "BY_NUMBER", str(made.root / "dev"))
    monkeypatch.setattr(block, "WHOLE", str(made.root / "block"))
    monkeypatch.setattr(block, "BTRFS", str(made.root / "btrfs"))
    monkeypatch.setattr(block, "SWAPS", str(tmp_path / "swaps"))
    # Nodes of made-up devices cannot be made without root: their name is what they would lead to.
    monkeypatch.setattr(block, "_name_of_node", lambda path: path.removeprefix("/dev/") if path.startswith("/dev/") else "")
    made.disk("sda", "8:0")
    made.partition("sda", "sda1", "8:1")
    made.partition("sda", "sda2", "8:2")
    made.disk("sdb", "8:16", sectors=0)
    made.partition("sdb", "sdb1", "8:17")
    made.disk("pmem0", "259:0", dax=1)
    return made


def mounted(number: str, place: str = "/", *, fs_type: str = "ext4", source: str = "none", parent: int = 0) -> Mount:
    major, minor = map(int, number.split(":"))
    return Mount(len(place), parent, major, minor, "/", place, (), (), fs_type, source, ())


def named(name: str) -> block.BlockIdentity:
    found = block.by_name(name)
    assert found is not None
    return found


def test_a_disk_and_its_partition(sysfs: Sysfs) -> None:
    disk, part = named("sda"), named("sda2")
    assert disk == block.BlockIdentity(
        major=8,
        minor=0,
        name="sda",
        path="/dev/sda",
        disk="sda",
        is_partition=False,
        size_bytes=1024 * 1024,
        dax=False,
    )
    assert (part.disk, part.is_partition, part.size_bytes) == ("sda", True, 512 * 1024)
    assert block.by_number(8, 2) == part
    assert block.partitions(disk) == ("sda1", "sda2")
    assert block.partitions(part) == ()
    assert named("pmem0").dax


def test_devices_that_are_not_there(sysfs: Sysfs) -> None:
    assert block.by_number(8, 99) is None
    assert [block.by_name(name) for name in ("sdz", "", ".", "..", "../dev/8:0")] == [None] * 5


def test_a_name_with_a_slash(sysfs: Sysfs) -> None:
    sysfs.disk("cciss!c0d0", "104:0", label="")
    assert named("cciss!c0d0").path == "/dev/cciss/c0d0"


def test_the_list_has_no_empty_devices(sysfs: Sysfs) -> None:
    assert [device.name for device in block.list_devices()] == ["pmem0", "sda", "sda1", "sda2", "sdb1"]


def test_a_free_device_has_no_usage(sysfs: Sysfs) -> None:
    assert block.usage(named("pmem0"), block.UsageTable((mounted("8:1"),))) == ()


def test_everything_stacked_on_a_disk_is_its_usage(sysfs: Sysfs, tmp_path: Path) -> None:
    sysfs.disk("dm-0", "253:0", slaves=("sda2",), label="luks")
    sysfs.disk("dm-1", "253:1", slaves=("dm-0",), label="vg-root")
    sysfs.disk("dm-2", "253:2", slaves=("dm-0",), label="vg-swap")
    (tmp_path / "swaps").write_text("Filename\tType\tSize\tUsed\tPriority\n/dev/dm-2   partition\t1\t0\t-2\n/swap\\040file file 1 0 -3\n")
    found = block.usage(named("sda"), block.UsageTable((mounted("253:1"), mounted("8:1", "/boot"))))
    assert found == (
        block.Usage("partition", "sda", "sda1"),
        block.Usage("mount", "sda1", "/boot"),
        block.Usage("partition", "sda", "sda2"),
        block.Usage("holder", "sda2", "dm-0 (luks)"),
        block.Usage("holder", "dm-0", "dm-1 (vg-root)"),
        block.Usage("mount", "dm-1", "/"),
        block.Usage("holder", "dm-0", "dm-2 (vg-swap)"),
        block.Usage("swap", "dm-2", "dm-2"),
    )
    assert {use.kind for use in block.usage(named("sda1"), block.UsageTable((mounted("253:1"), mounted("8:1", "/boot"))))} == {"mount"}


def test_a_held_disk_holds_its_partitions(sysfs: Sysfs) -> None:
    sysfs.disk("dm-9", "253:9", slaves=("sda",), label="mpatha")
    assert block.usage(named("sda1"), block.UsageTable(())) == (block.Usage("holder", "sda", "dm-9 (mpatha)"),)


def test_a_loop_device_on_a_disk_is_its_usage(sysfs: Sysfs) -> None:
    sysfs.disk("loop0", "7:0")
    sysfs.loop_file("loop0", "/dev/sda2")
    assert block.usage(named("sda2"), block.UsageTable(())) == (block.Usage("loop", "sda2", "loop0"),)


def test_btrfs_uses_all_its_devices(sysfs: Sysfs) -> None:
    members = sysfs.root / "btrfs/uuid/devices"
    members.mkdir(parents=True)
    (sysfs.root / "btrfs/features").mkdir()
    for name in ("sda2", "sdb1"):
        (members / name).symlink_to(sysfs.root / "class" / name)
    listed = (mounted("0:44", fs_type="btrfs", source="/dev/sda2"),)
    assert block.usage(named("sdb1"), block.UsageTable(listed)) == (block.Usage("mount", "sdb1", "/"),)
    assert block.root_disks(listed) == {"sda", "sdb"}


def test_a_partition_leads_to_its_disk(sysfs: Sysfs) -> None:
    assert block.root_disks((mounted("8:1"),)) == {"sda"}


def test_a_stack_leads_to_every_disk(sysfs: Sysfs) -> None:
    sysfs.disk("md0", "9:0", slaves=("sda2", "sdb1"))
    sysfs.disk("dm-0", "253:0", slaves=("md0",), label="luks")
    sysfs.disk("dm-1", "253:1", slaves=("dm-0",), label="vg-root")
    assert block.root_disks((mounted("253:1"),)) == {"dm-1", "dm-0", "md0", "sda", "sdb"}


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENXIO, errno.ENOENT])
def test_a_loop_device_that_goes_away_meanwhile_is_left_out(sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    sysfs.disk("loop0", "7:0")
    sysfs.loop_file("loop0", "/dev/sda2")
    read = kernelfiles.read

    def reading(path: str, *, limit: int = kernelfiles.LIMIT) -> bytes:
        if path.endswith("backing_file"):
            raise OSError(number, "taken away")
        return read(path, limit=limit)

    monkeypatch.setattr(kernelfiles, "read", reading)
    assert block.UsageTable(()).loops == ()


def test_a_loop_file_leads_to_the_disk_it_is_on(sysfs: Sysfs) -> None:
    sysfs.disk("loop0", "7:0")
    sysfs.loop_file("loop0", "/host/root.img")
    assert block.root_disks((mounted("7:0"), mounted("8:1", "/host", parent=1))) == {"loop0", "sda"}


@pytest.mark.parametrize(
    ("fs_type", "source"), [("tmpfs", "tmpfs"), ("overlay", "overlay"), ("9p", "/dev/root"), ("zfs", "pool/ROOT"), ("nfs4", "a:/b")]
)
def test_a_root_on_no_device(sysfs: Sysfs, fs_type: str, source: str) -> None:
    assert block.root_disks((mounted("0:30", fs_type=fs_type, source=source),)) == frozenset()


def test_no_root_at_all(sysfs: Sysfs) -> None:
    assert block.root_disks(()) == frozenset()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("loop7", "loop"),
        ("nbd0", "nbd"),
        ("dm-12", "dm"),
        ("md127", "md"),
        ("md_d0p1", "md"),
        ("nvme0n1p2", "nvme"),
        ("sdaa", "sd"),
        ("pmem0s", "pmem"),
        ("vda", "virtio"),
        ("mmcblk0", "mmc"),
        ("zram0", "zram"),
        ("rbd0", "rbd"),
        ("ram0", "ram"),
        ("bcache0", "bcache"),
        ("drbd1", "drbd"),
        ("whatever", "other"),
        ("", "other"),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert block.driver_kind(name) == kind


@pytest.mark.parametrize("line", [b"/dev/sda2 partition", b"\xff\x1b", b"/dev/a b partition 1 0 -2", b"/dev/a\\9 partition 1 0 -2"])
def test_hostile_swaps_are_refused(line: bytes) -> None:
    with pytest.raises(MalformedError, match="swaps") as caught:
        block.parse_swaps(b"Filename Type Size Used Priority\n" + line + b"\n")
    assert str(caught.value).isprintable()


def test_a_vanished_swap_node_keeps_its_name() -> None:
    assert block.parse_swaps(b"Filename Type Size Used Priority\n/dev/gone99\\040(deleted) partition 1 0 -2\n") == ("gone99",)
    assert block.parse_swaps(b"Filename Type Size Used Priority\n") == ()


@pytest.mark.parametrize(("path", "what"), [("/dev/null", "character device"), ("/", "directory"), ("/etc/passwd", "regular file")])
def test_what_is_no_block_device(path: str, what: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(Fault) as caught:
            block.identify(fd)
    finally:
        os.close(fd)
    assert caught.value.code == 2102
    assert path in str(caught.value)
    assert what in str(caught.value)
