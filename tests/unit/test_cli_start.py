# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``start`` and ``ms``: options over configuration, checks of the host, and the one clear end; the log file; no second service."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli.logs import LogFile
from daos_server.cli.run import run
from daos_server.config.model import ServerConfig
from daos_server.network.interfaces import ETHERNET, INFINIBAND, FabricInterface, FabricScan
from daos_server.start import addresses, alone, overrides, preflight
from daos_server.start.options import StartOptions
from daos_server.storage.nvme_commands import Scan

ENGINES = """
provider: ofi+tcp
socket_dir: {folder}
access_points: [localhost]
control_log_mask: DEBUG
engines:
- targets: 2
  fabric_iface: lo
  fabric_iface_port: 31416
  log_file: {folder}/e0.log
  storage:
  - {{class: dcpm, scm_mount: /mnt/daos0, scm_list: [/dev/pmem0]}}
- targets: 2
  fabric_iface: lo
  fabric_iface_port: 32416
  log_file: {folder}/e1.log
  storage:
  - {{class: dcpm, scm_mount: /mnt/daos1, scm_list: [/dev/pmem1]}}
"""
LEGACY = """
provider: ofi+tcp
engines:
- targets: 2
  fabric_iface: lo
  fabric_iface_port: 31416
  scm_class: dcpm
  scm_mount: /mnt/daos0
  scm_list: [/dev/pmem0]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with two engines that any host can have."""
    return write(tmp_path, ENGINES.format(folder=tmp_path))


def write(folder: Path, text: str) -> Path:
    path = folder / "daos_server.yml"
    path.write_text(text)
    return path


def fault_of(code: int, path: Path, options: StartOptions) -> Fault:
    with pytest.raises(Fault) as caught:
        overrides.load(str(path), options)
    assert caught.value.code == code
    return caught.value


# Options over configuration


def test_without_options_the_configuration_is_as_it_was(config: Path) -> None:
    loaded = overrides.load(str(config), StartOptions())
    assert loaded.config.engines[0].targets == 2
    assert not any("deprecated" in notice for notice in loaded.notices)


def test_options_go_before_the_configuration_for_every_engine(config: Path) -> None:
    options = StartOptions(
        port=10002, modules="vos,rdb", targets=5, helpers=0, first_core=3, group="other", socket_dir="/run/x", insecure=True
    )
    found = overrides.load(str(config), options).config
    assert (found.port, found.name, found.socket_dir, found.transport_config.allow_insecure) == (10002, "other", "/run/x", True)
    assert [(each.modules, each.targets, each.nr_xs_helpers, each.first_core) for each in found.engines] == [("vos,rdb", 5, 0, 3)] * 2


def test_the_other_keys_of_a_section_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "provider: ofi+tcp\ntransport_config: {cert: /a.crt, allow_insecure: false}\n")
    found = overrides.load(str(path), StartOptions(insecure=True)).config
    assert (found.transport_config.cert, found.transport_config.allow_insecure) == ("/a.crt", True)


def test_an_option_can_supply_what_the_file_lacks(tmp_path: Path) -> None:
    path = write(tmp_path, ENGINES.format(folder=tmp_path).replace("- targets: 2\n  fabric", "- fabric"))
    assert overrides.load(str(path), StartOptions(targets=4)).config.engines[1].targets == 4
    fault_of(codes.SERVER_CONFIG_INVALID, path, StartOptions())


def test_an_option_that_breaks_a_rule_is_refused_as_in_the_file(config: Path) -> None:
    fault = fault_of(codes.SERVER_CONFIG_DUPLICATE_SCM_MOUNT, config, StartOptions(storage="/mnt/daos1"))
    assert str(config) in fault.object


@pytest.mark.parametrize("text", [ENGINES, LEGACY])
def test_storage_moves_the_first_tier_of_engine_0_only(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text.format(folder=tmp_path))
    loaded = overrides.load(str(path), StartOptions(storage="/mnt/other"))
    assert [engine.storage[0].scm_mount for engine in loaded.config.engines] == ["/mnt/other", "/mnt/daos1"][: len(loaded.config.engines)]
    assert loaded.notices[0].startswith("--storage is deprecated")


def test_storage_needs_scm_in_the_first_tier(tmp_path: Path) -> None:
    path = write(
        tmp_path, ENGINES.format(folder=tmp_path).replace("class: dcpm, scm_mount: /mnt/daos0", "class: nvme, scm_mount: /mnt/daos0")
    )
    assert "first storage tier" in fault_of(codes.SERVER_OVERRIDE_INVALID, path, StartOptions(storage="/mnt/x")).description


