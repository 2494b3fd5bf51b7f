# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How large a RAM disk may be, and whether memory is there for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.units import GIB, KIB, MIB, apart, bytes_text, kib_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daos_server.plan.wanted import Wanted

MIN_RAMDISK = 4 * GIB
"""Smallest RAM disk of an engine, in bytes."""
PER_TARGET = 128 * MIB
MIN_ENGINE = GIB
WANTED_PERCENT = 90
"""Part of a RAM disk that must be available when it is made, in percent."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The largest RAM disk of each engine that memory allows.

    :param size: in bytes, at least 4 GiB.
    :param arithmetic: how it came about, line by line.
    """

    size: int
    arithmetic: tuple[str, ...]

    @property
    def gib(self) -> int:
        """The size in whole GiB, rounded down: what ``scm_size`` 0 becomes."""
        return self.size // GIB


def engine_reservation(targets: int) -> int:
    """Return the bytes that an engine needs beside its RAM disk: 128 MiB per target, at least 1 GiB.

    :raises ValueError: if there is no target.
    """
    if targets < 1:
        raise ValueError(f"an engine has at least one target, not {targets}")
    return max(targets * PER_TARGET, MIN_ENGINE)


def max_ramdisk(*, total_kib: int, hugepage_bytes: int, reserved_gib: int, targets: int, engines: int) -> Limit:
    """Return the largest RAM disk of each engine.

    :param total_kib: all memory of the machine (MemTotal).
    :param hugepage_bytes: memory that hugepages take.
    :param reserved_gib: memory kept for the system (``system_ram_reserved``).
    :param targets: of one engine, above 0; all engines have the same.
    :param engines: above 0.
    :raises Fault: 214 if less than 4 GiB is left for an engine.
    :raises ValueError: if targets or engines are not above 0.
    """
    if engines < 1:
        raise ValueError(f"at least one engine shares the memory, not {engines}")
    total = total_kib * KIB
    per_engine = engine_reservation(targets)
    reserved = hugepage_bytes + reserved_gib * GIB + engines * per_engine
    size = (total - reserved) // engines
    if size < MIN_RAMDISK:
        raise _low("Total", MIN_RAMDISK, reserved + MIN_RAMDISK * engines, total)
    # In whole MiB, in which it adds up; rounded to GiB it would not.
    line = (
        f"RAM disk of each engine: ({total // MIB} MiB memory - {hugepage_bytes // MIB} MiB hugepages - {reserved_gib * GIB // MIB} MiB for"
        f" the system - {engines} x {per_engine // MIB} MiB per engine) / {engines} = {size // MIB} MiB, so {size // GIB} GiB at most"
    )
    return Limit(size=size, arithmetic=(line,))


@dataclass(frozen=True, kw_only=True)
class Ramdisks:
    """The RAM disks of all engines.

    :param sizes: GiB by index of the engine, for those of class ``ram``; 0 if it is automatic and cannot be computed.
    :param faults: why an engine would not start with them; a format goes on, except where it does not know a size.
    :param arithmetic: how the sizes came about, line by line.
    """

    sizes: Mapping[int, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    arithmetic: tuple[str, ...] = ()

    @property
    def all_known(self) -> bool:
        """Whether every RAM disk has a size."""
        return all(self.sizes.values())


def ramdisks(wanted: Wanted, *, hugepage_bytes: int, total_kib: int) -> Ramdisks:
    """Return the sizes of all RAM disks: as configured, or, for 0, the largest that memory allows, in whole GiB.

    Fault 214 is for memory that is too small whatever the sizes, 731 for a configured size above the largest.

    :param hugepage_bytes: memory that hugepages take.
    :param total_kib: all memory of the machine (MemTotal).
    """
    configured = configured_sizes(wanted)
    if not configured:
        return Ramdisks()
    try:
        limit = max_ramdisk(
            total_kib=total_kib,
            hugepage_bytes=hugepage_bytes,
            reserved_gib=wanted.system_ram_reserved,
            targets=max(wanted.engines[0].targets, 1),
            engines=len(wanted.engines),
        )
    except Fault as fault:
        return Ramdisks(sizes=configured, faults=(fault,))
    over = (over_maximum(size, limit, f"engine {index}") for index, size in configured.items())
    automatic = f"0 (automatic): {limit.gib} GiB"
    chosen = (f"engine {index}: scm_size is {f'{size} GiB' if size else automatic}" for index, size in configured.items())
    return Ramdisks(
        sizes={index: size or limit.gib for index, size in configured.items()},
        faults=tuple(fault for fault in over if fault is not None),
        arithmetic=(*limit.arithmetic, *chosen),
    )


def configured_sizes(wanted: Wanted) -> dict[int, int]:
    """Return ``scm_size`` of every RAM disk, in GiB by index of the engine; 0 for an automatic one."""
    return {engine.index: engine.scm.size_gib for engine in wanted.engines if engine.scm and engine.scm.storage_class == "ram"}


def over_maximum(configured_gib: int, limit: Limit, where: str) -> Fault | None:
    """Return fault 731 for a configured size that is over the limit, else None."""
    size = configured_gib * GIB
    if size <= limit.size:
        return None
    return Fault(codes.SERVER_CONFIG_RAMDISK_OVER_MAX_MEM, object=where, conf=bytes_text(size), max=f"{limit.gib} GiB")


def needed_available(sizes_gib: Sequence[int]) -> int:
    """Return the bytes that must be available before RAM disks of these sizes are made: 90 % of their sum."""
    return sum(sizes_gib) * GIB // 100 * WANTED_PERCENT


def check_available(sizes_gib: Sequence[int], available_kib: int) -> str:
    """Check that memory is there for RAM disks of these sizes, and return the arithmetic.

    :raises Fault: 214 if less is available than 90 % of their sum.
    """
    size, need, have = sum(sizes_gib) * GIB, needed_available(sizes_gib), available_kib * KIB
    if have < need:
        raise _low("Available", size, need, have)
    return (
        f"memory available: {kib_text(available_kib)}; {WANTED_PERCENT} % of {bytes_text(size)} of RAM disk is {bytes_text(need)}: enough"
    )


def _low(variant: str, size: int, need: int, have: int) -> Fault:
    needed, there = apart(need, have)
    return Fault(codes.SCM_RAMDISK_LOW_MEM, variant=variant, size=bytes_text(size), need=needed, have=there)
