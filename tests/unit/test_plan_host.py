# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a whole configuration comes to on a machine: the reference's examples from end to end, and all that goes wrong at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_pbin import codes
from daos_server.config.model import EngineConfig, ServerConfig, StorageTier
from daos_server.plan.engine_memory import EngineMemory
from daos_server.plan.host import Derived, HostFacts, HugepageFile, NodePages, derive
from daos_server.plan.prepare import plan_prepare
from daos_server.plan.units import MIB
from daos_server.plan.wanted import from_config

QUICK = settings(max_examples=300, derandomize=True, deadline=None)
INTERFACES = {"ib0": 0, "ib1": 1}
ROLES = ("data", "meta", "wal")


def machine(gib: int) -> HostFacts:
    return HostFacts(
        total_kib=gib * MIB,
        available_kib=gib * MIB,
        page_kib=2048,
        nodes=(NodePages(node=0), NodePages(node=1)),
        interfaces=INTERFACES,
        iommu=True,
    )


def tier(storage_class: str, **values: object) -> StorageTier:
    return StorageTier.model_validate({"class": storage_class, **values})


def ram(size: int = 0) -> StorageTier:
    return tier("ram", scm_mount="/mnt/daos", scm_size=size)


def files(*roles: str) -> StorageTier:
    return tier("file", bdev_list=("/var/daos/bdev",), bdev_size=4, bdev_roles=roles)


SSDS = tier("nvme", bdev_list=("0000:81:00.0",))


def engine(interface: str, *tiers: StorageTier, targets: int = 16, pin: int | None = None, first_core: int = 0) -> EngineConfig:
    values: dict[str, object] = {"targets": targets, "fabric_iface": interface, "storage": tiers, "first_core": first_core}
    return EngineConfig.model_validate(values if pin is None else values | {"pinned_numa_node": pin})


def config(*engines: EngineConfig, pages: int = 0, reserved: int = 16, path: str = "", **values: object) -> ServerConfig:
    top = {"nr_hugepages": pages, "system_ram_reserved": reserved, "control_metadata": {"path": path}}
    return ServerConfig.model_validate({"engines": engines, **top, **values})


def sizes(found: Derived) -> dict[int, int]:
    return dict(found.ramdisks.sizes) if found.ramdisks else {}


def codes_of(found: Derived) -> list[int]:
    return [fault.code for fault in found.faults]


# C.7 from end to end


@pytest.mark.parametrize(
    ("memory", "pages", "reserved", "engines", "targets", "gib"),
    [(60, 16896, 5, 2, 16, 9), (60, 16896, 2, 2, 16, 10), (80, 4096, 5, 1, 8, 66)],
)
def test_ramdisk_sizes(memory: int, pages: int, reserved: int, engines: int, targets: int, gib: int) -> None:
    each = [engine(f"ib{index}", ram(), files(), targets=targets) for index in range(engines)]
    found = derive(config(*each, pages=pages, reserved=reserved), machine(memory))
    assert sizes(found) == dict.fromkeys(range(engines), gib)
    assert found.faults == ()
    assert f"engine 0: scm_size is 0 (automatic): {gib} GiB" in found.arithmetic


def test_too_little_memory_for_ramdisks() -> None:
    found = derive(config(engine("ib0", ram(), files()), engine("ib1", ram(), files()), pages=16896, reserved=5), machine(46))
    assert codes_of(found) == [codes.SCM_RAMDISK_LOW_MEM]
    assert "50 GiB of memory is needed in all and 46 GiB is fitted" in found.faults[0].description
    assert sizes(found) == {0: 0, 1: 0}


# F.1 and F.2 from end to end


def test_hugepages_of_two_engines() -> None:
    found = derive(config(engine("ib0", ram(), files()), engine("ib1", ram(), files())), machine(256))
    assert found.hugepages is not None
    assert found.node_pages is not None
    assert (found.hugepages.total, found.node_pages.nodes) == (16384, ((0, 8194), (1, 8194)))
    assert found.arithmetic == (
        "engine 0: NUMA node 0, that of its interface ib0",
        "engine 1: NUMA node 1, that of its interface ib1",
        "hugepages: for 32 targets (engine 0: 16, engine 1: 16)",
        "hugepages: 32 x 1.0 GiB / 2.0 MiB = 16384 pages at least",
        "hugepages: nr_hugepages is 0 (automatic): 16384 pages, 32 GiB",
        "hugepages on each of the nodes 0, 1: 16384 / 2 + 2 x 1 engine there = 8194 pages",
        "RAM disk of each engine: (262144 MiB memory - 32768 MiB hugepages - 16384 MiB for the system - 2 x 2048 MiB per engine) / 2"
        " = 104448 MiB, so 102 GiB at most",
        "engine 0: scm_size is 0 (automatic): 102 GiB",
        "engine 1: scm_size is 0 (automatic): 102 GiB",
        "engine 0: its share is 16384 / 2 = 8192 hugepages, 16 GiB",
        "engine 1: its share is 16384 / 2 = 8192 hugepages, 16 GiB",
        "SSDs: the configuration names none, so neither VFIO nor an IOMMU is needed",
    )
    assert [(each.mem_size_mib, each.hugepage_mib) for each in found.engine_memory] == [(16384, 2)] * 2
    assert (found.faults, found.notices) == ((), ())


