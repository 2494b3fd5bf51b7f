# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The storage methods of the installed helper, called by the account, on real tmpfs, loop devices and hugepages."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hostile import helper_processes, unmount_below
from injection import stopped_at
from installed import Installation

from daos_bindings.linux import hugepages, mounts
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import (
    BdevPrepare,
    Dcpm,
    MetadataFormat,
    MetadataMount,
    MetadataNeedsFormat,
    MetadataUnmount,
    NodePages,
    Ramdisk,
    Request,
    Result,
    ScmCheckFormat,
    ScmFormat,
    ScmMount,
    ScmUnmount,
)
from daos_pbin.plain import PlainSession

RAM = Ramdisk(1)
HUGE = "/dev/hugepages"


@pytest.fixture
def base(installation: Installation) -> Iterator[Path]:
    """A mount root of the tests' own, so that no real one of this machine is ever used."""
    root = installation.root / "mnt"
    root.mkdir()
    yield root
    unmount_below(root)
    shutil.rmtree(root)


class Policy(Protocol):
    """Writes the policy: always the tests' mount root, and what is asked for."""

    def __call__(self, *devices: str, more: str = "") -> None: ...


@pytest.fixture
def policy(installation: Installation, base: Path) -> Iterator[Policy]:
    path = Path(installation.layout.policy_file)

    def write(*devices: str, more: str = "") -> None:
        path.write_text(f'mount_roots = ["{base}"]\ndevices_allow = {list(devices)!r}\n{more}')
        path.chmod(0o644)

    write()
    yield write
    path.unlink()


@pytest.fixture
def helper(installation: Installation, policy: Policy) -> Iterator[PlainSession]:
    """A session of the server's account."""
    with PlainSession(installation.helper_of_account) as session:
        yield session


@contextlib.contextmanager
def loop(image: Path, size_mib: int = 256) -> Iterator[str]:
    with open(image, "wb") as file:
        file.truncate(size_mib << 20)
    device = run("/usr/sbin/losetup", "--find", "--show", str(image))
    try:
        yield device
    finally:
        run("/usr/sbin/losetup", "--detach", device)


@pytest.fixture
def device(tmp_path: Path, policy: Policy) -> Iterator[str]:
    """A loop device that the policy names."""
    with loop(tmp_path / "device.img") as path:
        policy(path)
        yield path


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def fault_of(helper: PlainSession, request: Request[Result]) -> Fault:
    with pytest.raises(Fault) as caught:
        helper.call(request)
    return caught.value


def mounted(path: Path) -> list[mounts.Mount]:
    return [mount for mount in mounts.read() if mount.mount_point == str(path)]


def digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# RAM disks


