# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reads what of this machine decides about a configuration: memory, hugepages, NUMA nodes, interfaces, IOMMU and VMD controllers."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daos_bindings.linux import hugepages, kernelfiles, memory, mounts, pci
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.hardware.attributes import entries, numa_node
from daos_server.plan.host import HostFacts, HugepageFile, NodePages

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSFS = "/sys"
INTERFACE_CLASSES = ("net", "infiniband", "cxi")
"""Classes of sysfs whose names a configuration may use as ``fabric_iface``; of equal names the first class counts."""
LEVELS = 8
"""Interfaces stacked on each other, such as a VLAN on a bond: the kernel allows no more."""


def read_host(user: str = "", sysfs: str = SYSFS) -> HostFacts:
    """Look at this machine.  Needs no root.

    :param user: name of the user that the engines run as; empty for that of this process.
    :param sysfs: where interfaces, IOMMU and PCI devices are read.
    :raises Fault: 2113 if /proc or /sys cannot be read.
    """
    from daos_server.identity import user_name

    with kernel_files():
        info = memory.read()
        size = info.hugepage_size_kb
        return HostFacts(
            total_kib=info.mem_total_kb,
            available_kib=info.mem_available_kb,
            page_kib=size,
            nodes=tuple(_pages(node, size) for node in hugepages.nodes()),
            files=tuple(HugepageFile(name=file.name, pid=file.pid, alive=file.alive, size=file.size) for file in _hugepage_files()),
            hugetlbfs_is_ours=_owns_hugetlbfs(),
            interfaces=interfaces(sysfs),
            iommu=bool(entries(f"{sysfs}/class/iommu")),
            vmd_endpoints=tuple(str(vmd.address) for vmd in pci.scan(sysfs).vmds),
            user=user or user_name(os.geteuid()),
        )


@contextmanager
def kernel_files() -> Iterator[None]:
    """Turn what goes wrong with files of the kernel into fault 2113."""
    try:
        yield
    except kernelfiles.MalformedError as error:
        raise Fault(codes.STORAGE_SYSTEM_CALL_FAILED, object=error.path, cause=error.problem, call="read", what=error.path) from error
    except OSError as error:
        path, cause = str(error.filename or "/proc"), os.strerror(error.errno or 0)
        raise Fault(codes.STORAGE_SYSTEM_CALL_FAILED, object=path, cause=cause, call="read", what=path) from error


# Hugepages


def _pages(node: int, size_kib: int) -> NodePages:
    if not size_kib:
        return NodePages(node=node)
    try:
        found = hugepages.read_node(node, size_kib)
    except OSError:
        return NodePages(node=node)
    return NodePages(node=node, total=found.total, free=found.free)


def _hugepage_files() -> list[hugepages.HugepageFile]:
    try:
        return hugepages.stale_files()
    except OSError:
        # Another account's folder: what is in it is its business until prepare gives the folder to ours.
        return []


def _owns_hugetlbfs() -> bool | None:
    mount = mounts.at(mounts.read(), hugepages.DIRECTORY)
    if mount is None or mount.fs_type != "hugetlbfs":
        return None
    return os.stat(hugepages.DIRECTORY).st_uid == os.geteuid()


# Interfaces


def interfaces(sysfs: str = SYSFS) -> dict[str, int | None]:
    """Return the NUMA node of every network interface and fabric device; None for one that belongs to none.

    An interface without hardware of its own belongs to the node of the first one below it that has some.
    """
    found: dict[str, int | None] = {}
    for kind in INTERFACE_CLASSES:
        for name in entries(f"{sysfs}/class/{kind}"):
            path = f"{sysfs}/class/{kind}/{name}"
            if os.path.isdir(path):  # bonding_masters is a file
                found.setdefault(name, _interface_node(path, LEVELS))
    return found


def _interface_node(path: str, levels: int) -> int | None:
    if os.path.lexists(f"{path}/device"):
        # A virtio card names no node, the PCI function that it is on does.
        return numa_node(os.path.realpath(f"{path}/device"))
    lower = [name for name in entries(path) if name.startswith("lower_")] if levels else []
    return next((node for name in lower if (node := _interface_node(f"{path}/{name}", levels - 1)) is not None), None)
