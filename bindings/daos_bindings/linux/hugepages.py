# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Hugepages per NUMA node, and the files in them.  Reads only: who may write ``nr_path`` does it through a descriptor."""

from __future__ import annotations

import os
import stat

import msgspec

from daos_bindings.linux import kernelfiles, memory, numa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from daos_bindings.linux.mounts import Mount

DIRECTORY = "/dev/hugepages"
GLOBAL = "/sys/kernel/mm/hugepages"

PREFIX = "spdk_pid"
SUFFIX = "map"
PID_DIGITS = 10
PID_MAX_LIMIT = 4 * 1024 * 1024
"""Largest process number of any 64-bit kernel (include/linux/threads.h)."""


class NodePages(msgspec.Struct, frozen=True):
    """Hugepages of one size on one node.

    :param node: the node's number.
    :param size_kib: size of one page in KiB.
    :param total: pages the node has, surplus ones included.
    :param free: pages nobody uses.
    :param surplus: pages beyond the configured number, which go when they are freed.
    """

    node: int
    size_kib: int
    total: int
    free: int
    surplus: int


class HugepageFile(msgspec.Struct, frozen=True):
    """A file that an SPDK process made of hugepages.

    :param name: its name in the directory.
    :param pid: the process in its name.
    :param alive: whether a process of that number exists now.
    :param size: bytes of hugepage memory that it can hold back.
    """

    name: str
    pid: int
    alive: bool
    size: int


def default_size_kib() -> int:
    """Return the size of a default hugepage in KiB; 0 on a kernel without hugepages."""
    return memory.read().hugepage_size_kb


def nodes() -> tuple[int, ...]:
    """Return the nodes that can have hugepages; ``(0,)`` on a kernel without NUMA."""
    return numa.with_memory()


def nr_path(node: int, size_kib: int) -> str:
    """Return the sysfs file that holds the number of pages of *size_kib* on *node*, whether or not there is one."""
    return f"{_directory(node, size_kib)}/nr_hugepages"


def _directory(node: int, size_kib: int) -> str:
    size = f"hugepages-{size_kib}kB"
    # A kernel without NUMA has one pool, and node 0 is all there is.
    if node == 0 and not os.path.isdir(numa.DIRECTORY):
        return f"{GLOBAL}/{size}"
    return f"{numa.DIRECTORY}/node{node}/hugepages/{size}"


def read_node(node: int, size_kib: int) -> NodePages:
    """Read the counts of one node.

    :raises OSError: ``ENOENT`` if there is no such node or the kernel has no pages of that size.
    """
    directory = _directory(node, size_kib)
    total, free, surplus = (kernelfiles.number(f"{directory}/{name}_hugepages") for name in ("nr", "free", "surplus"))
    return NodePages(node, size_kib, total, free, surplus)


def read_nodes(size_kib: int) -> tuple[NodePages, ...]:
    """Read the counts of every node.

    :raises OSError: ``ENOENT`` if the kernel has no pages of that size.
    """
    return tuple(read_node(node, size_kib) for node in nodes())


def owner_pid(name: str) -> int | None:
    """Return the process in the name of a hugepage file of SPDK (``spdk_pid<pid>map...``), or ``None`` for any other name."""
    if not name.startswith(PREFIX):
        return None
    rest = name[len(PREFIX) :]
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if not 0 < len(digits) <= PID_DIGITS or not rest.startswith(SUFFIX, len(digits)):
        return None
    return int(digits)


def stale_files(directory: str = DIRECTORY) -> list[HugepageFile]:
    """List the files of SPDK processes in *directory* itself, by name; those not ``alive`` are safe to remove.

    Empty if there is no such directory.

    :raises OSError: if it cannot be listed.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        found = (_file(fd, name) for name in sorted(os.listdir(fd)))
        return [file for file in found if file is not None]
    finally:
        os.close(fd)


def _file(directory: int, name: str) -> HugepageFile | None:
    pid = owner_pid(name)
    if pid is None:
        return None
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return HugepageFile(name, pid, _is_alive(pid), status.st_size)


def _is_alive(pid: int) -> bool:
    """Ask with the null signal: /proc hides other users' processes when it is mounted with ``hidepid``."""
    if not 0 < pid <= PID_MAX_LIMIT:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def hugetlbfs_mounts(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Return the hugetlbfs mounts among *mounts*."""
    return tuple(mount for mount in mounts if mount.fs_type == "hugetlbfs")
