# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which of the kernel's regions is which of libipmctl's, and how a region is divided into namespaces (storage facts C.4)."""

from __future__ import annotations

from typing import Final

from daos_pbin import codes
from daos_pbin.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from daos_pbin.pmem import KernelRegion, Namespace, Region

ALIGNMENT: Final = 2 * 1024 * 1024
"""Bytes: namespaces are multiples of this, so that huge pages fit."""


def match(regions: tuple[Region, ...], kernel: tuple[KernelRegion, ...]) -> dict[int, KernelRegion]:
    """Return the kernel's region of each socket.

    They belong together by their interleave set; if that does not tell for every one, by the name that a region of its socket
    has on a machine with one region per socket.

    :raises Fault: 213 if the kernel has no such region.
    """
    sets = {one.iset_id: one for one in kernel if one.iset_id and one.type == "pmem" and one.persistence_domain == "memory_controller"}
    matched = {region.socket_id: sets[region.iset_id] for region in regions if region.iset_id in sets}
    if len(matched) == len(regions):
        return matched
    names = {one.dev: one for one in kernel}
    missing = [str(region.socket_id) for region in regions if f"region{region.socket_id}" not in names]
    if missing:
        raise Fault(codes.SCM_INVALID_PMEM, msg=f"libipmctl has a region on socket {', '.join(missing)} that the kernel does not know")
    return {region.socket_id: names[f"region{region.socket_id}"] for region in regions}


def share(free: int, count: int, region: KernelRegion) -> int:
    """Return the size of each of so many namespaces that fill what is free on a region.

    :param count: 1 or more.
    :raises Fault: 2166 if that is not a multiple of 2 MiB and of what the kernel wants.
    """
    size = free // count
    align = max(ALIGNMENT, region.align) if region.align % ALIGNMENT == 0 else ALIGNMENT
    if not size or size * count != free or size % align:
        raise Fault(codes.SCM_REGION_NOT_DIVISIBLE, object=region.dev, region=region.dev, free=free, count=count, align=align)
    return size


def verify(sockets: dict[int, KernelRegion], namespaces: tuple[Namespace, ...], count: int) -> Fault | None:
    """Return what is wrong with prepared regions; None if each has so many namespaces that DAOS can use."""
    for socket, region in sorted(sockets.items()):
        there = [one for one in namespaces if f"region{one.region}" == region.dev]
        if len(there) != count:
            msg = f"socket {socket} has {len(there)} namespaces ({region.dev}), and {count} were asked for"
            return Fault(codes.SCM_INVALID_PMEM, msg=msg)
    return unusable(sockets, namespaces)


def unusable(sockets: dict[int, KernelRegion], namespaces: tuple[Namespace, ...]) -> Fault | None:
    """Return what keeps DAOS from using a namespace on these regions; None if it can use all that there are."""
    for socket, region in sorted(sockets.items()):
        for one in namespaces:
            if f"region{one.region}" != region.dev or (one.enabled and one.blockdev and one.mode == "fsdax"):
                continue
            state = f"of mode {one.mode or 'none'}" if one.enabled else "switched off"
            cut_short = ", as a prepare that was cut short leaves it" if one.is_half_made else ""
            msg = f"{one.dev} on socket {socket} is {state}{cut_short}; DAOS needs mode fsdax"
            return Fault(codes.SCM_INVALID_PMEM, object=one.dev, msg=msg)
    return None
