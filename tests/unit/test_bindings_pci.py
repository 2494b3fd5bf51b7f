# SPDX-License-Identifier: BSD-2-Clause-Patent
"""PCI addresses, and controllers over a made-up sysfs: VMDs, shared groups, multipath.  The real one is in the guest."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from daos_bindings.linux import block, inuse, modules, pci, pci_address
from daos_bindings.linux.block import UsageTable
from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.linux.mounts import Mount
from daos_bindings.linux.nvme_controller import Namespace
from daos_bindings.linux.pci import GroupMember
from daos_bindings.nvme.select import parse_list, select
from daos_pbin import codes
from daos_pbin.faults import Fault

pytestmark = pytest.mark.unit

SSD = "0000:41:00.0"
VMD = "0000:5d:05.5"
BEHIND = "10000:01:00.0"
PLAIN = {
    "class": "0x010802",
    "vendor": "0x8086",
    "device": "0x0a54",
    "driver_override": "(null)",
    "numa_node": "1",
}


class Sysfs:
    """A sysfs with just what ``pci`` reads, laid out as the kernel does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bus/pci/devices").mkdir(parents=True)

    def function(self, address: str, parent: str = "devices/pci0000:40", driver: str = "nvme", **attributes: str) -> Path:
        directory = self.root / parent / address
        directory.mkdir(parents=True)
        for name, value in {**PLAIN, **attributes}.items():
            (directory / name).write_text(value + "\n")
        if driver:
            (self.root / "bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
            (directory / "driver").symlink_to(os.path.relpath(self.root / "bus/pci/drivers" / driver, directory))
        link = self.root / "bus/pci/devices" / address
        link.symlink_to(os.path.relpath(directory, link.parent))
        return directory

    def group(self, number: int, *directories: Path) -> None:
        group = self.root / f"kernel/iommu_groups/{number}"
        (group / "devices").mkdir(parents=True)
        for directory in directories:
            (group / "devices" / directory.name).symlink_to(directory)
            (directory / "iommu_group").symlink_to(group)

    def controller(self, directory: Path, name: str, *namespaces: str) -> Path:
        folder = directory / "nvme" / name
        folder.mkdir(parents=True)
        (folder / "dev").write_text("245:3\n")
        (folder / "state").write_text("live\n")
        for nsid, namespace in enumerate(namespaces, 1):
            (folder / namespace / "queue").mkdir(parents=True)
            (folder / namespace / "nsid").write_text(f"{nsid}\n")
            (folder / namespace / "size").write_text("2048\n")
            (folder / namespace / "queue/logical_block_size").write_text("4096\n")
        return folder

    def scan(self) -> pci.Scan:
        return pci.scan(str(self.root))


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path / "sys")


@pytest.mark.parametrize(
    ("text", "printed", "endpoint"),
    [
        ("0000:81:00.0", "0000:81:00.0", ""),
        ("0000:81:00.FF", "0000:81:00.ff", ""),
        ("5d0505:01:00.0", "5d0505:01:00.0", "0000:5d:05.5"),
        ("50505:05:00.0", "050505:05:00.0", "0000:05:05.5"),
        ("5d055:01:00.0", "05d055:01:00.0", "0000:05:d0.55"),
    ],
)
def test_addresses_are_read_as_the_reference_reads_them(text: str, printed: str, endpoint: str) -> None:
    address = pci_address.parse(text)
    assert address is not None
    assert (str(address), address.vmd_endpoint) == (printed, endpoint)
    assert pci_address.parse(printed) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "0000:81:00", "000:81:00.0", "0000000:81:00.0", "0000:8:00.0", "0000:81:00.000", "0000:81.00:0", "0000.81:00:0"),
        *("ffff:81:00.0", "0000:81:00.0\n", " 0000:81:00.0", "0x00:81:00.0", "0000:81:00.g", "0000:81:00.0.0"),
        "0000:81:0\N{ARABIC-INDIC DIGIT ONE}.0",
    ],
)
def test_anything_else_is_no_address(text: str) -> None:
    assert pci_address.parse(text) is None
    assert pci_address.parse_kernel(text) is None


@pytest.mark.parametrize("text", ["0000:81:20.0", "0000:81:00.8", "0000:81:00.00", "0000:8A:00.0"])
def test_the_kernels_names_are_stricter(text: str) -> None:
    assert pci_address.parse_kernel(text) is None
    assert pci_address.parse(text) is not None


