# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A topology as text, to the letter of what tools and people know, and as JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daos_server.hardware import show
from daos_server.hardware.topology import BlockDevice, NumaNode, PciBus, PciDevice, Topology, VirtualDevice

ETH = PciDevice(address="0000:01:01.1", name="test0", kind="network", link_gbps=2.5)
ROCE = PciDevice(address="0000:01:01.1", name="test0-peer", kind="fabric", link_gbps=1.2)
DISK = PciDevice(address="0000:00:1f.2", name="test2-block", kind="block", size=512 * 10**9, link_gbps=1.75)
BARE = PciDevice(address="0000:83:00.0", name="card", kind="unknown")
WHOLE = Topology(
    nodes=(
        NumaNode(
            id=0,
            cores=(0, 1, 2, 3, 8),
            buses=(PciBus(domain=0, low=0, high=0x0F), PciBus(domain=0x10000, low=1, high=1)),
            pci_devices=(ROCE, DISK, ETH),
            block_devices=(
                BlockDevice(name="test2-block", size=512 * 10**9, pci_address="0000:00:1f.2"),
                BlockDevice(name="pmem0", size=4 << 40),
                BlockDevice(name="pmem1"),
            ),
        ),
        NumaNode(id=2, buses=(PciBus(domain=0, low=0x80, high=0x88),), pci_devices=(BARE,)),
    ),
    virtual_devices=(VirtualDevice(name="virt0"), VirtualDevice(name="virt1", backing="test0")),
)

TEXT = """\
NUMA Node 0
  CPU cores: 0-3,8
  PCI buses:
    0000:[00-0f]
      0000:00:1f.2
        0000:00:1f.2 test2-block (512 GB block device) @ 1.75 GB/s
      0000:01:01.1
        0000:01:01.1 test0-peer (OFI domain) @ 1.20 GB/s
        0000:01:01.1 test0 (network interface) @ 2.50 GB/s
    10000:01
  Non-PCI block devices:
    pmem0 (4.4 TB NVDIMM)
    pmem1 (NVDIMM)
NUMA Node 2
  CPU cores: |
  PCI buses:
    0000:[80-88]
      0000:83:00.0
        0000:83:00.0 card (unknown device type)
Virtual Devices
  virt0 (network interface)
  virt1 (network interface)
    backed by: 0000:01:01.1 test0 (network interface) @ 2.50 GB/s
""".replace("|\n", "\n")


def test_text() -> None:
    assert show.text(WHOLE) == TEXT


def test_text_of_nothing() -> None:
    assert show.text(None) == "No topology information available\n"


def test_a_name_cannot_steer_a_terminal() -> None:
    evil = Topology(nodes=(), virtual_devices=(VirtualDevice(name="a\x1b[2J\n"),))
    assert show.text(evil) == "Virtual Devices\n  a\\x1b[2J\\n (network interface)\n"


def test_json_has_the_keys_that_tools_know() -> None:
    found = json.loads(json.dumps(show.as_json(WHOLE)))
    address = {"domain": 0, "bus": 1, "device": 1, "function": 1}
    eth = {"name": "test0", "type": 1, "pci_address": address, "link_speed": 2.5}
    disk = {"name": "test2-block", "type": 3, "pci_address": {"domain": 0, "bus": 0, "device": 31, "function": 2}, "link_speed": 1.75}
    roce = {"name": "test0-peer", "type": 2, "pci_address": address, "link_speed": 1.2}
    devices = {"0000:00:1f.2": [disk], "0000:01:01.1": [roce, eth]}
    node = found["numa_nodes"]["0"]
    assert node["id"] == 0
    assert node["cores"] == [{"id": core} for core in (0, 1, 2, 3, 8)]
    assert node["pci_devices"] == devices
    assert node["pci_buses"] == [
        {
            "low_address": {"domain": 0, "bus": 0, "device": 0, "function": 0},
            "high_address": {"domain": 0, "bus": 15, "device": 0, "function": 0},
            "pci_devices": devices,
        },
        {
            "low_address": {"domain": 0x10000, "bus": 1, "device": 0, "function": 0},
            "high_address": {"domain": 0x10000, "bus": 1, "device": 0, "function": 0},
            "pci_devices": {},
        },
    ]
    assert node["block_devices"] == [
        {"type": "Disk", "name": "test2-block", "size": 512 * 10**9, "backing_device": disk},
        {"type": "NVDIMM", "name": "pmem0", "size": 4 << 40},
        {"type": "NVDIMM", "name": "pmem1"},
    ]
    assert found["virtual_devices"] == [
        {"name": "virt0", "type": 1, "backing_device": None},
        {"name": "virt1", "type": 1, "backing_device": eth},
    ]


def test_each_namespace_of_a_controller_is_backed_by_its_own_entry() -> None:
    names = ("nvme0n1", "nvme0n2")
    node = NumaNode(
        id=0,
        pci_devices=tuple(PciDevice(address="0000:81:00.0", name=name, kind="block", size=8) for name in names),
        block_devices=tuple(BlockDevice(name=name, size=8, pci_address="0000:81:00.0") for name in names),
    )
    found = json.loads(json.dumps(show.as_json(Topology(nodes=(node,)))))["numa_nodes"]["0"]["block_devices"]
    assert [(each["name"], each["backing_device"]["name"]) for each in found] == [(name, name) for name in names]


def test_json_has_null_for_what_there_is_none_of() -> None:
    found = show.as_json(Topology(nodes=(NumaNode(id=0),)))
    assert found == {
        "numa_nodes": {"0": {"id": 0, "cores": None, "pci_buses": None, "pci_devices": {}, "block_devices": None}},
        "virtual_devices": None,
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (9, "9 B"),
        (10, "10 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (512 * 10**9, "512 GB"),
        (4 << 40, "4.4 TB"),
        (1_600_321_314_816, "1.6 TB"),
        (2**64 - 1, "18 EB"),
        (10**21, "1000 EB"),
    ],
)
def test_decimal_sizes(size: int, text: str) -> None:
    assert show.decimal_bytes(size) == text


@given(st.sets(st.integers(0, 300)))
def test_ranges_name_exactly_the_numbers(numbers: set[int]) -> None:
    named: list[int] = []
    for part in filter(None, show.ranges(sorted(numbers)).split(",")):
        first, _, last = part.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(numbers)
