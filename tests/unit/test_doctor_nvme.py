# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Doctor: IOMMU, VFIO's modules, SSDs, their groups and their lock files; on made-up machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from made_up import Tree, by_subject, complete, installation, setting

from daos_server.doctor import controllers, iommu, spdk_locks, vfio_groups, vfio_modules
from daos_server.doctor.finding import Finding
from daos_server.doctor.machine import Setting

NOTHING = Setting(installation())
SSD, OTHER = "0000:81:00.0", "0000:82:00.0"
INTEL = "vendor_id\t: GenuineIntel\nflags\t\t: fpu vmx\n"
AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm\n"
GUEST = "vendor_id\t: GenuineIntel\nflags\t\t: fpu hypervisor\n"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "machine")
    made.write("proc/cmdline", "quiet\n")
    made.write("proc/cpuinfo", INTEL)
    return made


def asking(tmp_path: Path, *ssds: str, more: str = "") -> Setting:
    return setting(tmp_path, ", ".join(f'"{ssd}"' for ssd in ssds), more=more)


# IOMMU


def test_an_iommu_in_use_is_ok(tree: Tree, tmp_path: Path) -> None:
    tree.folder("sys/class/iommu/dmar0")
    tree.folder("sys/kernel/iommu_groups/0")
    found = by_subject(iommu.check(tree.machine, asking(tmp_path, SSD)))
    assert {subject: point.verdict for subject, point in found.items()} == {"IOMMU": "ok", "disable_vfio": "ok"}


CAUSES = {
    "off in firmware, Intel": (INTEL, "quiet", ("APIC",), "off in the firmware", "VT-d"),
    "off in firmware, AMD": (AMD, "quiet", ("APIC",), "off in the firmware", "AMD-Vi"),
    "not asked for": (INTEL, "quiet", ("DMAR",), "not told to use it", "intel_iommu=on iommu=pt"),
    "switched off": (INTEL, "quiet intel_iommu=off", ("DMAR",), "switched off on the kernel command line", "intel_iommu=off"),
    "switched off, AMD": (AMD, "amd_iommu=off", ("IVRS",), "switched off on the kernel command line", "amd_iommu=off"),
    "fails, Intel": (INTEL, "intel_iommu=on", ("DMAR",), "yet the kernel does not use it", "dmesg"),
    "fails, AMD": (AMD, "quiet", ("IVRS",), "yet the kernel does not use it", "dmesg"),
    "guest": (GUEST, "quiet", ("APIC",), "virtual machine", "intel-iommu"),
    "no ACPI": (AMD, "quiet", (), "not known", "setup"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_why_there_is_no_iommu_is_found_out(name: str, tree: Tree, tmp_path: Path) -> None:
    cpuinfo, arguments, tables, found, advice = CAUSES[name]
    tree.write("proc/cpuinfo", cpuinfo)
    tree.write("proc/cmdline", f"{arguments}\n")
    for table in tables:
        tree.write(f"sys/firmware/acpi/tables/{table}")
    point = by_subject(iommu.check(tree.machine, asking(tmp_path, SSD)))["IOMMU"]
    assert found in point.found
    assert advice in point.advice
    assert point.verdict == "stops"


def test_an_iommu_without_groups_is_none(tree: Tree) -> None:
    tree.folder("sys/class/iommu/dmar0")
    (point,) = iommu.check(tree.machine, NOTHING)
    assert (point.verdict, complete(point)) == ("warning", True)


def test_an_iommu_that_nothing_needs_is_not_missed(tree: Tree, tmp_path: Path) -> None:
    found = by_subject(iommu.check(tree.machine, setting(tmp_path)))
    assert found["IOMMU"].verdict == "ok"
    assert found["IOMMU"].found.endswith("not needed by this configuration")
    assert not found["IOMMU"].advice


def test_a_configuration_without_vfio_stops_engines(tree: Tree, tmp_path: Path) -> None:
    point = by_subject(iommu.check(tree.machine, asking(tmp_path, SSD, more="disable_vfio: true")))["disable_vfio"]
    assert (point.verdict, complete(point)) == ("stops", True)


# Modules


def module(tree: Tree, tmp_path: Path) -> Finding:
    return by_subject(vfio_modules.check(tree.machine, asking(tmp_path, SSD)))["module vfio_pci"]


def test_modules_that_are_loaded_or_built_in_are_ok(tree: Tree, tmp_path: Path) -> None:
    tree.folder("sys/module/vfio_pci")
    tree.write("lib/modules/6.1.0-made-up/modules.builtin", "kernel/drivers/vfio/vfio_iommu_type1.ko\n")
    found = by_subject(vfio_modules.check(tree.machine, asking(tmp_path, SSD)))
    assert [point.found for point in found.values()] == ["loaded", "built into the kernel"]
    assert {point.verdict for point in found.values()} == {"ok"}


def test_a_module_that_is_nowhere(tree: Tree, tmp_path: Path) -> None:
    point = module(tree, tmp_path)
    assert (point.verdict, complete(point)) == ("stops", True)
    assert "missing" in point.found


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("proc/cmdline", "quiet\n", "modprobe vfio_pci"),
        ("proc/cmdline", "quiet nomodule\n", "remove nomodule"),
        ("proc/sys/kernel/modules_disabled", "1\n", "kernel.modules_disabled"),
    ],
)
def test_a_module_that_is_not_loaded_comes_with_the_way_to_load_it(path: str, text: str, words: str, tree: Tree, tmp_path: Path) -> None:
    tree.write("lib/modules/6.1.0-made-up/modules.dep", "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n")
    tree.write(path, text)
    point = module(tree, tmp_path)
    assert point.verdict == "stops"
    assert words in point.advice


