# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What speaks against giving a controller away: that root denies it, that nobody can look into it, and what comes with its group."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from daos_bindings.linux import block, pci_address
from daos_bindings.linux.block import UsageTable
from daos_bindings.linux.driver_state import State
from daos_bindings.linux.nvme_controller import Namespace, NvmeController
from daos_bindings.linux.pci import CLASS_NVME, CLASS_RAID, GroupMember, PciFunction, Scan
from daos_helper.accounts import Identity
from daos_helper.content import BLOBSTORE, UNKNOWN, Found, Probed
from daos_helper.context import Context
from daos_helper.methods import nvme_bind, nvme_firmware, nvme_records, nvme_restore, nvme_seen
from daos_helper.methods import nvme_machine as machine
from daos_helper.methods.nvme_bind import Candidate
from daos_helper.policy import Policy, PolicyFile
from daos_helper.rundir import RunDirectory
from daos_helper.steps import Work
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme_messages import BdevBind

SSD, OTHER, VMD = "0000:c1:00.0", "0000:c2:00.0", "0000:5d:05.5"
BEHIND = "5d0505:01:00.0"
NVME, VFIO = State("nvme"), State("vfio-pci", "vfio-pci")
ACCOUNT = 4242
NO_GROUP = 999_999
"""An IOMMU group that no machine has, so that its node has no owner."""
NETWORK = 0x020000


def function(kernel: str = SSD, driver: str = "", **more: object) -> PciFunction:
    address = pci_address.parse_kernel(kernel)
    assert address is not None
    values = {
        "kernel": kernel, "address": address, "directory": f"/sys/devices/pci0000:00/{kernel}", "vendor": 0x8086, "device": 0x201D,
        "pci_class": CLASS_NVME << 8 | 2, "driver": driver,
        "driver_override": driver if driver == "vfio-pci" else "", "numa_node": 0, "iommu_group": NO_GROUP, "group_members": (),
        "vmd": "", "controller": None,
    }  # fmt: skip
    return PciFunction(**(values | more))  # type: ignore[arg-type]  # a dict of values of all types


def vmd(driver: str) -> PciFunction:
    return function(VMD, driver, pci_class=CLASS_RAID << 8)


class MakeContext(Protocol):
    """Makes a context with a policy of those keys."""

    def __call__(self, **keys: tuple[str, ...]) -> Context: ...


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeContext:
    """Makes contexts of one run directory, in a machine with two SSDs."""
    devices = tmp_path / "devices"
    for address in (SSD, OTHER, VMD):
        (devices / address).mkdir(parents=True)
    monkeypatch.setattr(nvme_records, "DEVICES", str(devices))
    run = RunDirectory(str(tmp_path / "run"))
    file = PolicyFile("/nonexistent/helper.toml")

    def make(**keys: tuple[str, ...]) -> Context:
        policy = msgspec.convert(keys, Policy)
        return Context(Identity(ACCOUNT, ACCOUNT), policy, file, run, str(tmp_path), lambda _text: None, lambda *_told: None)

    return make


def refused(check: Callable[[], object]) -> Fault:
    with pytest.raises(Fault) as caught:
        check()
    assert caught.value.code == codes.HELPER_POLICY_REFUSED
    return caught.value


def exchange(tmp_path: Path, address: str) -> None:
    """Put another SSD into the slot."""
    (tmp_path / "new").mkdir()
    (tmp_path / "devices" / address).rmdir()
    (tmp_path / "new").rename(tmp_path / "devices" / address)


@pytest.mark.parametrize("entry", [SSD, SSD.upper(), "0000:c1:00.00", "00000:c1:00.0", "000000:C1:00.00"])
def test_what_root_denies_is_denied_however_root_spells_it(made: MakeContext, entry: str) -> None:
    context = made(devices_deny=(entry, OTHER))
    fault = refused(lambda: machine.check_denied(function(), Scan((), ()), context))
    assert f'devices_deny = ["{OTHER}"]' in fault.resolution
    assert machine.is_named(function(), made(devices_allow=(entry,)))
    machine.check_denied(function("0000:c3:00.0"), Scan((), ()), context)


def test_an_ssd_that_is_denied_keeps_the_vmd_that_hides_it(made: MakeContext) -> None:
    """While a userspace driver has the VMD, nobody sees what is behind it."""
    context = made(devices_deny=(BEHIND.upper(),))
    refused(lambda: machine.check_denied(vmd("vfio-pci"), Scan((), (vmd("vfio-pci"),)), context))
    machine.check_denied(function(driver="vfio-pci"), Scan((), ()), context)


