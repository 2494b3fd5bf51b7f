# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The storage commands: order of work, tables and JSON from the same data, exit codes, signals.

What plans and runs is played here, by the real plan and report types: the real ones need a host, and are driven by the tests
of an installed system.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli import execute as cli_execute
from daos_server.cli import storage as cli_storage
from daos_server.cli.execute import execute, plan_text, report_text
from daos_server.cli.options import Invocation
from daos_server.cli.output import table
from daos_server.cli.run import run
from daos_server.config.load import LoadedConfig
from daos_server.config.model import ServerConfig
from daos_server.installation import Installation
from daos_server.plan.steps import CreateFile, FormatRam, Plan, Standing, Step
from daos_server.storage import commands as real_commands
from daos_server.storage.report import Outcome, Report, Reporter, Row, partial_failure

HERE = Path(__file__).resolve().parent
RAM = FormatRam(key="scm:0", subject="/mnt/daos", engine=0, tier=0, size_gib=8)
FILE = CreateFile(key="file:0", subject="/mnt/daos/f\x1b[2J", engine=0, tier=1, size=1 << 30, superblock="")
LOST = FormatRam(key="scm:1", subject="/mnt/daos1", engine=1, tier=0, size_gib=8, force=True, lost="8 GiB of data")
KEPT = Standing(subject="/var/lib/daos", action="make folder", already=True, detail="it is there")
LOADED = LoadedConfig(ServerConfig.model_validate({}), "/etc/daos/daos_server.yml", ("line 3: old key",))


def row(step: Step, outcome: Outcome = Outcome.DONE, fault: Fault | None = None) -> Row:
    return Row(subject=step.subject, action=step.action, outcome=outcome, engine=step.engine, tier=step.tier, fault=fault)


