# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Mounting by descriptor, on the real kernel."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daos_bindings.linux import mounts, syscalls

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts file systems"),
]

SAFE = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOEXEC


@contextmanager
def opened(path: str | Path, flags: int = os.O_PATH | os.O_DIRECTORY) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def detached_tmpfs(**options: str) -> int:
    fs = syscalls.fsopen("tmpfs")
    try:
        for key, value in options.items():
            syscalls.fsconfig_string(fs, key, value)
        syscalls.fsconfig_create(fs)
        return syscalls.fsmount(fs, SAFE | syscalls.MOUNT_ATTR_NOATIME)
    finally:
        os.close(fs)


def mount_tmpfs(target: Path, **options: str) -> syscalls.MountIdentity:
    mount = detached_tmpfs(**options)
    try:
        with opened(target) as directory:
            syscalls.move_mount(mount, directory)
        return syscalls.statx_mount(mount)
    finally:
        os.close(mount)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "with space\nand line"
    directory.mkdir()
    yield directory
    while mounts.at(mounts.read(), str(directory)) is not None:
        syscalls.umount_nofollow(str(directory))


def test_a_tmpfs_is_mounted_and_unmounted(target: Path) -> None:
    with opened(target) as directory:
        assert not syscalls.statx_mount(directory).is_mount_root
    identity = mount_tmpfs(target, size="1m", mode="0711", uid="65533", source="daos-test")
    assert identity.is_mount_root

    found = mounts.at(mounts.read(), str(target))
    assert found is not None
    assert (found.mount_id, found.major, found.minor) == (identity.mount_id, identity.major, identity.minor)
    assert (found.fs_type, found.source) == ("tmpfs", "daos-test")
    assert {"nosuid", "nodev", "noexec", "noatime"} <= set(found.options)
    assert "size=1024k" in found.super_options
    assert [one for one in mounts.read() if (one.major, one.minor) == (identity.major, identity.minor)] == [found]
    status = target.stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (65533, 0o711)

    syscalls.umount_nofollow(str(target))
    assert mounts.at(mounts.read(), str(target)) is None


def test_the_later_mount_is_on_top(target: Path) -> None:
    below = mount_tmpfs(target)
    above = mount_tmpfs(target)
    found = mounts.at(mounts.read(), str(target))
    assert found is not None
    assert found.mount_id == above.mount_id != below.mount_id
    with opened(target) as directory:
        assert syscalls.statx_mount(directory).mount_id == above.mount_id


def test_a_hidden_mount_does_not_count(target: Path) -> None:
    inner = target / "inner"
    inner.mkdir()
    mount_tmpfs(inner)
    cover = mount_tmpfs(target)
    listed = mounts.read()
    assert mounts.at(listed, str(inner)) is None
    found = mounts.containing(listed, str(inner))
    assert found is not None
    assert found.mount_id == cover.mount_id
    syscalls.umount_nofollow(str(target))
    assert mounts.at(mounts.read(), str(inner)) is not None
    syscalls.umount_nofollow(str(inner))


def test_a_mount_that_is_never_attached_vanishes() -> None:
    before = len(mounts.read())
    mount = detached_tmpfs()
    assert syscalls.statx_mount(mount).is_mount_root
    os.close(mount)
    assert len(mounts.read()) == before


def test_a_busy_mount_stays(target: Path) -> None:
    identity = mount_tmpfs(target)
    with opened(target, os.O_RDONLY | os.O_DIRECTORY), pytest.raises(OSError, match="with space") as caught:
        syscalls.umount_nofollow(str(target))
    assert caught.value.errno == errno.EBUSY
    found = mounts.at(mounts.read(), str(target))
    assert found is not None
    assert found.mount_id == identity.mount_id


def test_unmounting_does_not_follow_a_link(target: Path, tmp_path: Path) -> None:
    mount_tmpfs(target)
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(OSError, match="link") as caught:
        syscalls.umount_nofollow(str(link))
    assert caught.value.errno == errno.EINVAL
    assert mounts.at(mounts.read(), str(target)) is not None


def test_the_kernel_explains_a_wrong_option() -> None:
    fs = syscalls.fsopen("tmpfs")
    try:
        with pytest.raises(OSError, match="fsconfig size=bogus"):
            syscalls.fsconfig_string(fs, "size", "bogus")
        (message,) = syscalls.fscontext_messages(fs)
        assert message.startswith("e tmpfs: ")
        assert "size" in message
        assert syscalls.fscontext_messages(fs) == ()
        with pytest.raises(OSError, match="fsconfig no-such-flag"):
            syscalls.fsconfig_flag(fs, "no-such-flag")
    finally:
        os.close(fs)


def test_an_unknown_file_system_has_no_context() -> None:
    with pytest.raises(OSError, match="no-such-fs") as caught:
        syscalls.fsopen("no-such-fs")
    assert caught.value.errno == errno.ENODEV


def test_descriptors_are_not_inherited() -> None:
    fs = syscalls.fsopen("tmpfs")
    syscalls.fsconfig_create(fs)
    opened_fds = (fs, syscalls.fsmount(fs, SAFE), syscalls.openat2(-100, "/", os.O_RDONLY | os.O_DIRECTORY, resolve=0))
    try:
        assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in opened_fds)
    finally:
        for fd in opened_fds:
            os.close(fd)


def test_a_nul_is_refused_before_the_kernel_sees_it() -> None:
    with pytest.raises(ValueError, match="NUL"):
        syscalls.umount_nofollow("/mnt\0/daos")


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/up").symlink_to("../..")
    with opened(tmp_path) as fd:
        yield fd


def test_opening_without_links(tree: int) -> None:
    os.close(syscalls.openat2(tree, "real/file", os.O_RDONLY, resolve=syscalls.RESOLVE_NO_SYMLINKS))
    os.close(syscalls.openat2(tree, "link/file", os.O_RDONLY, resolve=0))
    with pytest.raises(OSError, match="link/file") as caught:
        syscalls.openat2(tree, "link/file", os.O_RDONLY, resolve=syscalls.RESOLVE_NO_SYMLINKS)
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("path", ["real/up", "..", "/etc"])
def test_opening_beneath(tree: int, path: str) -> None:
    with pytest.raises(OSError, match=path) as caught:
        syscalls.openat2(tree, path, os.O_PATH, resolve=syscalls.RESOLVE_BENEATH)
    assert caught.value.errno == errno.EXDEV


def test_opening_through_a_magic_link_and_into_a_mount(tree: int, target: Path) -> None:
    with pytest.raises(OSError, match="self") as caught:
        syscalls.openat2(-100, "/proc/self/fd/0", os.O_PATH, resolve=syscalls.RESOLVE_NO_MAGICLINKS)
    assert caught.value.errno == errno.ELOOP
    mount_tmpfs(target)
    with pytest.raises(OSError, match="with space") as caught:
        syscalls.openat2(tree, target.name, os.O_PATH, resolve=syscalls.RESOLVE_NO_XDEV)
    assert caught.value.errno == errno.EXDEV
