# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The scm commands: prepare, reset and scan.  What would be changed is shown first; then somebody is asked, unless ``--force``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, NamedTuple

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem_messages import ScmPrepare
from daos_pbin.pmem_state import State
from daos_server.cli.execute import StopError, plan_text, show_loaded, until_stopped
from daos_server.cli.output import emit, envelope, error_lines, escape, note
from daos_server.cli.progress import Progress
from daos_server.plan import scm as plans
from daos_server.plan import scm_words
from daos_server.storage import scm
from daos_server.storage.commands import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeVar

    from daos_pbin.envelope import Progress as Told
    from daos_pbin.pmem_messages import PmemStep, ScmPrepareResult
    from daos_server.cli.options import Invocation
    from daos_server.cli.options_scm import ScmOptions
    from daos_server.config.load import LoadedConfig
    from daos_server.config.model import ServerConfig
    from daos_server.plan.steps import Plan
    from daos_server.storage.scm import Seen

    AnswerT = TypeVar("AnswerT")

YES, NO = "yes", "no"
LOOKING = "looking at persistent memory, which can take minutes"


def prepare(invocation: Invocation, options: ScmOptions) -> None:
    """Bring persistent memory nearer to namespaces; the exit code is left in ``invocation``.

    :raises Fault: 2304 and others of loading the configuration, 2307 and others of becoming the account, 2360 beside a service; what
        the helper's start fails with; 2368 without consent.
    """
    _Change(invocation, options, reset=False).run()


def reset(invocation: Invocation, options: ScmOptions) -> None:
    """Take persistent memory back to no namespaces; otherwise as ``prepare``."""
    _Change(invocation, options, reset=True).run()


def scan(invocation: Invocation, options: ScmOptions) -> None:
    """Print the persistent memory of this machine, also beside a service; otherwise as ``prepare``."""
    begun = _begin(invocation, options, changes=False)
    progress = Progress()
    found = _until_stopped(scm.look(begun.context, begun.socket, progress, _showing(progress, LOOKING)), "scan", progress)
    notices = [*found.notes, *scm_words.scan_notes(found.goals)]
    fault = None if found.fault is None else found.fault.fault()
    if fault is None:
        again = plans.repeat(socket=options.socket)
        words = scm_words.next_step(State(found.state), reboot=found.reboot_required, command=again, namespaces=found.namespaces)
        notices.append(words)
    for line in notices:
        note(f"NOTICE: {escape(line)}")
    if invocation.json:
        used = scm.seen(found.namespaces, begun.config)
        if used.mounts and begun.config is None:
            note(f"NOTICE: without a configuration, usable_bytes leaves {scm.METADATA_MIB} MiB for an engine's own metadata")
        emit(envelope(scm_words.scanned_json(found.namespaces, found.modules, used.mounts), None if fault is None else str(fault)))
    else:
        emit(scm_words.scanned(found.namespaces, found.modules))
    if fault is not None:
        invocation.exit_code = 1
        note("\n".join(error_lines(fault)))


class _Begun(NamedTuple):
    """What a command works with.

    :param socket: the one that it is about; None for all.
    :param needed: namespaces that a socket needs so that each engine of the configuration has one.
    """

    loaded: LoadedConfig | None
    context: Context
    socket: int | None
    needed: int

    @property
    def config(self) -> ServerConfig | None:
        """The configuration; None if there is none."""
        return None if self.loaded is None else self.loaded.config


def _begin(invocation: Invocation, options: ScmOptions, *, changes: bool) -> _Begun:
    """Load the configuration, and see which socket is meant: the one that was named, or else the only one that its engines are on."""
    from daos_server.cli.storage import begin

    loaded = begin(invocation, helper_log_file=options.helper_log_file, ignore_config=options.ignore_config, changes=changes)
    if loaded is not None:
        show_loaded(invocation, loaded)
    context = Context(loaded, invocation.installation)
    try:
        places = scm.places(context)
        only, needed = plans.only_socket(places), plans.namespaces_needed(places)
    except Fault as fault:
        note(f"NOTICE: the configuration does not tell which sockets are meant: {escape(fault)}")
        only, needed = None, 1
    if options.socket is not None:
        return _Begun(loaded, context, options.socket, needed)
    if only is not None:
        note(f"NOTICE: only socket {only}, where the configuration's engines have persistent memory (--ignore-config: all sockets)")
    return _Begun(loaded, context, only, needed)


def _showing(progress: Progress, words: str) -> Callable[[Told], None]:
    """Show on a terminal what is under way, and return what shows how far it is."""
    step = plans.ChangePmem(key="pmem", subject=plans.SUBJECT, words=words)
    progress.step_started(step)
    return lambda told: progress.progress(step, told.done, told.total, told.unit, told.what)


def _until_stopped(work: Coroutine[object, object, AnswerT], command: str, progress: Progress) -> AnswerT:
    try:
        return asyncio.run(until_stopped(work))
    except StopError as stop:
        raise Fault(codes.HELPER_CANCELLED, step=f"scm {command}", cause=stop.signal_name) from None
    finally:
        progress.close()


# Changes


