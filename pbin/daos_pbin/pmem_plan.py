# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What comes next for persistent memory: from what was found to the steps, pure and total (storage facts C.4 and C.5).

``prepare`` and ``reset`` look at the machine each time and never at how far an earlier run got; so whatever that was ended by,
a power cut included, the next run goes on from where the machine is.  Only two things cannot be seen, and are remembered: that a goal
was stored before this start of the machine, and that a region which is partly full is so because of us.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import PER_SOCKET_MAX, Remembered
from daos_pbin.pmem_layout import match, share, unusable, verify
from daos_pbin.pmem_state import FIRMWARE_MAKES, UNFIT, Assessment, State, assess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from daos_pbin.pmem import Goal, KernelRegion, Module, Namespace, Region

PENDING: Final = ("unknown", "new")
VARIANTS: Final = {
    State.NOT_INTERLEAVED: "interleave",
    State.NOT_HEALTHY: "health",
    State.PARTIAL_FREE_CAPACITY: "partial",
    State.UNKNOWN_MODE: "type",
}
REFUSALS: Final = {
    "bad-request": "it calls the request invalid",
    "no-resources": "it has too few resources for it",
    "firmware-error": "the firmware of the modules failed",
    "failed": "it failed without a reason",
}
SILENCE: Final = "it did nothing, and says nothing about it"

Outcome = Literal["nothing", "goal-stored", "reboot-due", "namespaces", "refused"]


class Found(Struct, frozen=True):
    """What was found on a machine.

    :param mounted: block devices of namespaces that are mounted, such as ``pmem0``.
    :param remembered: what an earlier run left behind.
    """

    modules: tuple[Module, ...]
    regions: tuple[Region, ...]
    goals: tuple[Goal, ...]
    kernel_regions: tuple[KernelRegion, ...]
    namespaces: tuple[Namespace, ...]
    boot_id: str
    mounted: tuple[str, ...] = ()
    remembered: Remembered = Remembered()

    def on(self, socket: int | None) -> Found:
        """Return what belongs to one socket; everything for None.  The kernel's view stays whole."""
        if socket is None:
            return self
        return Found(
            tuple(one for one in self.modules if one.socket_id == socket),
            tuple(one for one in self.regions if one.socket_id == socket),
            tuple(one for one in self.goals if one.socket_id == socket),
            self.kernel_regions,
            self.namespaces,
            self.boot_id,
            self.mounted,
            self.remembered,
        )


class DeleteGoals(Struct, frozen=True, tag=True):
    """Take goals back from these modules."""

    uids: tuple[str, ...]


class CreateGoal(Struct, frozen=True, tag=True):
    """Store a goal on these modules: interleaved AppDirect regions at the next start."""

    uids: tuple[str, ...]


class CreateNamespace(Struct, frozen=True, tag=True):
    """Make one namespace of so many bytes on a region of the kernel's."""

    region: KernelRegion
    size: int


class Unmount(Struct, frozen=True, tag=True):
    """Unmount a block device."""

    blockdev: str


class DestroyNamespace(Struct, frozen=True, tag=True):
    """Switch a namespace off and delete it, with what is in it."""

    dev: str


class Remember(Struct, frozen=True, tag=True):
    """Write down what was begun instead of what is written down; an empty record is removed."""

    record: Remembered


Step = DeleteGoals | CreateGoal | CreateNamespace | Unmount | DestroyNamespace | Remember


class Decision(Struct, frozen=True):
    """What a command comes to on a machine.

    :param state: of the memory before the steps.
    :param socket: the one that the state is about, if it is about one.
    :param steps: in their order; none means that there is nothing to do.
    :param reboot: whether the machine has to be restarted afterwards for the rest.
    :param fault: why nothing is done; there are no steps then.
    :param notes: what else is to be known, in words.
    """

    state: State
    outcome: Outcome
    socket: int | None = None
    steps: tuple[Step, ...] = ()
    reboot: bool = False
    fault: Fault | None = None
    notes: tuple[str, ...] = ()


def prepare(found: Found, per_socket: int = 1, socket: int | None = None) -> Decision:
    """Return how to get from here to ``per_socket`` namespaces on each socket that has a region.

    :param socket: only this one; None for all.
    """
    if not 1 <= per_socket <= PER_SOCKET_MAX:
        return _refused(Assessment(State.UNKNOWN), Fault(codes.SCM_NAMESPACE_COUNT, count=per_socket))
    here = found.on(socket)
    if not here.modules:
        return _refused(Assessment(State.NO_MODULES, socket), _no_modules(socket))
    seen = _assess(here, socket)
    if seen.doubled:
        return _refused(seen, _doubled(seen))
    if fault := not_applied(here):
        return _refused(seen, fault)
    notes = (*_without_region(here, seen), *_awaited(here, seen))
    try:
        if seen.state is State.NO_REGIONS:
            return _regions(here, seen)
        if seen.state in UNFIT:
            return _unfit(here, seen, per_socket, notes)
        return _namespaces(here, seen, per_socket, notes)
    except Fault as fault:
        return _refused(seen, fault)