@pytest.mark.parametrize("engines", ["", "engines: []\n"])
@pytest.mark.parametrize(
    ("options", "named"),
    [(StartOptions(targets=1), "--targets"), (StartOptions(helpers=0), "--xshelpernr"), (StartOptions(storage="/x"), "--storage")],
)
def test_an_option_for_engines_needs_engines(engines: str, options: StartOptions, named: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"provider: ofi+tcp\n{engines}")
    assert named in fault_of(codes.SERVER_OVERRIDE_INVALID, path, options).description


def test_what_is_no_configuration_is_refused_as_ever(tmp_path: Path) -> None:
    fault_of(codes.SERVER_CONFIG_SYNTAX, write(tmp_path, "- a\n- b\n"), StartOptions(targets=1, port=3))
    fault_of(codes.SERVER_CONFIG_INVALID, write(tmp_path, "engines: {a: 1}\n"), StartOptions(targets=1))
    fault_of(codes.SERVER_CONFIG_INVALID, write(tmp_path, "engines: [3]\n"), StartOptions(targets=1, storage="/x"))


def test_recreate_superblocks_is_deprecated(config: Path) -> None:
    assert "--recreate-superblocks is deprecated" in overrides.load(str(config), StartOptions(recreate_superblocks=True)).notices[0]


# No second service


@pytest.mark.parametrize(
    ("command_line", "serves"),
    [
        (["/usr/bin/daos_server", "start"], True),
        (["daos_server", "-o", "/etc/daos/daos_server.yml", "start", "-i"], True),
        (["/usr/bin/python3.11", "-ISB", "/opt/daos/bin/daos_server", "start"], True),
        (["daos_server", "storage", "scan"], False),
        (["daos_server"], False),
        (["daos_server_helper", "start"], False),
        (["vim", "daos_server", "start"], False),
        (["sudo", "daos_server", "start"], False),
        (["python3"], False),
        ([""], False),
        ([], False),
    ],
)
def test_a_service_is_told_by_its_command_line(command_line: list[str], serves: bool) -> None:
    assert alone.is_service(command_line) is serves