def test_ramdisk_is_formatted_once_and_again_only_with_force(helper: PlainSession, base: Path, installation: Installation) -> None:
    target = base / "engine0"
    before = helper.call(ScmCheckFormat(str(target), ramdisk=RAM))
    assert (before.formatted, before.mounted, before.mountable) == (False, False, False)
    done = helper.call(ScmFormat(str(target), ramdisk=RAM))
    assert (done.formatted, done.mounted, done.mountable, done.changed) == (True, True, False, True)
    (mount,) = mounted(target)
    assert (mount.fs_type, mount.source) == ("tmpfs", "tmpfs")
    assert {"nosuid", "nodev", "noexec", "noatime"} <= set(mount.options)
    assert "size=1048576k" in mount.super_options
    found = target.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (installation.account.uid, installation.account.gid, 0o755)
    (target / "data").write_text("precious")
    refused = fault_of(helper, ScmFormat(str(target), ramdisk=RAM))
    assert refused.code == codes.STORAGE_ALREADY_FORMATTED
    assert "tmpfs" in refused.cause
    assert (target / "data").read_text() == "precious"
    assert helper.call(ScmFormat(str(target), ramdisk=RAM, force=True)).changed
    assert len(mounted(target)) == 1, "nothing is mounted twice"
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("hugepages_off", [False, True])
def test_ramdisk_options_are_those_of_the_request(helper: PlainSession, base: Path, hugepages_off: bool) -> None:
    result = helper.call(ScmFormat(str(base / "engine0"), ramdisk=Ramdisk(2, numa_node=0, disable_hugepages=hugepages_off)))
    options = result.options.split(",")
    assert "size=2097152k" in options
    numa = os.path.exists("/sys/devices/system/node/node0")
    assert ("mpol=prefer:0" in options) == numa
    huge = os.path.exists("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
    assert ("huge=always" in options) == (huge and not hugepages_off)


def test_ramdisk_mount_and_unmount_are_idempotent(helper: PlainSession, base: Path) -> None:
    target = str(base / "engine0")
    assert helper.call(ScmMount(target, ramdisk=RAM)).changed
    again = helper.call(ScmMount(target, ramdisk=RAM))
    assert (again.mounted, again.changed) == (True, False)
    assert fault_of(helper, ScmMount(target, ramdisk=Ramdisk(2))).code == codes.STORAGE_TARGET_ALREADY_MOUNTED
    assert helper.call(ScmUnmount(target)).changed
    gone = helper.call(ScmUnmount(target))
    assert (gone.mounted, gone.changed) == (False, False)


def test_busy_mount_is_told_and_stays(helper: PlainSession, base: Path) -> None:
    target = base / "engine0"
    helper.call(ScmFormat(str(target), ramdisk=RAM))
    with open(target / "open", "w"):
        assert fault_of(helper, ScmUnmount(str(target))).code == codes.STORAGE_MOUNT_BUSY
        assert fault_of(helper, ScmFormat(str(target), ramdisk=RAM, force=True)).code == codes.STORAGE_MOUNT_BUSY
        assert len(mounted(target)) == 1
    assert helper.call(ScmUnmount(str(target))).changed


@pytest.mark.parametrize("kind", ["ramfs", "tmpfs"])
def test_mount_that_is_not_ours_stays(helper: PlainSession, base: Path, kind: str) -> None:
    """Another kind of file system, or a tmpfs whose root directory is not the account's."""
    target = base / "engine0"
    target.mkdir()
    run("/usr/bin/mount", "-t", kind, "somebody", str(target))
    assert fault_of(helper, ScmFormat(str(target), ramdisk=RAM, force=True)).code == codes.STORAGE_MOUNT_FOREIGN
    assert fault_of(helper, ScmUnmount(str(target))).code == codes.STORAGE_MOUNT_FOREIGN
    assert [mount.fs_type for mount in mounted(target)] == [kind]


def test_several_mounts_on_top_of_each_other_all_go(helper: PlainSession, base: Path, installation: Installation) -> None:
    target = base / "engine0"
    target.mkdir()
    account = installation.account
    for _ in range(3):
        run("/usr/bin/mount", "-t", "tmpfs", "-o", f"uid={account.uid}", "tmpfs", str(target))
    assert helper.call(ScmUnmount(str(target))).changed
    assert mounted(target) == []


def test_only_the_last_folder_is_made(helper: PlainSession, base: Path) -> None:
    assert fault_of(helper, ScmFormat(str(base / "a" / "b"), ramdisk=RAM)).code == codes.STORAGE_DIRECTORY_UNUSABLE
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("where", ["last", "middle"])
def test_symbolic_link_is_not_followed(helper: PlainSession, base: Path, tmp_path: Path, where: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "engine0").mkdir(parents=True)
    link = base / "engine0" if where == "last" else base / "folder"
    link.symlink_to(elsewhere)
    target = link if where == "last" else link / "engine0"
    for request in (ScmFormat(str(target), ramdisk=RAM, force=True), ScmUnmount(str(target)), MetadataFormat(str(target))):
        assert fault_of(helper, request).code == codes.STORAGE_PATH_UNSAFE
    assert not mounted(elsewhere)
    assert not mounted(elsewhere / "engine0")


def test_file_in_place_of_the_mount_point(helper: PlainSession, base: Path) -> None:
    (base / "engine0").write_text("a file")
    assert fault_of(helper, ScmFormat(str(base / "engine0"), ramdisk=RAM)).code == codes.STORAGE_PATH_UNSAFE


# Devices


def test_device_is_formatted_mounted_and_kept(helper: PlainSession, base: Path, device: str, installation: Installation) -> None:
    target = base / "engine0"
    dcpm = Dcpm(device)
    assert helper.call(ScmCheckFormat(str(target), dcpm=dcpm)).found.endswith("no signature")
    done = helper.call(ScmFormat(str(target), dcpm=dcpm))
    assert {"noatime", "nosuid", "nodev", "noexec", "nodelalloc"} <= set(done.options.split(","))
    assert "dax" not in done.options, "a loop device has none"
    found = target.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (installation.account.uid, installation.account.gid, 0o755)
    (target / "data").write_text("precious")
    assert helper.call(ScmUnmount(str(target))).changed
    checked = helper.call(ScmCheckFormat(str(target), dcpm=dcpm))
    assert (checked.formatted, checked.mounted, checked.mountable) == (True, False, True)
    refused = fault_of(helper, ScmFormat(str(target), dcpm=dcpm))
    assert refused.code == codes.STORAGE_ALREADY_FORMATTED
    assert "label daos" in refused.cause
    assert helper.call(ScmMount(str(target), dcpm=dcpm)).changed
    assert not helper.call(ScmMount(str(target), dcpm=dcpm)).changed
    assert (target / "data").read_text() == "precious"
    assert helper.call(ScmFormat(str(target), dcpm=dcpm, force=True)).changed
    assert not (target / "data").exists()


def test_file_system_has_the_features_of_the_specification(helper: PlainSession, base: Path, device: str) -> None:
    """Storage facts, A.5: the options that the reference means to pass."""
    helper.call(ScmFormat(str(base / "engine0"), dcpm=Dcpm(device)))
    helper.call(ScmUnmount(str(base / "engine0")))
    lines = run("/usr/sbin/dumpe2fs", "-h", device).splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert facts["Filesystem volume name"] == "daos"
    assert facts["Block size"] == "4096"
    assert facts["Inode size"] == "128"
    assert facts["Reserved block count"] == "0"
    assert facts["Flex block group size"] == "128"
    features = set(facts["Filesystem features"].split())
    assert {"flex_bg", "sparse_super2"} <= features
    assert not features & {"uninit_bg", "resize_inode", "extra_isize", "metadata_csum"}


SIGNATURES = {"swap": ("/usr/sbin/mkswap",), "ext2": ("/usr/sbin/mkfs.ext2", "-q")}


@pytest.mark.parametrize("kind", ["swap", "ext2", "LVM2_member", "linux_raid_member", "dos"])
def test_any_signature_is_refused_and_named_and_left_as_it_is(
    helper: PlainSession, base: Path, device: str, policy: Policy, kind: str
) -> None:
    sign(device, kind)
    before = digest(device)
    for request in (ScmFormat(str(base / "engine0"), dcpm=Dcpm(device)), MetadataFormat(str(base / "meta"), device=device)):
        fault = fault_of(helper, request)
        assert fault.code == codes.STORAGE_ALREADY_FORMATTED
        assert kind in fault.cause
    assert digest(device) == before
    assert helper.call(ScmFormat(str(base / "engine0"), dcpm=Dcpm(device), force=True)).changed, "named by the policy, and forced"


def sign(device: str, kind: str) -> None:
    """Put a signature on a device, by its program where Debian's base has it, and else by its bytes."""
    if kind in SIGNATURES:
        run(*SIGNATURES[kind], device)
    elif kind == "dos":
        # A master boot record: one Linux partition from sector 2048, and the mark in the last two bytes.
        entry = bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")
        write_at(device, 440, b"DAOS\0\0" + entry.ljust(64, b"\0") + b"\x55\xaa")
    elif kind == "LVM2_member":
        # lib/format_text/layout.h of LVM2: label in sector 1, then the physical volume's header with its 32 letters.
        label = b"LABELONE" + (1).to_bytes(8, "little") + bytes(4) + (32).to_bytes(4, "little") + b"LVM2 001" + b"A" * 32
        label += (1 << 28).to_bytes(8, "little") + bytes(480 - len(label) + 32 - 40)
        crc = lvm_crc(label[20:512].ljust(492, b"\0"))
        write_at(device, 512, (label[:16] + crc.to_bytes(4, "little") + label[20:]).ljust(512, b"\0")[:512])
    else:
        # linux/raid/md_p.h: a version 0.90 superblock in the last 64 KiB-aligned 64 KiB.
        size = os.path.getsize(run("/usr/sbin/losetup", "--noheadings", "--output", "BACK-FILE", device))
        words = [0xA92B4EFC, 0, 90, 0, 0, 0x12345678]
        write_at(device, (size & ~0xFFFF) - 0x10000, b"".join(word.to_bytes(4, "little") for word in words).ljust(4096, b"\0"))


def lvm_crc(data: bytes) -> int:
    """CRC-32 as LVM has it: the usual polynomial, its own start, no final inversion."""
    crc = 0xF597A6CF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def write_at(device: str, offset: int, data: bytes) -> None:
    descriptor = os.open(device, os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def test_device_that_is_mounted_elsewhere_is_refused_with_force(helper: PlainSession, base: Path, device: str, tmp_path: Path) -> None:
    run("/usr/sbin/mkfs.ext2", "-q", device)
    place = tmp_path / "elsewhere"
    place.mkdir()
    run("/usr/bin/mount", device, str(place))
    try:
        for force in (False, True):
            fault = fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(device), force=force))
            assert fault.code == codes.STORAGE_DEVICE_ALREADY_MOUNTED
            assert str(place) in fault.cause
            fault = fault_of(helper, MetadataFormat(str(base / "meta"), device=device, force=force))
            assert fault.code == codes.STORAGE_DEVICE_ALREADY_MOUNTED
    finally:
        run("/usr/bin/umount", str(place))