def test_addresses_sort_by_domain_then_vmd() -> None:
    texts = ["0000:81:00.0", "0001:01:00.0", "050505:02:00.0", "5d0505:01:00.0", "5d0505:01:01.0"]
    assert [str(address) for address in parse_list([*reversed(texts), texts[0]])] == texts
    with pytest.raises(Fault) as caught:
        parse_list(["0000:81:00.0", "/dev/nvme0"])
    assert caught.value.code == 303


def test_a_controller_is_described(sysfs: Sysfs) -> None:
    directory = sysfs.function(SSD, driver_override="nvme")
    sysfs.controller(directory, "nvme3", "nvme3n1", "nvme3n2")
    sysfs.group(7, directory)
    (found,) = sysfs.scan().controllers
    assert (found.kernel, str(found.address), found.directory) == (SSD, SSD, str(directory))
    assert (found.vendor, found.device) == (0x8086, 0x0A54)
    assert (found.pci_class, found.driver, found.driver_override) == (pci.NVME_IO_CONTROLLER, "nvme", "nvme")
    assert (found.numa_node, found.iommu_group, found.group_members, found.vmd) == (1, 7, (), "")
    assert found.controller is not None
    assert (found.controller.path, found.controller.major, found.controller.minor, found.controller.state) == ("/dev/nvme3", 245, 3, "live")
    assert found.controller.namespaces == (
        Namespace("nvme3n1", "nvme3n1", 1, 1 << 20, 4096),
        Namespace("nvme3n2", "nvme3n2", 2, 1 << 20, 4096),
    )


def test_what_is_not_known_is_said_so(sysfs: Sysfs) -> None:
    directory = sysfs.function(SSD, driver="", numa_node="-1")
    (found,) = sysfs.scan().controllers
    assert (found.driver, found.driver_override, found.numa_node, found.iommu_group, found.controller) == ("", "", -1, -1, None)
    (directory / "numa_node").unlink()
    assert sysfs.scan().controllers[0].numa_node == -1


def test_other_functions_are_no_controllers(sysfs: Sysfs) -> None:
    sysfs.function("0000:41:00.1", **{"class": "0x010601"})
    sysfs.function("0000:41:00.2", **{"class": "0x010400", "device": "0x1234"})
    assert sysfs.scan() == pci.Scan((), ())
    assert pci.read_function("../../etc", str(sysfs.root)) is None
    assert pci.read_function("0000:99:00.0", str(sysfs.root)) is None


def test_a_machine_without_pci_has_none(tmp_path: Path) -> None:
    assert pci.scan(str(tmp_path)) == pci.Scan((), ())


def test_paths_of_a_shared_namespace_are_its_block_device(sysfs: Sysfs) -> None:
    folder = sysfs.controller(sysfs.function(SSD), "nvme1", "nvme0c1n2")
    (folder / "ng0n2").mkdir()
    (folder / "nvme0n").mkdir()
    (folder / "nvmexn1").mkdir()
    found = sysfs.scan().controllers[0].controller
    assert found is not None
    assert [(space.name, space.path_name, space.path) for space in found.namespaces] == [("nvme0n2", "nvme0c1n2", "/dev/nvme0n2")]


def test_members_of_a_group_block_unless_they_are_bridges_or_free(sysfs: Sysfs) -> None:
    ssd = sysfs.function(SSD)
    others = [
        sysfs.function("0000:40:00.0", driver="pcieport", **{"class": "0x060400"}),
        sysfs.function("0000:41:00.1", driver="", **{"class": "0x020000"}),
        sysfs.function("0000:41:00.2", driver="ixgbe", **{"class": "0x020000"}),
        sysfs.function("0000:41:00.3", driver="vfio-pci"),
    ]
    sysfs.group(7, ssd, *others)
    found = sysfs.scan().find(SSD)
    assert found is not None
    assert [member.address for member in found.group_members] == [directory.name for directory in others]
    assert found.blocking == (GroupMember("0000:41:00.2", 0x020000, "ixgbe"),)
    fault = inuse.group_shared(found)
    assert fault is not None
    assert (fault.code, fault.object) == (codes.NVME_GROUP_SHARED, SSD)
    assert "IOMMU group 7 " in fault.description
    assert "0000:41:00.2 (ixgbe)" in fault.description
    free = sysfs.scan().find("0000:41:00.3")
    assert free is not None
    assert inuse.group_shared(msgspec.structs.replace(free, group_members=found.group_members[:2])) is None


