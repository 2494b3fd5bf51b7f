# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``config check``, ``config show`` and ``config schema`` as an administrator runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import jsonschema
import pytest
from config_trees import DATA, Tree, engine, ram, second, server

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli import config as commands
from daos_server.cli.options import Invocation
from daos_server.config.load import load
from daos_server.installation import Installation

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = f"import sys; sys.path[:0] = {[str(ROOT / room) for room in ('pbin', 'bindings', 'helper', 'server')]!r}; "
Items = list[dict[str, object]]


def written(folder: Path, tree: Tree | str, name: str = "c.yml") -> str:
    path = folder / name
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree, indent=1))
    return str(path)


def run(file: str, *, capsys: pytest.CaptureFixture[str], wants_json: bool = False) -> tuple[int, str]:
    """Run ``check`` on a file and return exit code and output."""
    invocation = Invocation(json=wants_json)
    commands.check(invocation, file)
    printed = capsys.readouterr()
    assert printed.err == ""
    return invocation.exit_code, printed.out


def answer(path: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object], str | None]:
    code, printed = run(path, capsys=capsys, wants_json=True)
    envelope = json.loads(printed)
    assert list(envelope) == ["response", "error", "status"]
    return code, envelope["response"], envelope["error"]


# check


def test_valid_file_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, server(engine(log_file="/l"), access_points=["a", "b", "c"]))
    verdict = "no errors, no notices: the file is valid (--host holds it against this host as well)"
    assert run(path, capsys=capsys) == (0, f"{path}\n\n{verdict}\n")


def test_every_error_and_notice_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "prot: 1\nprovider: ofi+tcp\nengines:\n- targets: 0\n  fabric_iface: eth0\n  fabric_iface_port: 1\n"
    path = written(tmp_path, text + "  storage: [{class: ram, scm_mount: /a}]\n")
    assert run(path, capsys=capsys) == (
        1,
        f"""{path}

Errors
  line 1    prot: is not a known key  [2306]
            -> did you mean port?
  line 4    engines[0].targets: is not set, or 0  [2306]
            -> give the number of service threads, such as 16

Notices
  line 1    access_points: has one host: when that is down, the system has no management service
  line 4    engines[0].log_file: is not set: this engine's messages go to the server's log

2 errors, 2 notices: the file cannot be used (more on a code: daos_server explain 2306)
""",
    )


def test_json_has_every_part_of_every_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, server(engine(), second(targets=3), access_points=["a", "b", "c"]))
    code, response, error = answer(path, capsys)
    assert (code, error) == (1, f"{path}: 1 error")
    assert (response["file"], response["valid"]) == (path, False)
    assert response["errors"] == [
        {
            "file": path,
            "line": 16,
            "key": "engines[1].targets",
            "code": codes.SERVER_CONFIG_TARGET_COUNT_MISMATCH,
            "name": "ServerConfigTargetCountMismatch",
            "message": "is 3, and engine 0 has 1",
            "remedy": "use one number in all engines",
        }
    ]
    notices = cast(Items, response["notices"])
    assert {(notice["key"], notice["code"], notice["name"], notice["remedy"]) for notice in notices} == {
        ("engines[0].log_file", 0, "", ""), ("engines[1].log_file", 0, "", ""),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "line", "word"),
    [
        ("a: b\n c: d\n", codes.SERVER_CONFIG_SYNTAX, 2, "column 3"),
        ("name: a\n---\n", codes.SERVER_CONFIG_SYNTAX, 2, "second document"),
        ("a\0b", codes.SERVER_CONFIG_UNREADABLE, 0, "binary"),
    ],
)
def test_file_that_is_no_yaml_is_one_error_of_the_same_form(
    text: str, code: int, line: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, response, _ = answer(written(tmp_path, text), capsys)
    (item,) = cast(Items, response["errors"])
    assert (item["code"], item["line"], item["key"]) == (code, line, "(file)")
    assert word in str(item["message"])
    assert item["remedy"]


def test_file_is_that_of_the_option_then_of_the_installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed, named = written(tmp_path, "name: a\n", "i.yml"), written(tmp_path, "name: b\n", "o.yml")
    for option, file, wanted in (("", "", installed), (named, "", named), (named, installed, installed)):
        invocation = Invocation(Installation(config_file=installed), config=option, json=True)
        commands.check(invocation, file)
        assert json.loads(capsys.readouterr().out)["response"]["file"] == wanted


def test_relative_file_is_below_the_current_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "name: a\n")
    monkeypatch.chdir(tmp_path)
    assert run("c.yml", capsys=capsys)[1].startswith(path)


def test_nothing_in_a_file_reaches_the_terminal_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "name: a\n", "c\x1b[2J\n.yml")
    _, printed = run(path, capsys=capsys)
    assert "\x1b" not in printed
    assert printed.splitlines()[0].endswith("c\\x1b[2J\\n.yml")


# This host, in a process of its own: root becomes the account for good