def reset(found: Found, socket: int | None = None) -> Decision:
    """Return how to remove namespaces and have the firmware make the regions anew.

    :param socket: only this one; None for all.
    """
    here = found.on(socket)
    if not here.modules:
        return _refused(Assessment(State.NO_MODULES, socket), _no_modules(socket))
    seen = _assess(here, socket)
    if seen.doubled:
        seen = Assessment(State.UNKNOWN_MODE, seen.socket, seen.sockets)
    if seen.state is State.NO_REGIONS:
        return Decision(seen.state, "nothing", socket, (*_delete_goals(here), *_forget(here, _sockets(here))))
    try:
        doomed = here.namespaces if socket is None else _on_regions(here)
    except Fault as fault:
        return _refused(seen, fault)
    pending = _is_pending(here, _sockets(here))
    steps = (
        *(Unmount(one.blockdev) for one in doomed if one.blockdev in here.mounted),
        *(() if pending else _delete_goals(here)),
        *(DestroyNamespace(one.dev) for one in doomed),
        *(() if pending else _store_goal(here, _sockets(here))),
    )
    return Decision(seen.state, "goal-stored" if steps else "reboot-due", seen.socket, steps, reboot=True)


def check_prepared(found: Found, per_socket: int, socket: int | None = None) -> Fault | None:
    """Return what is wrong after namespaces were made; None if all is well."""
    here = found.on(socket)
    seen = assess(here.regions)
    if seen.state is not State.NO_FREE_CAPACITY:
        return Fault(codes.SCM_INVALID_PMEM, msg=f"the regions are in state {seen.state.word} after namespaces were made on them")
    try:
        return verify(match(here.regions, here.kernel_regions), here.namespaces, per_socket)
    except Fault as fault:
        return fault


def not_applied(found: Found) -> Fault | None:
    """Return which goal the firmware did not carry out at the last start; None for none."""
    states = assess(found.regions).sockets
    earlier = [one for one, boot in found.remembered.goals.items() if boot != found.boot_id]
    reasons = {
        one.socket_id: REFUSALS.get(one.status, SILENCE)
        for one in found.goals
        if one.status not in PENDING or one.socket_id in earlier
    }
    sockets = {one.socket_id for one in found.modules}
    left = sorted(
        one for one in sockets if (one in reasons or one in earlier) and states.get(one, State.NO_REGIONS) in FIRMWARE_MAKES
    )
    if not left:
        return None
    words = sorted({reasons.get(one, SILENCE) for one in left})
    return Fault(codes.SCM_GOAL_NOT_APPLIED, sockets=", ".join(map(str, left)), reason="; ".join(words))


def seen(found: Found, socket: int | None = None) -> Assessment:
    """Return the state of a machine, or of a socket of it."""
    here = found.on(socket)
    return _assess(here, socket) if here.modules else Assessment(State.NO_MODULES, socket)


def notes(found: Found, socket: int | None = None) -> tuple[str, ...]:
    """Return what else is to be known, in words; not that a goal waits for the next start (``waits_for_reboot``)."""
    here = found.on(socket)
    state = seen(found, socket)
    return (*_without_region(here, state), *((_doubled(state).description,) if state.doubled else ()))


def waits_for_reboot(found: Found, socket: int | None = None) -> bool:
    """Return whether a goal of ours waits on a socket for the next start of the machine."""
    here = found.on(socket)
    return any(_is_pending(here, (one,)) for one in _sockets(here))


def namespaces_on(found: Found, socket: int | None = None) -> tuple[Namespace, ...]:
    """Return the namespaces of a socket, or all for None; none if it is not known which they are."""
    here = found.on(socket)
    try:
        return here.namespaces if socket is None else _on_regions(here)
    except Fault:
        return ()


def _regions(here: Found, seen: Assessment) -> Decision:
    sockets = _sockets(here)
    if _is_pending(here, sockets):
        return Decision(seen.state, "reboot-due", seen.socket, reboot=True)
    return Decision(seen.state, "goal-stored", seen.socket, (*_delete_goals(here), *_store_goal(here, sockets)), reboot=True)


def _unfit(here: Found, seen: Assessment, per_socket: int, notes: tuple[str, ...]) -> Decision:
    if _is_pending(here, tuple(one for one, state in seen.sockets.items() if state in UNFIT)):
        return Decision(seen.state, "reboot-due", seen.socket, reboot=True, notes=notes)
    begun = {one for one, state in seen.sockets.items() if state is State.PARTIAL_FREE_CAPACITY and _is_ours(here, one, per_socket)}
    wrong = [one for one, state in sorted(seen.sockets.items()) if state in UNFIT and one not in begun]
    if wrong:
        return _refused(seen, Fault(codes.SCM_BAD_REGION, variant=VARIANTS[seen.sockets[wrong[0]]], id=wrong[0]))
    return _namespaces(here, seen, per_socket, notes)


