# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The guest without an IOMMU is one where only uio_pci_generic works."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from vmlab.spec import UIO
from vmlab.waiting import until

pytestmark = pytest.mark.guest("uio")

PCI = Path("/sys/bus/pci")


def controllers() -> dict[str, Path]:
    """Return the PCI devices of the controllers that the kernel drives, by serial number."""
    return {(path / "serial").read_text().strip(): (path / "device").resolve() for path in Path("/sys/class/nvme").iterdir()}


def bind(device: Path, driver: str) -> None:
    """Give a device to a driver."""
    (device / "driver" / "unbind").write_text(device.name)
    (device / "driver_override").write_text(driver)
    (PCI / "drivers_probe").write_text(device.name)
    (device / "driver_override").write_text("\n")


def test_every_controller_is_there() -> None:
    assert sorted(controllers()) == [controller.serial for controller in UIO.controllers]


def test_there_is_no_iommu() -> None:
    assert list(Path("/sys/kernel/iommu_groups").iterdir()) == []


def test_a_controller_goes_to_uio_and_back() -> None:
    subprocess.run(["/sbin/modprobe", "uio_pci_generic"], check=True)
    serial, device = sorted(controllers().items())[0]
    bind(device, "uio_pci_generic")
    assert (device / "driver").resolve().name == "uio_pci_generic"
    assert [path.name for path in (device / "uio").iterdir()] == ["uio0"]
    assert serial not in controllers()
    bind(device, "nvme")
    until(lambda: serial in controllers(), f"{serial} is found again")
    assert controllers()[serial] == device
