# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Plans about SSDs as pure functions: which get which driver, which are left alone and why, and what a format does with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.model import StorageTier
from daos_server.plan.access import Asked
from daos_server.plan.facts import EngineState, MetadataState, Mounted, ScmState, Storage
from daos_server.plan.format.planner import plan_format
from daos_server.plan.host import HostFacts, NodePages
from daos_server.plan.nvme import Ssd
from daos_server.plan.prepare import plan_nvme_prepare, plan_prepare
from daos_server.plan.reset import plan_nvme_reset, plan_reset
from daos_server.plan.steps import BindSsd, CleanHugepages, Plan, RestoreSsd, SetHugepages, WipeSsd, WriteNvmeConf
from daos_server.plan.unfinished import Entry, Unfinished
from daos_server.plan.units import MIB
from daos_server.plan.wanted import Bdevs, Engine, Scm, Wanted, _bdevs

if TYPE_CHECKING:
    from collections.abc import Callable

    from daos_server.plan.nvme import Ssds

pytestmark = pytest.mark.unit

FIRST, SECOND, THIRD = "0000:41:00.0", "0000:42:00.0", "0000:c1:00.0"
VMD = "0000:5d:05.5"
BEHIND = ("5d0505:01:00.0", "5d0505:03:00.0")
HOST = HostFacts(
    total_kib=256 * MIB,
    available_kib=200 * MIB,
    page_kib=2048,
    nodes=(NodePages(node=0), NodePages(node=1)),
    iommu=True,
    user="daos_server",
)
WITH_VMD = replace(HOST, vmd_endpoints=(VMD,))


def ssd(address: str, driver: str = "nvme", **more: object) -> Ssd:
    return replace(Ssd(address=address, kernel=address, driver=driver, group=7), **more)  # type: ignore[arg-type]


def listed(*ssds: Ssd) -> Ssds:
    return {one.address: one for one in ssds}


SSDS = listed(ssd(FIRST), ssd(SECOND), ssd(THIRD))
VMD_SSDS = listed(
    ssd(VMD, "vmd", is_vmd=True, behind=BEHIND), *(ssd(address, vmd=VMD, kernel=f"10000{address[6:]}") for address in BEHIND)
)


def engine(index: int, *devices: str, roles: bool = False) -> Engine:
    mount = f"/mnt/daos{index}"
    folder = f"/var/daos/daos_control/engine{index}" if roles else ""
    return Engine(
        index=index,
        targets=1,
        scm=Scm(storage_class="ram", mount=mount, size_gib=4),
        bdevs=(Bdevs(tier=1, storage_class="nvme", devices=devices, roles=frozenset({"data", "meta", "wal"}) if roles else frozenset()),),
        numa_node=index,
        metadata_dir=folder,
        nvme_conf=f"{folder or mount}/daos_nvme.conf",
    )


def wanted(*engines: Engine, **more: object) -> Wanted:
    return replace(Wanted(hostname="host", engines=engines), **more)  # type: ignore[arg-type]


TWO = wanted(engine(0, FIRST, SECOND), engine(1, THIRD))


def bound(plan: Plan) -> list[tuple[str, str]]:
    return [(step.subject, step.driver) for step in plan.steps if isinstance(step, BindSsd)]


def left(plan: Plan) -> dict[str, str]:
    return {part.subject: part.detail for part in plan.standing}


def faults(plan: Plan) -> dict[str, int]:
    return {part.subject: part.fault.code for part in plan.standing if part.fault is not None}


# Prepare


