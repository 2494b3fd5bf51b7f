# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Doctor: what the configuration names and the machine has not, lock files that may go, the command that makes a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from config_trees import engine, nvme, ram, server
from made_up import Tree, by_subject, complete, installation

from daos_server.cli.run import run
from daos_server.config.load import load
from daos_server.doctor import configuration, names, spdk_locks
from daos_server.doctor.machine import Setting
from daos_server.generate import host
from daos_server.generate.facts import MachineFacts
from daos_server.network.interfaces import ETHERNET, FabricInterface, FabricScan
from daos_server.plan.units import GIB, KIB

pytestmark = pytest.mark.unit

SSD = "0000:81:00.0"
HERE = {"access_points": ["127.0.0.1"], "transport_config": {"allow_insecure": True}}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "machine")
    made.folder("sys/class/net/eth0")
    made.folder("var/run/daos_server")
    made.folder("var/tmp")
    return made


def asking(folder: Path, *engines: object, **more: object) -> Setting:
    path = folder / "made_up.yml"
    path.write_text(json.dumps(server(*engines, **(HERE | more))))
    return Setting(installation(), load(str(path)).config)


def test_all_that_is_named_is_there(tree: Tree, tmp_path: Path) -> None:
    (point,) = names.check(tree.machine, asking(tmp_path, engine()))
    assert (point.subject, point.verdict) == ("what it names", "ok")


def test_each_thing_that_is_missing_is_named_with_its_key(tree: Tree, tmp_path: Path) -> None:
    dcpm = {"class": "dcpm", "scm_mount": "/mnt/daos0", "scm_list": ["/dev/pmem77"]}
    asked = asking(
        tmp_path, engine(dcpm, nvme(SSD), fabric_iface="ib7", log_file="/nowhere/engine.log"), access_points=["nosuchhost.invalid"]
    )
    found = by_subject(names.check(tree.machine, asked))
    assert set(found) == {"access_points[0]", "engines[0].fabric_iface", "engines[0].log_file", "engines[0].storage[0].scm_list"}
    assert all(point.verdict == "stops" and complete(point) for point in found.values())
    assert "'ib7' is no interface of this host" in found["engines[0].fabric_iface"].found
    assert "eth0" in found["engines[0].fabric_iface"].advice


def test_certificates_that_are_missing_stop_the_server(tree: Tree, tmp_path: Path) -> None:
    files = {key: f"{tmp_path}/none/{key}" for key in ("ca_cert", "cert", "key", "client_cert_dir")}
    found = by_subject(names.check(tree.machine, asking(tmp_path, engine(), transport_config=files)))
    assert {subject: point.verdict for subject, point in found.items()} == {f"transport_config.{key}": "stops" for key in files}


def test_a_folder_of_sockets_that_nobody_makes_comes_with_the_command(tree: Tree, tmp_path: Path) -> None:
    (tree.root / "var/run/daos_server").rmdir()
    asked = asking(tmp_path, engine())
    (point,) = names.check(tree.machine, asked)
    assert point.subject == "socket_dir /var/run/daos_server"
    assert (point.verdict, point.advice) == ("stops", "  install -d -o daemon -g daemon /var/run/daos_server")
    tree.write("etc/systemd/system/daos_server.service", "[Service]\n")
    assert [point.subject for point in names.check(tree.machine, asked)] == ["what it names"]


def test_a_folder_of_sockets_of_ones_own_that_is_missing_is_named_once(tree: Tree, tmp_path: Path) -> None:
    (point,) = names.check(tree.machine, asking(tmp_path, engine(), socket_dir="/nowhere/sockets"))
    assert (point.subject, point.verdict) == ("socket_dir /nowhere/sockets", "stops")


def test_without_a_configuration_nothing_is_named(tree: Tree) -> None:
    assert list(names.check(tree.machine, Setting(installation()))) == []


def test_no_lock_file_is_removed_on_the_word_of_a_program_that_may_be_missing(tree: Tree, tmp_path: Path) -> None:
    lock = tree.root / "var/tmp" / f"spdk_pci_lock_{SSD}"
    lock.symlink_to("/etc/passwd")
    (point,) = spdk_locks.check(tree.machine, asking(tmp_path, engine(ram(), nvme(SSD))))
    assert point.advice == f"remove it, as no process holds it:\n  rm {lock}"


def machine(memory_gib: int) -> MachineFacts:
    eth0 = FabricInterface(provider="ofi+tcp", device="eth0", numa_node=0, priority=0, net_class=ETHERNET)
    fabric = FabricScan(interfaces=(eth0,), numa_count=1, cores_per_numa=4)
    return MachineFacts(fabric=fabric, numa_nodes=(0,), hugepage_kib=2048, mem_total_kib=memory_gib * GIB // KIB)


def test_the_command_that_makes_a_configuration_works_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "read_facts", lambda _options: machine(32))
    path = tmp_path / "a folder" / "daos_server.yml"
    _, point = configuration.load(str(path), named=False)
    command, _, target = point.advice.splitlines()[-1].strip().partition(" > ")
    assert target == f"'{path}'"
    assert run(command.split()[1:]) == 0
    assert "engines:" in capsys.readouterr().out


def test_where_none_can_be_made_no_file_is_emptied_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "read_facts", lambda _options: machine(1))
    _, point = configuration.load(str(tmp_path / "daos_server.yml"), named=False)
    assert point.advice.splitlines()[-1] == "  daos_server config generate"
