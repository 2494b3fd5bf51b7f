# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The steps of ``config generate``, each on its own: the numbers spelled out, and every refusal with what it tells."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.generate import fabric, memory, server, storage
from daos_server.generate.facts import LeftOut, MachineFacts, Pmem, Ssd
from daos_server.generate.nodes import ByProvider, Choice, choose
from daos_server.generate.options import GenerateOptions
from daos_server.generate.storage import NodeStorage
from daos_server.generate.threads import check_cores, threads
from daos_server.network.interfaces import ETHERNET, INFINIBAND, FabricInterface, FabricScan
from daos_server.plan.units import GIB, KIB

pytestmark = pytest.mark.unit
UNTIMED = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def interface(provider: str, device: str, node: int = 0, *, priority: int = 0, net_class: int = INFINIBAND) -> FabricInterface:
    return FabricInterface(provider=provider, device=device, numa_node=node, priority=priority, net_class=net_class)


def facts(*, nodes: int = 2, ssds: tuple[Ssd, ...] = (), pmem: tuple[Pmem, ...] = (), left_out: tuple[LeftOut, ...] = ()) -> MachineFacts:
    scan = FabricScan(interfaces=(), numa_count=nodes, cores_per_numa=8)
    return MachineFacts(
        fabric=scan,
        numa_nodes=tuple(range(nodes)),
        hugepage_kib=2048,
        mem_total_kib=GIB,
        ssds=ssds,
        pmem=pmem,
        left_out=left_out,
    )


def ssds(node: int, count: int, vmd: str = "") -> tuple[Ssd, ...]:
    domain = 0x10000 + node if vmd else node
    return tuple(Ssd(address=f"{domain:04x}:{bus:02x}:00.0", numa_node=node, vmd=vmd) for bus in range(1, count + 1))


# Threads


@pytest.mark.parametrize(
    ("cores", "ssd_count", "targets", "helpers"),
    [
        (2, 0, 1, 0),
        (3, 0, 1, 0),
        (18, 0, 16, 0),
        (64, 0, 16, 0),
        (2, 4, 1, 0),
        (4, 4, 2, 0),
        (6, 4, 4, 0),
        (6, 9, 4, 0),
        (7, 4, 4, 1),
        (12, 4, 8, 2),
        (12, 8, 8, 2),
        (12, 9, 9, 0),
        (24, 4, 16, 4),
        (26, 4, 16, 4),
        (26, 8, 16, 4),
        (26, 1, 19, 4),
        (32, 5, 20, 5),
        (50, 2, 38, 9),
    ],
)
def test_threads(cores: int, ssd_count: int, targets: int, helpers: int) -> None:
    found = threads(cores, ssd_count)
    assert (found.targets, found.helpers) == (targets, helpers)
    assert str(cores) in found.why_targets


@UNTIMED
@given(st.integers(2, 512), st.integers(0, 64))
def test_threads_fit_the_cores(cores: int, ssd_count: int) -> None:
    found = threads(cores, ssd_count)
    assert 1 <= found.targets <= max(cores - 2, 1)
    assert found.targets + found.helpers <= cores
    if found.helpers:
        assert found.targets % ssd_count == 0


@pytest.mark.parametrize(("cores", "words"), [(0, "has 0 cores"), (1, "has 1 core,")])
def test_an_engine_needs_two_cores(cores: int, words: str) -> None:
    check_cores(2)
    with pytest.raises(Fault) as caught:
        check_cores(cores)
    assert caught.value.code == codes.CONFIG_GENERATE_MACHINE_UNFIT
    assert words in caught.value.description


# Interfaces