def test_device_that_is_swapped_on_is_refused_with_force(helper: PlainSession, base: Path, device: str) -> None:
    run("/usr/sbin/mkswap", device)
    try:
        run("/usr/sbin/swapon", device)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this kernel does not swap on a loop device: {error.stderr}")
    try:
        fault = fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(device), force=True))
        assert fault.code == codes.STORAGE_DEVICE_IN_USE
        assert "swap" in fault.description
    finally:
        run("/usr/sbin/swapoff", device)


def test_device_that_a_program_holds_is_refused_with_force(helper: PlainSession, base: Path, device: str) -> None:
    held = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        fault = fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(device), force=True))
        assert fault.code == codes.STORAGE_DEVICE_IN_USE
        assert "exclusively" in fault.description
    finally:
        os.close(held)


def test_device_that_another_loop_device_is_made_of_is_refused(helper: PlainSession, base: Path, device: str) -> None:
    upper = run("/usr/sbin/losetup", "--find", "--show", device)
    try:
        assert fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(device), force=True)).code == codes.STORAGE_DEVICE_IN_USE
    finally:
        run("/usr/sbin/losetup", "--detach", upper)


def test_loop_device_that_the_policy_does_not_name(helper: PlainSession, base: Path, device: str, policy: Policy) -> None:
    policy()
    fault = fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(device)))
    assert fault.code == codes.HELPER_POLICY_REFUSED
    assert f'devices_allow = ["{device}"]' in fault.resolution