@pytest.mark.parametrize("driver", ["vfio-pci", "uio_pci_generic", ""])
def test_what_nobody_can_look_into_is_taken_only_by_root_s_leave(made: MakeContext, driver: str) -> None:
    one = function(driver=driver)
    request = BdevBind((SSD,))
    fault = refused(lambda: nvme_bind._check(one, request, Scan((one,), ()), UsageTable(()), ACCOUNT, made()))
    assert f'devices_allow = ["{SSD}"]' in fault.resolution
    nvme_bind._check(one, request, Scan((one,), ()), UsageTable(()), ACCOUNT, made(devices_allow=(SSD,)))
    nvme_records.remember(SSD, NVME, made())
    nvme_bind._check(one, request, Scan((one,), ()), UsageTable(()), ACCOUNT, made())


@pytest.mark.parametrize("change", ["driver", "namespace", "behind"])
def test_what_changed_while_it_was_looked_at_is_left_alone(made: MakeContext, change: str) -> None:
    space = Namespace("nvme0n1", "nvme0n1", 1, 1 << 30, 512)
    one, other = function(), vmd("vmd")
    judged = Scan((one, function("10000:01:00.0", vmd=VMD)), (other,))
    now = {
        "driver": Scan((function(driver="vfio-pci"), judged.controllers[1]), judged.vmds),
        "namespace": Scan((function(controller=NvmeController("nvme0", 1, 2, "live", (space,))), judged.controllers[1]), judged.vmds),
        "behind": Scan((*judged.controllers, function("10000:02:00.0", vmd=VMD)), judged.vmds),
    }[change]
    candidates = [Candidate(one, named=True), Candidate(other, named=True)]
    nvme_bind._check_unchanged(candidates, judged, judged, made())
    assert all(each.goes for each in candidates)
    nvme_bind._check_unchanged(candidates, judged, now, made())
    assert [each.goes for each in candidates] == [change == "behind", change != "behind"]
    fault = candidates[change == "behind"].fault
    assert fault is not None
    assert (fault.code, "changed" in fault.description) == (codes.NVME_UNUSABLE, True)


def test_an_ssd_in_the_place_of_one_on_record_is_another(made: MakeContext, tmp_path: Path) -> None:
    assert nvme_records.remember(SSD, NVME, made()) == NVME
    assert nvme_records.all_of(made()) == {SSD: NVME}
    exchange(tmp_path, SSD)
    assert nvme_records.all_of(made()) == {}
    one = function(driver="vfio-pci")
    refused(lambda: nvme_bind._check(one, BdevBind((SSD,)), Scan((one,), ()), UsageTable(()), ACCOUNT, made()))
    nvme_records.forget_stale(made())
    assert made().run.names(nvme_records.PREFIX) == []
    assert nvme_records.remember(SSD, VFIO, made()) == VFIO


def test_one_that_is_pulled_out_stays_on_record(made: MakeContext, tmp_path: Path) -> None:
    nvme_records.remember(SSD, NVME, made())
    (tmp_path / "devices" / SSD).rmdir()
    nvme_records.forget_stale(made())
    assert nvme_records.all_of(made()) == {SSD: NVME}


def test_all_behind_a_vmd_must_be_seen_before_it_is_bound(made: MakeContext) -> None:
    whole, hidden = vmd("vmd"), function("10000:01:00.0", "", vmd=VMD)
    scan = Scan((hidden,), (whole,))
    fault = refused(lambda: nvme_bind._check(whole, BdevBind((VMD,), vmd=True), scan, UsageTable(()), ACCOUNT, made()))
    assert "has no driver" in fault.description
    nvme_bind._check(whole, BdevBind((VMD,), vmd=True), scan, UsageTable(()), ACCOUNT, made(devices_allow=(VMD,)))


def check_members(context: Context, member: GroupMember, *going: str) -> None:
    one = function(driver="nvme", group_members=(member,))
    other = function(OTHER, member.driver)
    nvme_bind._check_members(one, {SSD, *going}, Scan((one, other) if member.address == OTHER else (one,), ()), context)


def test_a_group_is_not_given_with_what_somebody_else_gave_to_vfio(made: MakeContext) -> None:
    card = GroupMember("0000:c3:00.0", NETWORK, "vfio-pci")
    fault = refused(lambda: check_members(made(), card))
    assert f'devices_allow = ["{card.address}"]' in fault.resolution
    check_members(made(devices_allow=(card.address,)), card)
    check_members(made(), GroupMember(card.address, NETWORK, ""))
    ssd = GroupMember(OTHER, CLASS_NVME << 8, "vfio-pci")
    refused(lambda: check_members(made(), ssd))
    check_members(made(), ssd, OTHER)
    nvme_records.remember(OTHER, NVME, made())
    check_members(made(), ssd)


@pytest.mark.parametrize("driver", ["vfio-pci", ""])
def test_a_group_is_not_given_with_what_root_denies(made: MakeContext, driver: str) -> None:
    nvme_records.remember(OTHER, NVME, made())
    for member in (GroupMember(OTHER, CLASS_NVME << 8, driver), GroupMember("0000:c3:00.0", NETWORK, driver)):
        refused(partial(check_members, made(devices_deny=(member.address,)), member))


