# SPDX-License-Identifier: BSD-2-Clause-Patent
"""VFIO, IOMMU and VMD: who may have which SSDs, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.access import Asked, at_start, for_prepare
from daos_server.plan.host import HostFacts, NodePages
from daos_server.plan.wanted import Bdevs, Engine, Wanted

QUICK = settings(derandomize=True, deadline=None)
VMD = "0000:5d:05.5"
MEMORY = HostFacts(total_kib=1 << 28, available_kib=1 << 27, page_kib=2048, nodes=(NodePages(node=0),))
HOST = replace(MEMORY, iommu=True, vmd_endpoints=(VMD,), user="daos_server")
NVME = Bdevs(tier=1, storage_class="nvme", devices=("0000:81:00.0", "0000:82:00.0"))
FILE = Bdevs(tier=1, storage_class="file", devices=("/var/daos/bdev0",), size_gib=4)
KDEV = Bdevs(tier=1, storage_class="kdev", devices=("/dev/sdb",))


def engine(index: int, *bdevs: Bdevs) -> Engine:
    return Engine(index=index, targets=8, scm=None, bdevs=bdevs)


WANTED = Wanted(hostname="host", engines=(engine(0, NVME),), bdev_exclude=("0000:99:00.0",))


# A server with its configuration


@pytest.mark.parametrize(
    ("user", "disable_vfio", "iommu", "expected"),
    [
        ("daos_server", False, True, []),
        ("daos_server", False, False, [codes.SERVER_IOMMU_DISABLED]),
        ("daos_server", True, True, [codes.SERVER_VFIO_DISABLED]),
        ("daos_server", True, False, [codes.SERVER_VFIO_DISABLED, codes.SERVER_IOMMU_DISABLED]),
        ("root", False, False, []),
        ("root", True, True, []),
        ("root", True, False, []),
    ],
)
def test_who_needs_vfio_and_an_iommu(user: str, disable_vfio: bool, iommu: bool, expected: list[int]) -> None:
    host = replace(HOST, user=user, iommu=iommu)
    found = at_start(replace(WANTED, disable_vfio=disable_vfio), host)
    assert [fault.code for fault in found.faults] == expected
    assert (found.user, found.disable_vfio) == (user, disable_vfio)
    without = at_start(Wanted(hostname="host", engines=(engine(0, FILE), engine(1, KDEV)), disable_vfio=disable_vfio), host)
    assert (without.faults, without.vmd) == ((), False)


def test_the_ssds_of_all_engines_are_handed_over() -> None:
    other = replace(NVME, devices=("0000:02:00.0",))
    found = at_start(replace(WANTED, engines=(engine(0, NVME), engine(1, other))), HOST)
    assert found.allowed == ("0000:02:00.0", "0000:81:00.0", "0000:82:00.0")
    assert found.blocked == ("0000:99:00.0",)
    assert found.arithmetic == (
        "SSDs: 0000:02:00.0 0000:81:00.0 0000:82:00.0 without 0000:99:00.0, for daos_server",
        "VFIO: on, with the IOMMU of this machine",
        "VMD: on; this machine has 0000:5d:05.5",
    )


def test_without_hugepages_nothing_is_handed_over() -> None:
    found = at_start(replace(WANTED, disable_hugepages=True, disable_vfio=True), replace(HOST, iommu=False))
    assert (found.allowed, found.faults, found.vmd) == ((), (), False)
    assert "disable_hugepages" in found.arithmetic[0]


@pytest.mark.parametrize(
    ("disable_vfio", "iommu", "emulated", "reason"),
    [
        (False, True, False, ""),
        (False, True, True, "files or kernel devices stand for SSDs"),
        (False, False, True, "this machine has no working IOMMU"),
        (False, False, False, "this machine has no working IOMMU"),
        (True, False, True, "VFIO is disabled"),
        (True, True, False, "VFIO is disabled"),
    ],
)
def test_the_first_obstacle_switches_vmd_off(disable_vfio: bool, iommu: bool, emulated: bool, reason: str) -> None:
    engines = (engine(0, NVME), engine(1, FILE)) if emulated else (engine(0, NVME),)
    wanted = replace(WANTED, engines=engines, disable_vfio=disable_vfio)
    host = replace(HOST, iommu=iommu, user="root")
    found = at_start(wanted, host)
    assert found.vmd is (not reason)
    if not reason:
        assert found.notices == ()
        return
    assert found.arithmetic[2] == f"VMD: off, because {reason}"
    assert found.notices == (f"SSDs behind the VMD controllers of this machine ({VMD}) cannot be used, because {reason}",)
    assert at_start(wanted, replace(host, vmd_endpoints=())).notices == ()


def test_vmd_that_nobody_wants_is_no_notice() -> None:
    found = at_start(replace(WANTED, enable_vmd=False), replace(HOST, iommu=False, user="root"))
    assert (found.vmd, found.notices, found.arithmetic[2]) == (False, (), "VMD: off, because disable_vmd is set")


def test_a_machine_without_vmd_is_told_so() -> None:
    found = at_start(WANTED, replace(HOST, vmd_endpoints=()))
    assert (found.vmd, found.arithmetic[2]) == (True, "VMD: on; this machine has no controller")


# nvme prepare


def test_options_come_before_the_configuration() -> None:
    asked = Asked(allow="0000:02:00.0,0000:01:00.0", block="0000:03:00.0", hugepages=64, user="root", disable_vfio=True)
    found = for_prepare(asked, HOST, replace(WANTED, nr_hugepages=4096))
    assert found.allowed == ("0000:01:00.0", "0000:02:00.0")
    assert (found.blocked, found.user, found.hugepages, found.disable_vfio) == (("0000:03:00.0",), "root", 64, True)


def test_the_configuration_fills_what_the_options_leave_open() -> None:
    found = for_prepare(Asked(), HOST, replace(WANTED, nr_hugepages=4096))
    assert (found.allowed, found.blocked) == (NVME.devices, ("0000:99:00.0",))
    assert (found.user, found.hugepages, found.disable_vfio, found.vmd, found.faults) == ("daos_server", 4096, False, True, ())
    assert for_prepare(Asked(user="root"), HOST, replace(WANTED, disable_vfio=True)).disable_vfio


def test_without_a_configuration_all_ssds_are_meant() -> None:
    found = for_prepare(Asked(), HOST)
    assert (found.allowed, found.blocked, found.hugepages, found.vmd) == ((), (), 0, True)
    assert found.arithmetic[0] == "SSDs: all, for daos_server"


@pytest.mark.parametrize(
    ("user", "disable_vfio", "iommu", "expected"),
    [
        ("", False, True, []),
        ("", False, False, [codes.BDEV_NO_IOMMU]),
        ("", True, True, [codes.BDEV_NON_ROOT_VFIO_DISABLE]),
        ("alice", True, False, [codes.BDEV_NON_ROOT_VFIO_DISABLE, codes.BDEV_NO_IOMMU]),
        ("root", True, False, []),
    ],
)
def test_who_may_be_given_ssds(user: str, disable_vfio: bool, iommu: bool, expected: list[int]) -> None:
    found = for_prepare(Asked(user=user, disable_vfio=disable_vfio), replace(HOST, iommu=iommu))
    assert [fault.code for fault in found.faults] == expected
    assert {fault.object for fault in found.faults} <= {user or "daos_server"}
    assert found.vmd is (iommu and not disable_vfio)


def test_a_configuration_without_hugepages_refuses_nvme_prepare() -> None:
    with pytest.raises(Fault) as caught:
        for_prepare(Asked(), HOST, replace(WANTED, disable_hugepages=True))
    assert caught.value.code == codes.SERVER_HUGEPAGES_DISABLED


def test_vmd_is_off_if_the_configuration_says_so() -> None:
    assert for_prepare(Asked(), HOST, replace(WANTED, enable_vmd=False)).vmd is False


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", ()),
        (" , ", ()),
        ("0000:82:00.0,0000:81:00.0,0000:82:00.0", ("0000:81:00.0", "0000:82:00.0")),
        ("0000:82:00.0 0000:0A:00.0", ("0000:0a:00.0", "0000:82:00.0")),
        ("5d0505:01:00.0,0000:81:00.0", ("0000:81:00.0", "5d0505:01:00.0")),
    ],
)
def test_lists_of_addresses(text: str, addresses: tuple[str, ...]) -> None:
    assert for_prepare(Asked(allow=text), HOST).allowed == addresses
    assert for_prepare(Asked(block=text), HOST).blocked == addresses


@pytest.mark.parametrize("text", ["81:00.0", "0000:81:00.0;0000:82:00.0", "/dev/nvme0", "0000:81:00.0,x"])
def test_what_is_no_address(text: str) -> None:
    for asked in (Asked(allow=text), Asked(block=text)):
        with pytest.raises(Fault) as caught:
            for_prepare(asked, HOST)
        assert caught.value.code == codes.BDEV_BAD_PCI_ADDRESS
        assert caught.value.object == text.split(",")[-1]


@QUICK
@given(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["root", "daos_server"]))
def test_vmd_needs_vfio_and_an_iommu(disable_vfio: bool, iommu: bool, wants_vmd: bool, emulated: bool, user: str) -> None:
    wanted = replace(WANTED, disable_vfio=disable_vfio, enable_vmd=wants_vmd, engines=(engine(0, NVME), *([engine(1, FILE)] * emulated)))
    host = replace(HOST, iommu=iommu, user=user)
    start, prepare = at_start(wanted, host), for_prepare(Asked(), host, wanted)
    assert start.vmd is (wants_vmd and iommu and not disable_vfio and not emulated)
    assert prepare.vmd is (wants_vmd and iommu and not disable_vfio)
    assert bool(start.faults) is bool(prepare.faults) is (user != "root" and (disable_vfio or not iommu))