def test_device_that_is_denied_although_it_is_allowed(helper: PlainSession, base: Path, device: str, policy: Policy) -> None:
    policy(device, more=f'devices_deny = ["{device}"]')
    fault = fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(device)))
    assert fault.code == codes.HELPER_POLICY_REFUSED
    assert "devices_deny = []" in fault.resolution


def test_disk_of_the_root_file_system_is_refused_whatever_is_said(helper: PlainSession, base: Path, policy: Policy) -> None:
    source = next(mount for mount in mounts.read() if mount.mount_point == "/")
    if not os.path.exists(f"/sys/dev/block/{source.major}:{source.minor}"):
        pytest.skip(f"/ is on {source.fs_type}, which is on no block device")
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{source.major}:{source.minor}"))
    policy(f"/dev/{name}")
    fault = fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(f"/dev/{name}"), force=True))
    assert fault.code in (codes.STORAGE_DEVICE_HOLDS_ROOT, codes.STORAGE_DEVICE_ALREADY_MOUNTED)


def test_device_under_another_name_is_the_same_device(
    helper: PlainSession, base: Path, device: str, policy: Policy, tmp_path: Path
) -> None:
    """The policy goes by device number: another node for an allowed device is allowed, and locks are shared."""
    node = Path(f"/dev/daos-test-{os.getpid()}")
    os.mknod(node, 0o060600, os.stat(device).st_rdev)
    try:
        assert helper.call(ScmFormat(str(base / "engine0"), dcpm=Dcpm(str(node)))).changed
        assert mounted(base / "engine0")[0].source == device, "mounted by the kernel's own name"
    finally:
        node.unlink()


@pytest.fixture
def unnamed(base: Path, policy: Policy) -> Iterator[str]:
    """A block device that no policy needs to name: neither loop nor nbd, and not the system's disk."""
    path = Path("/sys/class/block/zram0")
    if not path.exists() or int((path / "disksize").read_text()):
        pytest.skip("no unused zram device here")
    (path / "disksize").write_text("256M")
    policy()
    yield "/dev/zram0"
    unmount_below(base)
    (path / "reset").write_text("1")


