# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What ``daos_server scm prepare``, ``reset`` and ``scan`` say: a sentence for every state, tables, and the JSON that tools know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem_plan import PENDING
from daos_pbin.pmem_state import State
from daos_server.cli.output import escape, table
from daos_server.hardware.show import decimal_bytes
from daos_server.plan.units import bytes_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daos_pbin.pmem import Goal, Module, Namespace

NAMESPACE_COLUMNS: Final = ("SCM Namespace", "Socket", "Capacity")
MODULE_COLUMNS: Final = (
    "SCM Module", "Socket", "Memory Ctrlr", "Channel", "Channel Slot", "Capacity", "UID", "Part Number", "Health",
)  # fmt: skip
NO_NAMESPACES: Final = "  No SCM namespaces found\n"
NO_MODULES: Final = "  No SCM modules found\n"

CONSENT: Final[Mapping[str, str]] = {
    "prepare": (
        "Memory allocation goals on the modules will be replaced, and free capacity will be filled with namespaces. Existing namespaces "
        "and their data stay as they are."
    ),
    "reset": (
        "The namespaces below will be unmounted and destroyed with the data in them, and the regions will be made anew at the next "
        "start of this machine."
    ),
}
"""What is said before the question whether to go on."""
QUESTION: Final = "Are you sure you want to continue? (yes/no)"

PREPARE: Final = "daos_server scm prepare"
"""What goes on after a reboot, with the options that it needs."""
NEXT: Final[Mapping[State, str]] = {
    State.UNKNOWN: "The regions do not fit together: compare 'ipmctl show -region' with 'ndctl list -RNi'.",
    State.NO_REGIONS: "There are modules and no regions: '{command}' asks the firmware for them.",
    State.FREE_CAPACITY: "There are regions with room for namespaces: '{command}' makes them.",
    State.NO_FREE_CAPACITY: "The regions are full of namespaces: name these in 'scm_list', and run 'daos_server storage format'.",
    State.NOT_INTERLEAVED: "Some regions are not interleaved, which DAOS cannot use: save their data, then 'daos_server scm reset'.",
    State.NO_MODULES: "This machine has no persistent memory.",
    State.NOT_HEALTHY: "Some regions are damaged: replace the bad module ('ipmctl show -dimm' names it), then 'daos_server scm reset'.",
    State.PARTIAL_FREE_CAPACITY: (
        "Some regions are only partly used: '{command}' goes on if it began to fill them; if not, save their data, then "
        "'daos_server scm reset'."
    ),
    State.UNKNOWN_MODE: "Some regions are in a mode that DAOS does not use: save their data, then 'daos_server scm reset'.",
}
"""What a state means, and what comes next."""
OTHER_MEMORY: Final = (
    "The namespaces are on memory that libipmctl does not manage: what is of mode fsdax can be named in 'scm_list' as it is; others are "
    "made and removed with ndctl."
)
FILLED: Final = (State.NO_FREE_CAPACITY, State.PARTIAL_FREE_CAPACITY)
"""States of regions with namespaces that prepare makes."""
HALF_MADE: Final = (
    "DAOS cannot use {names}: switched off, or of mode raw, as a 'scm prepare' that was cut short leaves it. If nothing in it is needed: "
    "'daos_server scm reset' (it destroys all namespaces that it lists), reboot, '{command}'."
)
RESET: Final[Mapping[State, str]] = {
    State.NOT_INTERLEAVED: "The non-interleaved regions will be replaced by interleaved ones at the next start.",
    State.FREE_CAPACITY: "There were no namespaces to remove; the regions will be made anew at the next start.",
    State.NO_FREE_CAPACITY: "The namespaces are removed, and the regions will be made anew at the next start.",
    State.PARTIAL_FREE_CAPACITY: (
        "The namespaces are removed, and the regions, which were only partly used, will be made anew at the next start."
    ),
    State.NOT_HEALTHY: "The namespaces are removed, and the regions, of which some are damaged, will be made anew at the next start.",
    State.UNKNOWN_MODE: (
        "The namespaces are removed, and the regions, of which some are in a mode that DAOS does not use, will be made anew at the "
        "next start."
    ),
}


def then_prepare(command: str = PREPARE) -> str:
    """Return what comes after goals were stored."""
    return f"Reboot this machine; then '{command}' makes the namespaces."


def next_step(state: State, *, reboot: bool, command: str = PREPARE, namespaces: Sequence[Namespace] = ()) -> str:
    """Return what a state means and what is to be done about it.

    :param reboot: a goal waits for the next start of the machine.
    :param namespaces: that are there.
    """
    if state is State.NO_MODULES and namespaces:
        return OTHER_MEMORY
    if reboot:
        return then_prepare(command)
    half = [one.dev for one in namespaces if one.is_half_made] if state in FILLED else []
    return HALF_MADE.format(names=", ".join(half), command=command) if half else NEXT[state].format(command=command)


