# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What ``config generate`` reads: made-up sysfs trees for hardware that this machine lacks, and this machine itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from sysfs_tree import Tree

from daos_bindings.linux import block, memory
from daos_bindings.linux import mounts as mount_table
from daos_bindings.linux.block import BlockIdentity, Usage
from daos_bindings.linux.kernelfiles import MalformedError
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.generate import assumed, host
from daos_server.generate.facts import LeftOut, Ssd
from daos_server.generate.nvme import Nvme, read_nvme
from daos_server.generate.options import GenerateOptions
from daos_server.hardware.attributes import numa_node
from daos_server.hardware.topology import NumaNode, PciDevice, Topology, VirtualDevice
from daos_server.network import sources
from daos_server.network.interfaces import ETHERNET, INFINIBAND

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit

VMD = "0000:5d:05.5"


class Pci:
    """A made-up sysfs tree of PCI functions."""

    def __init__(self, root: Path) -> None:
        self.tree = Tree(root / "sys")

    def add(self, path: str, *, class_code: str = "0x010802", node: str = "0", disks: tuple[str, ...] = ()) -> None:
        folder = self.tree.function(path, node=node)
        ids = {"class": class_code, "vendor": "0x8086", "device": "0x201d"}
        for name, value in {**ids, "driver_override": "(null)"}.items():
            self.tree.write(f"{folder}/{name}", value)
        for disk in disks:
            controller = f"{folder}/nvme/{disk.partition('n1')[0].partition('c')[0]}"
            self.tree.write(f"{controller}/dev", "245:3")
            for name, value in {"nsid": "1", "size": "2048", "queue/logical_block_size": "4096"}.items():
                self.tree.write(f"{controller}/{disk}/{name}", value)

    def read(self, **uses: str) -> Nvme:
        return read_nvme(lambda disk: uses.get(disk, ""), str(self.tree.root))


@pytest.fixture
def pci(tmp_path: Path) -> Pci:
    return Pci(tmp_path)


def test_ssds_with_any_driver_and_nothing_else(pci: Pci) -> None:
    pci.add("pci0000:00/0000:00:01.0/0000:01:00.0", node="1", disks=("nvme0n1",))
    pci.add("pci0000:80/0000:80:01.0/0000:81:00.0")
    pci.add("pci0000:00/0000:00:02.0", class_code="0x020000")
    pci.add("pci0000:00/0000:00:03.0", class_code="0x010601")
    pci.add("pci0000:00/0000:00:04.0", class_code="0x010803")
    found = pci.read(nvme1n1="is another's")
    assert found == Nvme((Ssd(address="0000:01:00.0", numa_node=1), Ssd(address="0000:81:00.0", numa_node=0)), ())


def test_a_function_that_is_described_as_no_kernel_does(pci: Pci) -> None:
    pci.add("pci0000:00/0000:00:03.0", class_code="0x010601\nmore")
    with pytest.raises(MalformedError):
        pci.read()


def test_a_machine_without_pci(tmp_path: Path) -> None:
    assert read_nvme(lambda _: "", str(tmp_path / "none")) == Nvme((), ())


@pytest.mark.parametrize(("disk", "used"), [("nvme0n1", "nvme0n1"), ("nvme0c1n1", "nvme0n1")])
def test_an_ssd_in_use_is_left_out(pci: Pci, disk: str, used: str) -> None:
    pci.add("pci0000:00/0000:01:00.0", disks=(disk,))
    found = pci.read(**{used: "is mounted on /home"})
    assert found == Nvme((), (LeftOut(device="0000:01:00.0", why=f"its disk {used} is mounted on /home", exclude="0000:01:00.0"),))


def test_ssds_behind_a_vmd(pci: Pci) -> None:
    below = f"pci0000:5d/{VMD}/pci10000:00/10000:00"
    pci.add(f"pci0000:5d/{VMD}", class_code="0x010400", node="1")
    pci.add(f"{below}:02.0/10000:01:00.0", node="1")
    pci.add(f"{below}:03.0/10000:02:00.0", node="-1", disks=("nvme3n1",))
    free = pci.read()
    assert free.ssds == (Ssd(address="10000:01:00.0", numa_node=1, vmd=VMD), Ssd(address="10000:02:00.0", numa_node=1, vmd=VMD))
    taken = pci.read(nvme3n1="holds the root file system")
    assert taken.ssds == ()
    assert [(each.device, each.exclude) for each in taken.left_out] == [("10000:01:00.0", VMD), ("10000:02:00.0", VMD)]
    assert taken.left_out[0].why == f"it is behind the VMD {VMD}, as is 10000:02:00.0, which is in use"


@pytest.mark.parametrize(("text", "node"), [("1\n", 1), ("-1\n", 7), ("", 7), ("99999\n", 7), ("1\n2\n", 7)])
def test_the_node_of_a_device_or_of_what_it_is_on(tmp_path: Path, text: str, node: int) -> None:
    (tmp_path / "numa_node").write_text("7\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below/numa_node").write_text(text)
    assert numa_node(str(tmp_path / "below/deeper")) == node


