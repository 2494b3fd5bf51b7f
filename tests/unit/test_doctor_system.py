# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Doctor: kernel, interpreter, SELinux, clock, ports, accounts and the configuration; on made-up machines."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from made_up import ACCOUNT, Tree, by_subject, complete, facts, installation, setting

from daos_bindings.linux import clock
from daos_bindings.linux.kernelfiles import MalformedError
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.doctor import accounts, configuration, ports, system
from daos_server.doctor.machine import Setting
from daos_server.doctor.process import kernel_version
from daos_server.installation import Installation

NOTHING = Setting(installation())
SSD = '"0000:81:00.0"'
UID = pwd.getpwnam(ACCOUNT).pw_uid


@pytest.mark.parametrize(("release", "verdict"), [("5.14.0-427.el9", "ok"), ("6.1", "ok"), ("5.13.99", "stops"), ("strange", "unknown")])
def test_the_kernel(release: str, verdict: str, tmp_path: Path) -> None:
    (point,) = system.kernel(Tree(tmp_path, release).machine, NOTHING)
    assert (point.verdict, complete(point)) == (verdict, True)
    assert kernel_version(release) == point


def test_the_interpreter() -> None:
    for version, verdict in (((3, 10, 9), "stops"), ((3, 11, 0), "ok")):
        (point,) = system.interpreter(Tree(Path("/")).machine, NOTHING, version)
        assert (point.verdict, complete(point)) == (verdict, True)


