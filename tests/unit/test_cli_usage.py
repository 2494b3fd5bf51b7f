# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The command line as a process: help, wrong usage, exit codes, streams, and what is not imported."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from daos_server.cli import run as cli_run
from daos_server.cli.app import tree
from daos_server.cli.options import Invocation, scrub_proxies
from daos_server.cli.options_nvme import NvmeOptions
from daos_server.cli.options_scm import ScmOptions

ROOT = Path(__file__).resolve().parents[2]
ROOMS = [str(ROOT / room) for room in ("pbin", "bindings", "helper", "server")]
PROGRAM = f"import sys; sys.path[:0] = {ROOMS!r}; from daos_server.cli import main; main()"
HEAVY = ("pydantic", "asyncio", "yaml", "pyroute2", "rich", "msgspec", "cffi", "prctl")

# Every command with its own options, as the reference has them and with ours beside: long name, short name, what its value is called.
# Flags have no such name.
OPTIONS: dict[str, set[tuple[str, str, str]]] = {
    "version": set(),
    "explain": {("code", "", "CODE")},
    "doctor": set(),
    "dump-topology": {("--output", "-o", "FILE")},
    "start": {
        ("--port", "-p", "PORT"),
        ("--storage", "-s", "PATH"),
        ("--modules", "-m", "LIST"),
        ("--targets", "-t", "N"),
        ("--xshelpernr", "-x", "N"),
        ("--firstcore", "-f", "N"),
        ("--group", "-g", "NAME"),
        ("--socket_dir", "-d", "FOLDER"),
        ("--insecure", "-i", ""),
        ("--recreate-superblocks", "", ""),
        ("--auto-format", "", ""),
        ("--ignore-config", "", ""),
    },
    **{f"storage {verb}": {("--dry-run", "-n", ""), ("--force", "-f", "")} for verb in ("scan", "format", "reset")},
    "storage prepare": {("--scm-only", "-s", ""), ("--nvme-only", "", ""), ("--dry-run", "-n", ""), ("--force", "-f", "")},
    "nvme prepare": {
        ("pci_allow_list", "", "PCI-ALLOW-LIST"),
        ("--pci-block-list", "", "ADDRESSES"),
        ("--hugepages", "-p", "N"),
        ("--target-user", "-u", "USER"),
        ("--disable-vfio", "", ""),
        ("--helper-log-file", "-l", "FILE"),
        ("--ignore-config", "", ""),
        ("--all", "-a", ""),
        ("--dry-run", "-n", ""),
        ("--force", "-f", ""),
    },
    "nvme reset": {
        ("pci_allow_list", "", "PCI-ALLOW-LIST"),
        ("--pci-block-list", "", "ADDRESSES"),
        ("--target-user", "-u", "USER"),
        ("--disable-vfio", "", ""),
        ("--helper-log-file", "-l", "FILE"),
        ("--ignore-config", "", ""),
        ("--all", "-a", ""),
        ("--dry-run", "-n", ""),
        ("--force", "-f", ""),
    },
    "nvme scan": {
        ("--disable-vmd", "", ""),
        ("--skip-prep", "", ""),
        ("--helper-log-file", "-l", "FILE"),
        ("--ignore-config", "", ""),
    },
    "scm prepare": {
        ("--socket", "", "ID"),
        ("--scm-ns-per-socket", "-S", "N"),
        ("--dry-run", "-n", ""),
        ("--force", "-f", ""),
        ("--helper-log-file", "-l", "FILE"),
        ("--ignore-config", "", ""),
    },
    "scm reset": {
        ("--socket", "", "ID"),
        ("--dry-run", "-n", ""),
        ("--force", "-f", ""),
        ("--helper-log-file", "-l", "FILE"),
        ("--ignore-config", "", ""),
    },
    "scm scan": {("--socket", "", "ID"), ("--helper-log-file", "-l", "FILE"), ("--ignore-config", "", "")},
    "network scan": {("--provider", "-p", "NAME"), ("--ignore-config", "", "")},
    "config check": {("file", "", "FILE"), ("--host", "", "")},
    "config show": {("file", "", "FILE")},
    "config schema": set(),
    "config generate": {
        ("--access-points", "-a", "HOSTS"),
        ("--num-engines", "-e", "N"),
        ("--scm-only", "-s", ""),
        ("--net-class", "-c", "CLASS"),
        ("--net-provider", "-p", "NAME"),
        ("--use-tmpfs-scm", "-t", ""),
        ("--control-metadata-path", "-m", "FOLDER"),
        ("--fabric-ports", "-f", "PORTS"),
        ("--skip-prep", "", ""),
        ("--helper-log-file", "-l", "FILE"),
    },
    "helper check": set(),
    "helper policy": set(),
    "ms status": {("--ignore-config", "", "")},
    "ms recover": {("--force", "-f", ""), ("--ignore-config", "", "")},
    "ms restore": {("--force", "-f", ""), ("--path", "-p", "PATH"), ("--ignore-config", "", "")},
    "support collect-log": {
        ("--stop-on-error", "-s", ""),
        ("--target-folder", "-t", "FOLDER"),
        ("--archive", "-z", ""),
        ("--extra-logs-dir", "-c", "FOLDER"),
        ("--start-date", "-D", "DATE"),
        ("--end-date", "-F", "DATE"),
        ("--log-start-time", "-S", "TIME"),
        ("--log-end-time", "-E", "TIME"),
        ("--log-type", "-e", "TYPES"),
        ("--ignore-config", "", ""),
    },
}
ALIASES = {"config generate": ("config gen", "cfg generate", "cfg gen"), "config check": ("cfg check",), "config show": ("cfg show",)}
OPTIONS |= {alias: OPTIONS[name] for name, aliases in ALIASES.items() for alias in aliases} | {"cfg schema": set()}
GLOBAL = {
    ("--config", "-o", "PATH"),
    ("--json", "-j", ""),
    ("--debug", "-b", ""),
    ("--json-logging", "-J", ""),
    ("--syslog", "", ""),
    ("--allow-proxy", "", ""),
}
GROUPS = ("", "storage", "nvme", "scm", "network", "config", "helper", "ms", "support", "cfg")
WITHOUT_JSON = ("start", "config generate", "ms status", "ms recover", "ms restore --path /backup")

