# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The guest with an IOMMU has what its description says, and is a whole machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from installed import Installation
from vmlab.spec import IOMMU, NODES, Controller
from vmlab.waiting import until

pytestmark = pytest.mark.guest("iommu")

NVME = Path("/sys/class/nvme")
PCI = Path("/sys/bus/pci")
HUGEPAGES = 16
CAPABILITIES = 41
"""How many there are in Linux 6.1."""


def word(path: Path) -> str:
    """Return the content of a file of the kernel's."""
    return path.read_text().strip()


def by_serial() -> dict[str, Path]:
    """Return the folders of the controllers that the kernel drives, by serial number."""
    return {word(path / "serial"): path for path in NVME.iterdir()}


def device(controller: Controller) -> Path:
    """Return the PCI device of a controller."""
    return (by_serial()[controller.serial] / "device").resolve()


def test_every_controller_is_there() -> None:
    assert sorted(by_serial()) == [controller.serial for controller in IOMMU.controllers]


@pytest.mark.parametrize("controller", IOMMU.controllers, ids=lambda controller: controller.serial)
def test_controller_is_as_described(controller: Controller) -> None:
    found = by_serial()[controller.serial]
    sizes = {int(word(path / "nsid")): int(word(path / "size")) * 512 for path in found.glob("nvme*n*")}
    assert sizes == dict(enumerate(controller.namespaces, start=1))
    assert int(word(device(controller) / "numa_node")) == controller.node
    assert (device(controller) / "driver").resolve().name == "nvme"


def test_every_controller_has_an_iommu_group_of_its_own() -> None:
    groups = [(device(controller) / "iommu_group").resolve() for controller in IOMMU.controllers]
    assert len(set(groups)) == len(IOMMU.controllers)
    assert {len(list((group / "devices").iterdir())) for group in groups} == {1}


def test_every_nvdimm_is_a_region_of_its_node() -> None:
    regions = Path("/sys/bus/nd/devices").glob("region*")
    found = sorted((int(word(path / "numa_node")), int(word(path / "size"))) for path in regions)
    assert found == sorted((one.node, one.size) for one in IOMMU.nvdimms)


@pytest.mark.parametrize("node", NODES)
def test_a_node_has_hugepages(node: int) -> None:
    pages = Path(f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages")
    pages.write_text(str(HUGEPAGES))
    assert int(word(pages)) == HUGEPAGES
    pages.write_text("0")
    assert int(word(pages)) == 0


def test_root_has_every_capability() -> None:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    for name in ("CapEff", "CapBnd"):
        assert int(status[name], 16) == (1 << CAPABILITIES) - 1


def test_orphans_are_reaped() -> None:
    shell = subprocess.run(["/bin/sh", "-c", "/bin/true & echo $!"], capture_output=True, text=True, check=True)
    orphan = Path("/proc", shell.stdout.strip())
    until(lambda: not orphan.exists(), f"{orphan} is reaped")


@pytest.mark.xfail(reason="fails on purpose: a failure in the guest must be one on the host")
def test_a_failure_comes_back() -> None:
    assert not by_serial()


def bind(address: str, driver: str) -> None:
    """Give a device to a driver."""
    found = PCI / "devices" / address
    (found / "driver" / "unbind").write_text(address)
    (found / "driver_override").write_text(driver)
    (PCI / "drivers_probe").write_text(address)
    (found / "driver_override").write_text("\n")


def test_a_controller_goes_to_vfio_and_back() -> None:
    subprocess.run(["/sbin/modprobe", "vfio-pci"], check=True)
    controller = IOMMU.controllers[0]
    found = device(controller)
    group = Path("/dev/vfio", (found / "iommu_group").resolve().name)
    bind(found.name, "vfio-pci")
    assert (found / "driver").resolve().name == "vfio-pci"
    assert group.is_char_device()
    assert controller.serial not in by_serial()
    bind(found.name, "nvme")
    assert (found / "driver").resolve().name == "nvme"
    assert not group.exists()
    until(lambda: controller.serial in by_serial(), f"{controller.serial} is found again")
    assert device(controller) == found


def test_the_installed_launcher_works(installation: Installation) -> None:
    done = installation.account.run([installation.server, "helper", "check"], environment={"PATH": "/usr/bin", "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
