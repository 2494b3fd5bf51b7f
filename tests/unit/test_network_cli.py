# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``network scan`` and ``dump-topology``: what they print, to the letter where tools read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli import network
from daos_server.cli.options import Invocation
from daos_server.hardware import show, sysfs
from daos_server.installation import Installation
from daos_server.network import links
from daos_server.network import scan as scanning
from daos_server.network.interfaces import ETHERNET, INFINIBAND, FabricInterface, FabricScan
from daos_server.network.links import Link, RdmaPort


def interface(provider: str, device: str, node: int, priority: int, net_class: int) -> FabricInterface:
    return FabricInterface(provider=provider, device=device, numa_node=node, priority=priority, net_class=net_class)


FOUND = FabricScan(
    interfaces=(
        interface("ofi+verbs;ofi_rxm", "ib0", 1, 0, INFINIBAND),
        interface("ofi+tcp", "eth0", 0, 1, ETHERNET),
        interface("ofi+tcp", "eth1", 0, 1, ETHERNET),
        interface("ofi+sockets", "eth0", 0, 2, ETHERNET),
        interface("ofi+tcp", "ib0", 1, 3, INFINIBAND),
    ),
    numa_count=2,
    cores_per_numa=12,
    notes=("UCX is\x1b not there",),
)
LINKS = (
    Link(name="eth0", net_class=ETHERNET, state="up", enabled=True, mbps=25000),
    Link(name="eth1", net_class=ETHERNET, state="down", enabled=False),
    Link(name="ib0", net_class=INFINIBAND, state="up", enabled=True, mbps=200, ports=(RdmaPort(device="mlx5_0", port=1, state=4),)),
    Link(name="lo", net_class=772, state="unknown", enabled=True),
)
TABLE = """\
---------
localhost
---------

    -------------
    NUMA Socket 0
    -------------

        Provider    Interfaces |
        --------    ---------- |
        ofi+tcp     eth0, eth1 |
        ofi+sockets eth0       |

    -------------
    NUMA Socket 1
    -------------

        Provider          Interfaces |
        --------          ---------- |
        ofi+verbs;ofi_rxm ib0        |
        ofi+tcp           ib0        |

    Interface Class      State Speed      RDMA     |
    --------- -----      ----- -----      ----     |
    ib0       infiniband up    200 Mbit/s mlx5_0:1 |
    eth0      ethernet   up    25 Gbit/s  -        |
    eth1      ethernet   down  -          -        |
""".replace("|\n", "\n")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every scan find the same; return what was asked for."""
    given: list[str] = []

    def scan(provider: str) -> FabricScan:
        given.append(provider)
        return FOUND

    monkeypatch.setattr(scanning, "scan", scan)
    monkeypatch.setattr(links, "read", lambda: LINKS)
    return given


def invocation(folder: Path, text: str | None = None, *, as_json: bool = False) -> Invocation:
    """Return a command line whose default configuration has this text."""
    file = folder / "daos_server.yml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    return Invocation(installed=Installation(config_file=str(file)), json=as_json)


def test_tables(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network.scan(invocation(tmp_path), "all")
    out, err = capsys.readouterr()
    assert out == TABLE
    assert err == "NOTICE: UCX is\\x1b not there\n"
    assert asked == ["all"]


def test_json_is_the_map_that_tools_know(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network.scan(invocation(tmp_path, as_json=True), "")
    found = json.loads(capsys.readouterr().out)
    assert (found["error"], found["status"]) == (None, 0)
    ((key, host),) = found["response"].items()
    assert 0 <= int(key) < 2**64
    assert host["HostSet"] == "localhost"
    assert host["HostFabric"] == {
        "Interfaces": [
            {"Provider": "ofi+verbs;ofi_rxm", "Device": "ib0", "NumaNode": 1, "Priority": 0, "NetDevClass": 32},
            {"Provider": "ofi+tcp", "Device": "eth0", "NumaNode": 0, "Priority": 1, "NetDevClass": 1},
            {"Provider": "ofi+tcp", "Device": "eth1", "NumaNode": 0, "Priority": 1, "NetDevClass": 1},
            {"Provider": "ofi+sockets", "Device": "eth0", "NumaNode": 0, "Priority": 2, "NetDevClass": 1},
            {"Provider": "ofi+tcp", "Device": "ib0", "NumaNode": 1, "Priority": 3, "NetDevClass": 32},
        ],
        "Providers": ["ofi+sockets", "ofi+tcp", "ofi+verbs;ofi_rxm"],
        "NumaCount": 2,
        "CoresPerNuma": 12,
    }
    network.scan(invocation(tmp_path, as_json=True), "")
    assert list(json.loads(capsys.readouterr().out)["response"]) == [key]
    assert asked == ["", ""]


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("provider: ofi+tcp\n", "", "ofi+tcp"),
        ("provider: ofi+tcp\n", "ofi+verbs", "ofi+verbs"),
        ("provider: ofi+tcp\n", "all", "all"),
        ("{}\n", "", ""),
        ("provider: [\n", "", ""),
        (None, "", ""),
    ],
)
def test_the_configured_provider_is_the_default(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, given: str, expected: str
) -> None:
    network.scan(invocation(tmp_path, text), given)
    assert asked == [expected]
    err = capsys.readouterr().err
    assert ("only providers like ofi+tcp" in err) == (expected == "ofi+tcp")
    assert ("the configuration does not load" in err) == (text == "provider: [\n")


def test_a_configuration_that_was_named_has_to_load(asked: list[str], tmp_path: Path) -> None:
    named = Invocation(config=str(tmp_path / "missing.yml"))
    with pytest.raises(Fault) as caught:
        network.scan(named, "")
    assert caught.value.code == codes.SERVER_CONFIG_UNREADABLE
    network.scan(named, "all")
    assert asked == ["all"]


@pytest.mark.parametrize("output", ["", "stdout"])
def test_topology_is_printed(capsys: pytest.CaptureFixture[str], output: str) -> None:
    network.dump_topology(Invocation(), output)
    assert capsys.readouterr().out == show.text(sysfs.read())


def test_a_configuration_named_for_the_topology_is_not_ignored_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    network.dump_topology(Invocation(config="/nowhere.yml"), "")
    assert "this command reads none" in capsys.readouterr().err


def test_topology_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    network.dump_topology(Invocation(json=True), "stdout")
    assert json.loads(capsys.readouterr().out) == {"response": show.as_json(sysfs.read()), "error": None, "status": 0}


def test_topology_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "topology.txt"
    network.dump_topology(Invocation(), str(file))
    assert capsys.readouterr().out == ""
    assert file.read_text(encoding="utf-8") == show.text(sysfs.read())
    network.dump_topology(Invocation(json=True), str(file))
    assert capsys.readouterr().out == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["missing/file", ".", "nul\0"])
def test_a_file_that_cannot_be_written_is_a_fault(tmp_path: Path, path: str) -> None:
    with pytest.raises(Fault) as caught:
        network.dump_topology(Invocation(), f"{tmp_path}/{path}")
    assert caught.value.code == codes.SERVER_OUTPUT_UNWRITABLE
    assert caught.value.cause


def test_no_link_is_written_through_and_no_fifo_waited_for(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    os.mkfifo(tmp_path / "fifo")
    for name, cause in (("link", "it is a symbolic link"), ("fifo", "No such device or address")):
        with pytest.raises(Fault) as caught:
            network.dump_topology(Invocation(), str(tmp_path / name))
        assert (caught.value.code, caught.value.cause) == (codes.SERVER_OUTPUT_UNWRITABLE, cause)
    assert not (tmp_path / "victim").exists()


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    program = "import sys; import daos_server.cli.network; print(*sys.modules)"
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    loaded = set(done.stdout.split())
    heavy = {"pyroute2", "pydantic", "yaml", "_cffi_backend", "msgspec", "asyncio"}
    assert not {name for name in loaded if name.partition(".")[0] in heavy}
    assert not {name for name in loaded if name.startswith(("daos_server.network", "daos_server.hardware", "daos_bindings"))}