COMMANDS = [tuple(name.split()) for name in (*GROUPS, *OPTIONS)]


def leaves(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """Yield every command that is no group, with its full name."""
    below = getattr(command, "commands", {})
    if not below and path:
        yield " ".join(path), command
    for name, each in below.items():
        yield from leaves(each, (*path, name))


LEAVES = dict(leaves(get_command(tree())))


def declared(command: object) -> set[tuple[str, str, str]]:
    found = set()
    for parameter in command.params:  # type: ignore[attr-defined]  # typer's own types are private
        names = [*parameter.opts, ""]
        found.add((names[0], names[1], "" if getattr(parameter, "is_flag", False) else parameter.metavar))
    return found


def ask(*arguments: str, invocation: Invocation | None = None) -> Result:
    return CliRunner().invoke(tree(arguments), arguments, prog_name="daos_server", obj=invocation or Invocation())


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
    result = ask(*command, option)
    assert result.exit_code == 0
    lines = result.stdout.split("\n")
    example = [line.strip() for line in lines[lines.index("  Example:") + 1 :] if line.strip()]
    assert example
    for line in example:
        program, *arguments = line.split()
        assert program == "daos_server"
        asked = ask(*arguments, "--help")
        assert asked.exit_code == 0, f"{line}: {asked.output}"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_names_every_global_option(command: tuple[str, ...]) -> None:
    text = ask(*command, "-h").stdout
    config = "--config PATH" if command == ("dump-topology",) else "-o, --config PATH"
    for option in ("--allow-proxy", config, "-b, --debug", "-j, --json", "-J, --json-logging", "--syslog", "-h, --help"):
        assert option in text


def test_the_commands_are_exactly_those_of_the_list() -> None:
    assert set(LEAVES) == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_options_are_exactly_those_of_the_list(name: str) -> None:
    shared = GLOBAL if name != "dump-topology" else GLOBAL - {("--config", "-o", "PATH")} | {("--config", "", "PATH")}
    assert declared(LEAVES[name]) == OPTIONS[name] | shared


@pytest.mark.parametrize("name", OPTIONS)
def test_every_command_and_every_option_is_explained(name: str) -> None:
    command = LEAVES[name]
    assert command.help  # type: ignore[attr-defined]  # typer's own types are private
    for parameter in command.params:  # type: ignore[attr-defined]
        assert parameter.help, parameter.name


@pytest.mark.parametrize("words", [name.split() for name in OPTIONS], ids=" ".join)
def test_a_command_line_makes_only_the_commands_that_it_names(words: list[str]) -> None:
    made = dict(leaves(get_command(tree(words))))
    name = " ".join(words)
    assert declared(made[name]) == declared(LEAVES[name])
    if "version" not in words:
        assert declared(made["version"]) == set()


@pytest.mark.parametrize("command", WITHOUT_JSON)
def test_json_is_refused_by_a_command_that_has_no_answer_in_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_run.run([*command.split(), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["response"] is None
    assert "does not support JSON" in answer["error"]
    assert answer["status"] == -1025


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("scm prepare -S 0", "--scm-ns-per-socket takes a whole number, from 1 to 4, not '0'"),
        ("scm prepare -S 5 -f", "from 1 to 4"),
        ("scm prepare --json", "--json needs --force"),
        ("scm reset -j", "--json needs --force"),
        ("scm scan --socket x", "--socket takes a whole number, from 0 to 63"),
        ("scm reset --socket 64 -f", "--socket takes a whole number, from 0 to 63"),
        ("storage prepare --scm-only --nvme-only", "give one of them"),
        ("nvme prepare --hugepages -1", "--hugepages takes a whole number"),
        ("nvme prepare -p 99999999999999999999", "--hugepages takes a whole number that some machine could have, not '9"),
        ("nvme prepare 0000:81:00.0,mouse", "'mouse' is no PCI address"),
        ("nvme reset --pci-block-list 1", "'1' is no PCI address"),
        ("start --port 65536", "--port takes a whole number, from 0 to 65535"),
        ("start -t \u0663", "--targets takes a whole number"),
        ("ms restore", "--path is missing"),
        ("config generate -c wifi", "--net-class is ethernet or infiniband"),
        ("config generate -f 31416,0", "--fabric-ports takes a whole number, from 1 to 65535, not '0'"),
        ("support collect-log -D yesterday", "--start-date takes a day"),
        ("support collect-log -E 25:00:00", "--log-end-time takes a time"),
        ("support collect-log -D 2026-02-02 -F 2026-02-01", "--start-date is after --end-date"),
        ("support collect-log -e engine", "--log-type takes admin, control, server"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_is_done(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_run.run(arguments.split()) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("scm scan", ScmOptions()),
        ("scm scan --socket 0 -l /l --ignore-config", ScmOptions(socket=0, helper_log_file="/l", ignore_config=True)),
        ("scm prepare", ScmOptions()),
        ("scm prepare -S 4 -f --json --socket 63", ScmOptions(per_socket=4, force=True, socket=63)),
        ("scm prepare -n --json --scm-ns-per-socket 2", ScmOptions(per_socket=2, dry_run=True)),
        ("scm reset -nf -l /l --ignore-config", ScmOptions(dry_run=True, force=True, helper_log_file="/l", ignore_config=True)),
        ("scm reset --json --dry-run", ScmOptions(dry_run=True)),
    ],
)
def test_scm_commands_hand_their_options_on(arguments: str, expected: ScmOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[ScmOptions] = []
    command = arguments.split()[1]
    monkeypatch.setattr(f"daos_server.cli.scm.{command}", lambda invocation, options: got.append(options))
    assert cli_run.run(arguments.split()) == 0
    assert got == [expected]


@pytest.mark.parametrize(("arguments", "only"), [("", ""), ("-s", "scm"), ("--scm-only -n", "scm"), ("--nvme-only", "nvme")])
def test_storage_prepare_hands_on_which_part(arguments: str, only: str, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[object] = []
    monkeypatch.setattr("daos_server.cli.storage.work", lambda *_, **given: got.append(given["only"]))
    assert cli_run.run(["storage", "prepare", *arguments.split()]) == 0
    assert got == [only]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("nvme scan --skip-prep --disable-vmd -l /l --ignore-config", {"skip_prep", "disable_vmd", "helper_log_file", "ignore_config"}),
        ("nvme reset -a -n -f -u nobody --disable-vfio", {"all", "dry_run", "force", "target_user", "disable_vfio"}),
        (
            "nvme prepare -n -p 512 0000:81:00.0,5d0505:01:00.0 --pci-block-list 0000:82:00.0",
            {"pci_allow_list", "pci_block_list", "hugepages", "dry_run"},
        ),
    ],
)
def test_nvme_commands_hand_their_options_on(arguments: str, expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[NvmeOptions] = []
    command = arguments.split()[1]
    monkeypatch.setattr(f"daos_server.cli.nvme.{command}", lambda invocation, options: got.append(options))
    assert cli_run.run(arguments.split()) == 0
    default = NvmeOptions()
    assert {each.name for each in fields(NvmeOptions) if getattr(got[0], each.name) != getattr(default, each.name)} == expected
    if command == "prepare":
        assert got[0].pci_allow_list == ("0000:81:00.0", "5d0505:01:00.0")
        assert got[0].hugepages == 512


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
        (
            (),
            "a command is missing: version, explain, doctor, dump-topology, start, storage,",
        ),
        (("storage",), "a command is missing: prepare, scan, format, reset"),
        (("storage", "scna"), "No such command 'scna'. Did you mean 'scan'?"),
        (("--jsn", "version"), "there is no option --jsn; is --json meant?"),
        (("storage", "format", "--nonsense"), "there is no option --nonsense"),
        (("storage", "scan", "extra", "more"), "it takes no argument 'extra' 'more'"),
        (("version", "--config"), "requires an argument"),
        (("explain", "1", "2"), "it takes no argument '2'"),
    ],
)
def test_wrong_usage_ends_with_1_and_says_what_is_wrong(arguments: tuple[str, ...], words: str) -> None:
    result = start(*arguments)
    assert result.returncode == 1
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith("ERROR: daos_server")
    assert words in first
    assert "--help" in second


@pytest.mark.parametrize("arguments", [("-j", "storage", "scna"), ("version", "--json", "extra"), ("-bj", "--nonsense")])
def test_wrong_usage_with_json_is_one_object(arguments: tuple[str, ...]) -> None:
    result = start(*arguments)
    assert result.returncode == 1
    answer = json.loads(result.stdout)
    assert list(answer) == ["response", "error", "status"]
    assert answer["response"] is None
    assert answer["status"] == -1025
    assert answer["error"].startswith("daos_server")


@pytest.mark.parametrize(
    "arguments",
    [("storage", "scna"), ("-o", "--json", "storage", "scna"), ("-oj", "--nonsense"), ("start", "-gj", "--nonsense"), ("--", "--json")],
)
def test_json_that_was_not_asked_for_is_not_given(arguments: tuple[str, ...]) -> None:
    result = start(*arguments)
    assert result.returncode == 1
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [("-j", "version"), ("version", "-j"), ("--json", "version"), ("-bj", "version")])
def test_global_options_stand_before_or_after_the_command(arguments: tuple[str, ...]) -> None:
    result = start(*arguments)
    assert result.returncode == 0
    assert result.stderr == ""
    assert json.loads(result.stdout)["response"]["name"] == "DAOS Control Server"


def test_the_innermost_configuration_wins(capsys: pytest.CaptureFixture[str]) -> None:
    invocation = Invocation()
    ask("-o", "a.yml", "version", "-o", "b.yml", "-b", invocation=invocation)
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


@pytest.mark.parametrize(
    "arguments", [("explain",), ("version", "--json"), ("explain", "--json"), ("--help",), ("storage", "format", "-h")]
)
def test_a_full_disk_behind_standard_output_is_told_in_one_line(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        result = start(*arguments, stdout=full.fileno())
    assert (result.returncode, result.stderr) == (
        1, "ERROR: the result could not be written to standard output: No space left on device\n",
    )  # fmt: skip


@pytest.mark.parametrize(("arguments", "code"), [(("version", "-o", "unused.yml"), 0), (("nothing",), 1)])
def test_a_full_disk_behind_standard_error_changes_no_exit_code(arguments: tuple[str, ...], code: int, program: Path) -> None:
    command = f"{program} {' '.join(arguments)} 2>/dev/full"
    assert subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False, timeout=60).returncode == code


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_defect(closed: str, program: Path) -> None:
    result = subprocess.run(["/bin/sh", "-c", f"{program} version {closed}"], capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, b"")
    assert bool(result.stdout) == (">&-" not in closed.split())


def test_a_terminal_that_lacks_a_letter_gets_an_escape() -> None:
    code = f"{PROGRAM.removesuffix('; main()')}; from daos_server.cli import run; run.run(['explain', '\\xdcml\\u2026'])"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.stderr.reconfigure(encoding='ascii', errors='strict'); {code}"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"ERROR: there is no fault '\\xdcml\\u2026'" in result.stderr


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The command line as an executable file."""
    path = tmp_path / "daos_server"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -B -c {shlex.quote(PROGRAM)} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("storage f", {"format"}),
        ("nvme ", {"prepare", "reset", "scan"}),
        ("support collect-log --log-", {"--log-start-time", "--log-end-time", "--log-type"}),
        ("start --au", {"--auto-format"}),
        ("-o daos_server.yml config g", {"generate"}),
        ("do", {"doctor"}),
    ],
)
def test_bash_completes(typed: str, offered: set[str], program: Path) -> None:
    words = ["daos_server", *typed.split(" ")]
    script = subprocess.run(
        [program],
        env={"_DAOS_SERVER_COMPLETE": "source_bash", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "complete -o default -F _daos_server_completion daos_server" in script
    asked = f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}"
    code = f'{script}\n{asked}\n_daos_server_completion "$0"\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["/bin/bash", "--norc", "-c", code, program], env={}, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize(
    ("shell", "more"),
    [("zsh", {}), ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"})],
)
def test_zsh_and_fish_are_answered_in_their_ways(shell: str, more: dict[str, str], program: Path) -> None:
    def ask(instruction: str, **environment: str) -> str:
        done = subprocess.run(
            [program], env={"_DAOS_SERVER_COMPLETE": instruction, **environment}, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stderr == ""
        return done.stdout

    assert "daos_server" in ask(f"source_{shell}")
    answer = ask(f"complete_{shell}", _TYPER_COMPLETE_ARGS="daos_server ms re", **more)
    assert "recover" in answer
    assert "restore" in answer
    assert "status" not in answer


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
    scrub_proxies(environment)
    assert environment == {"PATH": "/usr/bin", "MY_http_proxy_": "4"}


@pytest.mark.parametrize(("arguments", "kept"), [(["version"], False), (["--allow-proxy", "version"], True)])
def test_every_command_scrubs_unless_told_not_to(arguments: list[str], kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://elsewhere")
    assert cli_run.run(arguments) == 0
    assert ("https_proxy" in os.environ) is kept