def _namespaces(here: Found, seen: Assessment, per_socket: int, notes: tuple[str, ...]) -> Decision:
    """Fill what is free; what is there already must fit the request before anything is touched."""
    kernel = match(here.regions, here.kernel_regions)
    full = {one: kernel[one] for one, state in seen.sockets.items() if state is State.NO_FREE_CAPACITY}
    if fault := verify(full, here.namespaces, per_socket) or unusable(kernel, here.namespaces):
        raise fault
    missing = [(region, per_socket - _count(here, region)) for one, region in sorted(kernel.items()) if one not in full]
    made = tuple(CreateNamespace(region, share(region.available_size, count, region)) for region, count in missing for _ in range(count))
    goals = _delete_goals(here, tuple(kernel))
    if not made:
        return Decision(seen.state, "nothing", seen.socket, (*goals, *_forget(here, tuple(kernel))), notes=notes)
    record = here.remembered.with_filling(tuple(one for one in kernel if one not in full), per_socket)
    last = Remember(record.without(tuple(kernel)))
    return Decision(seen.state, "namespaces", seen.socket, (*goals, Remember(record), *made, last), notes=notes)


def _is_ours(here: Found, socket: int, per_socket: int) -> bool:
    """Return whether a region is partly full because we were filling it: what is missing has the size of what is there."""
    if here.remembered.filling.get(socket) != per_socket:
        return False
    region = next(one for one in here.regions if one.socket_id == socket)
    count = _count(here, match(here.regions, here.kernel_regions)[socket])
    used = region.capacity - region.free_capacity
    return 0 < count < per_socket and used * (per_socket - count) == region.free_capacity * count


def _count(here: Found, region: KernelRegion) -> int:
    return sum(f"region{one.region}" == region.dev for one in here.namespaces)


def _on_regions(here: Found) -> tuple[Namespace, ...]:
    names = {region.dev for region in match(here.regions, here.kernel_regions).values()}
    return tuple(one for one in here.namespaces if f"region{one.region}" in names)


def _is_pending(here: Found, sockets: tuple[int, ...]) -> bool:
    """Return whether a goal of ours waits on every module of these sockets for the next start."""
    waiting = {one.uid for one in here.goals if one.status in PENDING}
    ours = all(here.remembered.goals.get(socket) == here.boot_id for socket in sockets)
    return ours and all(one.uid in waiting for one in here.modules if one.socket_id in sockets)


def _delete_goals(here: Found, sockets: tuple[int, ...] | None = None) -> tuple[Step, ...]:
    uids = tuple(one.uid for one in here.goals if sockets is None or one.socket_id in sockets)
    return (DeleteGoals(uids),) if uids else ()


def _store_goal(here: Found, sockets: tuple[int, ...]) -> tuple[Step, ...]:
    """Remembered afterwards, not before: without a record, what the firmware makes of a goal is seen from the regions."""
    uids = tuple(one.uid for one in here.modules if one.socket_id in sockets)
    return CreateGoal(uids), Remember(here.remembered.without(sockets).with_goals(sockets, here.boot_id))


def _forget(here: Found, sockets: tuple[int, ...]) -> tuple[Step, ...]:
    left = here.remembered.without(sockets)
    return () if left == here.remembered else (Remember(left),)


def _sockets(here: Found) -> tuple[int, ...]:
    return tuple(sorted({one.socket_id for one in here.modules}))


def _assess(here: Found, socket: int | None) -> Assessment:
    """Return the state; one about nothing yet is about the socket that was asked for."""
    seen = assess(here.regions)
    return seen if seen.sockets else Assessment(seen.state, socket)


def _without_region(here: Found, seen: Assessment) -> tuple[str, ...]:
    return tuple(
        f"socket {one} has modules and no region; 'daos_server scm prepare --socket {one}' asks the firmware for one"
        for one in _bare(here, seen)
        if not _is_pending(here, (one,))
    )


def _awaited(here: Found, seen: Assessment) -> tuple[str, ...]:
    return tuple(
        f"socket {one} gets its region at the next start of this machine; then 'daos_server scm prepare --socket {one}' fills it"
        for one in _bare(here, seen)
        if _is_pending(here, (one,))
    )


def _bare(here: Found, seen: Assessment) -> list[int]:
    """Return the sockets with modules and no region, if others have one."""
    return sorted({one.socket_id for one in here.modules} - set(seen.sockets)) if seen.sockets else []


def _no_modules(socket: int | None) -> Fault:
    return Fault(codes.SCM_NO_PMEM, object="" if socket is None else f"socket {socket}")


def _doubled(seen: Assessment) -> Fault:
    msg = f"socket {seen.doubled[0]} has several regions, and DAOS uses one interleaved region per socket"
    return Fault(codes.SCM_INVALID_PMEM, msg=msg)


def _refused(seen: Assessment, fault: Fault) -> Decision:
    return Decision(seen.state, "refused", seen.socket, fault=fault)
