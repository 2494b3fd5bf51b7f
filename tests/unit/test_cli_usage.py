# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The command line as a process: help, wrong usage, exit codes, streams, and what is not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daos_server.cli import run as cli_run
from daos_server.cli.app import app
from daos_server.cli.options import Invocation

ROOT = Path(__file__).resolve().parents[2]
ROOMS = [str(ROOT / room) for room in ("pbin", "bindings", "helper", "server")]
PROGRAM = f"import sys; sys.path[:0] = {ROOMS!r}; from daos_server.cli import main; main()"
HEAVY = ("pydantic", "asyncio", "yaml", "pyroute2", "rich", "msgspec", "cffi", "prctl")

COMMANDS = (
    (),
    ("storage",),
    ("storage", "prepare"),
    ("storage", "scan"),
    ("storage", "format"),
    ("storage", "reset"),
    ("helper",),
    ("helper", "check"),
    ("version",),
    ("explain",),
)


def start(*arguments: str, code: str = PROGRAM, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-B", "-c", code, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={"LC_ALL": "C.UTF-8"},
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_help_has_an_example_that_is_a_command_line_of_ours(command: tuple[str, ...], option: str) -> None:
    result = CliRunner().invoke(app, [*command, option], prog_name="daos_server", obj=Invocation())
    assert result.exit_code == 0
    lines = result.stdout.split("\n")
    example = [line.strip() for line in lines[lines.index("  Example:") + 1 :] if line.strip()]
    assert example
    for line in example:
        program, *arguments = line.split()
        assert program == "daos_server"
        asked = CliRunner().invoke(app, [*arguments, "--help"], prog_name=program, obj=Invocation())
        assert asked.exit_code == 0, f"{line}: {asked.output}"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_names_every_global_option(command: tuple[str, ...]) -> None:
    text = CliRunner().invoke(app, [*command, "-h"], prog_name="daos_server", obj=Invocation()).stdout
    for option in ("--allow-proxy", "-o, --config PATH", "-b, --debug", "-j, --json", "-J, --json-logging", "--syslog", "-h, --help"):
        assert option in text


@pytest.mark.parametrize("arguments", [("--help",), ("storage", "format", "--help"), ("version",), ("explain", "101")], ids=" ".join)
def test_what_only_tells_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = f"{PROGRAM.removesuffix('; main()')}\ntry:\n    main()\nfinally:\n    print(*sorted(sys.modules), file=sys.stderr)"
    result = start(*arguments, code=code)
    assert result.returncode == 0
    loaded = {name.partition(".")[0] for name in result.stderr.split()}
    assert "typer" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_program_itself_imports_less_still() -> None:
    code = f"import sys; sys.path[:0] = {ROOMS!r}; before = set(sys.modules); import daos_server.cli; print(*set(sys.modules) - before)"
    assert set(start(code=code).stdout.split()) <= {"daos_server", "daos_server.cli", "__future__"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "a command is missing: version, explain, storage, helper"),
        (("storage",), "a command is missing: prepare, scan, format, reset"),
        (("storage", "scna"), "No such command 'scna'. Did you mean 'scan'?"),
        (("--jsn", "version"), "there is no option --jsn; is --json meant?"),
        (("storage", "format", "--nonsense"), "there is no option --nonsense"),
        (("storage", "scan", "extra", "more"), "it takes no argument 'extra' 'more'"),
        (("version", "--config"), "requires an argument"),
        (("explain", "1", "2"), "it takes no argument '2'"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(arguments: tuple[str, ...], words: str) -> None:
    result = start(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith("ERROR: daos_server")
    assert words in first
    assert "--help" in second


@pytest.mark.parametrize("arguments", [("-j", "storage", "scna"), ("version", "--json", "extra"), ("-bj", "--nonsense")])
def test_wrong_usage_with_json_is_one_object(arguments: tuple[str, ...]) -> None:
    result = start(*arguments)
    assert result.returncode == 2
    answer = json.loads(result.stdout)
    assert list(answer) == ["response", "error", "status"]
    assert answer["response"] is None
    assert answer["status"] == -1025
    assert answer["error"].startswith("daos_server")


@pytest.mark.parametrize("arguments", [("storage", "scna"), ("-o", "--json", "storage", "scna"), ("-oj", "--nonsense"), ("--", "--json")])
def test_json_that_was_not_asked_for_is_not_given(arguments: tuple[str, ...]) -> None:
    result = start(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [("-j", "version"), ("version", "-j"), ("--json", "version"), ("-bj", "version")])
def test_global_options_stand_before_or_after_the_command(arguments: tuple[str, ...]) -> None:
    result = start(*arguments)
    assert result.returncode == 0
    assert result.stderr == ""
    assert json.loads(result.stdout)["response"]["name"] == "DAOS Control Server"


def test_the_innermost_configuration_wins(capsys: pytest.CaptureFixture[str]) -> None:
    invocation = Invocation()
    CliRunner().invoke(app, ["-o", "a.yml", "version", "-o", "b.yml", "-b"], obj=invocation)
    assert (invocation.config, invocation.debug, invocation.json) == ("b.yml", True, False)


def test_a_reader_that_went_away_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        for arguments in (("explain",), ("--help",), ("version", "--json")):
            result = start(*arguments, stdout=writing)
            assert result.returncode == 1
            assert result.stderr == ""
    finally:
        os.close(writing)


def test_a_terminal_that_lacks_a_letter_gets_an_escape() -> None:
    code = f"{PROGRAM.removesuffix('; main()')}; from daos_server.cli import run; run.run(['explain', '\\xdcml\\u2026'])"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.stderr.reconfigure(encoding='ascii', errors='strict'); {code}"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"ERROR: there is no fault '\\xdcml\\u2026'" in result.stderr


def test_shell_completion_knows_the_commands() -> None:
    environment = {"_DAOS_SERVER_COMPLETE": "complete_bash", "COMP_WORDS": "daos_server storage f", "COMP_CWORD": "2"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-B", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stdout.split()) == (0, ["format"])


def test_a_defect_is_told_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise LookupError("\x1b[2J")

    monkeypatch.setattr("daos_server.cli.inform.version", lambda invocation: broken())
    assert cli_run.run(["version", "-j"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"response": None, "error": "defect: LookupError: \x1b[2J", "status": -1025}
    assert "LookupError: \\x1b[2J" in printed.err
    assert "\x1b" not in printed.err
    assert printed.err.endswith("ERROR: this is a defect of daos_server; please report it with the lines above\n")


def test_an_interrupt_before_anything_was_done_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("daos_server.cli.inform.version", lambda invocation: interrupted())
    assert cli_run.run(["version", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"] == "stopped before anything was done"
    assert printed.err == "NOTICE: stopped before anything was done\n"


def test_proxies_are_scrubbed_in_either_case() -> None:
    environment = {"http_proxy": "1", "HTTPS_PROXY": "2", "No_Proxy": "3", "PATH": "/usr/bin", "MY_http_proxy_": "4"}
    cli_run.scrub_proxies(environment)
    assert environment == {"PATH": "/usr/bin", "MY_http_proxy_": "4"}
