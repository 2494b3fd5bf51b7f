# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Requests about persistent memory, and their answers; apart from the others, so that a session without any never pays for them.

Every answer says in which state the memory is and whether the machine has to be restarted for what comes next.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from daos_pbin.messages import PathText, Request, Result, Words
from daos_pbin.pmem import (
    MODULES_LIMIT,
    NAMESPACES_LIMIT,
    PER_SOCKET_MAX,
    REGIONS_LIMIT,
    FirmwareInfo,
    Goal,
    Module,
    Namespace,
    NamespaceName,
    Region,
    Socket,
    Text,
    Uid,
)
from daos_pbin.wire_fault import WireFault

STEPS_LIMIT = 2048

StateNumber = Annotated[int, Meta(ge=0, le=8)]
"""A number of ``pmem_state.State``."""
PerSocket = Annotated[int, Meta(ge=1, le=PER_SOCKET_MAX)]
Notes = Annotated[tuple[Words, ...], Meta(max_length=128)]
Modules = Annotated[tuple[Module, ...], Meta(max_length=MODULES_LIMIT)]
Regions = Annotated[tuple[Region, ...], Meta(max_length=REGIONS_LIMIT)]
Goals = Annotated[tuple[Goal, ...], Meta(max_length=MODULES_LIMIT)]
Namespaces = Annotated[tuple[Namespace, ...], Meta(max_length=NAMESPACES_LIMIT)]
Objects = Annotated[tuple[Text, ...], Meta(max_length=MODULES_LIMIT)]
NamespaceNames = Annotated[tuple[NamespaceName, ...], Meta(max_length=NAMESPACES_LIMIT)]
Uids = Annotated[tuple[Uid, ...], Meta(max_length=MODULES_LIMIT)]

Action = Literal["delete-goals", "create-goal", "create-namespace", "unmount", "destroy-namespace", "remember"]
Outcome = Literal["nothing", "goal-stored", "reboot-due", "namespaces", "refused", "stopped"]


class ScmScanResult(Result, frozen=True, forbid_unknown_fields=True):
    """What persistent memory there is.

    :param state: number of the state that it is in (``pmem_state.State``); 5 without modules.
    :param socket: the one that the state is about, if it is about one.
    :param modules: by socket and place.
    :param namespaces: with those that are switched off.
    :param goals: what the firmware was asked for, or refused, and has not made.
    :param reboot_required: whether a goal of ours waits for the next start of the machine.
    :param notes: what else is to be known, in words.
    :param fault: what has to be repaired before prepare goes on: a goal that the firmware did not carry out.
    """

    state: StateNumber
    socket: Socket | None = None
    modules: Modules = ()
    regions: Regions = ()
    namespaces: Namespaces = ()
    goals: Goals = ()
    reboot_required: bool = False
    notes: Notes = ()
    fault: WireFault | None = None


class ScmScan(Request[ScmScanResult], frozen=True, forbid_unknown_fields=True):
    """Describe the persistent memory of this machine, and the state it is in; changes nothing.

    :param socket: only what is on this one; none for all.
    """

    result_type: ClassVar[type[Result]] = ScmScanResult
    socket: Socket | None = None


class PmemStep(Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a change, taken or to be taken.

    :param objects: modules, region or namespace that it is about.
    :param words: what it does, for people.
    :param done: whether it was taken, and seen to have worked.
    """

    action: Action
    objects: Objects = ()
    words: Words = ""
    done: bool = False


class ScmPrepareResult(Result, frozen=True, forbid_unknown_fields=True):
    """How far persistent memory is, or, of a plan, how far it would be.

    :param state: afterwards, as in ``ScmScanResult``; of a reset or a plan, and where nothing was done, the one before.
    :param outcome: ``stopped`` if a step failed: those before it stay done; ``refused`` if none was begun.
    :param reboot_required: whether the rest needs a restart of the machine.
    :param namespaces: that are there now; of a change that was cancelled, or not done in time, those of before without ``destroyed``.
    :param destroyed: that were there before and are not any more; of a plan, those that would be destroyed.
    :param steps: in their order.
    :param fault: why it was refused or stopped.
    """

    state: StateNumber
    outcome: Outcome
    socket: Socket | None = None
    reboot_required: bool = False
    namespaces: Namespaces = ()
    destroyed: Namespaces = ()
    steps: Annotated[tuple[PmemStep, ...], Meta(max_length=STEPS_LIMIT)] = ()
    notes: Notes = ()
    fault: WireFault | None = None


class ScmPrepare(Request[ScmPrepareResult], frozen=True, forbid_unknown_fields=True):
    """Bring persistent memory one stage nearer to namespaces for DAOS, or take it back to none; may be repeated at any time.

    :param reset: destroy namespaces, and have the firmware make the regions anew.
    :param namespaces_per_socket: that each region is divided into; of no meaning with ``reset``.
    :param socket: only this one; none for all.
    :param plan_only: change nothing, and tell the steps.
    :param seen: with ``reset``: names of the namespaces that the caller was shown; if there are others, nothing is destroyed. None
        for whatever there is.
    """

    result_type: ClassVar[type[Result]] = ScmPrepareResult
    reset: bool = False
    namespaces_per_socket: PerSocket = 1
    socket: Socket | None = None
    plan_only: bool = False
    seen: NamespaceNames | None = None


class FirmwareModule(Struct, frozen=True, forbid_unknown_fields=True):
    """A module and its firmware.

    :param info: after an update, what the module says then; none if it could not be asked.
    :param updated: whether it took an image; always false in a query.
    """

    module: Module
    info: FirmwareInfo | None = None
    updated: bool = False
    fault: WireFault | None = None


class ScmFirmwareResult(Result, frozen=True, forbid_unknown_fields=True):
    """A row for each module that was chosen."""

    modules: Annotated[tuple[FirmwareModule, ...], Meta(max_length=MODULES_LIMIT)] = ()


class ScmFirmwareQuery(Request[ScmFirmwareResult], frozen=True, forbid_unknown_fields=True):
    """Tell which firmware modules have; off unless the policy switches it on.

    :param uids: empty for all; one that no module has is passed over.
    :param model: only modules with that part number, whatever the case; empty for all.
    :param fw_rev: only modules with that firmware, likewise.
    """

    result_type: ClassVar[type[Result]] = ScmFirmwareResult
    uids: Uids = ()
    model: Text = ""
    fw_rev: Text = ""


class ScmFirmwareUpdate(Request[ScmFirmwareResult], frozen=True, forbid_unknown_fields=True):
    """Give modules new firmware, to be started by the next power cycle; off unless the policy switches it on.

    :param path: of the image: a regular file that belongs to root and that nobody else may write to.
    """

    result_type: ClassVar[type[Result]] = ScmFirmwareResult
    path: PathText
    uids: Uids = ()
    model: Text = ""
    fw_rev: Text = ""


PMEM_REQUESTS: dict[str, type[Request[Result]]] = {
    request.__name__: request for request in (ScmScan, ScmPrepare, ScmFirmwareQuery, ScmFirmwareUpdate)
}
"""All methods about persistent memory, by their name on the wire."""