def test_file_system_of_somebody_else_is_neither_mounted_nor_looked_into(
    helper: PlainSession, base: Path, unnamed: str, policy: Policy
) -> None:
    run("/usr/sbin/mkfs.ext4", "-q", "-L", "precious", unnamed)
    at = {"root_path": str(base / "meta"), "device": unnamed}
    (base / "meta").mkdir()
    before = digest(unnamed)
    for request in (
        ScmMount(str(base / "engine0"), dcpm=Dcpm(unnamed)),
        MetadataMount(**at),
        MetadataNeedsFormat(**at),
        ScmFormat(str(base / "engine0"), dcpm=Dcpm(unnamed), force=True),
        MetadataFormat(str(base / "meta"), unnamed, force=True),
    ):
        fault = fault_of(helper, request)
        assert fault.code == codes.HELPER_POLICY_REFUSED, request
        assert "label precious" in fault.description
        assert f'devices_allow = ["{unnamed}"]' in fault.resolution
    assert fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(unnamed))).code == codes.STORAGE_ALREADY_FORMATTED
    assert digest(unnamed) == before
    policy(unnamed)
    assert helper.call(ScmMount(str(base / "engine0"), dcpm=Dcpm(unnamed))).mounted


def test_data_without_a_signature_is_not_empty(helper: PlainSession, base: Path, unnamed: str) -> None:
    write_at(unnamed, 4096, b"a raw database, or plain encryption")
    fault = fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(unnamed)))
    assert fault.code == codes.STORAGE_ALREADY_FORMATTED
    assert "data without a signature" in fault.cause
    assert fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(unnamed), force=True)).code == codes.HELPER_POLICY_REFUSED
    write_at(unnamed, 4096, bytes(64))
    assert helper.call(ScmFormat(str(base / "engine0"), dcpm=Dcpm(unnamed))).changed


@contextlib.contextmanager
def file_in_place_of(target: Path, helper: PlainSession, installation: Installation) -> Iterator[None]:
    """Put a file in the place of an empty folder while mkfs, which has been started, stands still."""

    def replace() -> None:
        target.rmdir()
        target.touch()

    helper.ping()
    (monitor,) = helper_processes(installation)
    with stopped_at(monitor, "execve", replace):
        yield


def record_of(installation: Installation, device: str) -> Path:
    """The helper's record that a file system on the device is being made, or was made and never mounted."""
    number = os.stat(device).st_rdev
    return Path(installation.layout.rundir) / f"mkfs-{os.major(number)}-{os.minor(number)}"


def test_a_format_that_was_cut_short_covers_only_what_it_had_made_itself(
    helper: PlainSession, base: Path, unnamed: str, installation: Installation
) -> None:
    target, record = base / "engine0", record_of(installation, unnamed)
    target.mkdir()
    with file_in_place_of(target, helper, installation):
        fault_of(helper, ScmFormat(str(target), dcpm=Dcpm(unnamed)))
    target.unlink()
    assert record.exists()
    run("/usr/sbin/mkfs.ext4", "-q", "-F", "-L", "daos", unnamed)
    before = digest(unnamed)
    assert fault_of(helper, ScmFormat(str(target), dcpm=Dcpm(unnamed))).code == codes.STORAGE_ALREADY_FORMATTED
    assert digest(unnamed) == before
    assert helper.call(ScmFormat(str(target), dcpm=Dcpm(unnamed), force=True)).changed, "its label says that it is ours"