def test_controllers_behind_a_vmd_have_two_spellings(sysfs: Sysfs) -> None:
    vmd = sysfs.function(VMD, "devices/pci0000:5d", "vmd", **{"class": "0x010400", "device": "0x201d"})
    parent = os.path.relpath(vmd / "pci10000:00/10000:00:02.0", sysfs.root)
    sysfs.function(BEHIND, parent)
    sysfs.function(SSD)
    scan = sysfs.scan()
    assert [str(function.address) for function in scan.controllers] == [SSD, "5d0505:01:00.0"]
    assert [function.kernel for function in scan.vmds] == [VMD]
    behind = scan.controllers[1]
    assert (behind.kernel, behind.vmd, behind.address.vmd_endpoint) == (BEHIND, VMD, VMD)
    assert scan.find("5d0505:01:00.0") == scan.find(BEHIND) == behind
    assert scan.behind(scan.vmds[0]) == (behind,)
    assert scan.find("0000:00:00.0") is None


def test_what_goes_away_meanwhile_is_left_out(sysfs: Sysfs) -> None:
    directory = sysfs.function(SSD)
    sysfs.function("0000:42:00.0")
    folder = sysfs.controller(directory, "nvme3", "nvme3n1", "nvme3n2")
    (folder / "nvme3n1/size").unlink()
    found = sysfs.scan().find(SSD)
    assert found is not None
    assert found.controller is not None
    assert [space.name for space in found.controller.namespaces] == ["nvme3n2"]
    (folder / "dev").unlink()
    assert sysfs.scan().controllers[0].controller is None
    (directory / "vendor").unlink()
    assert [function.kernel for function in sysfs.scan().controllers] == ["0000:42:00.0"]


@pytest.mark.parametrize(
    ("name", "text"), [("class", "010802"), ("vendor", "0xzz"), ("device", "0x"), ("numa_node", "-2"), ("driver_override", "a\nb")]
)
def test_what_the_kernel_would_not_write_is_no_fact(sysfs: Sysfs, name: str, text: str) -> None:
    sysfs.function(SSD, **{name: text})
    with pytest.raises(MalformedError):
        sysfs.scan()


def test_what_was_asked_for_is_selected(sysfs: Sysfs) -> None:
    vmd = sysfs.function(VMD, "devices/pci0000:5d", "vmd", **{"class": "0x010400", "device": "0x201d"})
    for address in (BEHIND, "10000:02:00.0"):
        sysfs.function(address, os.path.relpath(vmd / "pci10000:00/10000:00:02.0", sysfs.root))
    sysfs.function(SSD)
    found = sysfs.scan().controllers
    assert select(found, (), vmd=False) == found
    assert [one.kernel for one in select(found, parse_list([SSD]), vmd=False)] == [SSD]
    assert [one.kernel for one in select(found, parse_list([VMD, "5d0505:01:00.0"]), vmd=True)] == [BEHIND, "10000:02:00.0"]
    for vmd_on, word in ((False, "SSDs"), (True, "VMDs")):
        with pytest.raises(Fault) as caught:
            select(found, parse_list(["0000:99:00.0", SSD, "0000:98:00.0"]), vmd=vmd_on)
        assert caught.value.code == 304
        assert word in caught.value.description
        assert "0000:98:00.0, 0000:99:00.0" in caught.value.description
    with pytest.raises(Fault):
        select(found, parse_list([VMD]), vmd=False)