@dataclass
class Played:
    """In place of ``daos_server.storage.commands``: a plan, and what becomes of its steps."""

    plan: Plan = field(default_factory=lambda: Plan(command="format", steps=(RAM, FILE), standing=(KEPT,), notes=("8 GiB of 64 GiB",)))
    outcomes: tuple[Fault | None, ...] = (None, None)
    hang: bool = False
    called: list[str] = field(default_factory=list)

    Context = real_commands.Context
    refusal_of = staticmethod(real_commands.refusal_of)
    foreseen = staticmethod(real_commands.foreseen)

    async def plan_format(self, ctx: object, *, force: bool, reporter: Reporter) -> Plan:
        self.called.append(f"plan_format {force}")
        return self.plan

    async def plan_reset(self, ctx: object, *, force: bool, reporter: Reporter) -> Plan:
        self.called.append("plan_reset")
        return self.plan

    async def plan_prepare(self, ctx: object, *, force: bool, only: str, reporter: Reporter) -> Plan:
        self.called.append(f"plan_prepare {only}".rstrip())
        return self.plan

    async def scan(self, ctx: object, *, reporter: Reporter) -> Report:
        self.called.append("scan")
        return Report(command="scan", rows=(row(RAM, Outcome.FORMATTED),), notes=("memory: plenty",))

    async def run(self, plan: Plan, ctx: object, reporter: Reporter) -> Report:
        self.called.append("run")
        rows: list[Row] = []
        for step, fault in zip(plan.steps, self.outcomes, strict=True):
            reporter.step_started(step)
            if self.hang and rows:
                await self.wait()
            reporter.progress(step, 1, 2, "GiB", "blocks")
            rows.append(row(step, Outcome.DONE if fault is None else Outcome.FAILED, fault))
            reporter.step_finished(step, rows[-1])
        return Report(command=plan.command, rows=tuple(rows), notes=(*plan.notes, "and one more"))

    async def wait(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.called.append("told to stop")
            print("helper was told", file=sys.stderr)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    play = Played()
    monkeypatch.setattr(cli_execute, "commands", play)
    return play


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in cli_execute.STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def do(command: str = "format", *, dry_run: bool = False, force: bool = False, as_json: bool = False) -> int:
    invocation = Invocation(installed=Installation.under("/nowhere"), json=as_json)
    execute(invocation, LOADED, command, dry_run=dry_run, force=force)
    return invocation.exit_code


@pytest.mark.parametrize("command", ["prepare", "format", "reset"])
def test_the_plan_is_shown_before_anything_runs(command: str, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []
    original = played.run

    async def run(plan: Plan, ctx: object, reporter: Reporter) -> Report:
        shown.append(capsys.readouterr().out)
        return await original(plan, ctx, reporter)

    played.run = run  # type: ignore[method-assign]  # to look at the moment before
    assert do(command) == 0
    assert shown == [plan_text(played.plan, dry_run=False)]
    assert played.called[0].startswith(f"plan_{command}")


def test_plan_and_result_are_tables_and_progress_is_on_stderr(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    assert do() == 0
    printed = capsys.readouterr()
    steps = table(("Step", "Destroys", "What"), [(1, "no", RAM.describe()), (2, "no", FILE.describe())])
    rows = [(0, 0, "/mnt/daos", RAM.action, "done", "-"), (0, 1, FILE.subject, FILE.action, "done", "-")]
    result = table(("Engine", "Tier", "Subject", "Action", "Outcome", "Detail"), rows)
    assert printed.out == f"Plan of storage format:\n  8 GiB of 64 GiB\n{steps}  {KEPT.describe()}\n\n{result}  and one more\n"
    assert printed.err.splitlines() == [
        "Configuration: /etc/daos/daos_server.yml",
        "NOTICE: line 3: old key",
        f"[1/2] done: engine 0 tier 0: {RAM.action} /mnt/daos",
        f"[2/2] done: engine 0 tier 1: {FILE.action} /mnt/daos/f\\x1b[2J",
    ]


def test_a_step_that_destroys_is_marked() -> None:
    lines = plan_text(Plan(command="reset", steps=(RAM, LOST)), dry_run=False).splitlines()
    assert [line.split()[:2] for line in lines[3:]] == [["1", "no"], ["2", "yes"]]
    assert "8 GiB of data" in lines[4]


def test_a_plan_without_steps_says_so(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    played.plan, played.outcomes = Plan(command="format", standing=(KEPT,)), ()
    assert do() == 0
    assert "  Nothing to do.\n" in capsys.readouterr().out


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_ends_with_the_plan(as_json: bool, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    assert do(dry_run=True, force=True, as_json=as_json) == 0
    assert played.called == ["plan_format True"]
    printed = capsys.readouterr()
    if as_json:
        response = json.loads(printed.out)["response"]
        assert response["plan"] == json.loads(json.dumps(played.plan.as_json()))
        assert (response["rows"], response["dry_run"]) == (None, True)
    else:
        assert printed.out == plan_text(played.plan, dry_run=True)
        assert printed.out.endswith("Nothing was changed (--dry-run).\n")


def test_json_is_one_object_and_carries_plan_and_rows(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    assert do(as_json=True) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert list(answer) == ["response", "error", "status"]
    assert (answer["error"], answer["status"]) == (None, 0)
    response = answer["response"]
    assert [each["subject"] for each in response["plan"]["steps"]] == [RAM.subject, FILE.subject]
    assert response["rows"] == [row(step).as_json() for step in (RAM, FILE)]
    assert response["notices"] == list(LOADED.notices)
    assert printed.out == json.dumps(answer, indent=2) + "\n"
    assert "Plan of storage format" in printed.err


def test_scan_is_a_table_with_notes(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    assert do("scan") == 0
    assert played.called == ["scan"]
    report = Report(command="scan", rows=(row(RAM, Outcome.FORMATTED),), notes=("memory: plenty",))
    assert capsys.readouterr().out == report_text(report)
    assert report_text(report).endswith("  memory: plenty\n")


def test_scan_as_json_has_no_plan(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    assert do("scan", as_json=True) == 0
    response = json.loads(capsys.readouterr().out)["response"]
    assert response["plan"] is None
    assert response["rows"] == [row(RAM, Outcome.FORMATTED).as_json()]


def faults() -> tuple[Fault, Fault]:
    return (
        Fault(codes.STORAGE_DEVICE_IN_USE, object="/dev/sda", device="/dev/sda", found="ext4"),
        Fault(codes.STORAGE_DEVICE_HOLDS_ROOT, object="/dev/sdb", device="/dev/sdb"),
    )


@pytest.mark.parametrize("as_json", [False, True])
def test_one_failure_is_the_commands(as_json: bool, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    fault, _ = faults()
    played.outcomes = (fault, None)
    assert do(as_json=as_json) == 1
    printed = capsys.readouterr()
    assert [line for line in printed.err.splitlines() if line.startswith(("ERROR", "("))] == [
        f"ERROR: {fault}",
        f'ERROR: {fault.domain}: code = 2100 resolution = "{fault.resolution}"',
        "(more: daos_server explain 2100)",
    ]
    if as_json:
        answer = json.loads(printed.out)
        assert (answer["error"], answer["status"]) == (str(fault), -1025)
        assert [each["outcome"] for each in answer["response"]["rows"]] == ["failed", "done"]
    else:
        assert "failed" in printed.out


def test_of_several_failures_each_says_what_to_do(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    played.outcomes = faults()
    assert do() == 1
    errors = capsys.readouterr().err
    for fault in (*faults(), partial_failure([], 2)):
        assert f"(more: daos_server explain {fault.code})" in errors
    assert errors.index("2100") < errors.index("2101") < errors.index("2303")


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_a_refused_plan_is_shown_and_not_run(count: int, dry_run: bool, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    played.plan = Plan(command="format", refusals=faults()[:count])
    assert do(dry_run=dry_run) == 1
    assert played.called == ["plan_format False"]
    printed = capsys.readouterr()
    assert printed.out.startswith("Plan of storage format:")
    assert "Nothing to do" not in printed.out
    for fault in faults()[:count]:
        assert f"  Refused: {fault}\n" in printed.out
        assert f"(more: daos_server explain {fault.code})" in printed.err


def test_what_keeps_a_plan_from_running_comes_with_the_plan(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    busy = Fault(codes.HELPER_RESOURCE_BUSY, resource="storage", holder="another")

    async def run(plan: Plan, ctx: object, reporter: Reporter) -> Report:
        raise busy

    played.run = run  # type: ignore[method-assign]  # as a second command meanwhile
    assert do(as_json=True) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"] == str(busy)
    assert len(answer["response"]["plan"]["steps"]) == 2
    assert answer["response"]["rows"] is None


def test_a_relative_configuration_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    at = Installation.under("/nowhere", sysconfdir="/nowhere/etc")
    assert cli_storage.config_path(Invocation(installed=at, config="a/../b.yml")) == f"{tmp_path}/b.yml"
    assert cli_storage.config_path(Invocation(installed=at, config="/c.yml")) == "/c.yml"
    assert cli_storage.config_path(Invocation(installed=at)) == "/nowhere/etc/daos_server.yml"


def test_a_working_directory_that_is_gone_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(Fault) as caught:
        cli_storage.config_path(Invocation(config="b.yml"))
    assert caught.value.code == codes.SERVER_CONFIG_UNREADABLE
    assert "working directory" in caught.value.cause


@pytest.mark.parametrize("as_json", [False, True])
def test_a_missing_account_is_named(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["storage", "scan", *(["--json"] if as_json else [])]
    assert run(arguments, Installation(account="no_such_account_")) == 1
    printed = capsys.readouterr()
    assert "code = 2307" in printed.err
    assert "no_such_account_" in printed.err
    if as_json:
        answer = json.loads(printed.out)
        assert answer["response"] is None
        assert answer["status"] == -1025
        assert "no_such_account_" in answer["error"]
    else:
        assert printed.out == ""


def child(*, hang: bool, as_json: bool = False, before: str = "") -> subprocess.Popen[str]:
    """A process that runs a played format; with ``hang``, until its second step is under way."""
    code = f"""
import signal, sys
{before}
sys.path[:0] = {[*sys.path, str(HERE)]!r}
import test_cli_storage as t
t.cli_execute.commands = t.Played(hang={hang})
sys.exit(t.do(as_json={as_json}))
"""
    command = [sys.executable, "-W", "error", "-B", "-c", code]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} never came")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_signal_cancels_and_says_what_was_done(number: signal.Signals, as_json: bool) -> None:
    with child(hang=True, as_json=as_json) as process:
        until(process, "[1/2] done")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert f"\n{number.name}: stopping; " in err
    assert err.index("helper was told") < err.index(f"NOTICE: stopped by {number.name} after 1 of 2 steps.")
    assert "NOTICE: cancelled: engine 0 tier 1: " in err
    assert "running 'daos_server storage format' again continues" in err
    assert "(more: daos_server explain 2009)" in err
    assert "Traceback" not in err
    if as_json:
        answer = json.loads(out)
        assert number.name in answer["error"]
        assert [each["subject"] for each in answer["response"]["rows"]] == ["/mnt/daos"]
    else:
        assert out.splitlines()[-1].startswith("0      0    /mnt/daos")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_work_begins_is_told(number: signal.Signals) -> None:
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from daos_server.cli import run, storage
from daos_server.installation import Installation
storage.become_account = lambda invocation: os.kill(os.getpid(), {number:d})
sys.exit(run.run(["storage", "format", "--json"], Installation()))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-B", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    assert done.stderr == "NOTICE: stopped before anything was done\n"
    assert json.loads(done.stdout)["error"] == "stopped before anything was done"


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    with child(hang=True, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)") as process:
        until(process, "[1/2] done")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert "NOTICE: stopped by SIGTERM" in err


def test_a_reader_of_progress_that_went_away_stops_nothing() -> None:
    with child(hang=False) as process:
        assert process.stderr is not None
        process.stderr.close()
        process.stderr = None
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.count("done") == 2


def test_a_plan_that_nobody_reads_is_not_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = f"""
import sys
sys.path[:0] = {[*sys.path, str(HERE)]!r}
import test_cli_storage as t
from daos_server.cli.output import OutputGoneError
t.cli_execute.commands = play = t.Played()
try:
    t.do()
except OutputGoneError:
    print(play.called, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-B", "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.stderr.splitlines()[-1] == "['plan_format False']"