def test_the_best_interface_of_each_provider_and_node() -> None:
    found = fabric.usable(
        [
            interface("ofi+verbs", "ib2", 1, priority=3),
            interface("ofi+tcp", "ib0", priority=9),
            interface("ofi+verbs", "ib1", priority=2),
            interface("ofi+verbs", "ib0", priority=1),
            interface("ofi+tcp", "eth0", net_class=ETHERNET),
        ],
        GenerateOptions(),
    )
    named = {provider: {node: each.device for node, each in by_node.items()} for provider, by_node in found.items()}
    assert named == {"ofi+verbs": {0: "ib0", 1: "ib2"}, "ofi+tcp": {0: "ib0"}}


BOTH = {"ofi+verbs", "ofi+tcp"}


@pytest.mark.parametrize(("asked", "providers"), [("", BOTH), ("all", BOTH), ("ofi+tcp", {"ofi+tcp"})])
def test_the_provider_that_was_asked_for(asked: str, providers: set[str]) -> None:
    found = [interface("ofi+verbs", "ib0"), interface("ofi+tcp", "ib0")]
    assert set(fabric.usable(found, GenerateOptions(net_provider=asked))) == providers


@pytest.mark.parametrize(
    ("found", "options", "reason", "remedy"),
    [
        ([], GenerateOptions(), "none but the loopback interface", "'ip link'"),
        ([interface("ofi+tcp", "eth0", net_class=ETHERNET)], GenerateOptions(), "eth0 (ethernet, NUMA node 0) with ofi+tcp", "-c ethernet"),
        ([interface("ofi+verbs", "ib0")], GenerateOptions(net_class="ethernet"), "ib0 (infiniband", "-c infiniband"),
        ([interface("ofi+verbs", "ib0")], GenerateOptions(net_provider="ofi+cxi"), "provider 'ofi+cxi' has no interface", "ofi+verbs"),
    ],
)
def test_no_interface(found: list[FabricInterface], options: GenerateOptions, reason: str, remedy: str) -> None:
    with pytest.raises(Fault) as caught:
        fabric.usable(found, options)
    assert caught.value.code == codes.CONFIG_GENERATE_NO_FABRIC
    assert reason in caught.value.description
    assert remedy in caught.value.resolution


def test_an_unknown_class() -> None:
    with pytest.raises(Fault) as caught:
        fabric.usable([], GenerateOptions(net_class="tokenring"))  # type: ignore[arg-type]  # on purpose
    assert caught.value.code == codes.CONFIG_GENERATE_OPTIONS_WRONG
    assert "ethernet or infiniband" in caught.value.resolution


def test_ports() -> None:
    assert fabric.ports(GenerateOptions(), 3) == (31416, 32416, 33416)
    assert fabric.ports(GenerateOptions(fabric_ports=(1, 2, 3)), 2) == (1, 2)


@pytest.mark.parametrize(
    ("given_ports", "engines", "reason"), [((1,), 2, "1 ports for 2 engines"), ((0,), 1, "0 is no port"), ((), 36, "66416 is no port")]
)
def test_bad_ports(given_ports: tuple[int, ...], engines: int, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        fabric.ports(GenerateOptions(fabric_ports=given_ports), engines)
    assert caught.value.code == codes.CONFIG_GENERATE_OPTIONS_WRONG
    assert reason in caught.value.description


# The choice of nodes


def by_provider(priorities: dict[str, dict[int, int]]) -> ByProvider:
    return {
        name: {node: interface(name, f"if{node}", node, priority=priority) for node, priority in nodes.items()}
        for name, nodes in priorities.items()
    }


def tried_out(offered: ByProvider, ssd_counts: dict[int, int], count: int) -> Choice | None:
    """Return the best choice as the rule has it: among all combinations, by sum, then by SSDs, then the first."""
    found = []
    for nodes in combinations(sorted(ssd_counts), count):
        for place, (provider, interfaces) in enumerate(offered.items()):
            if set(nodes) <= set(interfaces):
                total = sum(interfaces[node].priority for node in nodes)
                found.append((total, -min(ssd_counts[node] for node in nodes), nodes, place, provider))
    return Choice(min(found)[4], min(found)[2]) if found else None


@UNTIMED
@given(
    st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.integers(0, 6), st.integers(0, 3), min_size=1), min_size=1),
    st.dictionaries(st.integers(0, 6), st.integers(0, 4), min_size=1),
    st.integers(1, 7),
)
def test_the_choice_is_that_of_trying_all(priorities: dict[str, dict[int, int]], ssd_counts: dict[int, int], count: int) -> None:
    offered = by_provider(priorities)
    expected = tried_out(offered, ssd_counts, count)
    if expected is None:
        with pytest.raises(Fault) as caught:
            choose(offered, ssd_counts, count)
        assert caught.value.code == codes.CONFIG_GENERATE_NO_FABRIC
    else:
        assert choose(offered, ssd_counts, count) == expected