def test_metadata_on_ssd_takes_one_more_target() -> None:
    found = derive(config(engine("ib0", ram(), files(*ROLES), targets=8), path="/var/daos"), machine(64))
    assert found.hugepages is not None
    assert found.hugepages.total == 4608


def test_the_node_of_the_interface_gets_the_pages() -> None:
    found = derive(config(engine("ib1", ram(), files())), machine(64))
    assert found.node_pages is not None
    assert found.node_pages.nodes == ((1, 8194),)


def test_a_host_without_engines_gets_the_smallest_number() -> None:
    found = derive(config(), machine(8))
    assert found.node_pages is not None
    assert found.node_pages.nodes == ((0, 64), (1, 64))
    assert (found.faults, sizes(found), found.engine_memory) == ((), {}, ())


def test_engines_without_hugepages() -> None:
    found = derive(config(engine("ib0", ram()), disable_hugepages=True), machine(64))
    assert found.node_pages is not None
    assert (found.node_pages.nodes, found.faults, sizes(found)) == ((), (), {0: 46})
    assert found.engine_memory == (EngineMemory(index=0),)


# All that goes wrong


def test_uneven_nodes() -> None:
    found = derive(config(*(engine("ib0", ram(), files(), pin=node) for node in (0, 0, 0, 1))), machine(512))
    assert codes_of(found) == [codes.SERVER_CONFIG_ENGINE_NUMA_IMBALANCE]
    assert "node 0: 3, node 1: 1" in found.faults[0].description
    assert found.node_pages is None
    assert found.ramdisks is not None


def test_a_node_that_the_machine_has_not() -> None:
    found = derive(config(engine("ib0", ram(), files(), pin=2)), machine(64))
    assert codes_of(found) == [codes.HUGEPAGES_NODE_MISSING]


def test_hugepages_that_are_needed_and_disabled() -> None:
    found = derive(config(engine("ib0", ram(), files()), disable_hugepages=True), machine(64))
    assert codes_of(found) == [codes.SERVER_CONFIG_HUGEPAGES_DISABLED_WITH_BDEVS]
    assert (found.hugepages, found.node_pages, found.ramdisks, found.engine_memory) == (None, None, None, ())


def test_a_kernel_without_hugepages() -> None:
    found = derive(config(engine("ib0", ram(), files())), replace(machine(64), page_kib=0))
    assert codes_of(found) == [codes.HUGEPAGES_UNSUPPORTED]


def test_everything_at_once() -> None:
    each = [engine("ib0", ram(200), SSDS, pin=0), engine("ib0", ram(300), SSDS, pin=0), engine("ib1", ram(), pin=1)]
    found = derive(config(*each, pages=4096, disable_vfio=True), replace(machine(256), iommu=False, vmd_endpoints=("0000:5d:05.5",)))
    assert [(fault.code, fault.object) for fault in found.faults] == [
        (codes.SERVER_CONFIG_ENGINE_NUMA_IMBALANCE, ""),
        (codes.SERVER_CONFIG_RAMDISK_OVER_MAX_MEM, "engine 0"),
        (codes.SERVER_CONFIG_RAMDISK_OVER_MAX_MEM, "engine 1"),
        (codes.SERVER_VFIO_DISABLED, "disable_vfio"),
        (codes.SERVER_IOMMU_DISABLED, ""),
    ]
    assert [notice.split(",")[0] for notice in found.notices] == [
        "nr_hugepages is 4096",
        "SSDs behind the VMD controllers of this machine (0000:5d:05.5) cannot be used",
    ]


