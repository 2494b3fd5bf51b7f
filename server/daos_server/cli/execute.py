# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Running a storage or nvme command: its plan is shown, then done, and its rows are the result, as a table or as JSON."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli.output import emit, envelope, error_lines, escape, escape_lines, note, table
from daos_server.cli.progress import Progress
from daos_server.storage import commands
from daos_server.storage.report import Report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine
    from typing import TypeVar

    from daos_server.cli.options import Invocation
    from daos_server.config.load import LoadedConfig
    from daos_server.plan.steps import Plan
    from daos_server.storage.report import Row

    AnswerT = TypeVar("AnswerT")
    Planner = Callable[[commands.Context], Awaitable[Plan]]

SHARED = "-"
"""In place of an engine or a tier, for what all engines share."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopError(Exception):
    """A signal asked for the end; what was under way has been cancelled.

    :param signal_name: such as ``SIGTERM``.
    """

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


def execute(
    invocation: Invocation,
    loaded: LoadedConfig | None,
    command: str,
    *,
    dry_run: bool,
    force: bool,
    planner: Planner | None = None,
    only: commands.Part = "",
) -> None:
    """Run one command; the exit code is left in ``invocation``.

    :param loaded: its configuration; None if an ``nvme`` command has none.
    :param planner: makes the plan of an ``nvme`` command; None for a storage command, whose plan follows from its name.
    :param only: the one part that a ``storage prepare`` is about; empty for all.
    """
    execution = Execution(invocation, loaded, command, dry_run=dry_run, force=force, planner=planner, only=only)
    fault: Fault | None
    try:
        fault = asyncio.run(until_stopped(execution.run()))
    except StopError as stop:
        fault = execution.interrupted(stop)
    except Fault as raised:
        fault = execution.broken_off(raised)
    execution.finish(fault)


async def until_stopped(work: Coroutine[object, object, AnswerT]) -> AnswerT:
    """Do the work; the first stop signal cancels it, a second one ends the process as it would any other.

    So does one that comes afterwards: nothing is under way then.

    :raises StopError: once the cancelled work has cleaned up.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    received: list[signal.Signals] = []
    watched = [each for each in STOP_SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]  # nohup stays nohup

    def let_go() -> None:
        for each in watched:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    def stop(number: signal.Signals) -> None:
        let_go()
        received.append(number)
        note(f"\n{number.name}: stopping; what is under way is cancelled (once more ends this program at once)")
        task.cancel()

    for each in watched:
        loop.add_signal_handler(each, stop, each)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise StopError(received[0].name) from None
        raise
    finally:
        let_go()