@pytest.mark.parametrize("kind", ["scm", "metadata"])
def test_a_format_that_could_not_mount_what_it_had_made_is_completed_by_the_next(
    helper: PlainSession, base: Path, device: str, installation: Installation, kind: str
) -> None:
    target, record = base / "engine0", record_of(installation, device)
    target.mkdir()
    root = str(target)
    dcpm = Dcpm(device)
    request: ScmFormat | MetadataFormat
    request = ScmFormat(root, dcpm=dcpm) if kind == "scm" else MetadataFormat(root_path=root, device=device)
    with file_in_place_of(target, helper, installation):
        assert fault_of(helper, request).code == codes.STORAGE_PATH_UNSAFE
    assert run("/usr/sbin/blkid", "-p", "-o", "value", "-s", "LABEL", device) == "daos", "the file system was made"
    target.unlink()
    target.mkdir()
    seen = helper.call(ScmCheckFormat(root, dcpm=dcpm))
    assert (seen.formatted, seen.mountable) == (False, False)
    assert "did not end" in seen.found
    wanted = helper.call(MetadataNeedsFormat(root_path=root, device=device))
    assert wanted.needs_format
    assert "did not end" in wanted.reason
    if kind == "scm":
        assert helper.call(ScmFormat(root, dcpm=dcpm)).changed
    else:
        assert helper.call(MetadataFormat(root_path=root, device=device)).changed
    assert not record.exists()


def test_a_file_system_that_somebody_used_is_not_unfinished_whatever_is_on_record(
    helper: PlainSession, base: Path, device: str, installation: Installation, tmp_path: Path
) -> None:
    target, record, elsewhere = base / "engine0", record_of(installation, device), tmp_path / "by-hand"
    target.mkdir()
    elsewhere.mkdir()
    with file_in_place_of(target, helper, installation):
        fault_of(helper, ScmFormat(str(target), dcpm=Dcpm(device)))
    target.unlink()
    assert record.exists()
    run("/usr/bin/mount", device, str(elsewhere))
    (elsewhere / "data").write_text("precious")
    run("/usr/bin/umount", str(elsewhere))
    before = digest(device)
    assert fault_of(helper, ScmFormat(str(target), dcpm=Dcpm(device))).code == codes.STORAGE_ALREADY_FORMATTED
    assert digest(device) == before


def test_what_was_mounted_once_is_never_taken_for_unfinished(helper: PlainSession, base: Path, unnamed: str) -> None:
    target = str(base / "engine0")
    helper.call(ScmFormat(target, dcpm=Dcpm(unnamed)))
    helper.call(ScmUnmount(target))
    helper.call(ScmMount(target, dcpm=Dcpm(unnamed)))
    (base / "engine0" / "data").write_text("precious")
    helper.call(ScmUnmount(target))
    assert fault_of(helper, ScmFormat(target, dcpm=Dcpm(unnamed))).code == codes.STORAGE_ALREADY_FORMATTED


def test_denying_a_disk_denies_its_partitions(helper: PlainSession, base: Path, device: str, policy: Policy) -> None:
    subprocess.run(["/usr/bin/addpart", device, "1", "2048", "409600"], check=True)
    part = f"{device}p1"
    try:
        policy(part, more=f'devices_deny = ["{device}"]')
        assert fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(part))).code == codes.HELPER_POLICY_REFUSED
        policy(device, more=f'devices_deny = ["{part}"]')
        assert fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(device))).code == codes.HELPER_POLICY_REFUSED
    finally:
        subprocess.run(["/usr/bin/delpart", device, "1"], check=True)


def test_denying_what_is_not_there_stops_everything(helper: PlainSession, base: Path, device: str, policy: Policy) -> None:
    policy(device, more='devices_deny = ["/dev/disk/by-id/a-typing-error"]')
    assert fault_of(helper, ScmFormat(str(base / "engine0"), dcpm=Dcpm(device))).code == codes.HELPER_POLICY_INVALID


def test_ramdisk_larger_than_memory_is_refused(helper: PlainSession, base: Path) -> None:
    assert fault_of(helper, ScmFormat(str(base / "engine0"), ramdisk=Ramdisk(1 << 19))).code == codes.SCM_RAMDISK_LOW_MEM


# Control metadata


def test_metadata_device_through_its_whole_life(helper: PlainSession, base: Path, device: str, installation: Installation) -> None:
    root = base / "meta"
    at = {"root_path": str(root), "device": device}
    needs = helper.call(MetadataNeedsFormat(**at))
    assert needs.needs_format
    assert "does not exist" in needs.reason
    made = helper.call(MetadataFormat(at["root_path"], at["device"]))
    assert (made.mounted, made.changed) == (True, True)
    assert {"nosuid", "nodev", "noexec"} <= set(made.options.split(","))
    assert root.stat().st_uid == installation.account.uid
    assert "no daos_control" in helper.call(MetadataNeedsFormat(**at)).reason
    (root / "daos_control").mkdir()
    assert not helper.call(MetadataNeedsFormat(**at)).needs_format
    assert helper.call(MetadataUnmount(**at)).changed
    assert not helper.call(MetadataUnmount(**at)).changed
    unmounted = helper.call(MetadataNeedsFormat(**at))
    assert (unmounted.needs_format, unmounted.mounted) == (False, False)
    assert mounted(root) == [], "looking leaves nothing mounted"
    assert fault_of(helper, MetadataFormat(at["root_path"], at["device"])).code == codes.STORAGE_ALREADY_FORMATTED
    assert helper.call(MetadataMount(**at)).changed
    assert not helper.call(MetadataMount(**at)).changed
    assert (root / "daos_control").is_dir()
    assert helper.call(MetadataFormat(str(root), device, force=True)).changed
    assert not (root / "daos_control").exists()


