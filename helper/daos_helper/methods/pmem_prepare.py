# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Preparing persistent memory for DAOS, and taking that back (storage facts C.4, C.5).

What comes next is decided by ``daos_pbin.pmem_plan`` from what is found, and nothing else; here it is carried out, step by step.
Whatever ends a run, the next one begins by looking again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from uuid import uuid4

from msgspec.structs import replace

from daos_bindings.ndctl import commands
from daos_helper import targets
from daos_helper.context import Context
from daos_helper.methods import pmem_doomed as doomed
from daos_helper.methods import pmem_machine as machine
from daos_helper.methods import pmem_record
from daos_helper.methods.pmem_machine import Nothing
from daos_helper.methods.pmem_record import Records
from daos_helper.methods.pmem_words import described, how_far
from daos_helper.privileges import IPMCTL_GOAL, NDCTL_CHANGE
from daos_helper.steps import Built, Exit, Step, Work, WorkerIO, perform
from daos_pbin import codes, pmem_plan
from daos_pbin.faults import Fault
from daos_pbin.pmem import Namespace
from daos_pbin.pmem_messages import PmemStep, ScmPrepare, ScmPrepareResult
from daos_pbin.pmem_plan import CreateGoal, CreateNamespace, Decision, DeleteGoals, DestroyNamespace, Found, Remember, Unmount
from daos_pbin.pmem_state import assess
from daos_pbin.wire_fault import WireFault


def prepare(request: ScmPrepare, context: Context) -> Work[ScmPrepareResult]:
    """Decide what comes next, and do it unless only the plan is wanted."""
    found = yield from machine.find(context)
    if request.reset:
        decision = pmem_plan.reset(found, request.socket)
    else:
        decision = pmem_plan.prepare(found, request.namespaces_per_socket, request.socket)
    going = machine.only(found.namespaces, [step.dev for step in decision.steps if isinstance(step, DestroyNamespace)])
    answer = _answer(found, decision, request)
    with pmem_record.opened(context, write=not request.plan_only) as records:
        try:
            if request.seen is not None:
                doomed.check_seen(going, request.seen)
            yield from doomed.check(going, records, context)
        except Fault as fault:
            if fault.code in machine.ENDS:
                raise
            return _refused(answer, fault)
        if request.plan_only or not decision.steps:
            return replace(answer, destroyed=going)
        if found.modules:
            records.prune(found.namespaces)
        rows, ended = yield from _carry_out(decision, going, records, context)
    gone = [name for row in rows if row.action == "destroy-namespace" and row.done for name in row.objects]
    answer = replace(answer, steps=tuple(rows), destroyed=machine.only(going, gone))
    return (yield from _looked_at_again(answer, found, request, ended))


def _answer(found: Found, decision: Decision, request: ScmPrepare) -> ScmPrepareResult:
    """Return the answer as it is before anything is done."""
    return ScmPrepareResult(
        state=int(decision.state),
        outcome=decision.outcome,
        socket=decision.socket,
        reboot_required=decision.reboot,
        namespaces=pmem_plan.namespaces_on(found, request.socket),
        steps=tuple(described(step) for step in decision.steps),
        notes=decision.notes,
        fault=WireFault.of(decision.fault) if decision.fault else None,
    )


def _refused(answer: ScmPrepareResult, fault: Fault) -> ScmPrepareResult:
    return replace(answer, outcome="refused", reboot_required=False, steps=(), fault=WireFault.of(fault))


def _stopped(answer: ScmPrepareResult, fault: Fault) -> ScmPrepareResult:
    """Return the answer of a run that did not get to its end, with what it had done by then."""
    left = tuple(one for one in answer.namespaces if one not in answer.destroyed)
    return replace(answer, outcome="stopped", reboot_required=False, namespaces=left, fault=WireFault.of(fault))