# SSDs


def test_configured_ssds_are_told_by_driver(tree: Tree, tmp_path: Path) -> None:
    tree.pci(SSD, "0x010802", driver="vfio-pci")
    tree.pci(OTHER, "0x010802")
    found = by_subject(controllers.check(tree.machine, asking(tmp_path, SSD, OTHER, "0000:83:00.0")))
    assert {subject: (point.verdict, point.found) for subject, point in found.items()} == {
        f"SSD {SSD}": ("ok", "bound to vfio-pci"),
        f"SSD {OTHER}": ("warning", "bound to no driver"),
        "SSD 0000:83:00.0": ("stops", "configured, but not on the PCI bus"),
    }
    assert all(map(complete, found.values()))
    assert f"{SSD}, {OTHER}" in found["SSD 0000:83:00.0"].advice
    assert f"echo {OTHER} > /sys/bus/pci/drivers_probe" in found[f"SSD {OTHER}"].advice


def test_an_ssd_in_use_stops_its_engine_and_is_only_told_if_no_engine_wants_it(tree: Tree, tmp_path: Path) -> None:
    tree.pci(SSD, "0x010802", driver="nvme")
    uses = ("nvme0n1: mounted on /home",)
    (point,) = controllers.check(tree.machine, asking(tmp_path, SSD), used=lambda *_: uses)
    assert (point.verdict, complete(point)) == ("stops", True)
    assert "mounted on /home" in point.found
    (point,) = controllers.check(tree.machine, NOTHING, used=lambda *_: uses)
    assert point.verdict == "ok"


def test_a_machine_without_ssds(tree: Tree, tmp_path: Path) -> None:
    (point,) = controllers.check(tree.machine, NOTHING)
    assert (point.verdict, complete(point)) == ("warning", True)
    (point,) = controllers.check(tree.machine, setting(tmp_path))
    assert (point.verdict, point.found) == ("ok", "none configured")


@pytest.mark.parametrize(("driver", "verdict"), [("vmd", "warning"), ("vfio-pci", "ok")])
def test_a_vmd_without_ssds_is_named_while_the_kernel_sees_behind_it(driver: str, verdict: str, tree: Tree, tmp_path: Path) -> None:
    tree.pci("0000:5d:05.5", "0x010400", driver=driver, ids=("0x8086", "0x201d"))
    (point,) = controllers.check(tree.machine, asking(tmp_path, "0000:5d:05.5"))
    assert (point.verdict, complete(point)) == (verdict, True)


@pytest.mark.parametrize(("driver", "verdict"), [("vfio-pci", "unknown"), ("vmd", "stops")])
def test_an_ssd_behind_a_vmd_is_missing_only_if_the_kernel_would_see_it(driver: str, verdict: str, tree: Tree, tmp_path: Path) -> None:
    tree.pci("0000:5d:05.5", "0x010400", driver=driver, ids=("0x8086", "0x201d"))
    (point,) = controllers.check(tree.machine, asking(tmp_path, "5d0505:01:00.0"))
    assert (point.verdict, complete(point)) == (verdict, True)
    assert verdict == "stops" or "behind VMD 0000:5d:05.5 (vfio-pci)" in point.found


# Groups