def test_the_configured_ssds_are_bound_in_their_places() -> None:
    plan = plan_prepare(TWO, HOST, SSDS)
    assert bound(plan) == [(FIRST, "vfio-pci"), (SECOND, "vfio-pci"), (THIRD, "vfio-pci")]
    assert [(step.engine, step.tier) for step in plan.steps if isinstance(step, BindSsd)] == [(0, 1), (0, 1), (1, 1)]
    assert isinstance(plan.steps[0], SetHugepages)
    assert (plan.refusals, faults(plan)) == ((), {})
    assert f"bind the SSD {FIRST} to vfio-pci for daos_server (it has nvme now)" in plan.steps[1].describe()


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (None, codes.BDEV_NOT_FOUND, FIRST),
        (ssd(FIRST, in_use=("nvme0n1: mounted on /srv",)), codes.NVME_CONTROLLER_IN_USE, "mounted on /srv"),
        (ssd(FIRST, shared="0000:00:1f.2 (ahci)"), codes.NVME_GROUP_SHARED, "0000:00:1f.2 (ahci)"),
    ],
)
def test_a_named_ssd_that_cannot_be_used_fails_alone(found: Ssd | None, code: int, words: str) -> None:
    plan = plan_prepare(TWO, HOST, listed(*(one for one in (found, ssd(SECOND), ssd(THIRD)) if one is not None)))
    assert [address for address, _ in bound(plan)] == [SECOND, THIRD]
    assert faults(plan) == {FIRST: code}
    assert words in left(plan)[FIRST]
    assert plan.refusals == ()


def test_an_ssd_that_is_as_it_should_be_needs_no_step() -> None:
    plan = plan_prepare(wanted(engine(0, FIRST)), HOST, listed(ssd(FIRST, "vfio-pci", owner="daos_server")))
    assert bound(plan) == []
    assert left(plan)[FIRST] == "has vfio-pci already, for daos_server"
    other = plan_prepare(wanted(engine(0, FIRST)), HOST, listed(ssd(FIRST, "vfio-pci", owner="root")))
    assert bound(other) == [(FIRST, "vfio-pci")]


@pytest.mark.parametrize(
    ("host", "disable_vfio", "code"),
    [(replace(HOST, iommu=False), False, codes.SERVER_IOMMU_DISABLED), (HOST, True, codes.SERVER_VFIO_DISABLED)],
)
def test_storage_prepare_refuses_what_the_engines_could_not_use(host: HostFacts, disable_vfio: bool, code: int) -> None:
    plan = plan_prepare(replace(TWO, disable_vfio=disable_vfio), host, SSDS)
    assert [fault.code for fault in plan.refusals] == [code]


def test_excluded_ssds_are_left_alone() -> None:
    plan = plan_prepare(replace(TWO, bdev_exclude=(SECOND,)), HOST, SSDS)
    assert SECOND not in dict(bound(plan))
    assert "block list" in left(plan)[SECOND]


# VMD


@pytest.mark.parametrize("named", [VMD, BEHIND[0], BEHIND[1]])
def test_whatever_is_behind_a_vmd_stands_for_it(named: str) -> None:
    plan = plan_prepare(wanted(engine(0, named)), WITH_VMD, VMD_SSDS)
    assert bound(plan) == [(VMD, "vfio-pci")]
    step = next(step for step in plan.steps if isinstance(step, BindSsd))
    assert (step.vmd, step.kind, step.behind, step.engine) == (True, "VMD", BEHIND, 0)


def test_a_vmd_is_bound_once() -> None:
    plan = plan_prepare(wanted(engine(0, *BEHIND)), WITH_VMD, VMD_SSDS)
    assert bound(plan) == [(VMD, "vfio-pci")]


@pytest.mark.parametrize("named", [VMD, BEHIND[0]])
def test_without_vmd_what_is_behind_one_cannot_be_used(named: str) -> None:
    plan = plan_prepare(wanted(engine(0, named), enable_vmd=False), WITH_VMD, VMD_SSDS)
    assert (bound(plan), faults(plan)) == ([], {named: codes.NVME_UNUSABLE})


def test_a_vmd_with_nothing_behind_it_is_a_fault() -> None:
    plan = plan_prepare(wanted(engine(0, VMD)), WITH_VMD, listed(ssd(VMD, "vmd", is_vmd=True)))
    assert faults(plan) == {VMD: codes.BDEV_NOT_FOUND}


def test_a_blocked_ssd_blocks_its_vmd() -> None:
    plan = plan_prepare(wanted(engine(0, VMD), bdev_exclude=(VMD,)), WITH_VMD, VMD_SSDS)
    assert bound(plan) == []


# nvme prepare


