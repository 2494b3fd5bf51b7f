# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A change of persistent memory as a plan: what the helper would do, in its own steps, and what is lost by it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import PER_SOCKET_MAX
from daos_pbin.pmem_state import State
from daos_server.plan import scm_words
from daos_server.plan.steps import Plan, Standing, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daos_pbin.pmem_messages import PmemStep, ScmPrepareResult
    from daos_server.config.model import ServerConfig
    from daos_server.plan.wanted import Scm, Wanted

SUBJECT = "persistent memory"
NOTED = "remember"
"""The action of a step that changes nothing but our own record."""


@dataclass(frozen=True, kw_only=True)
class ChangePmem(Step):
    """One step of the helper's; ``subject`` is what it is about."""

    action: ClassVar[str] = "change persistent memory"
    words: str

    def _describe(self) -> str:
        return self.words


@dataclass(frozen=True, kw_only=True)
class PreparePmem(Step):
    """Bring persistent memory one stage nearer to the devices that a configuration names.

    :param socket: only this one; None for all.
    :param per_socket: namespaces that each region is divided into.
    :param parts: what the helper would do, in words.
    :param devices: block devices that the configuration names.
    """

    action: ClassVar[str] = "prepare persistent memory"
    socket: int | None = None
    per_socket: int = 1
    parts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    def _describe(self) -> str:
        return "; ".join(self.parts)


# Which socket


def placed(config: ServerConfig, interfaces: Mapping[str, int | None], sockets: Mapping[int, int]) -> tuple[int | None, ...]:
    """Return the CPU socket of each engine with persistent memory; None for one of which it is not known.

    :param interfaces: NUMA node of each fabric interface of the machine; None for one that belongs to none.
    :param sockets: CPU socket of each NUMA node.
    """
    by_core = any(engine.first_core for engine in config.engines)
    found: list[int | None] = []
    for index, engine in enumerate(config.engines):
        if engine.scm_tier is None or engine.scm_tier.storage_class != "dcpm":
            continue
        node = engine.pinned_numa_node
        if node is None:
            node = interfaces.get(config.fabric(index).interfaces[0])
        found.append(None if by_core or node is None else sockets.get(node))
    return tuple(found)


def only_socket(places: Sequence[int | None]) -> int | None:
    """Return the one socket that all engines with persistent memory are on; None if there is none such, or it is not known."""
    return places[0] if len(set(places)) == 1 else None


def namespaces_needed(places: Sequence[int | None]) -> int:
    """Return how many namespaces a socket needs so that each engine has one.

    :raises Fault: 2167 for more than a socket can have.
    """
    count = max(Counter(place for place in places if place is not None).values(), default=1)
    if count > PER_SOCKET_MAX:
        raise Fault(codes.SCM_NAMESPACE_COUNT, count=count)
    return count


# What is going to happen


def command_line(command: str, per_socket: int = 1, socket: int | None = None) -> str:
    """Return a command with the options that it was given."""
    where = "" if socket is None else f" --socket {socket}"
    return f"daos_server scm {command}{where}" + ("" if per_socket == 1 else f" --scm-ns-per-socket {per_socket}")


def repeat(per_socket: int = 1, socket: int | None = None) -> str:
    """Return the command that goes on after a reboot."""
    return command_line("prepare", per_socket, socket)


def shown(answer: ScmPrepareResult) -> tuple[PmemStep, ...]:
    """Return the steps of an answer that change more than our own record."""
    return tuple(one for one in answer.steps if one.action != NOTED)


def change_plan(command: str, answer: ScmPrepareResult, uses: Mapping[str, str], again: str) -> Plan:
    """Return the plan of ``scm prepare`` or ``scm reset``.

    :param answer: the helper's, which changed nothing.
    :param uses: what namespaces are used for, by their names.
    :param again: the command that goes on after a reboot.
    """
    doomed = {one.dev: scm_words.namespace_words(one, uses.get(one.dev, "")) for one in answer.destroyed}
    steps = tuple(_step(index, one, doomed) for index, one in enumerate(shown(answer)))
    fault = fault_of(answer)
    notes = [f"state: {State(answer.state).word}" + ("" if answer.socket is None else f" (socket {answer.socket})"), *answer.notes]
    if not steps and fault is None:
        notes.append(scm_words.next_step(State(answer.state), reboot=answer.reboot_required, command=again))
    elif fault is None and answer.reboot_required:
        notes.append(f"afterwards: {scm_words.then_prepare(again)}")
    return Plan(command=command, group="scm", steps=steps, notes=tuple(notes), refusals=() if fault is None else (fault,))


def _step(index: int, one: PmemStep, doomed: Mapping[str, str]) -> ChangePmem:
    lost = ", ".join(doomed[name] for name in one.objects if name in doomed) if one.action == "destroy-namespace" else ""
    return ChangePmem(key=f"pmem:{index}", subject=", ".join(one.objects) or SUBJECT, words=one.words, lost=lost)


def fault_of(answer: ScmPrepareResult) -> Fault | None:
    """Return why a change was refused or stopped; None if it was not.

    :raises Fault: 213 if the helper does not say why.
    """
    if answer.fault is not None:
        return answer.fault.fault()
    if answer.outcome in ("refused", "stopped"):
        msg = f"the command was {answer.outcome} in state {State(answer.state).word}, and nobody says why"
        raise Fault(codes.SCM_INVALID_PMEM, msg=msg)
    return None


# As part of ``storage prepare``


def tiers(wanted: Wanted) -> tuple[tuple[int, Scm], ...]:
    """Return the tiers of persistent memory, each with the index of its engine."""
    return tuple((engine.index, engine.scm) for engine in wanted.engines if engine.scm is not None and engine.scm.storage_class == "dcpm")


def is_there(engine: int, tier: Scm) -> Standing:
    """Return the part of a plan about a device that exists: nothing is to be done for it."""
    return Standing(
        engine=engine, tier=tier.tier, subject=tier.device, action=PreparePmem.action, already=True, detail="there is such a device"
    )


def cannot(devices: Sequence[str], fault: Fault) -> Standing:
    """Return the part of a plan about devices that are missing and cannot be made."""
    detail = f"{fault.description} ({fault.code})"
    return Standing(subject=", ".join(devices), action=PreparePmem.action, already=False, detail=detail, fault=fault)


def prepare_step(answer: ScmPrepareResult, devices: Sequence[str], *, per_socket: int, socket: int | None, force: bool) -> Step | Standing:
    """Return what ``storage prepare`` does about devices that are missing.

    :param answer: the helper's, which changed nothing.
    :param force: take goals back that wait for the next start.
    """
    fault = fault_of(answer)
    again = repeat(per_socket, socket)
    if fault is None and answer.outcome == "reboot-due":
        detail = scm_words.then_prepare(again)
        return Standing(subject=", ".join(devices), action=PreparePmem.action, already=False, detail=detail)
    if fault is None and answer.outcome == "nothing":
        fault = missing(devices)
    if fault is None and not force and any(one.action == "delete-goals" for one in answer.steps):
        fault = Fault(codes.SERVER_CONSENT_MISSING, variant="goals", command=again)
    if fault is not None:
        return cannot(devices, fault)
    parts = tuple(one.words for one in shown(answer))
    return PreparePmem(
        key="pmem", subject=", ".join(devices), socket=socket, per_socket=per_socket, parts=parts, devices=tuple(devices), force=force
    )


def missing(devices: Sequence[str]) -> Fault:
    """Return the fault that configured devices are not there: 204."""
    names = ", ".join(devices)
    return Fault(codes.SCM_FORMAT_MISSING_DEVICE, object=names, device=names)
