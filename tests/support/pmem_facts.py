# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Machines with persistent memory as values, and a world in which steps have their effect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from daos_pbin.pmem import Goal, GoalStatus, KernelRegion, Module, Namespace, Region, Remembered
from daos_pbin.pmem_plan import (
    CreateGoal,
    CreateNamespace,
    Decision,
    DeleteGoals,
    DestroyNamespace,
    Found,
    Remember,
    Step,
    Unmount,
)

GIB: Final = 1 << 30
CAPACITY: Final = 256 * GIB
"""Bytes of each region."""
MODULES: Final = 2
"""On each socket."""
BOOT: Final = "11111111-2222-3333-4444-555555555555"
NEXT_BOOT: Final = "99999999-2222-3333-4444-555555555555"
"""Another start of the machine: an earlier or a later one."""


def uids(*sockets: int) -> tuple[str, ...]:
    """Return the UIDs of all modules of sockets."""
    return tuple(f"uid-{socket}-{number}" for socket in sockets for number in range(MODULES))


def module(socket: int, number: int) -> Module:
    """Return a module."""
    return Module(f"uid-{socket}-{number}", socket, 0, number, 0, 16 * socket + number + 17, 128 * GIB, "PART", "01.02.00.5446", "Healthy")


def goal(socket: int, status: str, number: int = 0) -> Goal:
    """Return a goal on one module of a socket."""
    return Goal(f"uid-{socket}-{number}", socket, msgspec.convert(status, GoalStatus))


def region(socket: int, kind: str, free: int = 64 * GIB, iset: int = 0) -> Region:
    """Return a region of that kind; ``free`` counts for ``partial`` only."""
    left = {"free": CAPACITY, "partial": free}.get(kind, 0)
    types = {"not-interleaved": "AppDirectNotInterleaved", "volatile": "Volatile", "unknown": "Unknown"}
    health = "Error" if kind == "unhealthy" else "Healthy"
    values = {"socket_id": socket, "iset_id": iset or 1000 + socket, "type": types.get(kind, "AppDirect"), "capacity": CAPACITY}
    return msgspec.convert({**values, "free_capacity": left, "health": health}, Region)


def namespace(socket: int, number: int, mode: str = "fsdax", blockdev: str | None = None, *, enabled: bool = True) -> Namespace:
    """Return a namespace on a region of a socket."""
    name = f"pmem{socket}" + (f".{number}" if number else "")
    return Namespace(f"namespace{socket}.{number}", 1 << 30, mode, "", name if blockdev is None else blockdev, socket, enabled)


def kernel_region(one: Region, *, iset: bool = True) -> KernelRegion:
    """Return the kernel's view of a region."""
    number = one.iset_id if iset else 0
    name = f"region{one.socket_id}"
    return KernelRegion(name, CAPACITY, one.free_capacity, 1 << 24, number, one.socket_id, "pmem", "memory_controller")


def found(
    *kinds: str,
    goals: Iterable[Goal] = (),
    remembered: Remembered | None = None,
    mounted: tuple[str, ...] = (),
    extra: Iterable[Region] = (),
    per_socket: int = 1,
    there: int = 1,
    free: int | None = None,
    iset: bool = True,
) -> Found:
    """Return a machine whose sockets have regions of these kinds, ``none`` for modules without one.

    :param per_socket: namespaces on full regions, and those that partly full ones are meant to get.
    :param there: namespaces on partly full regions.
    """
    left = CAPACITY - there * (CAPACITY // per_socket) if free is None else free
    if per_socket == 1:
        left = 64 * GIB
    regions = [region(socket, kind, left) for socket, kind in enumerate(kinds) if kind != "none"]
    counts = {"full": per_socket, "partial": there, "unhealthy": 1}
    namespaces = [namespace(socket, number) for socket, kind in enumerate(kinds) for number in range(counts.get(kind, 0))]
    return Found(
        tuple(module(socket, number) for socket in range(len(kinds)) for number in range(MODULES)),
        (*regions, *extra),
        tuple(goals),
        tuple(kernel_region(one, iset=iset) for one in regions),
        tuple(namespaces),
        BOOT,
        mounted,
        remembered or Remembered(),
    )


class World:
    """A machine on which steps have their effect.

    :param obedient: whether its firmware carries goals out.
    """

    def __init__(self, facts: Found, *, obedient: bool = True) -> None:
        self.facts = facts
        self._obedient = obedient
        self._boots = 0

    def do(self, decision: Decision, limit: int | None = None) -> None:
        """Do the steps of a decision; at most so many of them, if the power is cut then."""
        for step in decision.steps[:limit]:
            self._do(step)

    def _set(self, **values: object) -> None:
        self.facts = msgspec.structs.replace(self.facts, **values)

    def _do(self, step: Step) -> None:
        facts = self.facts
        match step:
            case DeleteGoals(uids=names):
                self._set(goals=tuple(one for one in facts.goals if one.uid not in names))
            case CreateGoal(uids=names):
                if any(one.uid in names for one in facts.goals):
                    raise AssertionError("a goal must be deleted first")
                made = tuple(Goal(one.uid, one.socket_id, "new") for one in facts.modules if one.uid in names)
                self._set(goals=(*facts.goals, *made))
            case Unmount(blockdev=name):
                self._set(mounted=tuple(one for one in facts.mounted if one != name))
            case DestroyNamespace(dev=name):
                self._set(namespaces=tuple(one for one in facts.namespaces if one.dev != name))
                self._take(int(name[9:].split(".")[0]), None)
            case CreateNamespace(region=kernel, size=size):
                socket = int(kernel.dev.removeprefix("region"))
                taken = {one.dev for one in self.facts.namespaces}
                number = next(one for one in range(99) if f"namespace{socket}.{one}" not in taken)
                self._set(namespaces=(*facts.namespaces, namespace(socket, number)))
                self._take(socket, size)
            case Remember(record=record):
                self._set(remembered=record)

    def _take(self, socket: int, size: int | None) -> None:
        """Take so many bytes from what is free on a region, or, for None, free all of it once its last namespace is gone."""
        if size is None and any(one.region == socket for one in self.facts.namespaces):
            return
        regions = []
        for one in self.facts.regions:
            free = one.capacity if size is None else one.free_capacity - size
            if one.socket_id == socket and free < 0:
                raise AssertionError("more than there is")
            regions.append(msgspec.structs.replace(one, free_capacity=free) if one.socket_id == socket else one)
        self._set(regions=tuple(regions), kernel_regions=tuple(kernel_region(one) for one in regions))

    def reboot(self) -> None:
        """Restart: the firmware looks at goals, and nothing is mounted."""
        self._boots += 1
        self._set(boot_id=f"{self._boots:08x}-2222-3333-4444-555555555555", mounted=())
        if not self._obedient:
            return
        sockets = sorted({one.socket_id for one in self.facts.goals})
        regions = [one for one in self.facts.regions if one.socket_id not in sockets]
        regions += [region(socket, "free") for socket in sockets]
        self._set(
            goals=(),
            regions=tuple(regions),
            kernel_regions=tuple(kernel_region(one) for one in regions),
            namespaces=tuple(one for one in self.facts.namespaces if one.region not in sockets),
        )