def test_nobody_named_anything() -> None:
    plan = plan_nvme_prepare(Asked(), HOST, SSDS)
    assert [fault.code for fault in plan.refusals] == [codes.NVME_NONE_NAMED]
    assert "--all" in plan.refusals[0].resolution
    assert plan.steps == ()


def test_all_takes_what_is_free_and_says_why_not_the_rest() -> None:
    found = listed(ssd(FIRST), ssd(SECOND, in_use=("nvme1n1: swap space",)), ssd(THIRD), *VMD_SSDS.values())
    plan = plan_nvme_prepare(Asked(block=THIRD), WITH_VMD, found, everything=True)
    assert bound(plan) == [(FIRST, "vfio-pci"), (VMD, "vfio-pci")]
    assert all(step.only_if_free for step in plan.steps if isinstance(step, BindSsd))
    assert "swap space" in left(plan)[SECOND]
    assert "block list" in left(plan)[THIRD]
    assert faults(plan) == {}


def test_the_command_line_comes_before_the_configuration() -> None:
    plan = plan_nvme_prepare(Asked(allow=f"{SECOND},{FIRST}", hugepages=101), HOST, SSDS, TWO)
    assert [address for address, _ in bound(plan)] == [FIRST, SECOND]
    pages = next(step for step in plan.steps if isinstance(step, SetHugepages))
    assert pages.nodes == ((0, 0, 51), (1, 0, 50))
    configured = plan_nvme_prepare(Asked(), HOST, SSDS, TWO)
    assert [address for address, _ in bound(configured)] == [FIRST, SECOND, THIRD]


@pytest.mark.parametrize(("configured", "pages"), [(0, 512), (64, 32)])
def test_hugepages_that_nobody_counted(configured: int, pages: int) -> None:
    plan = plan_nvme_prepare(Asked(allow=FIRST), HOST, SSDS, replace(TWO, nr_hugepages=configured))
    step = next(step for step in plan.steps if isinstance(step, SetHugepages))
    assert step.nodes == ((0, 0, pages), (1, 0, pages))


@pytest.mark.parametrize(
    ("asked", "host", "code"),
    [
        (Asked(allow=FIRST, disable_vfio=True), HOST, codes.BDEV_NON_ROOT_VFIO_DISABLE),
        (Asked(allow=FIRST), replace(HOST, iommu=False), codes.BDEV_NO_IOMMU),
        (Asked(allow=FIRST), replace(HOST, available_kib=MIB), codes.HUGEPAGES_OVER_MEMORY),
    ],
)
def test_what_stands_in_the_way_refuses_nvme_prepare(asked: Asked, host: HostFacts, code: int) -> None:
    assert [fault.code for fault in plan_nvme_prepare(asked, host, SSDS).refusals] == [code]


@pytest.mark.parametrize("plan", [plan_nvme_prepare, plan_nvme_reset])
def test_an_address_that_is_none(plan: Callable[[Asked, HostFacts, Ssds], Plan]) -> None:
    with pytest.raises(Fault) as caught:
        plan(Asked(allow="0000:zz:00.0"), HOST, SSDS)
    assert caught.value.code == codes.BDEV_BAD_PCI_ADDRESS


def test_root_may_use_uio() -> None:
    plan = plan_nvme_prepare(Asked(allow=FIRST, disable_vfio=True, user="root"), replace(HOST, iommu=False), SSDS)
    assert (bound(plan), plan.refusals) == ([(FIRST, "uio_pci_generic")], ())


# Reset


def test_reset_gives_back_what_was_taken_and_nothing_else() -> None:
    found = listed(ssd(FIRST, "vfio-pci"), ssd(SECOND), ssd(THIRD, ""))
    plan = plan_nvme_reset(Asked(), HOST, found, TWO)
    assert [step.subject for step in plan.steps] == [FIRST, THIRD]
    assert all(isinstance(step, RestoreSsd) and step.all_on_record for step in plan.steps)