def signatures(*types: str, zeroed: bool = False) -> Probed:
    return Probed(tuple(Found(one, "", "", "") for one in types), zeroed=zeroed)


def test_data_without_a_signature_is_not_the_engines() -> None:
    assert all(one.is_of_engines for one in (signatures(), signatures(BLOBSTORE), signatures(UNKNOWN, zeroed=True)))
    assert not any(one.is_of_engines for one in (signatures(UNKNOWN), signatures(BLOBSTORE, "gpt"), signatures("ext4", zeroed=True)))


def test_what_the_kernel_does_not_show_is_not_judged() -> None:
    space = Namespace("nvme0n1", "nvme0n1", 1, 1 << 30, 512)
    one = function(driver="nvme", controller=NvmeController("nvme0", 240, 0, "live", (space,)))
    assert nvme_seen.hidden(one, frozenset({1})) is None
    fault = nvme_seen.hidden(one, frozenset({1, 2, 7}))
    assert fault is not None
    assert (fault.code, "2, 7" in fault.description) == (codes.NVME_UNUSABLE, True)
    assert nvme_seen.hidden(function(driver="nvme"), frozenset({1})) is not None, "new, or dead"


def test_what_the_kernel_has_again_is_not_taken_from_it(made: MakeContext) -> None:
    """It may be mounted; the record is from before somebody gave it back by hand."""
    del made
    records = {SSD: State("uio_pci_generic", "uio_pci_generic")}
    assert nvme_restore._wanted(function(driver="nvme"), NVME, records) == NVME
    assert nvme_restore._wanted(function(driver="vfio-pci"), VFIO, records) == records[SSD]
    assert nvme_restore._wanted(function(driver="nvme"), State("nvme", "vfio-pci"), {SSD: NVME}) == NVME


@pytest.mark.skipif(os.path.exists(f"/dev/vfio/{NO_GROUP}"), reason="this machine has a group that none has")
def test_what_somebody_else_gave_to_vfio_is_not_taken_back_either(made: MakeContext) -> None:
    fault = refused(lambda: nvme_restore._check_ours(function(driver="vfio-pci"), made()))
    assert f'devices_allow = ["{SSD}"]' in fault.resolution
    nvme_restore._check_ours(function(driver="vfio-pci"), made(devices_allow=(SSD,)))
    nvme_restore._check_ours(function(driver="nvme"), made())
    nvme_restore._check_ours(function(driver=""), made())


def test_what_root_denies_gets_no_firmware(made: MakeContext) -> None:
    both = [function(driver="nvme"), function(OTHER, "nvme")]
    found = nvme_firmware._refused(both, Scan(tuple(both), ()), made(devices_deny=(OTHER,)))
    assert {address: fault.code for address, fault in found.items()} == {OTHER: codes.HELPER_POLICY_REFUSED}


def test_the_ssd_of_the_system_gets_firmware_only_by_root_s_leave(made: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "root_disks", lambda _mounts: frozenset({"nvme9n1"}))
    space = Namespace("nvme9n1", "nvme9n1", 1, 1 << 30, 512)
    one = function(driver="nvme", controller=NvmeController("nvme9", 240, 0, "live", (space,)))
    fault = nvme_firmware._refused([one], Scan((one,), ()), made())[SSD]
    assert f'devices_allow = ["{SSD}"]' in fault.resolution
    assert nvme_firmware._refused([one], Scan((one,), ()), made(devices_allow=(SSD,))) == {}


def finish(work: Work[Scan]) -> None:
    """Run work that needs no worker."""
    with pytest.raises(StopIteration):
        next(work)


def test_what_does_not_answer_is_not_given_away_unless_root_names_it(made: MakeContext) -> None:
    missing = NvmeController("nvme-none", 0, 0, "live", ())
    silent, named, denied = (function(address, "nvme", controller=missing) for address in (SSD, OTHER, "0000:c3:00.0"))
    candidates = [nvme_bind.Candidate(one, named=True) for one in (silent, named, denied)]
    context = made(devices_allow=(OTHER,), devices_deny=(denied.kernel,))
    finish(nvme_bind._look(candidates, Scan((silent, named, denied), ()), context))
    found = [one.fault.code if one.fault else 0 for one in candidates]
    assert found == [codes.NVME_CONTROLLER_GONE, 0, codes.HELPER_POLICY_REFUSED]


def test_one_behind_a_vmd_that_does_not_answer_keeps_the_vmd(made: MakeContext) -> None:
    whole = vmd("vmd")
    behind = function("10000:01:00.0", "nvme", vmd=VMD, controller=NvmeController("nvme-none", 0, 0, "live", ()))
    candidate = nvme_bind.Candidate(whole, named=True)
    finish(nvme_bind._look([candidate], Scan((behind,), (whole,)), made()))
    assert candidate.fault is not None