def test_a_choice_among_very_many_nodes() -> None:
    many = by_provider({"p": {node: node % 3 for node in range(1024)}})
    assert choose(many, dict.fromkeys(range(1024), 1), 300).nodes == tuple(range(0, 900, 3))


def test_no_provider_on_enough_nodes() -> None:
    offered = by_provider({"ofi+tcp": {0: 1, 3: 1}, "ofi+verbs": {3: 1}})
    with pytest.raises(Fault) as caught:
        choose(offered, {0: 1, 1: 1}, 2)
    assert "ofi+tcp on node 0, 3; ofi+verbs on node 3" in caught.value.description
    assert "-e 1" in caught.value.resolution
    with pytest.raises(Fault) as caught:
        choose(offered, {1: 1}, 1)
    assert "dump-topology" in caught.value.resolution


# Storage


def test_one_engine_for_each_node_unless_told_otherwise() -> None:
    assert storage.engine_count(facts(nodes=2), GenerateOptions()) == 2
    assert storage.engine_count(facts(nodes=2), GenerateOptions(num_engines=1)) == 1


@pytest.mark.parametrize(
    ("nodes", "options", "code"),
    [
        (0, GenerateOptions(), codes.CONFIG_GENERATE_MACHINE_UNFIT),
        (1, GenerateOptions(num_engines=-1), codes.CONFIG_GENERATE_OPTIONS_WRONG),
    ],
)
def test_no_engine_count(nodes: int, options: GenerateOptions, code: int) -> None:
    with pytest.raises(Fault) as caught:
        storage.engine_count(facts(nodes=nodes), options)
    assert caught.value.code == code


def test_nodes_that_lack_something_are_not_offered() -> None:
    pmem = tuple(Pmem(device=f"/dev/pmem{number}", numa_node=number % 3) for number in (4, 1, 2, 0))
    machine = facts(nodes=4, pmem=pmem, ssds=(*reversed(ssds(0, 2)), *ssds(2, 1), *ssds(3, 1)))
    found = storage.by_node(machine, GenerateOptions(), 2)
    assert found == {0: NodeStorage(pmem=("/dev/pmem0",), ssds=ssds(0, 2)), 2: NodeStorage(pmem=("/dev/pmem2",), ssds=ssds(2, 1))}
    assert storage.by_node(machine, GenerateOptions(scm_only=True), 3)[1] == NodeStorage(pmem=("/dev/pmem1", "/dev/pmem4"))
    assert list(storage.by_node(machine, GenerateOptions(scm_only=True, use_tmpfs_scm=True), 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "engines", "reason", "remedy"),
    [
        (GenerateOptions(), 2, "found: 1 on node 0, 0 on node 1; /dev/pmem1 is left out: it is in use", "(-t)"),
        (GenerateOptions(), 2, "PMem namespace", "-e 1"),
        (GenerateOptions(use_tmpfs_scm=True), 2, "found: 3 on node 0, 0 on node 1; 0001:01:00.0 is left out: it holds /", "-e 1"),
        (GenerateOptions(use_tmpfs_scm=True), 2, "NVMe SSD", "(-s)"),
        (GenerateOptions(use_tmpfs_scm=True, scm_only=True), 3, "the machine has 2", "-e 2"),
    ],
)
def test_too_little_storage(options: GenerateOptions, engines: int, reason: str, remedy: str) -> None:
    left_out = (LeftOut(device="/dev/pmem1", why="it is in use"), LeftOut(device="0001:01:00.0", why="it holds /"))
    machine = facts(ssds=ssds(0, 3), pmem=(Pmem(device="/dev/pmem0", numa_node=0),), left_out=left_out)
    with pytest.raises(Fault) as caught:
        storage.by_node(machine, options, engines)
    assert caught.value.code == codes.CONFIG_GENERATE_NO_STORAGE
    assert reason in caught.value.description
    assert remedy in caught.value.resolution