def test_groups_are_viable_alone_with_bridges_and_with_other_ssds_for_engines(tree: Tree, tmp_path: Path) -> None:
    tree.pci(SSD, "0x010802", driver="nvme", group=7)
    tree.pci(OTHER, "0x010802", driver="nvme", group=8)
    tree.pci("0000:83:00.0", "0x010802", driver="nvme", group=8)
    tree.pci("0000:00:01.0", "0x060400", driver="pcieport", group=8)
    found = by_subject(vfio_groups.check(tree.machine, asking(tmp_path, SSD, OTHER, "0000:83:00.0")))
    assert {point.verdict for point in found.values()} == {"ok"}
    assert found[f"IOMMU group of {SSD}"].found == "group 7, alone"
    assert "0000:00:01.0 (pcieport)" in found[f"IOMMU group of {OTHER}"].found


def test_a_group_with_a_device_of_the_system_is_not_viable(tree: Tree, tmp_path: Path) -> None:
    tree.pci(SSD, "0x010802", driver="nvme", group=7)
    tree.pci("0000:81:00.1", "0x020000", driver="ixgbe", group=7)
    (point,) = vfio_groups.check(tree.machine, asking(tmp_path, SSD))
    assert (point.verdict, complete(point)) == ("stops", True)
    assert "0000:81:00.1 (ixgbe)" in point.found
    assert "echo 0000:81:00.1 > /sys/bus/pci/devices/0000:81:00.1/driver/unbind" in point.advice


def test_an_ssd_without_a_group(tree: Tree, tmp_path: Path) -> None:
    tree.pci(SSD, "0x010802", driver="nvme")
    assert list(vfio_groups.check(tree.machine, asking(tmp_path, SSD))) == [], "the IOMMU is what to talk about"
    tree.folder("sys/kernel/iommu_groups/0")
    (point,) = vfio_groups.check(tree.machine, asking(tmp_path, SSD))
    assert (point.verdict, complete(point)) == ("stops", True)


def test_an_ssd_behind_a_vmd_goes_with_it(tree: Tree, tmp_path: Path) -> None:
    tree.pci("0000:5d:05.5", "0x010400", driver="vmd", group=7, ids=("0x8086", "0x201d"))
    tree.pci("10000:01:00.0", "0x010802", driver="nvme", below="0000:5d:05.5")
    assert [point.subject for point in vfio_groups.check(tree.machine, NOTHING)] == ["IOMMU group of 0000:5d:05.5"]
    found = by_subject(controllers.check(tree.machine, asking(tmp_path, "5d0505:01:00.0"), used=lambda *_: ()))
    assert [(point.subject, point.verdict) for point in found.values()] == [("SSD 5d0505:01:00.0", "ok")]
    found = by_subject(controllers.check(tree.machine, asking(tmp_path, "0000:5d:05.5"), used=lambda *_: ()))
    assert found["VMD 0000:5d:05.5"].found == "with 5d0505:01:00.0"
    found = by_subject(controllers.check(tree.machine, asking(tmp_path, "0000:5d:05.5"), used=lambda *_: ("nvme0n1: mounted on /",)))
    assert found["VMD 0000:5d:05.5"].verdict == "stops"


def test_nodes_of_groups_that_everybody_may_open(tree: Tree) -> None:
    (point,) = vfio_groups.nodes(tree.machine, NOTHING)
    assert point.verdict == "ok"
    for name, mode in (("7", 0o600), ("8", 0o666), ("vfio", 0o666)):
        tree.write(f"dev/vfio/{name}")
        (tree.root / f"dev/vfio/{name}").chmod(mode)
    (point,) = vfio_groups.nodes(tree.machine, NOTHING)
    assert (point.verdict, complete(point)) == ("warning", True)
    assert point.found == f"{tree.root}/dev/vfio/8 has mode 0666"


# Lock files: who holds them is asked of the real kernel, in tests/host


def test_no_lock_files_are_ok(tree: Tree) -> None:
    (point,) = spdk_locks.check(tree.machine, NOTHING)
    assert point.verdict == "ok"


def test_what_is_no_file_is_named_and_not_waited_for(tree: Tree, tmp_path: Path) -> None:
    tree.folder("var/tmp")
    os.mkfifo(tree.root / f"var/tmp/spdk_pci_lock_{SSD}")
    (tree.root / f"var/tmp/spdk_pci_lock_{OTHER}").symlink_to("/etc/passwd")
    found = by_subject(spdk_locks.check(tree.machine, asking(tmp_path, SSD)))
    assert [(point.verdict, point.found, complete(point)) for point in found.values()] == [
        ("stops", "no regular file", True),
        ("warning", "no regular file", True),
    ]
