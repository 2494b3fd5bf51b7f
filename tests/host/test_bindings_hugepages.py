# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Files in a real hugetlbfs, seen by root and by somebody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daos_bindings.linux import hugepages, mounts, syscalls

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts hugetlbfs"),
]

ACCOUNT = 65533


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    size = hugepages.default_size_kib()
    if not size:
        pytest.skip("this kernel has no hugepages")
    fs = syscalls.fsopen("hugetlbfs")
    syscalls.fsconfig_string(fs, "pagesize", f"{size}K")
    syscalls.fsconfig_create(fs)
    mount = syscalls.fsmount(fs, syscalls.MOUNT_ATTR_NOSUID)
    target = os.open(tmp_path, os.O_PATH)
    syscalls.move_mount(mount, target)
    for fd in (fs, mount, target):
        os.close(fd)
    yield tmp_path
    syscalls.umount_nofollow(str(tmp_path))


def test_a_file_takes_its_size_in_hugepages(directory: Path) -> None:
    size = hugepages.default_size_kib() * 1024
    path = directory / f"spdk_pid{os.getpid()}map_0"
    path.touch()
    # A size takes no page before it is touched.
    os.truncate(path, size)
    assert hugepages.stale_files(str(directory)) == [hugepages.HugepageFile(path.name, os.getpid(), True, size)]
    assert [mount.mount_point for mount in hugepages.hugetlbfs_mounts(mounts.read()) if mount.mount_point == str(directory)]


def test_a_process_of_somebody_else_is_alive(tmp_path: Path) -> None:
    (tmp_path / f"spdk_pid{os.getpid()}map_0").touch()
    tmp_path.chmod(0o755)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    pid = os.fork()
    if pid == 0:
        alive = []
        try:
            os.setgroups([])
            os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
            os.setresuid(ACCOUNT, ACCOUNT, ACCOUNT)
            alive = [file.alive for file in hugepages.stale_files(f"/proc/self/fd/{fd}")]
        finally:
            os._exit(0 if alive == [True] else 1)
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
