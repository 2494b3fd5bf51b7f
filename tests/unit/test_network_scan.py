# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The fabric scan over a made-up sysfs and a stand-in libfabric, through the real child process."""

from __future__ import annotations

from pathlib import Path

import pytest
from network_world import compile_standin
from sysfs_tree import Tree

from daos_bindings.fabric import ask as asking
from daos_bindings.fabric.ask import FabricDevice
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.network import sources
from daos_server.network.scan import scan


class Lab:
    """A machine with two NUMA nodes: mlx5_0 with ib0 and its child on node 1, eth0 with a VLAN on node 0, cxi0 without an interface."""

    def __init__(self, folder: Path, standin: Path, environment: pytest.MonkeyPatch) -> None:
        self.environment = environment
        self.tree = Tree(folder / "sys")
        self.tree.write("devices/system/node/online", "0-1")
        self.tree.cpus(0, {0: "0", 1: "1"})
        self.tree.cpus(1, {2: "2", 3: "3", 4: "4"})
        mlx = self.tree.function("pci0000:80/0000:81:00.0", node="1")
        self.tree.device("infiniband", "mlx5_0", mlx)
        self.tree.device("net", "ib0", mlx)
        self.tree.virtual("ib0.8001", parent="ib0")
        self.tree.device("net", "eth0", self.tree.function("pci0000:00/0000:00:03.0"))
        self.tree.virtual("eth0.5", "eth0")
        self.tree.virtual("lo")
        environment.setenv("LD_LIBRARY_PATH", str(standin.parent))

    def knows(self, *devices: str) -> None:
        """Let libfabric list these."""
        self.environment.setenv("LIKE", " ".join(devices))

    def scan(self, provider: str = "ofi+") -> list[tuple[str, str, int, int]]:
        """Return provider, interface, priority and NUMA node of what is found; without UCX, which would see this machine."""
        found = scan(provider, sysfs=str(self.tree.root))
        return [(each.provider, each.device, each.priority, each.numa_node) for each in found.interfaces]


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_standin(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def lab(tmp_path: Path, standin: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, standin, monkeypatch)


def without_filter(lab: Lab, monkeypatch: pytest.MonkeyPatch, ucx: tuple[FabricDevice, ...] | None = None) -> None:
    """Let UCX answer this; everything else is asked for real."""

    def ask(library: asking.Library, provider: str = "") -> tuple[FabricDevice, ...] | None:
        return ucx if library == "ucx" else asking.ask(library, provider)

    monkeypatch.setattr(sources, "ask", ask)


def test_interfaces_of_a_fabric_device_are_those_of_its_function_and_those_on_them(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    without_filter(lab, monkeypatch)
    lab.knows("verbs;ofi_rxm@mlx5_0", "verbs;ofi_rxm@mlx5_0-xrc", "tcp@eth0", "tcp@eth0.5", "tcp@ib0", "tcp@lo", "shm@shm")
    assert lab.scan("all") == [
        ("ofi+verbs;ofi_rxm", "ib0", 0, 1),
        ("ofi+verbs;ofi_rxm", "ib0.8001", 0, 1),
        ("ofi+tcp", "eth0", 2, 0),
        ("ofi+tcp", "eth0.5", 3, 0),
        ("ofi+tcp", "ib0", 4, 1),
    ]


def test_counts_are_those_of_the_topology(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    without_filter(lab, monkeypatch)
    lab.knows("tcp@eth0")
    found = scan(sysfs=str(lab.tree.root))
    assert (found.numa_count, found.cores_per_numa, found.notes) == (2, 2, ())


def test_the_better_priority_of_a_provider_counts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    without_filter(lab, monkeypatch, (FabricDevice("rc_mlx5", "mlx5_0:1", 0), FabricDevice("tcp", "ib0", 1)))
    lab.knows("psm@eth0", "verbs@mlx5_0", "tcp@eth0", "verbs@mlx5_0")
    assert lab.scan("") == [
        ("ofi+psm", "eth0", 0, 0),
        ("ucx+rc", "ib0", 0, 1),
        ("ucx+rc_x", "ib0", 0, 1),
        ("ucx+rc", "ib0.8001", 0, 1),
        ("ucx+rc_x", "ib0.8001", 0, 1),
        ("ofi+verbs", "ib0", 1, 1),
        ("ofi+verbs", "ib0.8001", 1, 1),
        ("ofi+tcp", "eth0", 2, 0),
        ("ucx+tcp", "ib0", 25, 1),
        ("ucx+all", "ib0", 99, 1),
        ("ucx+all", "ib0.8001", 99, 1),
    ]


def test_only_transports_that_offer_the_provider_count(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    without_filter(lab, monkeypatch, (FabricDevice("rc_mlx5", "mlx5_0:1", 0), FabricDevice("ud_verbs", "mlx5_0:1", 1)))
    assert lab.scan("ucx+rc") == [
        ("ucx+rc", "ib0", 0, 1),
        ("ucx+rc_x", "ib0", 0, 1),
        ("ucx+rc", "ib0.8001", 0, 1),
        ("ucx+rc_x", "ib0.8001", 0, 1),
    ]


def test_slingshot_is_known_to_sysfs_and_listed_without_an_interface(lab: Lab) -> None:
    lab.tree.device("cxi", "cxi0", lab.tree.function("pci0000:80/0000:82:00.0", node="1"))
    lab.knows()
    assert lab.scan("ofi+cxi") == [("ofi+cxi", "cxi0", 0, 1)]


def test_a_provider_that_nobody_has_is_a_fault_that_says_so(lab: Lab) -> None:
    lab.knows("tcp@eth0")
    with pytest.raises(Fault, match=r"begins with ofi\+psm3") as caught:
        lab.scan("ofi+psm3")
    assert caught.value.code == codes.NETWORK_NOTHING_FOUND
    assert "--provider all" in caught.value.resolution


def test_no_device_at_all_is_a_fault(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    without_filter(lab, monkeypatch)
    lab.knows("tcp@gone0", "tcp@lo")
    with pytest.raises(Fault, match="know no device") as caught:
        lab.scan("all")
    assert "lspci" in caught.value.resolution


def test_no_library_at_all_is_a_fault_that_names_the_packages(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ask", lambda library, provider="": None)
    for provider, named in (("", "libfabric and UCX, which would know, are"), ("ofi+tcp", "libfabric, which would know, is")):
        with pytest.raises(Fault, match=f"{named} not installed") as caught:
            lab.scan(provider)
        assert "install libfabric" in caught.value.resolution


def test_a_library_that_failed_is_a_note_if_another_knows_something(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    without_filter(lab, monkeypatch, (FabricDevice("tcp", "eth0", 0),))
    lab.knows("crash")
    found = scan(sysfs=str(lab.tree.root))
    assert {each.provider for each in found.interfaces} == {"ucx+tcp", "ucx+all"}
    assert ["crashed" in note for note in found.notes] == [True]


def test_a_library_that_failed_is_the_fault_if_nothing_is_found(lab: Lab) -> None:
    lab.knows("crash")
    with pytest.raises(Fault, match="crashed") as caught:
        lab.scan("ofi+tcp")
    assert caught.value.code == codes.NETWORK_LIBRARY_FAILED


def test_a_library_that_is_missing_is_noted_where_it_matters(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.tree.device("cxi", "cxi0", lab.tree.function("pci0000:80/0000:82:00.0"))
    monkeypatch.setattr(sources, "ask", lambda library, provider="": None)
    found = scan(sysfs=str(lab.tree.root))
    assert [note.partition(" ")[0] for note in found.notes] == ["libfabric"]
