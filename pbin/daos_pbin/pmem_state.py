# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which state persistent memory is in (storage facts C.3): a closed set, from regions alone."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from msgspec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from daos_pbin.pmem import Region


class State(IntEnum):
    """States and their numbers, as the reference tells them."""

    UNKNOWN = 0
    NO_REGIONS = 1
    FREE_CAPACITY = 2
    NO_FREE_CAPACITY = 3
    NOT_INTERLEAVED = 4
    NO_MODULES = 5
    NOT_HEALTHY = 6
    PARTIAL_FREE_CAPACITY = 7
    UNKNOWN_MODE = 8

    @property
    def word(self) -> str:
        """The reference's name of it, such as ``NoFreeCapacity``."""
        return self.name.title().replace("_", "")


UNFIT: Final = (State.NOT_INTERLEAVED, State.NOT_HEALTHY, State.PARTIAL_FREE_CAPACITY, State.UNKNOWN_MODE)
"""States of a region that stand for the whole machine: the first of them, by socket, is the machine's."""

FIRMWARE_MAKES: Final = (State.NO_REGIONS, State.NOT_INTERLEAVED, State.UNKNOWN_MODE)
"""States that a goal which the firmware carried out would have ended."""


class Assessment(Struct, frozen=True):
    """A state, and what it rests on.

    :param socket: the one that the state is about, if it is about one.
    :param sockets: the state of each socket that has a region.
    :param doubled: sockets with several sound regions, which none has that DAOS can use.
    """

    state: State
    socket: int | None = None
    sockets: dict[int, State] = {}
    doubled: tuple[int, ...] = ()


def of_region(region: Region) -> State:
    """Return the state of one region."""
    if region.type == "AppDirectNotInterleaved":
        return State.NOT_INTERLEAVED
    if region.type != "AppDirect":
        return State.UNKNOWN_MODE
    if region.health == "Error":
        return State.NOT_HEALTHY
    if region.free_capacity == region.capacity:
        return State.FREE_CAPACITY
    return State.PARTIAL_FREE_CAPACITY if region.free_capacity else State.NO_FREE_CAPACITY


def assess(regions: tuple[Region, ...]) -> Assessment:
    """Return the state of a machine that has modules.

    An unfit region is told first, wherever it is: nothing is done to the others while one is not understood.  Modules that are
    not interleaved have a region each, so several on one socket are only wrong in themselves if all of them are fit.
    """
    if not regions:
        return Assessment(State.NO_REGIONS)
    states = sorted((region.socket_id, of_region(region)) for region in regions)
    unfit = [(socket, state) for socket, state in states if state in UNFIT]
    sockets = {**dict(states), **dict(reversed(unfit))}
    if unfit:
        return Assessment(unfit[0][1], unfit[0][0], sockets)
    doubled = tuple(socket for socket in sockets if sum(socket == one for one, _ in states) > 1)
    only = states[0][0] if len(states) == 1 else None
    if doubled:
        return Assessment(State.UNKNOWN, doubled[0], sockets, doubled)
    state = State.FREE_CAPACITY if State.FREE_CAPACITY in sockets.values() else State.NO_FREE_CAPACITY
    return Assessment(state, only, sockets)