@pytest.mark.parametrize(("text", "verdict", "found"), [(None, "ok", "off"), ("0", "ok", "permissive"), ("1", "warning", "enforcing")])
def test_selinux(text: str | None, verdict: str, found: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    if text is not None:
        tree.write("sys/fs/selinux/enforce", text)
    (point,) = system.selinux(tree.machine, NOTHING)
    assert (point.verdict, point.found, complete(point)) == (verdict, found, True)


@pytest.mark.parametrize(
    ("state", "status", "verdict"), [(0, 0x2001, "ok"), (clock.TIME_ERROR, 0, "warning"), (0, clock.STA_UNSYNC, "warning")]
)
def test_the_clock(state: int, status: int, verdict: str, tmp_path: Path) -> None:
    answer = clock.interpret(state=state, status=status, max_error_us=1500)
    (point,) = system.clock(Tree(tmp_path).machine, NOTHING, read=lambda: answer)
    assert (point.verdict, complete(point)) == (verdict, True)
    assert verdict != "ok" or "at most 1.5 ms" in point.found


def test_the_kernel_tells_of_its_clock() -> None:
    now = clock.read()
    assert 0 <= now.max_error_us <= 16_000_000


# Ports

TITLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def listening(port: int, *, uid: int = 0, inode: int = 77, state: str = "0A", address: str = "00000000") -> str:
    there, nowhere = f"{address}:{port:04X}", f"{'0' * len(address)}:0000"
    return f"   0: {there} {nowhere} {state} 00000000:00000000 00:00000000 00000000 {uid:5d}        0 {inode} 1 0 100 0 0 10 0\n"


def test_ports_of_the_configuration_are_free_or_taken(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/net/tcp", TITLE + listening(31416) + listening(10001, state="01") + listening(22))
    tree.write("proc/net/tcp6", TITLE + listening(9191, address="0" * 32))
    asked = setting(tmp_path, SSD, '"0000:c1:00.0"', more="telemetry_port: 9191")
    found = by_subject(ports.check(tree.machine, asked))
    assert {subject: point.verdict for subject, point in found.items()} == {
        "TCP port 10001 (port)": "ok",
        "TCP port 9191 (telemetry_port)": "warning",
        "TCP port 31416 (fabric_iface_port of engine 0)": "stops",
        "TCP port 32416 (fabric_iface_port of engine 1)": "ok",
    }
    assert all(map(complete, found.values()))


@pytest.mark.parametrize(("comm", "verdict"), [("nginx", "warning"), ("daos_server", "ok"), ("daos_engine", "ok")])
def test_a_port_of_a_server_that_runs_is_ok(comm: str, verdict: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/net/tcp", TITLE + listening(10001))
    tree.write("proc/4711/comm", f"{comm}\n")
    tree.folder("proc/4711/fd")
    (tmp_path / "proc/4711/fd/3").symlink_to("socket:[77]")
    (point,) = ports.check(tree.machine, NOTHING)
    assert (point.verdict, complete(point)) == (verdict, True)
    assert f"process 4711 ({comm}) of root" in point.found


@pytest.mark.parametrize(("uid", "verdict"), [(0, "warning"), (UID, "ok")])
def test_a_port_whose_process_is_hidden_is_judged_by_its_user(uid: int, verdict: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/net/tcp", TITLE + listening(10001, uid=uid))
    (point,) = ports.check(tree.machine, NOTHING)
    assert point.verdict == verdict
    assert "only root can name" in point.found


def test_a_strange_line_of_the_kernel_is_refused(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/net/tcp", f"{TITLE}x\n")
    with pytest.raises(MalformedError, match="not a socket"):
        list(ports.check(tree.machine, NOTHING))


# Accounts


def test_groups_are_told_and_not_judged() -> None:
    assert {point.verdict for point in accounts.groups(Tree(Path("/")).machine, NOTHING)} == {"ok"}


def test_accounts_that_are_there_missing_root_or_one() -> None:
    def verdicts(account: str, worker: str) -> list[str]:
        where = Installation(**{**vars(installation()), "account": account, "worker_account": worker})
        found = by_subject(accounts.accounts(where))
        assert all(map(complete, found.values()))
        return [point.verdict for point in found.values()]

    assert verdicts(ACCOUNT, "bin") == ["ok", "ok", "ok"]
    assert verdicts("no_such_account_", "bin") == ["stops", "ok"]
    assert verdicts("root", "bin") == ["stops", "ok", "ok"]


# Configuration


def test_without_a_configuration_the_default_is_named_and_another_one_is_missed(tmp_path: Path) -> None:
    path = str(tmp_path / "none.yml")
    config, point = configuration.load(path, named=False)
    assert (config, point.verdict, complete(point)) == (None, "warning", True)
    config, point = configuration.load(path, named=True)
    assert (config, point.verdict, complete(point)) == (None, "stops", True)


def test_a_configuration_with_problems_names_the_first(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    path.write_text("name: daos_server\nprot: 1\nfault_paths: x\n", encoding="ascii")
    config, point = configuration.load(str(path), named=True)
    assert (config, point.verdict, complete(point)) == (None, "stops", True)
    assert "2 problems, the first:" in point.found
    assert f"daos_server config check {path}" in point.advice


def test_a_configuration_that_keeps_the_rules_is_ok(tmp_path: Path) -> None:
    path = tmp_path / "good.yml"
    path.write_text("name: daos_server\n", encoding="ascii")
    config, point = configuration.load(str(path), named=True)
    assert config is not None
    assert (point.verdict, point.found) == ("ok", f"{path}, 0 engines")
    assert configuration.derived(config, ACCOUNT) is not None
    assert configuration.derived(None, ACCOUNT) is None


def test_a_machine_that_cannot_be_read_makes_the_plan_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreadable(**_: str) -> None:
        raise Fault(codes.STORAGE_SYSTEM_CALL_FAILED, object="/proc", cause="x", call="read", what="/proc")

    monkeypatch.setattr("daos_server.storage.host_facts.read_host", unreadable)
    assert configuration.derived(setting(tmp_path).config, ACCOUNT) is None


def test_a_configuration_that_does_not_fit_the_machine_stops_engines(tmp_path: Path) -> None:
    machine = Tree(tmp_path).machine
    (point,) = configuration.plan(machine, setting(tmp_path, SSD))
    assert point.verdict == "ok"
    found = by_subject(configuration.plan(machine, setting(tmp_path, SSD, '"0000:c1:00.0"', host=facts(nodes=1))))
    assert {point.verdict for point in found.values()} == {"stops"}
    assert all(map(complete, found.values()))
    assert list(configuration.plan(machine, NOTHING)) == []


def test_control_metadata_must_be_on_a_local_disk(tmp_path: Path) -> None:
    machine = Tree(tmp_path).machine
    more = f"control_metadata: {{path: {tmp_path}/metadata}}"
    (point,) = configuration.metadata(machine, setting(tmp_path, more=more))
    assert point.verdict == "ok"
    assert list(configuration.metadata(machine, setting(tmp_path))) == []