def test_reset_of_named_ssds() -> None:
    found = listed(ssd(FIRST, "vfio-pci"), ssd(SECOND), ssd(THIRD, "vfio-pci"))
    plan = plan_nvme_reset(Asked(allow=f"{FIRST},{SECOND},0000:99:00.0"), HOST, found)
    assert [(step.subject, isinstance(step, RestoreSsd) and step.all_on_record) for step in plan.steps] == [(FIRST, False)]
    assert left(plan)[SECOND] == "has nvme"
    assert faults(plan) == {"0000:99:00.0": codes.BDEV_NOT_FOUND}
    blocked = plan_nvme_reset(Asked(block=FIRST), HOST, found)
    assert [step.subject for step in blocked.steps] == [THIRD]


def test_a_reservation_that_was_left_behind_is_given_back() -> None:
    plan = plan_nvme_reset(Asked(), HOST, listed(ssd(FIRST, "nvme", override="vfio-pci")))
    assert [step.subject for step in plan.steps] == [FIRST]


def test_stale_hugepage_files_are_no_reason_to_fail() -> None:
    from daos_server.plan.host import HugepageFile

    host = replace(HOST, files=(HugepageFile(name="spdk_pid1map_0", pid=1, alive=False, size=1),))
    step = plan_nvme_reset(Asked(), host, SSDS).steps[0]
    assert isinstance(step, CleanHugepages)
    assert step.optional


def test_storage_reset_gives_the_configured_ssds_back() -> None:
    found = listed(ssd(FIRST, "vfio-pci"), ssd(SECOND, "vfio-pci"), ssd(THIRD))
    facts = Storage(host=HOST, engines=(EngineState(), EngineState()), ssds=found)
    plan = plan_reset(TWO, facts, force=False)
    assert [step.subject for step in plan.steps if isinstance(step, RestoreSsd)] == [FIRST, SECOND]
    assert left(plan)[THIRD] == "has nvme"


# Format


def storage(ssds: Ssds, *engines: EngineState, host: HostFacts = HOST, metadata: MetadataState | None = None) -> Storage:
    return Storage(
        host=host, engines=engines or (EngineState(), EngineState()), ssds=ssds, metadata=metadata or MetadataState(needs_format=False)
    )


def wiped(plan: Plan) -> list[str]:
    return [step.subject for step in plan.steps if isinstance(step, WipeSsd)]


def test_ssds_of_all_engines_are_wiped_together_and_after_scm() -> None:
    plan = plan_format(TWO, storage(SSDS), force=False)
    kinds = [type(step).__name__ for step in plan.steps]
    assert kinds == ["FormatRam", "FormatRam", "WipeSsd", "WipeSsd", "WipeSsd", "WriteNvmeConf", "WriteNvmeConf"]
    wipe = next(step for step in plan.steps if isinstance(step, WipeSsd))
    assert (wipe.needs, wipe.force, wipe.destructive) == (("scm:0",), False, False)
    conf = next(step for step in plan.steps if isinstance(step, WriteNvmeConf))
    assert conf.needs == ("scm:0", f"ssd:0:1:{FIRST}", f"ssd:0:1:{SECOND}")
    assert f'"traddr": "{FIRST}"' in conf.content
    assert "enable_vmd" not in conf.content


def test_force_destroys_and_says_so() -> None:
    plan = plan_format(TWO, storage(SSDS), force=True)
    assert all(step.force and step.destructive for step in plan.steps if isinstance(step, WipeSsd))


def test_an_ssd_in_use_keeps_only_its_engine_from_its_configuration() -> None:
    found = listed(ssd(FIRST), ssd(SECOND, in_use=("nvme1n1: swap space",)), ssd(THIRD))
    plan = plan_format(TWO, storage(found), force=True)
    assert wiped(plan) == [FIRST, THIRD]
    assert faults(plan) == {SECOND: codes.NVME_CONTROLLER_IN_USE}
    assert [step.engine for step in plan.steps if isinstance(step, WriteNvmeConf)] == [1]
    assert plan.refusals == ()


def test_an_ssd_that_does_not_answer_is_not_wiped() -> None:
    silent = ssd(FIRST, fault=Fault(codes.NVME_COMMAND_FAILED, address=FIRST, command="Identify", reason="it did not answer"))
    plan = plan_format(TWO, storage(listed(silent, ssd(SECOND), ssd(THIRD))), force=False)
    assert faults(plan) == {FIRST: codes.NVME_COMMAND_FAILED}