@pytest.fixture
def service() -> Iterator[subprocess.Popen[bytes]]:
    """A shell that waits for its input, under the name and with the argument of the service."""
    words = ["/opt/elsewhere/daos_server", "-c", "echo up; read line", "start"]
    with subprocess.Popen(words, executable="/bin/sh", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        yield running
        if running.poll() is None:
            running.communicate(b"\n")


def test_a_service_that_runs_is_found_and_refused(service: subprocess.Popen[bytes]) -> None:
    assert alone.running_service() == service.pid
    with pytest.raises(Fault) as caught:
        alone.refuse_if_running()
    assert caught.value.code == codes.SERVER_ALREADY_RUNNING
    assert str(service.pid) in caught.value.description
    service.communicate(b"\n")
    assert alone.running_service() != service.pid


CHANGING = ("storage prepare", "storage format --force", "storage reset", "nvme prepare", "nvme reset --force", "start")
LOOKING = ("storage scan", "storage prepare --dry-run", "storage format -n", "nvme scan", "nvme prepare -n", "nvme reset -n")


@pytest.mark.parametrize("command", [*CHANGING, *LOOKING])
def test_only_what_looks_works_beside_a_service(
    command: str, service: subprocess.Popen[bytes], config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    async def looked(*_: object, **__: object) -> Scan:
        done.append("scan")
        return Scan(places={})

    monkeypatch.setattr("daos_server.storage.nvme_commands.scan", looked)
    monkeypatch.setattr("daos_server.cli.execute.execute", lambda invocation, loaded, verb, **_: done.append(verb))
    monkeypatch.setattr("daos_server.cli.storage.become_account", lambda invocation: None)
    code = run([*command.split(), "-o", str(config)])
    err = capsys.readouterr().err
    if command in LOOKING:
        assert (code, done) == (0, [command.split()[1]])
    else:
        assert (code, done) == (1, [])
        assert f"code = {codes.SERVER_ALREADY_RUNNING} " in err
        assert f"pid {service.pid})" in err


def test_strange_things_in_proc_are_no_service(tmp_path: Path) -> None:
    for name, content in (("1", b"\xff\0\0"), ("2", b"x" * (alone.COMMAND_LINE_LIMIT + 1)), ("self", b"daos_server\0start\0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cmdline").write_bytes(content)
    (tmp_path / "3").mkdir()
    assert alone.running_service(str(tmp_path)) == 0
    (tmp_path / "3" / "cmdline").write_bytes(b"daos_server\0start\0")
    assert alone.running_service(str(tmp_path)) == 3


# Addresses


def test_loopback_has_its_address() -> None:
    assert ip_address("127.0.0.1") in addresses.of_interfaces()["lo"]


@pytest.mark.parametrize("point", ["localhost", "127.0.0.1:10001", "[::1]:10001"])
def test_this_host_is_known_by_its_addresses(point: str) -> None:
    config = ServerConfig.model_validate({"access_points": [point]})
    assert addresses.is_any(addresses.of_access_points(config).values(), addresses.of_interfaces())


def test_another_host_is_not_this_one() -> None:
    config = ServerConfig.model_validate({"access_points": ["203.0.113.77"]})
    assert not addresses.is_any(addresses.of_access_points(config).values(), addresses.of_interfaces())


@pytest.mark.parametrize("point", ["no.such.host.invalid", "a" * 70 + ":1"])
def test_a_name_that_does_not_resolve_is_fault_705(point: str) -> None:
    with pytest.raises(Fault) as caught:
        addresses.of_access_points(ServerConfig.model_validate({"access_points": [point]}))
    assert caught.value.code == codes.SERVER_CONFIG_BAD_ACCESS_POINTS
    assert point in caught.value.object


# Preflight, piece by piece


def test_a_start_needs_a_provider_a_place_and_a_socket_folder(tmp_path: Path) -> None:
    def refusals(**keys: object) -> list[Fault]:
        return list(preflight.settings_faults(ServerConfig.model_validate({"socket_dir": str(tmp_path), **keys}), "a.yml"))

    without_provider, without_place, without_folder = refusals(socket_dir=f"{tmp_path}/none")
    assert without_provider.code == codes.SERVER_CONFIG_BAD_PROVIDER
    assert (without_place.code, "management service" in without_place.description) == (codes.SERVER_START_IMPOSSIBLE, True)
    assert f"{tmp_path}/none" in without_folder.description
    assert refusals(provider="ofi+tcp", control_metadata={"path": "/x"}) == []


def engines(*interfaces: str) -> ServerConfig:
    return ServerConfig.model_validate({"provider": "ofi+tcp", "engines": [{"fabric_iface": name} for name in interfaces]})


def scan_of(**classes: int) -> FabricScan:
    found = [FabricInterface(provider="ofi+tcp", device=name, numa_node=0, priority=0, net_class=each) for name, each in classes.items()]
    return FabricScan(interfaces=tuple(found), numa_count=1, cores_per_numa=2)


def test_interfaces_are_waited_for_once_each() -> None:
    assert preflight.interfaces_of(engines("eth0, ib0", "eth0", "eth1")) == ("eth0", "ib0", "eth1")
    assert preflight.interfaces_of(engines()) == ()


def test_all_engines_need_interfaces_of_one_class() -> None:
    preflight.check_net_class(engines("eth0", "eth1"), scan_of(eth0=ETHERNET, eth1=ETHERNET))
    preflight.check_net_class(engines("eth0", "unseen"), scan_of(eth0=ETHERNET))
    with pytest.raises(Fault) as caught:
        preflight.check_net_class(engines("eth0", "ib0"), scan_of(eth0=ETHERNET, ib0=INFINIBAND))
    assert caught.value.code == codes.SERVER_CONFIG_INVALID_NET_DEV_CLASS
    assert "engine 1 uses the network interface 'ib0' of class infiniband" in caught.value.description


# The whole


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start as whoever runs the tests, on a host whose fabric is known: neither the account nor libfabric is there everywhere."""
    monkeypatch.setattr("daos_server.cli.storage.become_account", lambda invocation: None)
    monkeypatch.setattr("daos_server.network.scan.scan", lambda provider: scan_of(lo0=ETHERNET))


@pytest.mark.usefixtures("started")
def test_start_ends_with_what_it_does_not_do(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["start", "-o", str(config), "-t", "3", "-s", "/mnt/other", "--auto-format", "--ignore-config"]) == 1
    out, err = capsys.readouterr()
    for line in (
        "configuration: ",
        "access points: localhost:10001 (",
        "fabric interfaces: lo (127.0.0.1",
        "fabric: lo0 (ofi+tcp)",
        "fault domain: /",
    ):
        assert line in out
    assert "engine 1" in out
    assert f"code = {codes.SERVER_COMMAND_NOT_BUILT} " in err
    assert "--auto-format did nothing" in err
    assert "NOTICE: --storage is deprecated" in err
    assert "NOTICE: --ignore-config has no effect" in err


@pytest.mark.usefixtures("started")
def test_start_keeps_the_log_that_it_is_told_to(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = config.parent / "control.log"
    config.write_text(f"control_log_file: {log}\n{config.read_text()}")
    assert run(["start", "-o", str(config)]) == 1
    lines = log.read_text().splitlines()
    assert lines[0].startswith(f"{os.uname().nodename} 20")
    assert any(line.endswith("INFO: fault domain: /" + os.uname().nodename) for line in lines)
    assert log.stat().st_mode & 0o777 & ~0o664 == 0
    log.unlink()
    assert run(["start", "-o", str(config), "--json-logging"]) == 1
    assert json.loads(log.read_text().splitlines()[-1])["source"] == "daos_server"
    log.unlink()
    log.symlink_to("/dev/null")
    assert run(["start", "-o", str(config)]) == 1
    assert f"code = {codes.SERVER_LOG_FILE_UNUSABLE} " in capsys.readouterr().err


def test_lines_that_the_log_file_does_not_take_are_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogFile("/dev/full", encoding="utf-8", errors="backslashreplace")
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "text"}))
    with contextlib.suppress(OSError):
        handler.close()
    assert capsys.readouterr().err == "NOTICE: lines of the log are lost: /dev/full cannot be written: No space left on device\n"


@pytest.mark.usefixtures("started")
def test_several_things_in_the_way_are_all_told(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from daos_server.plan.affinity import Affinity
    from daos_server.plan.host import Derived

    faults = (Fault(codes.SERVER_IOMMU_DISABLED), Fault(codes.SERVER_VFIO_DISABLED))
    for count, last in ((1, codes.SERVER_IOMMU_DISABLED), (2, codes.SERVER_START_IMPOSSIBLE)):
        derived = Derived(affinity=Affinity(), faults=faults[:count], notices=("odd",))
        monkeypatch.setattr(preflight, "derive", lambda config, host, derived=derived: derived)
        assert run(["start", "-o", str(config)]) == 1
        err = capsys.readouterr().err
        assert "NOTICE: odd" in err
        assert f"code = {last} " in err.splitlines()[-3]
        assert all(f"code = {fault.code} " in err for fault in faults[:count])


@pytest.mark.usefixtures("started")
def test_a_stop_signal_is_the_ordinary_end_of_a_service(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(names: object, deadline_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("daos_server.network.ready.wait_ready", interrupted)
    assert run(["start", "-o", str(config)]) == 0
    assert capsys.readouterr().err.endswith("NOTICE: stopped before anything was started\n")


@pytest.mark.usefixtures("started")
def test_a_callback_beside_the_file_that_was_named_is_not_run(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = config.parent / "domain.sh"
    script.write_text("#!/bin/sh\necho /rack1\n")
    script.chmod(0o755)
    config.write_text(f"fault_cb: {script}\n{config.read_text()}")
    assert run(["start", "-o", str(config)]) == 1
    assert f"code = {codes.SERVER_CONFIG_FAULT_CALLBACK_INSECURE} " in capsys.readouterr().err


@pytest.mark.usefixtures("started")
def test_what_is_wrong_does_not_hide_what_else_is_wrong(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = config.read_text().replace("fabric_iface: lo", "fabric_iface: none9").replace("socket_dir: ", "socket_dir: /none")
    config.write_text(f"{changed}\nfault_cb: {config}\n")
    assert run(["start", "-o", str(config)]) == 1
    err = capsys.readouterr().err
    assert f"/none{config.parent}, does not exist" in err
    assert "'install -d" in err
    assert f"code = {codes.NETWORK_INTERFACE_UNUSABLE} " in err
    assert f"code = {codes.SERVER_CONFIG_FAULT_CALLBACK_INSECURE} " in err
    assert "3 things are in the way" in err


@pytest.mark.usefixtures("started")
def test_an_interface_without_an_address_is_told(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "of_interfaces", dict)
    assert run(["start", "-o", str(config)]) == 1
    assert "the fabric interface lo has no network address" in capsys.readouterr().err


# ms


@pytest.mark.parametrize("command", ["status", "recover --force", "restore --path /backup"])
def test_ms_ends_with_what_it_does_not_do_on_a_replica(command: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ms", *command.split(), "-o", str(config), "--ignore-config"]) == 1
    err = capsys.readouterr().err
    assert f"code = {codes.SERVER_COMMAND_NOT_BUILT} " in err
    assert "--ignore-config has no effect" in err


def test_ms_is_for_replicas_only(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace("[localhost]", "[203.0.113.77]"))
    assert run(["ms", "status", "-o", str(config)]) == 1
    err = capsys.readouterr().err
    assert f"code = {codes.SERVER_NOT_REPLICA} " in err
    assert "203.0.113.77:10001 (203.0.113.77)" in err


def test_ms_needs_a_valid_configuration(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("nonsense: 1\n")
    assert run(["ms", "status", "-o", str(config)]) == 1
    assert f"code = {codes.SERVER_CONFIG_INVALID} " in capsys.readouterr().err