def test_memory_that_is_taken_now_is_a_notice_only() -> None:
    wanted = config(engine("ib0", tier("dcpm", scm_mount="/mnt/daos", scm_list=("/dev/pmem0",)), files()))
    found = derive(wanted, replace(machine(64), available_kib=8 * MIB))
    assert (found.faults, sizes(found)) == ((), {})
    assert found.notices == ("the hugepages asked for need 16 GiB of memory, and only 8.0 GiB can be used for them",)
    granted = replace(machine(64), available_kib=8 * MIB, nodes=(NodePages(node=0, total=8194), NodePages(node=1)))
    assert derive(wanted, granted).notices == ()


# The machine


def test_facts_in_other_words() -> None:
    host = replace(
        machine(1),
        nodes=(NodePages(node=0, total=8, free=3), NodePages(node=2, total=4, free=4)),
        files=(HugepageFile(name="a", pid=1, alive=True, size=2), HugepageFile(name="b", pid=2, alive=False, size=2)),
    )
    assert (host.node_numbers, host.pages, host.free_pages) == ((0, 2), {0: 8, 2: 4}, 7)
    assert [file.name for file in host.stale_files] == ["b"]
    assert (host.is_root, replace(host, user="root").is_root) == (False, True)


# What holds for all


TIERS = st.sampled_from(
    [
        (),
        (ram(),),
        (ram(4),),
        (ram(), files()),
        (ram(1000), files(*ROLES)),
        (ram(), SSDS),
        (files(),),
        (tier("dcpm", scm_mount="/mnt/daos", scm_list=("/dev/pmem0",)), SSDS, files()),
        (tier(""), tier("nvme"), tier("nvme", bdev_list=("/dev/nvme0",))),
    ]
)
ENGINES = st.builds(
    lambda interface, tiers, targets, pin, first: engine(interface, *tiers, targets=targets, pin=pin, first_core=first),
    st.sampled_from(["ib0", "ib1", "", "none", ","]),
    TIERS,
    st.integers(-2, 64) | st.just(1 << 62),
    st.none() | st.integers(0, 2),
    st.sampled_from([0, 0, 0, -1, 8]),
)
CONFIGS = st.builds(
    lambda engines, pages, reserved, disable, vfio: config(
        *engines, pages=pages, reserved=reserved, disable_hugepages=disable, disable_vfio=vfio
    ),
    st.lists(ENGINES, max_size=5),
    st.sampled_from([0, -5, 1, 4096, 1 << 40]),
    st.sampled_from([16, 0, -5, 1, 1 << 40]),
    st.booleans(),
    st.booleans(),
)
HOSTS = st.builds(
    lambda total, available, page_kib, nodes, iommu, user: HostFacts(
        total_kib=total,
        available_kib=available,
        page_kib=page_kib,
        nodes=tuple(NodePages(node=node, total=node * 100) for node in nodes),
        interfaces=INTERFACES,
        iommu=iommu,
        vmd_endpoints=("0000:5d:05.5",),
        user=user,
    ),
    st.sampled_from([0, 1, 16 * MIB, 512 * MIB]),
    st.sampled_from([0, 8 * MIB]),
    st.sampled_from([0, 4, 2048, 1 << 20]),
    st.sampled_from([(), (0,), (0, 1), (1, 2)]),
    st.booleans(),
    st.sampled_from(["root", "daos_server"]),
)


@QUICK
@given(CONFIGS, HOSTS)
def test_deriving_never_raises_and_always_says_the_same(wanted: ServerConfig, host: HostFacts) -> None:
    found = derive(wanted, host)
    assert found == derive(wanted, host)
    assert all(found.arithmetic)
    assert len(found.affinity.engines) == len(wanted.engines)
    if found.node_pages is not None:
        assert len({count for _, count in found.node_pages.nodes}) <= 2
        assert all(count >= 0 and node in host.node_numbers for node, count in found.node_pages.nodes)
    if found.ramdisks is not None and found.ramdisks.all_known:
        assert all(size >= 4 for size in found.ramdisks.sizes.values())
    if not found.faults:
        assert found.hugepages is not None
        assert found.node_pages is not None


@QUICK
@given(CONFIGS, HOSTS)
def test_a_plan_that_was_carried_out_has_no_more_steps(given_config: ServerConfig, host: HostFacts) -> None:
    derived = derive(given_config, host)
    wanted = from_config(given_config, "host", str, derived.affinity.nodes)
    plan = plan_prepare(wanted, host)
    assert plan == plan_prepare(wanted, host)
    found = derived.node_pages
    if plan.refusals or found is None:
        return
    granted = host.pages | dict(found.nodes)
    later = replace(host, nodes=tuple(NodePages(node=node, total=count) for node, count in granted.items()), available_kib=0)
    assert plan_prepare(wanted, later).steps == ()