def pmem(*, dax: bool = True) -> BlockIdentity:
    return BlockIdentity(
        major=259,
        minor=0,
        name="pmem0",
        path="/dev/pmem0",
        disk="pmem0",
        is_partition=False,
        size_bytes=1 << 30,
        dax=dax,
    )


@pytest.mark.parametrize(
    ("holds", "in_root", "dax", "why"),
    [
        ((), False, True, ""),
        (("/mnt/daos1",), False, True, ""),
        (("/srv",), False, True, "is mounted on /srv"),
        (("/mnt/daos1", "/srv"), False, True, "is mounted on /srv"),
        ((), True, True, "holds the root file system"),
        ((), False, False, "is not in fsdax mode, so it cannot be mapped as memory"),
    ],
)
def test_a_namespace_that_an_engine_has_mounted_is_free(holds: tuple[str, ...], in_root: bool, dax: bool, why: str) -> None:
    mounted = tuple(Usage("mount", "pmem0", place) for place in holds)
    assert host.pmem_use(pmem(dax=dax), mounted, in_root=in_root) == why


def test_the_use_that_says_most() -> None:
    holds = (Usage("partition", "sda", "sda1"), Usage("mount", "sda1", "/home"), Usage("mount", "sda2", "/srv"))
    assert host.use_text(holds) == "is mounted on /home"
    assert host.use_text(holds[:1]) == "has the partition sda1"
    assert host.use_text(()) == ""


def test_the_disk_of_the_root_file_system_is_in_use() -> None:
    disks = block.root_disks(mount_table.read())
    use = host.in_use(mount_table.read())
    assert {use(disk) for disk in disks} <= {"holds the root file system"}
    assert use("no such disk") == ""
    if not disks:
        pytest.skip("the root file system of this machine is on no disk")


# Interfaces without a fabric library


@pytest.fixture
def net(tmp_path: Path) -> str:
    for name, net_class, state in (
        ("eth0", ETHERNET, "down"),
        ("eth1", ETHERNET, "up"),
        ("ib0", INFINIBAND, "up"),
        ("vlan7", ETHERNET, "up"),
        ("br0", ETHERNET, "up"),
        ("lo", 772, "unknown"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{net_class}\n")
        (tmp_path / name / "operstate").write_text(f"{state}\n")
    return str(tmp_path)


NAMES = ("eth0", "eth1", "ib0", "gone")
CARDS = tuple(PciDevice(address=f"0000:0{index}:00.0", name=name, kind="network") for index, name in enumerate(NAMES))
TOPOLOGY = Topology(
    nodes=(NumaNode(id=0, cores=(0,), pci_devices=CARDS[:1]), NumaNode(id=1, cores=(1,), pci_devices=CARDS[1:])),
    virtual_devices=(VirtualDevice(name="lo"), VirtualDevice(name="br0"), VirtualDevice(name="vlan7", backing="eth1")),
)


def test_real_interfaces_that_are_up_come_first(net: str) -> None:
    found = assumed.interfaces(TOPOLOGY, GenerateOptions(), net)
    assert [(each.device, each.provider, each.numa_node) for each in found] == [
        ("eth1", "ofi+tcp", 1),
        ("ib0", "ofi+verbs", 1),
        ("vlan7", "ofi+tcp", 1),
        ("br0", "ofi+tcp", 0),
        ("eth0", "ofi+tcp", 0),
    ]
    assert [each.priority for each in found] == [0, 0, 1, 2, 10]


def test_a_provider_that_was_asked_for_is_taken_at_its_word(net: str) -> None:
    assert {each.provider for each in assumed.interfaces(TOPOLOGY, GenerateOptions(net_provider="ofi+cxi"), net)} == {"ofi+cxi"}
    assert {each.provider for each in assumed.interfaces(TOPOLOGY, GenerateOptions(net_provider="all"), net)} == {"ofi+tcp", "ofi+verbs"}


# This machine


def test_this_machine() -> None:
    facts = host.read_facts(GenerateOptions())
    known = memory.read()
    assert (facts.mem_total_kib, facts.hugepage_kib) == (known.mem_total_kb, known.hugepage_size_kb)
    assert facts.numa_nodes
    assert facts.fabric.cores_per_numa >= 1
    assert not {ssd.address for ssd in facts.ssds} & {left.device for left in facts.left_out}


def test_a_kernel_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "PATH", str(tmp_path / "none"))
    with pytest.raises(Fault) as caught:
        host.read_facts(GenerateOptions())
    assert caught.value.code == codes.CONFIG_GENERATE_MACHINE_UNFIT
    assert "No such file" in caught.value.description


def test_without_a_fabric_library_the_provider_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ask", lambda _library, _provider: None)
    facts = host.read_facts(GenerateOptions())
    if os.path.isdir("/sys/class/cxi"):
        pytest.skip("this machine has Slingshot, which needs no library to be found")
    assert "not installed" in facts.provider_assumed
    assert {each.provider for each in facts.fabric.interfaces} <= {"ofi+tcp", "ofi+verbs"}