def test_all_engines_get_the_same_number_of_ssds() -> None:
    found = storage.balanced({0: NodeStorage(ssds=ssds(0, 4)), 1: NodeStorage(ssds=ssds(1, 3))})
    assert found == {0: NodeStorage(ssds=ssds(0, 3)), 1: NodeStorage(ssds=ssds(1, 3))}


VMD_0, VMD_1, VMD_2 = "0000:3d:00.5", "0000:5d:05.5", "0000:ad:00.5"


def test_ssds_behind_a_vmd_come_all_or_not_at_all() -> None:
    behind = NodeStorage(ssds=ssds(0, 3, VMD_0))
    assert storage.balanced({0: behind, 1: NodeStorage(ssds=ssds(1, 4))})[0] == behind
    with pytest.raises(Fault) as caught:
        storage.balanced({0: behind, 1: NodeStorage(ssds=ssds(1, 2))})
    assert caught.value.code == codes.CLIENT_CONFIG_VMD_IMBALANCE
    assert "3 on node 0, 2 on node 1" in caught.value.object


@pytest.mark.parametrize(("entries", "sizes"), [(1, (1,)), (2, (1, 1)), (3, (1, 2)), (5, (1, 4)), (6, (2, 4)), (7, (2, 5)), (24, (2, 22))])
def test_tiers_with_metadata_on_ssd(entries: int, sizes: tuple[int, ...]) -> None:
    assert storage.tier_sizes(entries) == sizes
    found = storage.tiers({0: NodeStorage(ssds=ssds(0, entries))}, on_ssd=True)[0]
    assert tuple(len(tier) for tier in found) == sizes
    assert [device for tier in found for device in tier] == [ssd.address for ssd in ssds(0, entries)]


def test_one_tier_without_metadata_on_ssd_and_none_without_ssds() -> None:
    assert [len(tier) for tier in storage.tiers({0: NodeStorage(ssds=ssds(0, 7))}, on_ssd=False)[0]] == [7]
    assert storage.tiers({0: NodeStorage()}, on_ssd=False) == {0: ()}