class _Change:
    """One run of ``scm prepare`` or ``scm reset``: looks, shows, asks, does, tells."""

    def __init__(self, invocation: Invocation, options: ScmOptions, *, reset: bool) -> None:
        self._invocation = invocation
        self._options = options
        self._command = "reset" if reset else "prepare"
        begun = _begin(invocation, options, changes=not options.dry_run)
        if not reset and begun.needed > options.per_socket:
            asked = f"the configuration has {begun.needed} engines on one socket, and each needs a namespace of its own"
            note(f"NOTICE: {asked}: --scm-ns-per-socket {begun.needed} makes them")
        self._loaded, self._config, self._context = begun.loaded, begun.config, begun.context
        self._request = ScmPrepare(reset=reset, namespaces_per_socket=options.per_socket, socket=begun.socket)
        self._said: tuple[str, ...] = ()
        self._again = plans.repeat(options.per_socket, options.socket)

    def run(self) -> None:
        progress = Progress()
        looking = scm.foresee(self._context, self._request, progress, _showing(progress, LOOKING))
        foreseen = _until_stopped(looking, self._command, progress)
        used = scm.seen((*foreseen.destroyed, *foreseen.namespaces), self._config)
        plan = plans.change_plan(self._command, foreseen, used.uses, self._again)
        refusal = next(iter(plan.refusals), None)
        if refusal is not None or self._options.dry_run:
            self._show(plan)
            self._finish(foreseen, used, refusal, text="")
            return
        if not foreseen.steps:
            self._end_well(foreseen, used)
            return
        self._show(plan)
        if plan.steps and not self._options.force:
            doomed = [scm_words.namespace_words(one, used.uses.get(one.dev, "")) for one in foreseen.destroyed]
            line = plans.command_line(self._command, self._options.per_socket, self._options.socket)
            ask_consent(scm_words.consent(self._command, doomed), line)
        self._do(foreseen, plan)

    def _show(self, plan: Plan) -> None:
        """Show the plan where it does not disturb: with JSON, standard output belongs to the one object."""
        self._said = plan.notes
        text = plan_text(plan, dry_run=self._options.dry_run)
        if not self._invocation.json:
            emit(text)
        elif not self._options.dry_run:
            note(text, end="")

    def _do(self, foreseen: ScmPrepareResult, plan: Plan) -> None:
        names = tuple(one.dev for one in foreseen.destroyed)
        request = ScmPrepare(
            reset=self._request.reset,
            namespaces_per_socket=self._request.namespaces_per_socket,
            socket=self._request.socket,
            seen=names if self._request.reset else None,
        )
        progress = Progress(len(plan.steps))
        changing = scm.change(self._context, request, progress, _showing(progress, f"{self._command} {plans.SUBJECT}"))
        try:
            answer = _until_stopped(changing, self._command, progress)
        except Fault as fault:
            if fault.code == codes.HELPER_CANCELLED:
                note(f"NOTICE: running 'daos_server scm {self._command}' again goes on from where the machine is.")
            raise
        steps = plans.shown(answer)
        for index, step in enumerate(steps, 1):
            note(escape(f"[{index}/{len(steps)}] {'done' if step.done else 'not done'}: {step.words}"))
        used = scm.seen(answer.namespaces, self._config)
        stopped = plans.fault_of(answer)
        if stopped is not None:
            self._finish(answer, used, stopped, text="")
        else:
            self._end_well(answer, used)

    def _end_well(self, answer: ScmPrepareResult, used: Seen) -> None:
        state = State(answer.state)
        if self._request.reset:
            text = scm_words.was_reset(state, answer.outcome, self._again)
        else:
            text = scm_words.prepared(state, answer.outcome, answer.namespaces, self._again)
        self._finish(answer, used, None, text=text)

    def _finish(self, answer: ScmPrepareResult, used: Seen, fault: Fault | None, *, text: str) -> None:
        """Print the result, as JSON or as text, then the error, and set the exit code."""
        if self._invocation.json:
            is_list = bool(text) and not self._request.reset and not answer.reboot_required
            response = scm_words.scanned_json(answer.namespaces, (), used.mounts) if is_list else self._as_json(answer, used)
            emit(envelope(response, None if fault is None else str(fault)))
        elif text:
            emit(text)
        for line in answer.notes:
            if line not in self._said:
                note(f"NOTICE: {escape(line)}")
        if fault is not None:
            self._invocation.exit_code = 1
            note("\n".join(error_lines(fault)))

    def _as_json(self, answer: ScmPrepareResult, used: Seen) -> dict[str, object]:
        """Return what ``--json`` prints where the answer is not a list of namespaces."""
        state = State(answer.state)
        return {
            "command": self._command,
            "dry_run": self._options.dry_run,
            "state": state.word,
            "socket": answer.socket,
            "outcome": answer.outcome,
            "reboot_required": answer.reboot_required,
            "next_step": scm_words.next_step(state, reboot=answer.reboot_required, command=self._again),
            "namespaces": scm_words.scanned_json(answer.namespaces, (), used.mounts),
            "destroyed": [scm_words.namespace_json(one, used.mounts.get(one.dev)) for one in answer.destroyed],
            "steps": [_step_json(one) for one in plans.shown(answer)],
            "notes": list(answer.notes),
            "notices": [] if self._loaded is None else list(self._loaded.notices),
        }


def _step_json(one: PmemStep) -> dict[str, object]:
    return {"action": one.action, "objects": list(one.objects), "description": one.words, "done": one.done}


def ask_consent(text: str, command: str) -> None:
    """Ask at the terminal whether to go on; anything but yes and no is asked again.

    :raises Fault: 2368 if the answer is no, or nobody can be asked.
    """
    from daos_server.cli.storage import interrupt_on_stop

    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise Fault(codes.SERVER_CONSENT_MISSING, variant="unattended", command=command)
    interrupt_on_stop()  # looking around has left the signals to the system
    note(text)
    while True:
        note(f"{scm_words.QUESTION} ", end="")
        line = sys.stdin.readline()
        answer = line.strip().lower()
        if answer == YES:
            return
        if answer == NO or not line:
            raise Fault(codes.SERVER_CONSENT_MISSING, variant="refused", command=command)