class Execution:
    """One run of one storage command, and what is known of it so far."""

    def __init__(
        self,
        invocation: Invocation,
        loaded: LoadedConfig | None,
        command: str,
        *,
        dry_run: bool,
        force: bool,
        planner: Planner | None,
        only: commands.Part,
    ) -> None:
        self._invocation = invocation
        self._loaded = loaded
        self._context = commands.Context(loaded, invocation.installation)
        self._command = command
        self._planner = planner
        self._only = only
        self._name = f"{'storage' if planner is None else 'nvme'} {command}"
        self._dry_run = dry_run
        self._force = force
        self._plan: Plan | None = None
        self._report: Report | None = None
        self._progress = Progress()

    async def run(self) -> Fault | None:
        """Plan, show, do; return what the command fails with, if it does.

        :raises Fault: if it cannot be planned, or not be begun.
        """
        if self._loaded is not None:
            show_loaded(self._invocation, self._loaded)
        if self._command == "scan":
            self._report = await commands.scan(self._context, reporter=self._progress)
            return self._report.fault()
        plan = self._plan = await self._make_plan()
        self._show(plan_text(plan, dry_run=self._dry_run))
        refusal = commands.refusal_of(plan)
        if refusal is not None or self._dry_run:
            return refusal or commands.foreseen(plan)
        self._progress = Progress(len(plan.steps))
        try:
            self._report = await commands.run(plan, self._context, self._progress)
        finally:
            self._progress.close()
        return self._report.fault()

    async def _make_plan(self) -> Plan:
        if self._planner is not None:
            return await self._planner(self._context)
        match self._command:
            case "prepare":
                return await commands.plan_prepare(self._context, force=self._force, only=self._only, reporter=self._progress)
            case "reset":
                return await commands.plan_reset(self._context, force=self._force, reporter=self._progress)
            case _:
                return await commands.plan_format(self._context, force=self._force, reporter=self._progress)

    def interrupted(self, stop: StopError) -> Fault:
        """Say what was done before a signal came, and that nothing is lost by running the command again."""
        self._report = Report(command=self._command, rows=tuple(self._progress.ended))
        steps = len(self._plan.steps) if self._plan else 0
        note(f"NOTICE: stopped by {stop.signal_name} after {len(self._progress.ended)} of {steps} steps.")
        for step in self._progress.running:
            note(f"NOTICE: cancelled: {escape(step)}")
        if self._force and self._command == "format":
            note("NOTICE: running 'daos_server storage format --force' again formats everything anew.")
        else:
            note(f"NOTICE: running 'daos_server {self._name}' again continues where this run ended.")
        return Fault(codes.HELPER_CANCELLED, step=self._name, cause=stop.signal_name)

    def broken_off(self, fault: Fault) -> Fault:
        """Keep the rows of what was done before a fault that is no step's own ended the run."""
        if self._report is None and self._progress.ended:
            self._report = Report(command=self._command, rows=tuple(self._progress.ended))
            steps = len(self._plan.steps) if self._plan else 0
            note(f"NOTICE: ended after {len(self._progress.ended)} of {steps} steps, because of the error below.")
        return fault

    def finish(self, fault: Fault | None) -> None:
        """Print the result, as JSON or as a table, then the error, and set the exit code."""
        if self._invocation.json:
            emit(envelope(self.as_json(), None if fault is None else str(fault)))
        elif self._report is not None:
            shown = () if self._plan is None else self._plan.notes
            emit(("" if self._plan is None else "\n") + report_text(self._report, shown))
        if fault is None:
            return
        self._invocation.exit_code = 1
        for each in (*self._parts_of(fault), fault):
            note("\n".join(error_lines(each)))

    def as_json(self) -> dict[str, object]:
        """Return what ``--json`` prints as the response."""
        report = self._report
        return {
            "command": self._command,
            "dry_run": self._dry_run,
            "plan": None if self._plan is None else self._plan.as_json(),
            "rows": None if report is None else [row.as_json() for row in report.rows],
            "notes": [] if report is None else list(report.notes),
            "notices": [] if self._loaded is None else list(self._loaded.notices),
        }

    def _show(self, text: str) -> None:
        """Show a plan where it does not disturb: with JSON, standard output belongs to the one object."""
        if not self._invocation.json:
            emit(text)
        elif not self._dry_run:
            note(text, end="")

    def _parts_of(self, fault: Fault) -> list[Fault]:
        """The faults that one fault stands for, each of which has a remedy of its own; each once."""
        if fault.code != codes.SERVER_PARTIAL_FAILURE:
            return []
        plan, report = self._plan, self._report
        parts: list[Fault | None] = []
        if report is not None:
            parts = [row.fault for row in report.failed]
        elif plan is not None:
            parts = [*plan.refusals, *(part.fault for part in plan.standing)]
        return list({(part.code, str(part)): part for part in parts if part is not None}.values())


def show_loaded(invocation: Invocation, loaded: LoadedConfig) -> None:
    """Say which configuration is used, and what is to be known about it."""
    if not invocation.json:
        note(f"Configuration: {escape(loaded.path)}")
    note("".join(f"NOTICE: {escape(notice)}\n" for notice in loaded.notices), end="")


def plan_text(plan: Plan, *, dry_run: bool) -> str:
    """Return a plan as an administrator reads it: notes, steps, and what stays as it is."""
    lines = [f"Plan of {plan.group} {plan.command}:", *(f"  {escape(text)}" for text in plan.notes)]
    if plan.steps:
        rows = [(index, "yes" if step.destructive else "no", step.describe()) for index, step in enumerate(plan.steps, 1)]
        lines.append(table(("Step", "Destroys", "What"), rows).rstrip("\n"))
    elif not plan.refusals:
        lines.append("  Nothing to do.")
    lines += [f"  {escape(part.describe())}" for part in plan.standing]
    lines += [f"  Refused: {escape_lines(refusal)}" for refusal in plan.refusals]
    if dry_run or plan.refusals:
        lines.append(f"Nothing was changed{' (--dry-run)' if dry_run else ''}.")
    return "\n".join(lines) + "\n"


def report_text(report: Report, shown: Collection[str] = ()) -> str:
    """Return the rows of a report as a table, with its notes below that are not among those shown already."""
    rows = [_cells(row) for row in report.rows]
    text = table(("Engine", "Tier", "Subject", "Action", "Outcome", "Detail"), rows) if rows else "  Nothing to show.\n"
    return text + "".join(f"  {escape(line)}\n" for line in report.notes if line not in shown)


def _cells(row: Row) -> tuple[object, ...]:
    engine = SHARED if row.engine is None else row.engine
    tier = SHARED if row.tier is None else row.tier
    detail = row.detail or (row.fault.description if row.fault is not None else SHARED)
    return (engine, tier, row.subject, row.action, row.outcome, detail)