def test_looking_at_a_metadata_device_writes_nothing(helper: PlainSession, base: Path, device: str) -> None:
    at = {"root_path": str(base / "meta"), "device": device}
    helper.call(MetadataFormat(at["root_path"], at["device"]))
    helper.call(MetadataUnmount(**at))
    before = digest(device)
    assert helper.call(MetadataNeedsFormat(**at)).needs_format
    assert digest(device) == before


def test_metadata_directory_is_made_for_the_account(helper: PlainSession, base: Path, installation: Installation) -> None:
    root = base / "meta"
    assert helper.call(MetadataFormat(str(root))).changed
    found = root.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (installation.account.uid, installation.account.gid, 0o755)
    assert not helper.call(MetadataFormat(str(root))).changed
    assert not helper.call(MetadataMount(str(root))).mounted
    os.chown(root, 0, 0)
    assert fault_of(helper, MetadataFormat(str(root))).code == codes.STORAGE_DIRECTORY_UNUSABLE


def test_metadata_directory_is_not_made_where_others_could_swap_it(helper: PlainSession, base: Path) -> None:
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    assert fault_of(helper, MetadataFormat(str(base / "open" / "meta"))).code == codes.STORAGE_PATH_UNSAFE
    assert not (base / "open" / "meta").exists()


def test_metadata_on_a_nosuid_mount_that_is_not_ours(helper: PlainSession, base: Path) -> None:
    (base / "foreign").mkdir()
    run("/usr/bin/mount", "-t", "tmpfs", "-o", "nosuid", "tmpfs", str(base / "foreign"))
    fault = fault_of(helper, MetadataFormat(str(base / "foreign" / "meta")))
    assert fault.code == codes.CONTROL_METADATA_BAD_FILESYSTEM
    assert "nosuid" in fault.description
    helper.call(ScmFormat(str(base / "ours"), ramdisk=RAM))
    ours = fault_of(helper, MetadataFormat(str(base / "ours" / "meta")))
    assert ours.code == codes.STORAGE_PATH_UNSAFE, "our own mounts are nosuid and are no obstacle; the account makes its folder itself"


# Hugepages


@pytest.fixture
def pages(helper: PlainSession) -> Iterator[int]:
    """The number of hugepages on node 0 before the test, which is there again after it."""
    if not hugepages.default_size_kib():
        pytest.skip("this kernel has no hugepages")
    before = hugepages.read_node(0, hugepages.default_size_kib()).total
    yield before
    helper.call(BdevPrepare(reset=True))
    assert hugepages.read_node(0, hugepages.default_size_kib()).total == before


def total() -> int:
    return hugepages.read_node(0, hugepages.default_size_kib()).total


def test_hugepages_are_given_counted_back_and_taken_back(helper: PlainSession, pages: int) -> None:
    first = helper.call(BdevPrepare((NodePages(0, pages + 8),)))
    (grant,) = first.hugepages
    assert (grant.before, grant.wanted, grant.granted) == (pages, pages + 8, pages + 8)
    assert total() == pages + 8
    assert not helper.call(BdevPrepare((NodePages(0, pages + 8),))).changed
    assert not helper.call(BdevPrepare((NodePages(0, 0),))).changed, "a node that has more keeps it"
    helper.call(BdevPrepare((NodePages(0, pages + 16),)))
    assert total() == pages + 16
    assert helper.call(BdevPrepare(reset=True)).changed
    assert total() == pages
    assert not helper.call(BdevPrepare(reset=True)).changed