def test_modules_are_found_wherever_they_are(tmp_path: Path) -> None:
    lists = tmp_path / "lib/modules/6.1.0"
    lists.mkdir(parents=True)
    (lists / "modules.builtin").write_text("kernel/drivers/vfio/vfio.ko\n")
    (lists / "modules.dep").write_text("kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko\nkernel/drivers/uio/uio.ko:\n")
    (tmp_path / "sys/module/nvme").mkdir(parents=True)
    (tmp_path / "sys/bus/pci/drivers/nvme").mkdir(parents=True)
    names = ("vfio", "vfio_pci", "vfio-pci", "nvme", "uio_pci_generic")
    found = [modules.presence(name, root=str(tmp_path), release="6.1.0") for name in names]
    assert found == ["builtin", "loadable", "loadable", "loaded", "missing"]
    assert modules.presence("vfio", root=str(tmp_path), release="5.14.0") == "missing"
    assert modules.driver_is_ready("nvme", root=str(tmp_path))
    assert not modules.driver_is_ready("vfio-pci", root=str(tmp_path))


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three namespaces: one with a mounted partition, one below device mapper, one free."""
    root = tmp_path / "block"
    for name in ("class", "block", "dev"):
        (root / name).mkdir(parents=True)
    monkeypatch.setattr(block, "BY_NAME", str(root / "class"))
    monkeypatch.setattr(block, "BY_NUMBER", str(root / "dev"))
    monkeypatch.setattr(block, "WHOLE", str(root / "block"))
    monkeypatch.setattr(block, "BTRFS", str(root / "btrfs"))
    monkeypatch.setattr(block, "SWAPS", str(tmp_path / "swaps"))
    for number, (name, parent) in enumerate((("nvme3n1", ""), ("nvme3n1p1", "nvme3n1/"), ("nvme3n2", ""), ("dm-0", ""), ("nvme3n3", ""))):
        directory = root / "devices" / (parent + name)
        (directory / "holders").mkdir(parents=True)
        (directory / "dev").write_text(f"259:{number}\n")
        (directory / "size").write_text("2048\n")
        if parent:
            (directory / "partition").write_text("1\n")
        (root / "class" / name).symlink_to(directory)
        (root / "dev" / f"259:{number}").symlink_to(directory)
    (root / "class/nvme3n2/holders/dm-0").symlink_to(root / "class/dm-0")
    return root


def mounted(point: str, minor: int) -> Mount:
    return Mount(1, 0, 259, minor, "/", point, (), (), "ext4", "/dev/x", ())


def told(function: pci.PciFunction, scan: pci.Scan, *mounts: Mount) -> list[tuple[str, str, str]]:
    return [(one.kind, one.device, one.detail) for one in inuse.of_function(function, scan, UsageTable(mounts))]


def test_reasons_to_leave_a_controller_alone(sysfs: Sysfs, disks: Path) -> None:
    sysfs.controller(sysfs.function(SSD), "nvme3", "nvme3n1", "nvme3n2", "nvme3n3", "nvme3n4")
    scan = sysfs.scan()
    assert told(scan.controllers[0], scan, mounted("/da\nta", 1)) == [
        ("partition", "nvme3n1", "nvme3n1p1"),
        ("mount", "nvme3n1p1", "/da\\nta"),
        ("holder", "nvme3n2", "dm-0"),
    ]
    fault = inuse.in_use(scan.controllers[0], inuse.of_function(scan.controllers[0], scan, UsageTable([mounted("/data", 1)])))
    assert fault is not None
    assert fault.code == codes.NVME_CONTROLLER_IN_USE
    assert "nvme3n1: has the partition nvme3n1p1; nvme3n1p1: mounted on /data; nvme3n2: held by dm-0" in fault.description
    assert inuse.in_use(scan.controllers[0], ()) is None
    assert ("root", "nvme3n1", "") in told(scan.controllers[0], scan, mounted("/", 1))


def test_a_vmd_is_used_by_what_is_behind_it(sysfs: Sysfs, disks: Path) -> None:
    vmd = sysfs.function(VMD, "devices/pci0000:5d", "vmd", **{"class": "0x010400", "device": "0x201d"})
    behind = sysfs.function(BEHIND, os.path.relpath(vmd / "pci10000:00/10000:00:02.0", sysfs.root))
    sysfs.controller(behind, "nvme3", "nvme3n2")
    scan = sysfs.scan()
    assert told(scan.vmds[0], scan) == told(scan.controllers[0], scan) == [("holder", "nvme3n2", "dm-0")]


def test_a_controller_that_the_kernel_does_not_drive_has_no_reasons(sysfs: Sysfs) -> None:
    sysfs.function(SSD, driver="vfio-pci")
    scan = sysfs.scan()
    assert told(scan.controllers[0], scan) == []
    assert inuse.exclusively_open(scan.controllers[0], scan) == ()