def prepared(state: State, outcome: str, namespaces: Sequence[Namespace] = (), command: str = PREPARE) -> str:
    """Return what a prepare says that ended well.

    :param state: of the memory afterwards.
    :param command: what goes on after a reboot.
    :raises Fault: 213 if what the helper answers does not fit together.
    """
    match outcome, state:
        case "goal-stored", State.NO_REGIONS:
            return f"The firmware will make interleaved AppDirect regions at the next start. {then_prepare(command)}\n"
        case "reboot-due", _ if state not in (State.UNKNOWN, State.NO_MODULES):
            return f"The firmware was asked for regions already, and makes them at the next start. {then_prepare(command)}\n"
        case ("namespaces" | "nothing"), State.NO_FREE_CAPACITY if namespaces:
            return namespace_table(namespaces)
    raise _contradiction("prepare", state, outcome)


def was_reset(state: State, outcome: str, command: str = PREPARE) -> str:
    """Return what a reset says that ended well.

    :param state: of the memory before it.
    :param command: what goes on after a reboot.
    :raises Fault: 213 if what the helper answers does not fit together.
    """
    if outcome == "nothing" and state is State.NO_REGIONS:
        return "Persistent memory is reset: there are no regions, no namespaces and no goals.\n"
    if outcome in ("goal-stored", "reboot-due") and state in RESET:
        return f"{RESET[state]} {then_prepare(command)}\n"
    raise _contradiction("reset", state, outcome)


def consent(command: str, doomed: Sequence[str] = ()) -> str:
    """Return what is said before the question whether to go on.

    :param doomed: the namespaces that will be destroyed, each in words.
    """
    lines = [CONSENT[command]]
    if command == "reset":
        lines += [f"  {escape(one)}" for one in doomed] or ["  (there are none)"]
    return "\n".join(lines)


def namespace_words(one: Namespace, use: str = "") -> str:
    """Return a namespace by name, block device and size.

    :param use: what it is used for, such as ``mounted on /mnt/daos0``.
    """
    device = f"/dev/{one.blockdev}, " if one.blockdev else "switched off, " if not one.enabled else ""
    return f"{one.dev}: {device}{decimal_bytes(one.size)}" + (f", {use}" if use else "")


def module_words(one: Module) -> str:
    """Return a module in words."""
    place = f"socket {one.socket_id}, controller {one.controller_id}, channel {one.channel_id}, slot {one.channel_position}"
    return f"{bytes_text(one.capacity)}, {place}, {one.health}"


def scanned(namespaces: Sequence[Namespace], modules: Sequence[Module]) -> str:
    """Return what a scan prints: namespaces if there are any, otherwise modules."""
    return namespace_table(namespaces) if namespaces else module_table(modules)


def scanned_json(
    namespaces: Sequence[Namespace], modules: Sequence[Module], mounts: Mapping[str, Mapping[str, object]] | None = None
) -> list[dict[str, object]]:
    """Return the response of a scan; of a prepare, too, with no modules.

    :param mounts: the mounts of namespaces, by their names.
    """
    if namespaces:
        return [namespace_json(one, (mounts or {}).get(one.dev)) for one in _by_device(namespaces)]
    return [module_json(one) for one in _by_handle(modules)]


def scan_notes(goals: Sequence[Goal]) -> tuple[str, ...]:
    """Return what a scan adds about goals that wait for the next start."""
    sockets = sorted({one.socket_id for one in goals if one.status in PENDING})
    return tuple(f"socket {one}: a memory allocation goal waits for the next start of this machine" for one in sockets)


def namespace_table(namespaces: Sequence[Namespace]) -> str:
    """Return namespaces by block device."""
    rows = [(one.blockdev or f"{one.dev} (off)", one.numa_node, decimal_bytes(one.size)) for one in _by_device(namespaces)]
    return table(NAMESPACE_COLUMNS, rows) if rows else NO_NAMESPACES


def module_table(modules: Sequence[Module]) -> str:
    """Return modules by their physical id."""
    rows = [
        (
            one.physical_id,
            one.socket_id,
            one.controller_id,
            one.channel_id,
            one.channel_position,
            bytes_text(one.capacity),
            one.uid,
            one.part_number,
            one.health,
        )
        for one in _by_handle(modules)
    ]
    return table(MODULE_COLUMNS, rows) if rows else NO_MODULES


def namespace_json(one: Namespace, mount: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return a namespace as tools know it."""
    return {
        "uuid": one.uuid,
        "blockdev": one.blockdev,
        "dev": one.dev,
        "numa_node": max(one.numa_node, 0),
        "size": one.size,
        "mount": None if mount is None else dict(mount),
    }


def module_json(one: Module) -> dict[str, object]:
    """Return a module as tools know it."""
    return {
        "ChannelID": one.channel_id,
        "ChannelPosition": one.channel_position,
        "ControllerID": one.controller_id,
        "SocketID": one.socket_id,
        "PhysicalID": one.physical_id,
        "Capacity": one.capacity,
        "UID": one.uid,
        "PartNumber": one.part_number,
        "FirmwareRevision": one.firmware_revision,
        "HealthState": one.health,
    }


def _by_device(namespaces: Sequence[Namespace]) -> list[Namespace]:
    return sorted(namespaces, key=lambda one: (one.blockdev, one.dev))


def _by_handle(modules: Sequence[Module]) -> list[Module]:
    return sorted(modules, key=lambda one: one.physical_id)


def _contradiction(command: str, state: State, outcome: str) -> Fault:
    return Fault(codes.SCM_INVALID_PMEM, msg=f"{command} ended as '{outcome}', and yet the state is {state.word}")
