# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The commands that only tell: version, explain, helper check."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from daos_pbin import PROTOCOL_VERSION, VERSION, codes
from daos_pbin.catalogue import entry, name_of, variants
from daos_pbin.explanations import explain
from daos_server.cli.inform import all_codes, find_code, nearest
from daos_server.cli.run import run
from daos_server.doctor.finding import Finding, Verdict
from daos_server.installation import Installation


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr() == (f"DAOS Control Server version {VERSION}\n", "")


def test_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    built = datetime.fromisoformat(answer["response"].pop("build_time"))
    assert datetime(2026, 1, 1, tzinfo=UTC) < built <= datetime.now(UTC)
    expected = {"name": "DAOS Control Server", "version": VERSION, "helper_protocol": PROTOCOL_VERSION}
    assert answer == {"response": expected, "error": None, "status": 0}


def test_a_configuration_that_is_not_read_is_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-o", "/nowhere", "version"]) == 0
    assert "reads none" in capsys.readouterr().err


@pytest.mark.parametrize("code", sorted(all_codes()))
def test_every_code_is_explained_by_number_and_by_name(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", str(code)]) == 0
    by_number = capsys.readouterr().out
    assert run(["explain", name_of(code).upper()]) == 0
    assert capsys.readouterr().out == by_number
    words = " ".join(by_number.split())
    assert words.startswith(f"{code} {name_of(code)} ")
    assert " ".join(explain(code).split()) in words
    for variant in variants(code):
        assert " ".join(entry(code, variant).resolution.split()) in words


def test_explain_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "-j", "304"]) == 0
    response = json.loads(capsys.readouterr().out)["response"]
    assert (response["code"], response["name"]) == (304, "BdevNotFound")
    assert len(response["wordings"]) == len(variants(304)) == 2
    assert response["explanation"] == explain(304)


def test_all_codes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Code", "Name", "Domain", "Description"]
    assert [int(line.split()[0]) for line in lines[2:]] == sorted(all_codes())
    assert run(["explain", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["response"]
    assert {each["code"]: each["name"] for each in listed} == all_codes()


@pytest.mark.parametrize("asked", ["101", "StorageAlreadyFormatted", "storagealreadyformatted", "storage_already_formatted"])
def test_a_code_is_found_in_all_its_spellings(asked: str) -> None:
    assert find_code(asked) == codes.STORAGE_ALREADY_FORMATTED


@pytest.mark.parametrize("asked", ["99999", "9" * 5000, "-1", "\u0661\u0660\u0661", "StorageAlready", "Storage\x1b[2J"])
def test_an_unknown_code_ends_with_1_and_offers_others(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--json", "--", asked]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"] == f"there is no fault {asked!r}"
    assert printed.err.replace("\n", "").isprintable()
    assert len(printed.err.splitlines()) == 2


def test_the_nearest_names_come_with_their_numbers() -> None:
    assert nearest("StorageAlreadyFormated")[0] == "StorageAlreadyFormatted (101)"
    assert nearest("qqqqqqqq") == []


def findings(*verdicts: Verdict) -> tuple[Finding, ...]:
    return tuple(Finding(subject=f"point\x1b {index}", found="x", verdict=verdict, advice="do") for index, verdict in enumerate(verdicts))


@pytest.mark.parametrize(("verdicts", "code"), [(("ok", "unknown", "warning"), 0), (("ok", "stops", "stops"), 1)])
def test_helper_check_fails_if_anything_is_wrong(
    verdicts: tuple[Verdict, ...], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Installation] = []

    def look(installation: Installation) -> tuple[Finding, ...]:
        seen.append(installation)
        return findings(*verdicts)

    monkeypatch.setattr("daos_server.helper_check.findings", look)
    here = Installation.under("/nowhere")
    assert run(["helper", "check"], here) == code
    printed = capsys.readouterr()
    shown = [line.split()[0].lower() for line in printed.out.splitlines() if "point" in line]
    assert shown == list(verdicts)
    assert "\x1b" not in printed.out
    assert run(["helper", "check", "--json"], here) == code
    answer = json.loads(capsys.readouterr().out)
    assert [each["verdict"] for each in answer["response"]["findings"]] == list(verdicts)
    assert answer["response"]["ready"] is (code == 0)
    assert answer["error"] == (None if code == 0 else "2 of 3 checks of the helper found something wrong")
    assert seen == [here, here]