def test_a_vmd_is_in_one_tier_and_all_engines_have_as_many_tiers() -> None:
    two = NodeStorage(ssds=(*ssds(0, 2, VMD_1), *ssds(1, 2, VMD_0)))
    assert two.entries == (VMD_0, VMD_1)
    assert storage.tiers({0: two}, on_ssd=True) == {0: ((VMD_0,), (VMD_1,))}
    one = NodeStorage(ssds=ssds(2, 4, VMD_2))
    assert storage.tiers({0: two, 2: one}, on_ssd=True) == {0: ((VMD_0, VMD_1),), 2: ((VMD_2,),)}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (GenerateOptions(control_metadata_path="/m"), "needs RAM in place of persistent memory"),
        (GenerateOptions(control_metadata_path="/m", use_tmpfs_scm=True, scm_only=True), "--scm-only does without them"),
    ],
)
def test_options_that_exclude_each_other(options: GenerateOptions, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        storage.check_modes(options)
    assert caught.value.code == codes.CONFIG_GENERATE_OPTIONS_WRONG
    assert reason in caught.value.description


# Memory


@pytest.mark.parametrize(
    ("total_gib", "hugepage_gib", "targets", "engines", "size", "reserved"),
    [
        (60, 33, 16, 1, 9, 16),
        (256, 34, 16, 2, 101, 16),
        (24, 0, 1, 1, 7, 16),
        (21, 0, 1, 1, 4, 16),
        (20, 0, 1, 1, 4, 15),
        (7, 0, 1, 1, 4, 2),
        (16, 0, 16, 2, 4, 4),
    ],
)
def test_ramdisk(total_gib: int, hugepage_gib: int, targets: int, engines: int, size: int, reserved: int) -> None:
    total = total_gib * GIB // KIB
    found = memory.ramdisk(total_kib=total, hugepage_bytes=hugepage_gib * GIB, targets=targets, engines=engines)
    assert (found.size_gib, found.reserved_gib) == (size, reserved)
    assert f"{reserved * 1024} MiB for the system" in found.why


@pytest.mark.parametrize(
    ("hugepages", "engines", "ways"),
    [(0, 1, ""), (GIB, 1, "--scm-only"), (0, 2, "-e 1"), (GIB, 2, "--scm-only")],
)
def test_too_little_memory_for_a_ramdisk(hugepages: int, engines: int, ways: str) -> None:
    with pytest.raises(Fault) as caught:
        memory.ramdisk(total_kib=6 * GIB // KIB, hugepage_bytes=hugepages, targets=1, engines=engines)
    assert caught.value.code == codes.SCM_RAMDISK_LOW_MEM
    assert ways in caught.value.cause
    assert bool(caught.value.cause) == bool(ways)


def test_too_little_memory_for_hugepages() -> None:
    memory.check_hugepages(total_kib=5 * GIB // KIB, hugepage_bytes=2 * GIB, targets=8, engines=1)
    with pytest.raises(Fault) as caught:
        memory.check_hugepages(total_kib=5 * GIB // KIB, hugepage_bytes=2 * GIB + 1, targets=8, engines=1)
    assert caught.value.code == codes.HUGEPAGES_OVER_MEMORY
    assert "--scm-only" in caught.value.cause


def test_memory_of_unknown_size() -> None:
    with pytest.raises(Fault) as caught:
        memory.check_hugepages(total_kib=0, hugepage_bytes=0, targets=1, engines=1)
    assert caught.value.code == codes.CONFIG_GENERATE_MACHINE_UNFIT


# The server


@pytest.mark.parametrize(
    ("points", "port"),
    [
        ((), 10001),
        (("localhost",), 10001),
        (("a:10001", "b"), 10001),
        (("a:1234", "[fe80::1]:1234"), 1234),
        (("[fe80::1]",), 10001),
        (("a:port",), 10001),
    ],
)
def test_control_port(points: tuple[str, ...], port: int) -> None:
    assert server.control_port(GenerateOptions(access_points=points)) == port


def test_access_points_must_agree() -> None:
    with pytest.raises(Fault) as caught:
        server.control_port(GenerateOptions(access_points=("a:1234", "b", "c:1235")))
    assert caught.value.code == codes.CONFIG_GENERATE_OPTIONS_WRONG
    assert "1234, 1235, 10001" in caught.value.description


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (GenerateOptions(access_points=("a\nname: b",)), "--access-points"),
        (GenerateOptions(net_provider="ofi\x1b"), "--net-provider"),
        (GenerateOptions(control_metadata_path="/m\u202e"), "--control-metadata-path"),
        (GenerateOptions(control_metadata_path="m"), "not an absolute path"),
    ],
)
def test_texts_that_no_configuration_can_hold(options: GenerateOptions, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        server.check_texts(options)
    assert caught.value.code == codes.CONFIG_GENERATE_OPTIONS_WRONG
    assert reason in caught.value.description