def test_ssds_behind_a_vmd_are_in_the_configuration_of_the_engine() -> None:
    one = wanted(engine(0, VMD))
    plan = plan_format(one, storage(VMD_SSDS, EngineState(), host=WITH_VMD), force=False)
    assert wiped(plan) == [VMD]
    conf = next(step for step in plan.steps if isinstance(step, WriteNvmeConf))
    assert all(f'"traddr": "{address}"' in conf.content for address in BEHIND)
    assert f'"traddr": "{VMD}"' not in conf.content
    assert '"method": "enable_vmd"' in conf.content


IN_USE = ScmState(formatted=True, mounted=True, mount=Mounted(kind="tmpfs", content=("superblock",)))
EMPTY = ScmState(formatted=True, mounted=True, mount=Mounted(kind="tmpfs", content=()))


def test_engines_in_use_keep_their_ssds() -> None:
    plan = plan_format(TWO, storage(SSDS, EngineState(scm=IN_USE), EngineState(scm=EMPTY)), force=False)
    assert wiped(plan) == [THIRD]
    assert "formatted before and is in use" in left(plan)[FIRST]


def test_an_engine_with_a_superblock_keeps_its_ssds() -> None:
    plan = plan_format(TWO, storage(SSDS, EngineState(), EngineState(scm=EMPTY, superblock=True)), force=False)
    assert wiped(plan) == [FIRST, SECOND]
    assert "superblock" in left(plan)[THIRD]


def test_a_superblock_that_nobody_can_see_yet_is_looked_for_again() -> None:
    config = replace(
        wanted(engine(0, FIRST, roles=True)), metadata_root="/var/daos", metadata_device="/dev/md", data_path="/var/daos/daos_control"
    )
    hidden = MetadataState(needs_format=False, device="/dev/md", mountable=True)
    plan = plan_format(config, storage(SSDS, EngineState(superblock=None), metadata=hidden), force=False)
    step = next(step for step in plan.steps if isinstance(step, WipeSsd))
    assert step.superblock == "/var/daos/daos_control/engine0/superblock"


def test_without_hugepages_ssds_are_not_formatted() -> None:
    plan = plan_format(replace(TWO, disable_hugepages=True), storage(SSDS), force=False)
    assert wiped(plan) == []
    assert "disable_hugepages" in left(plan)[FIRST]
    assert not any(isinstance(step, WriteNvmeConf) for step in plan.steps)


def test_an_interrupted_format_goes_on_where_it_was() -> None:
    entries = {
        "scm:0": Entry(subject="/mnt/daos0", state="done"),
        f"ssd:0:1:{FIRST}": Entry(subject=FIRST, state="done"),
        f"ssd:0:1:{SECOND}": Entry(subject=SECOND, state="begun", force=True),
    }
    one = wanted(engine(0, FIRST, SECOND))
    unfinished = Unfinished(digest=one.digest(), force=True, started="2026-01-01", steps=entries)
    plan = plan_format(one, storage(SSDS, EngineState(scm=EMPTY)), force=False, unfinished=unfinished)
    assert wiped(plan) == [SECOND]
    assert next(step for step in plan.steps if isinstance(step, WipeSsd)).force
    assert left(plan)[FIRST] == "the interrupted format did it"


def test_an_engine_that_could_not_start_is_told_of() -> None:
    plan = plan_format(TWO, storage(SSDS, host=replace(HOST, iommu=False)), force=False)
    assert any("(602)" in note for note in plan.notes)
    assert plan.refusals == ()


# Faults of SSDs, each where it belongs


def test_a_class_that_nobody_knows() -> None:
    tier = StorageTier.model_construct(storage_class="tape", bdev_list=(FIRST,), bdev_busid_range=None)
    with pytest.raises(Fault) as caught:
        _bdevs(tier, 1)
    assert (caught.value.code, caught.value.object) == (codes.BDEV_FORMAT_UNKNOWN_CLASS, "tier 1")