def on_host(path: str, account: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = (
        f"{PROGRAM} from daos_server.cli import config; from daos_server.cli.options import Invocation; "
        "from daos_server.installation import Installation; "
        f"invocation = Invocation(Installation(account={account!r}, config_file={str(folder / 'c.yml')!r}), json=True); "
        f"config.check(invocation, {path!r}, True); sys.exit(invocation.exit_code)"
    )
    program = [sys.executable, "-W", "error", "-B", "-c", code]
    return subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)


def codes_on_host(path: str, account: str, folder: Path) -> list[int]:
    done = on_host(path, account, folder)
    assert done.stderr == ""
    return [item["code"] for item in json.loads(done.stdout)["response"]["errors"]]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


TREE: Tree = {"transport_config": {"allow_insecure": True}, "provider": "ofi+tcp", "access_points": ["localhost"]}


def test_file_that_fits_this_host(open_folder: Path) -> None:
    assert codes_on_host(written(open_folder, TREE), "nobody", open_folder) == []


def test_file_that_does_not_fit(open_folder: Path) -> None:
    tree = {**TREE, "engines": [engine(ram(scm_size=4), fabric_iface="no-such-if0")]}
    assert codes.SERVER_CONFIG_HOST_MISMATCH in codes_on_host(written(open_folder, tree), "nobody", open_folder)


def test_host_is_not_looked_at_with_a_file_that_is_wrong(open_folder: Path) -> None:
    path = written(open_folder, {**TREE, "fault_path": "/a/b/c", "socket_dir": "/nonexistent"})
    assert codes_on_host(path, "nobody", open_folder) == [codes.SERVER_CONFIG_FAULT_DOMAIN_TOO_MANY_LAYERS]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_root_looks_as_the_account(open_folder: Path) -> None:
    callback = open_folder / "cb"
    callback.write_text("#!/bin/sh\nid -u >&2; exit 1\n")
    callback.chmod(0o755)
    path = written(open_folder, {**TREE, "fault_cb": str(callback)})
    (error,) = json.loads(on_host(path, "nobody", open_folder).stdout)["response"]["errors"]
    assert error["code"] == codes.SERVER_CONFIG_FAULT_CALLBACK_FAILED
    assert "saying '65534'" in error["message"]
    Path(path).chmod(0o600)
    assert codes_on_host(path, "nobody", open_folder) == [codes.SERVER_CONFIG_UNREADABLE]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_root_runs_no_callback_without_the_account(open_folder: Path) -> None:
    ran = open_folder / "ran"
    callback = open_folder / "cb"
    callback.write_text(f"#!/bin/sh\necho x > {ran}\n")
    callback.chmod(0o755)
    path = written(open_folder, {**TREE, "fault_cb": str(callback)})
    assert codes_on_host(path, "no-such-account", open_folder) == [codes.SERVER_PRIVILEGE_DROP_FAILED]
    assert not ran.exists()


# show


@pytest.mark.parametrize("name", ["daos_server_local.yml", "daos_server_verbs.yml"])
def test_what_is_shown_is_a_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands.show(Invocation(), str(DATA / name))
    text = capsys.readouterr().out
    assert text.startswith(f"# {DATA / name} in force.")
    config = load(written(tmp_path, text)).config
    assert config.engines[0].storage == load(str(DATA / name)).config.engines[0].storage
    assert all("  # " in line for line in text.splitlines()[1:] if not line.endswith(":"))


def test_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    commands.show(Invocation(json=True), str(DATA / "daos_server_tcp.yml"))
    response = json.loads(capsys.readouterr().out)["response"]
    assert response["file"] == str(DATA / "daos_server_tcp.yml")
    assert response["config"]["engines"][1]["storage"][0]["scm_list"] == ["/dev/pmem1"]
    by_key = {value["key"]: value for value in response["values"]}
    assert by_key["engines[0].provider"] == {
        "key": "engines[0].provider", "value": "ofi+tcp", "origin": "inherited", "line": 6, "from": "inherited from provider (line 6)",
    }  # fmt: skip


def test_show_hides_secrets_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "fabric_auth_key: sesame\n")
    commands.show(Invocation(), path)
    assert "sesame" not in capsys.readouterr().out
    commands.show(Invocation(), path, secrets=True)
    assert "fabric_auth_key: sesame" in capsys.readouterr().out


def test_show_of_a_file_with_problems_is_a_fault_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"prot: is not a known key") as caught:
        commands.show(Invocation(), written(tmp_path, "prot: 1\nname: ''\n"))
    assert caught.value.code == codes.SERVER_CONFIG_INVALID


def test_show_of_a_range_of_buses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tier = {"class": "nvme", "bdev_list": ["0000:81:00.0"], "bdev_busid_range": "128-143"}
    path = written(tmp_path, server(engine(ram(), tier)))
    commands.show(Invocation(json=True), path)
    response = json.loads(capsys.readouterr().out)["response"]
    assert response["config"]["engines"][0]["storage"][1]["bdev_busid_range"] == "0x80-0x8f"


# schema


def test_schema_is_printed_alone_or_in_the_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    commands.schema(Invocation())
    plain = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(plain)
    commands.schema(Invocation(json=True))
    assert json.loads(capsys.readouterr().out)["response"] == plain
