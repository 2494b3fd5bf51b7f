# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How much of the memory is reserved for the system, and how much each engine gets as its RAM disk."""

from __future__ import annotations

from typing import NamedTuple

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.memory import MIN_RAMDISK, engine_reservation, max_ramdisk
from daos_server.plan.units import GIB, KIB, bytes_text, kib_text

RESERVED_GIB = 16
"""What ``system_ram_reserved`` is without being set."""
LEAST_RESERVED_GIB = 2
"""Below this, a system with engines on it runs out of memory sooner or later."""


class Ramdisk(NamedTuple):
    """RAM disk of each engine in GiB, memory kept for the system in GiB, and the arithmetic of the first."""

    size_gib: int
    reserved_gib: int
    why: str


def ramdisk(*, total_kib: int, hugepage_bytes: int, targets: int, engines: int) -> Ramdisk:
    """Return the largest RAM disk; where 16 GiB for the system leave too little for it, the system gets what is left.

    :raises Fault: 214 if less than 2 GiB would be left.
    """
    _memory_known(total_kib)

    def largest(reserved_gib: int) -> Ramdisk:
        limit = max_ramdisk(
            total_kib=total_kib, hugepage_bytes=hugepage_bytes, reserved_gib=reserved_gib, targets=targets, engines=engines
        )
        return Ramdisk(limit.gib, reserved_gib, limit.arithmetic[0])

    try:
        return largest(RESERVED_GIB)
    except Fault as fault:
        left = (total_kib * KIB - hugepage_bytes - engines * (engine_reservation(targets) + MIN_RAMDISK)) // GIB
        if left >= LEAST_RESERVED_GIB:
            return largest(left)
        fault.cause = _way_out(hugepage_bytes, engines)
        raise


def check_hugepages(*, total_kib: int, hugepage_bytes: int, targets: int, engines: int) -> None:
    """Check that hugepages and engines fit into memory; for engines with persistent memory, which need no RAM disk.

    :raises Fault: 2204 if they do not.
    """
    _memory_known(total_kib)
    spare = total_kib * KIB - LEAST_RESERVED_GIB * GIB - engines * engine_reservation(targets)
    if hugepage_bytes > spare:
        available = f"{bytes_text(max(spare, 0))} of {kib_text(total_kib)}"
        cause = _way_out(hugepage_bytes, engines)
        raise Fault(codes.HUGEPAGES_OVER_MEMORY, wanted=bytes_text(hugepage_bytes), available=available, cause=cause)


def _way_out(hugepage_bytes: int, engines: int) -> str:
    """Return which options need less memory; empty if none does."""
    ways = []
    if engines > 1:
        ways.append("--num-engines 1 (-e 1) makes one engine only")
    if hugepage_bytes:
        ways.append("--scm-only (-s) does without the hugepages that SSDs need")
    return ", ".join(ways)


def _memory_known(total_kib: int) -> None:
    if total_kib < 1:
        remedy = "look at MemTotal in /proc/meminfo"
        raise Fault(codes.CONFIG_GENERATE_MACHINE_UNFIT, reason="the kernel does not tell how much memory there is", remedy=remedy)