def _looked_at_again(answer: ScmPrepareResult, found: Found, request: ScmPrepare, ended: Fault | None) -> Work[ScmPrepareResult]:
    """Return the answer with what is there now, if namespaces were to be made or destroyed; what was made is checked.

    :param ended: what ended the steps early: after a cancel or the deadline nobody waits for another look.
    """
    if ended is not None and ended.code in machine.ENDS:
        return _stopped(answer, ended)
    after = found
    if any(row.action in ("create-namespace", "destroy-namespace") for row in answer.steps):
        try:
            after = yield from machine.find_again(found)
        except Fault as fault:
            return _stopped(answer, ended or fault)
        answer = replace(answer, namespaces=pmem_plan.namespaces_on(after, request.socket))
    if ended is not None:
        return _stopped(answer, ended)
    if answer.outcome != "namespaces":
        return answer
    answer = replace(answer, state=int(assess(after.on(request.socket).regions).state))
    wrong = pmem_plan.check_prepared(after, request.namespaces_per_socket, request.socket)
    return answer if wrong is None else _stopped(answer, wrong)


def _carry_out(
    decision: Decision, going: Sequence[Namespace], records: Records, context: Context
) -> Work[tuple[list[PmemStep], Fault | None]]:
    """Do the steps in their order; return them with what was done, and what ended them early."""
    rows = [described(step) for step in decision.steps]
    waiting = list(going)
    try:
        for place, step in enumerate(decision.steps):
            context.log(rows[place].words)
            told = how_far(decision.steps, place)
            if told is not None:
                context.progress(*told)
            if isinstance(step, DestroyNamespace):
                yield from _destroy(waiting, records, context)
            else:
                yield from _do(step, records, context, going)
            rows[place] = replace(rows[place], done=True)
    except Fault as fault:
        return rows, fault
    except OSError as error:
        cause, call = os.strerror(error.errno or 0), str(error.filename or "a system call")
        return rows, Fault(codes.STORAGE_SYSTEM_CALL_FAILED, object=machine.SUBJECT, cause=cause, call=call, what=machine.SUBJECT)
    return rows, None


def _do(step: pmem_plan.Step, records: Records, context: Context, going: Sequence[Namespace]) -> Work[None]:
    if isinstance(step, Remember):
        records.write(step.record)
    elif isinstance(step, DeleteGoals):
        yield from _goals(step.uids, create=False)
    elif isinstance(step, CreateGoal):
        yield from _goals(step.uids, create=True)
    elif isinstance(step, CreateNamespace):
        identifier = uuid4()
        records.mark(str(identifier))
        yield from _ndctl(commands.create(step.region, step.size, identifier), step.region.dev, context)
    elif isinstance(step, Unmount):
        for one in going:
            for place in machine.mount_points(one) if one.blockdev == step.blockdev else ():
                yield from targets.unmount(place, context)


def _destroy(waiting: list[Namespace], records: Records, context: Context) -> Work[None]:
    """Destroy the first of those that are left, after making sure that nobody holds any of them."""
    doomed.check_let_go(waiting, context)
    one = waiting.pop(0)
    records.mark(one.label)
    if one.enabled:
        yield from _ndctl(commands.disable(one.dev), one.dev, context)
    yield from _ndctl(commands.destroy(one.dev), one.dev, context)
    if machine.is_there(one.dev):
        raise machine.remains(one.dev)
    records.forget(one.label)


def _ndctl(command: tuple[str, ...], what: str, context: Context) -> Work[None]:
    context.log(" ".join(command))
    ended = yield from perform(Step(NDCTL_CHANGE, what, program=command), Exit)
    commands.check(command, what, ended.status, ended.output)


def _goals(uids: tuple[str, ...], *, create: bool) -> Work[None]:
    machine.before_ipmctl()

    def run(io: WorkerIO) -> Built:
        from daos_bindings.ipmctl import memory  # opens libipmctl: in the worker, after the drop

        call: Callable[[tuple[str, ...]], None] = memory.create_goal if create else memory.delete_goals
        what = "asked to be in interleaved regions" if create else "with their goal taken back"
        io.progress(0, len(uids), "modules", what)
        call(uids)
        io.progress(len(uids), len(uids), "modules", what)
        return {}

    yield from perform(Step(IPMCTL_GOAL, f"{len(uids)} modules", run=run), Nothing)
