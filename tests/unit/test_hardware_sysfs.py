# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reading the topology from made-up trees of sysfs, with what this machine lacks and with what no machine should have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sysfs_tree import Tree

from daos_server.hardware import show, sysfs
from daos_server.hardware.topology import BlockDevice, NumaNode, PciBus, PciDevice, Topology, VirtualDevice

NVME_SECTORS = 3_125_627_568


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path)
    made.write("devices/system/node/online", "0-1")
    made.cpus(0, {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"})
    made.cpus(1, {2: "2,6", 3: "3,7", 6: "2,6", 7: "3,7"})
    return made


def test_cores_are_counted_once_whatever_their_threads(tree: Tree) -> None:
    found = tree.read()
    assert [(node.id, node.cores) for node in found.nodes] == [(0, (0, 1)), (1, (2, 3))]
    assert found.cores_per_node == 2


def test_a_kernel_without_numa_is_one_node(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("devices/system/cpu/online", "0-2")
    assert tree.read() == Topology(nodes=(NumaNode(id=0, cores=(0, 1, 2)),))


def test_an_empty_sysfs_is_one_empty_node(tmp_path: Path) -> None:
    assert sysfs.read(str(tmp_path / "missing")) == Topology(nodes=(NumaNode(id=0),))


def test_network_and_fabric_devices_of_one_function(tree: Tree) -> None:
    function = tree.function("pci0000:80/0000:80:01.0/0000:81:00.0", node="1", speed="16.0 GT/s PCIe", lanes="16")
    tree.device("net", "ib0", function)
    tree.device("infiniband", "mlx5_0", function)
    tree.device("cxi", "cxi0", function)
    node = tree.read().nodes[1]
    speed = pytest.approx(31.508, abs=0.001)
    assert [(each.address, each.name, each.kind, each.size) for each in node.pci_devices] == [
        ("0000:81:00.0", "ib0", "network", 0),
        ("0000:81:00.0", "mlx5_0", "fabric", 0),
        ("0000:81:00.0", "cxi0", "fabric", 0),
    ]
    assert [each.link_gbps for each in node.pci_devices] == [speed] * 3
    assert node.buses == (PciBus(domain=0, low=0x80, high=0x81),)


def test_bus_ranges_reach_to_the_last_bus_behind_a_bridge(tree: Tree) -> None:
    tree.function("pci0000:00/0000:00:1f.0", node="0")
    tree.function("pci0000:80/0000:80:01.0", node="1", last_bus="135")
    tree.function("pci0000:80/0000:80:02.0", node="-1", last_bus="131")
    tree.function("pci0000:80/0000:80:0e.0/pci10000:e0/10000:e0:02.0", node="1", last_bus="226")
    first, second = tree.read().nodes
    assert first.buses == (PciBus(domain=0, low=0, high=0),)
    assert second.buses == (PciBus(domain=0, low=0x80, high=135), PciBus(domain=0x10000, low=0xE0, high=226))


@pytest.mark.parametrize("value", ["-1", "rubbish", "1 2", "99999999999999999999999", "7", ""])
def test_no_sensible_numa_node_is_node_0(tree: Tree, value: str) -> None:
    tree.device("net", "eth0", tree.function("pci0000:00/0000:00:03.0", node=value))
    assert [(node.id, len(node.pci_devices)) for node in tree.read().nodes] == [(0, 1), (1, 0)]


def test_numa_node_of_a_device_that_does_not_know_is_that_of_what_it_is_on(tree: Tree) -> None:
    virtio = tree.function("pci0000:00/0000:00:03.0", node="1") + "/virtio2"
    tree.device("net", "eth0", virtio)
    assert [device.name for device in tree.read().nodes[1].pci_devices] == ["eth0"]


@pytest.mark.parametrize(
    ("speed", "lanes", "gbps"),
    [
        ("2.5 GT/s PCIe", "4", 1.0),
        ("5.0 GT/s PCIe", "8", 4.0),
        ("8.0 GT/s PCIe", "8", 7.877),
        ("16.0 GT/s", "4", 7.877),
        ("32.0 GT/s PCIe", "16", 63.015),
        ("64.0 GT/s PCIe", "16", 121.0),
        ("Unknown", "4", 0),
        ("8.0 GT/s PCIe", "0", 0),
        ("8.0 GT/s PCIe", "255", 0),
        ("8.0 GT/s PCIe", "-1", 0),
        ("1e99 GT/s", "4", 0),
        ("", "", 0),
    ],
)
def test_link_speed(tree: Tree, speed: str, lanes: str, gbps: float) -> None:
    tree.device("net", "eth0", tree.function("pci0000:00/0000:00:03.0", speed=speed, lanes=lanes))
    assert tree.read().nodes[0].pci_devices[0].link_gbps == pytest.approx(gbps, abs=0.001)


def test_disks_nvme_and_persistent_memory(tree: Tree) -> None:
    nvme = tree.function("pci0000:80/0000:80:02.0/0000:82:00.0", node="1") + "/nvme/nvme0"
    tree.write(f"{tree.device('block', 'nvme0n1', nvme)}/size", str(NVME_SECTORS))
    tree.write("devices/LNXSYSTM:00/ndbus0/region1/numa_node", "1")
    tree.write(f"{tree.device('block', 'pmem1', 'devices/LNXSYSTM:00/ndbus0/region1/namespace1.0')}/size", "8")
    tree.write(f"{tree.device('block', 'loop0', 'devices/virtual')}/size", "16")
    size = NVME_SECTORS * 512
    node = tree.read().nodes[1]
    assert node.pci_devices == (PciDevice(address="0000:82:00.0", name="nvme0n1", kind="block", size=size),)
    assert node.block_devices == (
        BlockDevice(name="nvme0n1", size=size, pci_address="0000:82:00.0"),
        BlockDevice(name="pmem1", size=4096),
    )


def test_a_multipath_namespace_is_on_its_first_controller(tree: Tree) -> None:
    controller = tree.function("pci0000:80/0000:80:02.0/0000:82:00.0", node="1") + "/nvme/nvme3"
    tree.write(f"{tree.device('block', 'nvme0c3n1', controller)}/hidden", "1")
    subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0"
    tree.write(f"{subsystem}/nvme0n1/size", "16")
    tree.link(f"{subsystem}/nvme3", controller)
    tree.link("block/nvme0n1", f"{subsystem}/nvme0n1")
    node = tree.read().nodes[1]
    assert node.pci_devices == (PciDevice(address="0000:82:00.0", name="nvme0n1", kind="block", size=8192),)


def test_virtual_interfaces_are_backed_by_the_hardware_below_them(tree: Tree) -> None:
    first = tree.function("pci0000:00/0000:00:03.0")
    tree.device("net", "eth0", first)
    tree.device("net", "eth1", tree.function("pci0000:00/0000:00:04.0"))
    tree.virtual("bond0", "eth1", "eth0")
    tree.virtual("bond0.5", "bond0")
    tree.virtual("br0", "veth0")
    tree.virtual("ib0.8001", parent="eth1")
    tree.virtual("ib0.8002", parent="nowhere")
    tree.virtual("lo")
    tree.virtual("veth0", "veth0")
    assert tree.read().virtual_devices == (
        VirtualDevice(name="bond0", backing="eth0"),
        VirtualDevice(name="bond0.5", backing="eth0"),
        VirtualDevice(name="br0"),
        VirtualDevice(name="ib0.8001", backing="eth1"),
        VirtualDevice(name="ib0.8002"),
        VirtualDevice(name="lo"),
        VirtualDevice(name="veth0"),
    )


def test_a_hyper_v_interface_counts_only_with_hardware_behind_it(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    tree.device("net", "enP1", tree.function("pci0001:00/0001:00:02.0", node="1"))
    for name, bus in (("eth0", "vmbus1"), ("eth1", "vmbus2")):
        device = f"devices/LNXSYSTM:00/{bus}"
        tree.write(f"{device}/uevent", "DRIVER=hv_netvsc\nMODALIAS=vmbus:0")
        folder = tree.device("net", name, device)
        if name == "eth0":
            tree.link(f"{folder}/lower_enP1", "class/net/enP1")
    found = tree.read()
    assert found.virtual_devices == (VirtualDevice(name="eth0", backing="enP1"),)
    assert [device.name for device in found.nodes[1].pci_devices] == ["enP1"]
    assert ["eth1" in record.getMessage() for record in caplog.records] == [True]


def test_links_that_lead_nowhere_and_odd_names_are_left_out(tree: Tree) -> None:
    tree.link("class/net/gone0", "devices/pci0000:00/0000:00:09.0/net/gone0")
    tree.write("class/net/bonding_masters", "bond0")
    tree.write("bus/pci/devices/rubbish/numa_node", "0")
    tree.write("block/sda/size", "-5")
    assert tree.read() == Topology(nodes=(NumaNode(id=0, cores=(0, 1)), NumaNode(id=1, cores=(2, 3))))


def test_this_machine() -> None:
    found = sysfs.read()
    interfaces = {device.name for node in found.nodes for device in node.pci_devices if device.kind == "network"}
    interfaces |= {device.name for device in found.virtual_devices}
    assert "lo" in interfaces
    assert interfaces <= set(os.listdir("/sys/class/net"))
    assert {core for node in found.nodes for core in node.cores} <= set(range(os.cpu_count() or 1))
    text = show.text(found)
    assert all(f"{device.address} {device.name} (" in text for node in found.nodes for device in node.pci_devices)
