# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Progress on a terminal and elsewhere, and where log lines go."""

from __future__ import annotations

import io
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daos_server.cli import logs
from daos_server.cli.logs import LOG, start_log
from daos_server.cli.options import Invocation
from daos_server.cli.progress import CLEAR_LINE, Progress
from daos_server.plan.steps import FormatRam
from daos_server.storage.report import Outcome, Row

STEP = FormatRam(key="scm:0", subject="/mnt/daos", engine=0, tier=0, size_gib=8)
ROW = Row(subject="/mnt/daos", action=STEP.action, outcome=Outcome.DONE, engine=0, tier=0, detail="8 GiB")
LINE = f"[1/2] done: engine 0 tier 0: {STEP.action} /mnt/daos (8 GiB)\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal of 60 columns.  (In a fixture, pytest's capture would put its own back.)"""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "60")
    return screen


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    log = logging.getLogger(LOG)
    before = (log.handlers, log.level, log.propagate, logging.raiseExceptions)
    yield
    log.handlers, log.level, log.propagate, logging.raiseExceptions = before


def test_off_a_terminal_there_is_one_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(2)
    progress.step_started(STEP)
    progress.progress(STEP, 1, 8, "GiB", "blocks")
    assert list(progress.running) == [f"{STEP.action} /mnt/daos: 1 of 8 GiB blocks"]
    progress.step_finished(STEP, ROW)
    progress.close()
    assert capsys.readouterr() == ("", LINE)
    assert not progress.running
    assert progress.ended == [ROW]


def test_a_terminal_has_a_live_line_that_fits_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    progress = Progress(2)
    progress.step_started(STEP)
    progress.progress(STEP, 1, 0, "GiB", "bl\x1b[2Jocks" * 20)
    progress.step_finished(STEP, ROW)
    progress.close()
    drawn = terminal.getvalue()
    assert "1 GiB bl\\x" in drawn
    assert drawn.count("\x1b") == drawn.count(CLEAR_LINE)
    live = [part for part in drawn.split(CLEAR_LINE) if part.startswith("running")]
    assert live
    assert all(len(part) < 60 for part in live)
    assert f"{CLEAR_LINE}{LINE}" in drawn
    assert drawn.endswith(CLEAR_LINE)


def test_log_lines_do_not_mix_with_the_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    start_log(Invocation())
    progress = Progress(2)
    progress.step_started(STEP)
    terminal.truncate(0)
    progress.log("error", "text \x1b[2J")
    progress.log("info", "not shown")
    assert f"{CLEAR_LINE}ERROR: text \\x1b[2J\n{CLEAR_LINE}running: " in terminal.getvalue()
    assert "not shown" not in terminal.getvalue()


@pytest.mark.parametrize("debug", [False, True])
def test_debug_shows_every_level(debug: bool, capsys: pytest.CaptureFixture[str]) -> None:
    levels = ["debug", "info", "notice", "warning", "error"]
    shown = levels if debug else levels[2:]
    start_log(Invocation(debug=debug))
    for level in levels:
        Progress().log(level, f"a {level}")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in lines] == shown
    assert lines[-1] == "ERROR: a error"
    assert "NOTICE: a notice" in lines


def test_json_logging_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    start_log(Invocation(json_logging=True))
    Progress().log("notice", "text % \n\x1b")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    found = json.loads(line)
    assert (found["level"], found["source"], found["message"]) == ("NOTICE", LOG, "text % \n\x1b")
    assert found["time"].endswith("+00:00")


def test_syslog_gets_the_lines_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "log")
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        start_log(Invocation(syslog=True))
        Progress().log("error", "text\n\x1b")
        assert journal.recv(1000).rstrip(b"\0") == b"<27>daos_server: ERROR: text\\n\\x1b"
        for handler in logging.getLogger(LOG).handlers:
            handler.close()
    assert capsys.readouterr().err == "ERROR: text\\n\\x1b\n"


def test_a_syslog_that_is_not_there_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", str(tmp_path / "none"))
    start_log(Invocation(syslog=True))
    assert capsys.readouterr().err.startswith("NOTICE: --syslog has no effect: ")
