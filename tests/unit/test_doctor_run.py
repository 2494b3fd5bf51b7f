# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Doctor as a whole: nothing ends it, all of it can be read at 80 columns, and JSON says the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import Tree, complete, installation, setting

from daos_server.cli.doctor import doctor
from daos_server.cli.options import Invocation
from daos_server.doctor.examine import CHECKS, Check, examine, safely
from daos_server.doctor.finding import Finding, count_text
from daos_server.doctor.machine import Machine, Setting
from daos_server.doctor.show import group_text

LOADED = Finding(subject="configuration", found="made up", verdict="ok")


def broken(*_: object) -> Iterator[Finding]:
    yield LOADED
    raise ValueError("a strange \x1b file")


def forbidden(*_: object) -> Iterator[Finding]:
    yield LOADED
    raise PermissionError(13, "Permission denied", "/proc/secret")


def test_a_check_that_fails_is_a_finding_and_keeps_what_it_found() -> None:
    first, second = safely(Check("a thing", broken), Machine(), Setting(installation()))
    assert first is LOADED
    assert (second.subject, second.verdict) == ("a thing", "unknown")
    assert second.found == "could not be checked: ValueError: a strange \\x1b file"


def test_what_may_not_be_read_is_unknown_and_root_may_ask() -> None:
    _, point = safely(Check("a thing", forbidden), Machine(), Setting(installation()))
    assert (point.verdict, point.advice) == ("unknown", "ask again as root")
    assert "/proc/secret" in point.found


@pytest.mark.parametrize("named", [False, True])
def test_on_a_machine_without_anything_every_check_still_answers(*, named: bool, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "empty")
    tree.folder("")
    asked = setting(tmp_path, '"0000:81:00.0"') if named else Setting(installation())
    groups = list(examine(tree.machine, asked, LOADED))
    assert [group.title for group in groups] == list(CHECKS)
    points = [point for group in groups for point in group.findings]
    assert len({point.subject for point in points}) == len(points)
    assert [point for point in points if not complete(point)] == []
    failed = [point.subject for point in points if "could not be checked" in point.found]
    assert failed == ["hugepages", "hugepage files"], "without /proc only these have nothing to go by"


def test_the_text_is_80_columns_wide_but_for_commands() -> None:
    long = Finding(subject="subject", found="word " * 40, verdict="stops", why="why " * 40, advice=f"do {'it ' * 40}\n  {'command ' * 30}")
    lines = group_text("Title", [LOADED, long], 80).splitlines()
    assert lines[:2] == ["Title", "  ok      configuration: made up"]
    assert lines[2].startswith("  STOPS   subject: word")
    assert [line for line in lines if len(line) > 80] == [f"{'':15}  {'command ' * 30}"]
    assert {line[:10].strip() for line in lines[3:]} == {""}
    assert {line[10:15].strip() for line in lines if not line[:10].strip()} >= {"", "why:", "do:"}


def test_a_command_alone_stands_behind_its_label_and_nothing_steers_the_terminal() -> None:
    point = Finding(subject="a\x1b[2J", found="\n", verdict="warning", why="\x07", advice="  rm \x1bx\n  ls")
    text = group_text("Title", [point], 80)
    assert text.replace("\n", "").isprintable()
    assert "do:  rm \\x1bx\n                 ls\n" in text


def test_the_count_adds_up() -> None:
    points = (LOADED, LOADED, Finding(subject="x", found="y", verdict="stops"))
    assert count_text(points) == "3 checks: 2 ok, 0 warnings, 1 would stop an engine, 0 unknown"


def run(folder: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool) -> tuple[int, str, str]:
    path = folder / "daos_server.yml"
    path.write_text("name: daos_server\n", encoding="ascii")
    invocation = Invocation(installation(), config=str(path), json=as_json)
    doctor(invocation)
    printed = capsys.readouterr()
    return invocation.exit_code, printed.out, printed.err


def test_the_command_answers_in_text_and_in_json_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, errors = run(tmp_path, capsys, as_json=False)
    assert (code, errors.splitlines()[-1].endswith("checks found what would stop an engine")) == (1, True), "no helper is at /nowhere"
    json_code, out, _ = run(tmp_path, capsys, as_json=True)
    answer = json.loads(out)
    assert (json_code, answer["response"]["ready"]) == (1, False)
    findings = answer["response"]["findings"]
    assert set(findings[0]) == {"group", "subject", "found", "verdict", "why", "advice"}
    assert text.count("\n  STOPS ") == sum(point["verdict"] == "stops" for point in findings)
    assert errors.splitlines()[-1] == f"ERROR: {answer['error']}"
    assert text.splitlines()[-1].startswith(f"{len(findings)} checks: ")
