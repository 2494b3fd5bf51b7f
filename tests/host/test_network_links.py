# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Links, topology and fabric scan over interfaces of the real kernel, in a network namespace of the test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_world import World, compile_standin, world

from daos_server.hardware import sysfs
from daos_server.network import links
from daos_server.network.interfaces import ETHERNET, LOOPBACK
from daos_server.network.links import Link
from daos_server.network.scan import scan


@pytest.fixture
def net(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def links_of(net: World) -> dict[str, Link]:
    return {link.name: link for link in links.read(net.sysfs)}


def backing_of(net: World) -> dict[str, str]:
    return {device.name: device.backing for device in sysfs.read(net.sysfs).virtual_devices}


def test_links_are_those_of_the_namespace_with_class_state_and_kind(net: World) -> None:
    net.pair("v0", "v1")
    net.add("b0", "bridge")
    found = links_of(net)
    assert list(found) == ["b0", "lo", "v0", "v1"]
    assert found["lo"] == Link(name="lo", net_class=LOOPBACK, state="down", enabled=False)
    assert found["v0"] == Link(name="v0", net_class=ETHERNET, state="up", enabled=True, kind="veth", mbps=10000)
    assert (found["b0"].kind, found["b0"].enabled) == ("bridge", False)


def test_a_link_whose_other_end_is_off_is_down_though_switched_on(net: World) -> None:
    net.pair("v0", "v1")
    net.set("v0", state="down")
    net.until("v1", "lowerlayerdown")
    found = links_of(net)
    assert (found["v0"].state, found["v0"].enabled) == ("down", False)
    assert found["v1"].enabled


def test_topology_lists_virtual_interfaces_without_hardware(net: World) -> None:
    net.pair("v0", "v1")
    net.add("m0", "macvlan", link=net.index("v0"))
    assert backing_of(net) == {"lo": "", "m0": "", "v0": "", "v1": ""}
    nodes = sysfs.read(net.sysfs).nodes
    assert [device for node in nodes for device in node.pci_devices if device.kind == "network"] == []


@pytest.mark.parametrize("kind", ["vlan", "bond", "dummy"])
def test_stacked_kinds_are_read(net: World, kind: str) -> None:
    net.pair("v0", "v1")
    net.add("s0", kind, **({"link": net.index("v0"), "vlan_id": 5} if kind == "vlan" else {}))
    if kind == "bond":
        net.set("v0", state="down")
        net.set("v0", master=net.index("s0"))
    net.set("s0", state="up")
    net.until("s0", "unknown" if kind == "dummy" else "up")
    found = links_of(net)["s0"]
    assert (found.kind, found.net_class, found.enabled) == (kind, ETHERNET, True)
    assert backing_of(net)["s0"] == ""


def test_scan_of_a_stand_in_finds_what_the_kernel_has(net: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net.pair("v0", "v1")
    compile_standin(tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("LIKE", "tcp;ofi_rxm@v1 tcp;ofi_rxm@v0 tcp@lo tcp@gone0 shm@shm tcp@v0")
    found = [(each.provider, each.device, each.priority, each.net_class) for each in scan("ofi+tcp", sysfs=net.sysfs).interfaces]
    # libfabric has been asked for "tcp" alone; the stand-in takes that by the letter.
    assert found == [("ofi+tcp", "v0", 2, ETHERNET)]
    found = [(each.provider, each.device, each.priority, each.net_class) for each in scan("ofi+tcp;ofi_rxm", sysfs=net.sysfs).interfaces]
    assert found == [("ofi+tcp;ofi_rxm", "v1", 0, ETHERNET), ("ofi+tcp;ofi_rxm", "v0", 1, ETHERNET)]


def test_scan_with_the_real_library(net: World) -> None:
    net.pair("v0", "v1")
    net.set("lo", state="up")
    for number, name in ((1, "v0"), (2, "v1")):
        net.route.addr("add", index=net.index(name), address=f"192.0.2.{number}", prefixlen=24, family=socket.AF_INET)
    found = scan("all", sysfs=net.sysfs)
    if any("libfabric is not installed" in note for note in found.notes):
        pytest.skip("libfabric is not installed")
    pairs = {(each.provider, each.device) for each in found.interfaces}
    assert {("ofi+tcp;ofi_rxm", "v0"), ("ofi+tcp;ofi_rxm", "v1"), ("ofi+tcp", "v0")} <= pairs
    assert {each.device for each in found.interfaces} == {"v0", "v1"}
    assert {each.net_class for each in found.interfaces} == {ETHERNET}
    assert [each.priority for each in found.interfaces] == sorted(each.priority for each in found.interfaces)
    assert found.numa_count >= 1
    narrowed = scan("ofi+tcp;ofi_rxm", sysfs=net.sysfs)
    assert {each.provider for each in narrowed.interfaces} == {"ofi+tcp;ofi_rxm"}