def test_hugepages_that_somebody_added_meanwhile_stay(helper: PlainSession, pages: int) -> None:
    helper.call(BdevPrepare((NodePages(0, pages + 8),)))
    path = Path(hugepages.nr_path(0, hugepages.default_size_kib()))
    path.write_text(str(pages + 12))
    helper.call(BdevPrepare(reset=True))
    assert total() == pages + 4
    path.write_text(str(pages))


@pytest.fixture
def hugetlbfs() -> Iterator[Path]:
    place = Path(HUGE)
    made = not place.exists()
    place.mkdir(exist_ok=True)
    run("/usr/bin/mount", "-t", "hugetlbfs", "none", HUGE)
    yield place
    run("/usr/bin/umount", HUGE)
    if made:
        place.rmdir()


def test_hugetlbfs_is_given_to_the_account_and_back(
    helper: PlainSession, pages: int, hugetlbfs: Path, installation: Installation
) -> None:
    prepared = helper.call(BdevPrepare((NodePages(0, pages),)))
    assert hugetlbfs.stat().st_uid == installation.account.uid
    assert prepared.changed
    assert not helper.call(BdevPrepare((NodePages(0, pages),))).changed
    helper.call(BdevPrepare(reset=True))
    assert hugetlbfs.stat().st_uid == 0


def test_only_hugepage_files_of_dead_processes_are_removed(helper: PlainSession, pages: int, hugetlbfs: Path) -> None:
    helper.call(BdevPrepare((NodePages(0, pages),)))
    dead = subprocess.Popen(["/usr/bin/true"])
    dead.wait()
    keep = {f"spdk_pid{os.getpid()}map_0", "spdk_pid12x", f"other{dead.pid}map", "spdk_pidmap_0", "folder"}
    for name in keep - {"folder"}:
        (hugetlbfs / name).touch()
    (hugetlbfs / "folder").mkdir()
    (hugetlbfs / "folder" / f"spdk_pid{dead.pid}map_0").touch()
    gone = {f"spdk_pid{dead.pid}map_0", f"spdk_pid{dead.pid}map_1"}
    for name in gone:
        (hugetlbfs / name).touch()
        os.chown(hugetlbfs / name, 54321, 54321)
    result = helper.call(BdevPrepare(clean_hugepages_only=True))
    assert set(result.removed) == gone
    assert {path.name for path in hugetlbfs.iterdir()} == keep
    assert not helper.call(BdevPrepare(clean_hugepages_only=True)).changed


def test_short_grant_is_a_fault_and_restores_the_count(helper: PlainSession, pages: int) -> None:
    size = hugepages.default_size_kib()
    with open("/proc/meminfo", encoding="ascii") as file:
        facts = {line.split(":")[0]: int(line.split()[1]) for line in file}
    available = facts["MemAvailable"] // size
    held = int(facts["MemFree"] // size)
    wanted = pages + available - 1
    if available - held < 0:
        wanted = pages + held
    try:
        result = helper.call(BdevPrepare((NodePages(0, wanted),)))
    except Fault as fault:
        assert fault.code in (codes.HUGEPAGES_SHORT_GRANT, codes.HUGEPAGES_OVER_MEMORY)  # noqa: PT017 - either way out is right
        assert total() == pages
    else:
        assert result.hugepages[0].granted >= wanted


def test_target_user_must_be_in_the_policy(helper: PlainSession, policy: Policy, pages: int) -> None:
    assert fault_of(helper, BdevPrepare(target_user="alice")).code == codes.HELPER_POLICY_REFUSED
    policy(more='target_users = { "alice" = 54321 }')
    helper.call(BdevPrepare(target_user="alice"))


# Locks, records and the audit trail


def test_nothing_of_ours_is_left(helper: PlainSession, base: Path, device: str, installation: Installation) -> None:
    helper.call(ScmFormat(str(base / "engine0"), dcpm=Dcpm(device)))
    helper.call(ScmUnmount(str(base / "engine0")))
    assert list(Path(installation.layout.rundir).iterdir()) == []


def test_audit_names_the_account_and_the_object(helper: PlainSession, base: Path, installation: Installation) -> None:
    helper.call(ScmFormat(str(base / "engine0"), ramdisk=RAM))
    lines = Path(installation.layout.audit_log).read_text().splitlines()
    end = next(line for line in reversed(lines) if "event=end" in line)
    assert f"caller_uid={installation.account.uid}" in end
    assert f"object={base}/engine0" in end
    assert "verdict=done" in end
