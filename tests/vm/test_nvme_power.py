# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A power cut while SSDs change their driver, and an SSD that is unplugged for real: the next run finds its way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import Installation
from vmlab import Controller, Guest, Spec

pytestmark = pytest.mark.long

MOVABLE, FIXED = "LABMOVE0000", "LABFIXED000"
SPEC = Spec("power", controllers=(Controller(MOVABLE, hotplug=True), Controller(FIXED, node=1)), iommu=True)
SLOW_S = 240.0
"""Seconds that a command may take: Python starts slowly in an emulated machine."""
UNBIND = """for one in /sys/bus/pci/devices/*/nvme; do
one=${one%/nvme}
echo vfio-pci > $one/driver_override
echo ${one##*/} > $one/driver/unbind
done"""


@pytest.fixture(scope="module")
def guest(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One guest for all tests here."""
    with Guest(SPEC, tmp_path_factory.mktemp("guest")) as guest:
        guest.run(["/sbin/modprobe", "vfio-pci"])
        yield guest


def nvme(guest: Guest, installation: Installation, *arguments: str) -> tuple[int, object]:
    """Run an nvme command as the account; return its status and the response."""
    words = [*installation.account.become, str(installation.server), "nvme", *arguments, "--ignore-config", "--json"]
    done = guest.run(words, timeout_s=SLOW_S, check=False)
    return done.status, json.loads(done.out)["response"]


def drivers(guest: Guest, installation: Installation) -> dict[str, str]:
    """Return the driver of each controller, by address."""
    _, found = nvme(guest, installation, "scan")
    assert isinstance(found, list)
    return {row["pci_addr"]: row["driver"] for row in found}


def test_unplugged_ssds_are_gone_and_come_back(guest: Guest, installation: Installation) -> None:
    before = drivers(guest, installation)
    assert set(before.values()) == {"nvme"}
    assert nvme(guest, installation, "prepare", "--all", "-p", "8")[0] == 0
    guest.unplug(MOVABLE)
    left = drivers(guest, installation)
    assert set(left.values()) == {"vfio-pci"}
    assert len(left) == len(before) - 1
    status, _ = nvme(guest, installation, "prepare", next(iter(set(before) - set(left))), "-p", "8")
    assert status == 1
    guest.plug(MOVABLE)
    assert nvme(guest, installation, "reset")[0] == 0
    assert drivers(guest, installation) == before


def test_ssds_without_a_driver_get_one_again(guest: Guest, installation: Installation) -> None:
    before = drivers(guest, installation)
    guest.run(["/bin/sh", "-c", UNBIND])
    assert set(drivers(guest, installation).values()) == {""}
    assert nvme(guest, installation, "reset", ",".join(before))[0] == 0
    assert drivers(guest, installation) == before


def test_after_a_power_cut_everything_is_as_the_kernel_makes_it(guest: Guest, installation: Installation, tmp_path: Path) -> None:
    before = drivers(guest, installation)
    assert nvme(guest, installation, "prepare", "--all", "-p", "8")[0] == 0
    guest.kill()
    guest.boot()
    guest.run(["/sbin/modprobe", "vfio-pci"])
    assert drivers(guest, installation) == before
    status, reset = nvme(guest, installation, "reset")
    assert isinstance(reset, dict)
    assert (status, reset["rows"]) == (0, [])
    assert nvme(guest, installation, "prepare", "--all", "-p", "8")[0] == 0
    assert nvme(guest, installation, "reset")[0] == 0
    assert drivers(guest, installation) == before
