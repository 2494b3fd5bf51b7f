# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Why an NVMe controller must be left alone: what uses the block devices that the kernel made of it."""

from __future__ import annotations

import errno
import os

import msgspec

from daos_bindings.linux import block, kernelfiles
from daos_bindings.linux.attributes import GONE
from daos_pbin import codes
from daos_pbin.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal

    from daos_bindings.linux.block import UsageTable
    from daos_bindings.linux.nvme_controller import Namespace
    from daos_bindings.linux.pci import PciFunction, Scan

    Kind = Literal["root", "mount", "swap", "holder", "loop", "partition", "open"]


class Reason(msgspec.Struct, frozen=True):
    """One reason.

    :param kind: ``root`` (/ depends on it), ``mount``, ``swap``, ``holder`` (device mapper, md), ``loop``, ``partition``, or
        ``open`` (held exclusively by a program).
    :param device: kernel name of the block device.
    :param detail: where, by whom, or what; printable.
    """

    kind: Kind
    device: str
    detail: str

    def __str__(self) -> str:
        return f"{self.device}: {_WORDS[self.kind]} {self.detail}".rstrip()


_WORDS: dict[str, str] = {
    "root": "the running system was started from it",
    "mount": "mounted on",
    "swap": "swap space",
    "holder": "held by",
    "loop": "the file of",
    "partition": "has the partition",
    "open": "held exclusively by a program",
}


def in_use(function: PciFunction, reasons: Iterable[Reason]) -> Fault | None:
    """Return the fault that the reasons are: 2122, or None if there are none."""
    found = "; ".join(str(reason) for reason in reasons)
    address = str(function.address)
    return Fault(codes.NVME_CONTROLLER_IN_USE, object=address, address=address, found=found) if found else None


def group_shared(function: PciFunction) -> Fault | None:
    """Return the fault that VFIO would refuse the function's group: 2123, or None if it would not."""
    members = ", ".join(f"{member.address} ({member.driver})" for member in function.blocking)
    if not members:
        return None
    address = str(function.address)
    return Fault(codes.NVME_GROUP_SHARED, object=address, address=address, group=function.iommu_group, members=members)


def of_function(function: PciFunction, scan: Scan, table: UsageTable) -> tuple[Reason, ...]:
    """List what sysfs knows to use a controller's namespaces, their partitions and what is stacked on them.

    For a VMD: what uses the controllers behind it, because they come and go with it.  Empty for a controller that the kernel's
    driver does not have.  A plain open, even for writing, does not show.

    :param scan: that the function is from.
    :raises OSError: if sysfs or /proc/swaps cannot be read.
    :raises MalformedError: if /proc/swaps is not as the kernel writes it.
    """
    found: list[Reason] = []
    for namespace in _namespaces(function, scan):
        if namespace.name in table.roots:
            found.append(Reason("root", namespace.name, ""))
        found += (_reason(usage) for usage in block.usage_of_disk(namespace.name, table))
    return tuple(found)


def _namespaces(function: PciFunction, scan: Scan) -> Iterator[Namespace]:
    for one in (function, *scan.behind(function)):
        if one.controller is not None:
            yield from one.controller.namespaces


def _reason(usage: block.Usage) -> Reason:
    kinds: dict[str, Kind] = {"mount": "mount", "swap": "swap", "holder": "holder", "loop": "loop", "partition": "partition"}
    detail = "" if usage.kind == "swap" else kernelfiles.printable(usage.detail)
    return Reason(kinds[usage.kind], usage.device, detail)


def exclusively_open(function: PciFunction, scan: Scan) -> tuple[Reason, ...]:
    """Ask the kernel which namespaces somebody holds exclusively: other mount namespaces and zfs included.  Opens them, as root.

    :param scan: that the function is from.
    :raises OSError: if one cannot be opened for another reason; one that is gone is not in use.
    """
    return tuple(Reason("open", one.name, "") for one in _namespaces(function, scan) if _is_held(one.path))


def _is_held(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        if error.errno in GONE:
            return False
        raise
    return False
