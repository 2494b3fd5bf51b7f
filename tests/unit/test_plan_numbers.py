# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The arithmetic of hugepages, RAM disks and sizes: the reference's own examples, and what must hold for all numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan import hugepages, memory
from daos_server.plan.engine_memory import engine_memory
from daos_server.plan.units import GIB, KIB, MIB, bytes_text
from daos_server.plan.wanted import Bdevs, Engine, Scm, Wanted, is_within

QUICK = settings(derandomize=True, deadline=None)
PAGE_2M = 2048
PAGE_1G = 1 << 20


def engine(index: int, *, targets: int = 8, node: int = 0, roles: frozenset[str] = frozenset(), bdevs: bool = True) -> Engine:
    tiers = (Bdevs(tier=1, storage_class="file", devices=(f"/tmp/{index}",), size_gib=1, roles=roles),) if bdevs else ()  # noqa: S108
    scm = Scm(storage_class="ram", mount=f"/mnt/daos{index}")
    return Engine(index=index, targets=targets, scm=scm, bdevs=tiers, numa_node=node)


def wanted(*engines: Engine, nr_hugepages: int = 0, disable_hugepages: bool = False) -> Wanted:
    return Wanted(hostname="host", engines=engines, nr_hugepages=nr_hugepages, disable_hugepages=disable_hugepages)


# F.1


@pytest.mark.parametrize(
    ("targets", "page_kib", "pages"), [(16, PAGE_2M, 8192), (31, PAGE_2M, 15872), (16, PAGE_1G, 16), (9, PAGE_2M, 4608)]
)
def test_minimum_pages(targets: int, page_kib: int, pages: int) -> None:
    assert hugepages.minimum_pages(targets, page_kib) == pages


def test_the_meta_role_adds_a_target() -> None:
    found = hugepages.need(wanted(engine(0, roles=frozenset({"data", "meta", "wal"}))), PAGE_2M)
    assert (found.total, found.minimum) == (4608, 4608)
    assert any("8 + 1 for its metadata" in line for line in found.arithmetic)
    assert any("4608" in line for line in found.arithmetic)


def test_engines_without_bdevs_need_none() -> None:
    assert hugepages.need(wanted(engine(0, bdevs=False)), PAGE_2M).total == 0
    assert hugepages.required_targets([engine(0), engine(1, bdevs=False), engine(2, targets=3)]) == 11


def test_a_configured_count_is_kept_and_a_shortage_said() -> None:
    found = hugepages.need(wanted(engine(0), nr_hugepages=4000), PAGE_2M)
    assert (found.total, found.minimum) == (4000, 4096)
    assert any("96 pages less" in line for line in found.arithmetic)
    assert found.notices == ("nr_hugepages is 4000, and the targets need 4096: set it to that, or to 0 (automatic)",)
    assert hugepages.need(wanted(engine(0), nr_hugepages=4096), PAGE_2M).notices == ()


def test_disabled_hugepages_and_bdevs_contradict_each_other() -> None:
    with pytest.raises(Fault) as caught:
        hugepages.need(wanted(engine(0), disable_hugepages=True), PAGE_2M)
    assert caught.value.code == codes.SERVER_CONFIG_HUGEPAGES_DISABLED_WITH_BDEVS
    assert hugepages.need(wanted(engine(0, bdevs=False), disable_hugepages=True), PAGE_2M).total == 0


def test_a_kernel_without_hugepages() -> None:
    with pytest.raises(Fault) as caught:
        hugepages.minimum_pages(1, 0)
    assert caught.value.code == codes.HUGEPAGES_UNSUPPORTED
    with pytest.raises(ValueError, match="at least one"):
        hugepages.minimum_pages(0, PAGE_2M)


@QUICK
@given(st.integers(1, 1 << 16), st.integers(0, 1 << 16))
def test_page_size_does_not_matter_and_more_targets_need_more(targets: int, more: int) -> None:
    assert hugepages.minimum_pages(targets, PAGE_2M) * PAGE_2M == hugepages.minimum_pages(targets, PAGE_1G) * PAGE_1G == targets * PAGE_1G
    assert hugepages.minimum_pages(targets + more, PAGE_2M) >= hugepages.minimum_pages(targets, PAGE_2M)


@QUICK
@given(st.integers(1, 128), st.booleans(), st.integers(0, 1 << 20), st.sampled_from([PAGE_2M, PAGE_1G]))
def test_automatic_is_enough_and_a_given_number_is_kept(targets: int, has_meta: bool, given_pages: int, page_kib: int) -> None:
    roles = frozenset({"data", "meta", "wal"} if has_meta else ())
    found = hugepages.need(wanted(engine(0, targets=targets, roles=roles), nr_hugepages=given_pages), page_kib)
    assert found.total == (given_pages or found.minimum)
    assert found.minimum * page_kib == (targets + has_meta) * PAGE_1G
    assert bool(found.notices) is (found.total < found.minimum)
    assert found.total_bytes == found.total * page_kib * KIB


# F.2


@pytest.mark.parametrize(
    ("nodes", "request_of"),
    [
        ((0, 1), ((0, 8194), (1, 8194))),
        ((0, 0), ((0, 16388),)),
        ((0, 0, 1, 1), ((0, 8196), (1, 8196))),
        ((1,), ((1, 16386),)),
    ],
)
def test_pages_per_node(nodes: tuple[int, ...], request_of: tuple[tuple[int, int], ...]) -> None:
    engines = [engine(index, node=node) for index, node in enumerate(nodes)]
    found = hugepages.per_node(wanted(*engines), 16384, (0, 1))
    assert found.nodes == request_of
    assert str(request_of[0][1]) in found.arithmetic[0]


def test_uneven_engines_are_refused() -> None:
    engines = [engine(index, node=node) for index, node in enumerate((0, 0, 0, 1))]
    with pytest.raises(Fault) as caught:
        hugepages.per_node(wanted(*engines), 16384, (0, 1))
    assert caught.value.code == codes.SERVER_CONFIG_ENGINE_NUMA_IMBALANCE
    assert "node 0: 3" in caught.value.description


def test_one_engine_without_bdevs_counts_as_the_others() -> None:
    found = hugepages.per_node(wanted(engine(0), engine(1, node=1, bdevs=False)), 4096, (0, 1))
    assert found.nodes == ((0, 2050), (1, 2050))


def test_disabled_hugepages_go_to_no_node() -> None:
    found = hugepages.per_node(wanted(engine(0, bdevs=False), disable_hugepages=True), 0, (0, 1))
    assert (found.nodes, found.arithmetic) == ((), ())


@pytest.mark.parametrize("has_bdevs", [True, False])
def test_a_machine_without_nodes_is_refused(has_bdevs: bool) -> None:
    with pytest.raises(Fault) as caught:
        hugepages.per_node(wanted(engine(0, bdevs=has_bdevs)), 4096, ())
    assert caught.value.code == codes.HUGEPAGES_UNSUPPORTED


def test_a_node_that_is_not_there_is_refused() -> None:
    with pytest.raises(Fault) as caught:
        hugepages.per_node(wanted(engine(0, node=5)), 16384, (0, 1))
    assert caught.value.code == codes.HUGEPAGES_NODE_MISSING


@pytest.mark.parametrize(("total", "nodes", "pages"), [(0, (0,), (128,)), (0, (0, 1), (64, 64)), (7, (0, 1, 3), (3, 2, 2))])
def test_pages_without_bdevs(total: int, nodes: tuple[int, ...], pages: tuple[int, ...]) -> None:
    found = hugepages.per_node(wanted(engine(0, bdevs=False)), total, nodes)
    assert found.nodes == tuple(zip(nodes, pages, strict=True))


@QUICK
@given(st.integers(1, 16), st.integers(1, 4), st.integers(0, 1 << 20))
def test_every_node_gets_the_same_and_never_less_than_its_share(per_node: int, nodes: int, total: int) -> None:
    engines = [engine(index, node=index % nodes) for index in range(per_node * nodes)]
    found = hugepages.per_node(wanted(*engines), total, tuple(range(nodes)))
    counts = {count for _, count in found.nodes}
    assert len(found.nodes) == nodes
    assert counts == {total // nodes + 2 * per_node}
    whole = sum(count for _, count in found.nodes)
    assert total - nodes < whole - 2 * len(engines) <= total


@QUICK
@given(st.integers(0, 1 << 20), st.integers(1, 16))
def test_pages_without_bdevs_add_up(total: int, nodes: int) -> None:
    found = hugepages.per_node(wanted(engine(0, bdevs=False)), total, range(nodes))
    counts = [count for _, count in found.nodes]
    assert sum(counts) == (total or 128)
    assert max(counts) - min(counts) <= 1


def test_memory_must_hold_the_pages_to_be_added() -> None:
    request = hugepages.NodeRequest(nodes=((0, 1024),), arithmetic=())
    hugepages.check_memory(request, {0: 512}, PAGE_2M, MIB)
    with pytest.raises(Fault) as caught:
        hugepages.check_memory(request, {0: 511}, PAGE_2M, MIB)
    assert caught.value.code == codes.HUGEPAGES_OVER_MEMORY
    hugepages.check_memory(request, {0: 4096}, PAGE_2M, 0)


# C.7


@pytest.mark.parametrize(
    ("total", "huge", "reserved", "targets", "engines", "gib"),
    [(60, 33, 5, 16, 2, 9), (60, 33, 2, 16, 2, 10), (80, 8, 5, 8, 1, 66)],
)
def test_max_ramdisk(total: int, huge: int, reserved: int, targets: int, engines: int, gib: int) -> None:
    found = memory.max_ramdisk(total_kib=total * MIB, hugepage_bytes=huge * GIB, reserved_gib=reserved, targets=targets, engines=engines)
    assert found.gib == gib
    assert found.arithmetic[0].endswith(f" MiB, so {gib} GiB at most")


def test_too_little_memory() -> None:
    with pytest.raises(Fault) as caught:
        memory.max_ramdisk(total_kib=46 * MIB, hugepage_bytes=33 * GIB, reserved_gib=5, targets=16, engines=2)
    assert caught.value.code == codes.SCM_RAMDISK_LOW_MEM
    assert "50 GiB" in caught.value.description
    assert "46 GiB" in caught.value.description


def test_no_memory_at_all() -> None:
    with pytest.raises(Fault) as caught:
        memory.max_ramdisk(total_kib=0, hugepage_bytes=0, reserved_gib=0, targets=1, engines=1)
    assert "0 B" in caught.value.description


@pytest.mark.parametrize(("targets", "engines"), [(0, 1), (1, 0)])
def test_max_ramdisk_without_numbers(targets: int, engines: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        memory.max_ramdisk(total_kib=1, hugepage_bytes=0, reserved_gib=0, targets=targets, engines=engines)


@QUICK
@given(st.integers(0, 1 << 32), st.integers(0, 1 << 44), st.integers(1, 64), st.integers(1, 64), st.integers(1, 8))
def test_max_ramdisk_fits(total_kib: int, huge: int, reserved: int, targets: int, engines: int) -> None:
    try:
        found = memory.max_ramdisk(total_kib=total_kib, hugepage_bytes=huge, reserved_gib=reserved, targets=targets, engines=engines)
    except Fault as fault:
        assert fault.code == codes.SCM_RAMDISK_LOW_MEM  # noqa: PT017 (either answer is right; each has its own proof)
        need = huge + reserved * GIB + engines * (memory.engine_reservation(targets) + memory.MIN_RAMDISK)
        assert need > total_kib * KIB
    else:
        used = engines * (found.size + memory.engine_reservation(targets)) + huge + reserved * GIB
        assert total_kib * KIB - engines < used <= total_kib * KIB
        assert found.size >= memory.MIN_RAMDISK


@QUICK
@given(st.integers(1, 1000))
def test_engine_reservation(targets: int) -> None:
    assert memory.engine_reservation(targets) == max(128 * MIB * targets, GIB)


def test_a_configured_size_over_the_maximum() -> None:
    limit = memory.Limit(size=9 * GIB + 1, arithmetic=())
    assert memory.over_maximum(9, limit, "engine 3") is None
    fault = memory.over_maximum(10, limit, "engine 3")
    assert fault is not None
    assert (fault.code, fault.object) == (codes.SERVER_CONFIG_RAMDISK_OVER_MAX_MEM, "engine 3")
    assert "10 GiB" in fault.description


def ram(index: int, size: int = 0, *, targets: int = 8, storage_class: Literal["ram", "dcpm"] = "ram") -> Engine:
    scm = Scm(storage_class=storage_class, mount=f"/mnt/daos{index}", size_gib=size)
    return replace(engine(index, targets=targets), scm=scm)


@QUICK
@given(total_kib=st.integers(16 * MIB, 64 * MIB), pages=st.integers(0, 1024), engines=st.integers(1, 3), targets=st.integers(1, 20))
def test_the_arithmetic_of_a_ram_disk_adds_up_as_it_is_printed(total_kib: int, pages: int, engines: int, targets: int) -> None:
    try:
        limit = memory.max_ramdisk(total_kib=total_kib, hugepage_bytes=pages << 21, reserved_gib=1, targets=targets, engines=engines)
    except Fault:
        return
    left, right = re.sub("[A-Za-z,:]", "", limit.arithmetic[0].replace(" x ", " * ")).split("=")
    mib, gib = map(int, right.split())
    assert eval(left.replace("/", "//")) == mib  # noqa: S307 (digits and operators of ours)
    assert (mib >> 10, gib) == (gib, limit.gib)


def test_what_is_needed_and_what_is_there_never_look_the_same() -> None:
    with pytest.raises(Fault) as caught:
        memory.check_available([20], (18 << 20) - 1024)
    assert caught.value.description.endswith("18874367 KiB is needed and 18873344 KiB is free now")


def test_the_largest_size_that_a_message_names_is_one_that_is_accepted() -> None:
    limit = memory.Limit(size=10 * GIB + GIB // 2 + 1, arithmetic=())
    fault = memory.over_maximum(11, limit, "engine 0")
    assert fault is not None
    assert "larger than the 10 GiB" in fault.description
    assert memory.over_maximum(10, limit, "engine 0") is None


def test_automatic_and_configured_sizes_side_by_side() -> None:
    found = memory.ramdisks(replace(wanted(ram(0), ram(1, 8)), system_ram_reserved=6), hugepage_bytes=8 * GIB, total_kib=40 * MIB)
    assert (dict(found.sizes), found.faults, found.all_known) == ({0: 12, 1: 8}, (), True)
    assert found.arithmetic == (
        "RAM disk of each engine: (40960 MiB memory - 8192 MiB hugepages - 6144 MiB for the system - 2 x 1024 MiB per engine) / 2"
        " = 12288 MiB, so 12 GiB at most",
        "engine 0: scm_size is 0 (automatic): 12 GiB",
        "engine 1: scm_size is 8 GiB",
    )


def test_the_targets_of_the_first_engine_count_for_all() -> None:
    found = memory.ramdisks(wanted(ram(0, targets=8), ram(1, targets=64)), hugepage_bytes=0, total_kib=50 * MIB)
    assert dict(found.sizes) == {0: 16, 1: 16}


def test_each_size_over_the_maximum_is_a_fault_of_its_own() -> None:
    found = memory.ramdisks(wanted(ram(0, 20), ram(1, 12), ram(2, 21)), hugepage_bytes=0, total_kib=64 * MIB)
    assert [(fault.code, fault.object) for fault in found.faults] == [(731, "engine 0"), (731, "engine 2")]
    assert "15 GiB" in found.faults[0].description


@pytest.mark.parametrize(("size", "all_known"), [(0, False), (8, True)])
def test_too_little_memory_leaves_an_automatic_size_open(size: int, all_known: bool) -> None:
    found = memory.ramdisks(wanted(ram(0, size)), hugepage_bytes=0, total_kib=16 * MIB)
    assert [fault.code for fault in found.faults] == [codes.SCM_RAMDISK_LOW_MEM]
    assert (dict(found.sizes), found.all_known) == ({0: size}, all_known)


def test_persistent_memory_has_no_ramdisk() -> None:
    found = memory.ramdisks(wanted(ram(0, storage_class="dcpm")), hugepage_bytes=0, total_kib=1)
    assert (found.sizes, found.faults, found.arithmetic) == ({}, (), ())


@QUICK
@given(st.integers(1, 8), st.integers(1, 64), st.integers(0, 64), st.integers(1, 64), st.integers(1, 4096))
def test_automatic_ramdisks_fit_and_pass_their_own_check(engines: int, targets: int, huge: int, reserved: int, total: int) -> None:
    asked = replace(wanted(*(ram(index, targets=targets) for index in range(engines))), system_ram_reserved=reserved)
    found = memory.ramdisks(asked, hugepage_bytes=huge * GIB, total_kib=total * MIB)
    if not found.all_known:
        assert [fault.code for fault in found.faults] == [codes.SCM_RAMDISK_LOW_MEM]
        return
    (size,) = set(found.sizes.values())
    assert size >= 4
    assert engines * (size * GIB + memory.engine_reservation(targets)) + (huge + reserved) * GIB <= total * GIB
    again = replace(asked, engines=tuple(ram(index, size, targets=targets) for index in range(engines)))
    assert memory.ramdisks(again, hugepage_bytes=huge * GIB, total_kib=total * MIB).faults == ()
    over = replace(asked, engines=tuple(ram(index, size + 1, targets=targets) for index in range(engines)))
    assert len(memory.ramdisks(over, hugepage_bytes=huge * GIB, total_kib=total * MIB).faults) == engines


@QUICK
@given(st.integers(1, 1 << 30), st.integers(0, 1 << 30), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_more_memory_never_means_less_ramdisk_and_more_hugepages_never_more(total: int, more: int, huge: int, more_huge: int) -> None:
    def size(total_kib: int, hugepage_bytes: int) -> int:
        try:
            return memory.max_ramdisk(total_kib=total_kib, hugepage_bytes=hugepage_bytes, reserved_gib=1, targets=8, engines=2).size
        except Fault:
            return 0

    assert size(total, huge) <= size(total + more, huge)
    assert size(total, huge) >= size(total, huge + more_huge)


# F.3


def of(total: int, page_kib: int = PAGE_2M) -> hugepages.Need:
    return hugepages.Need(total=total, minimum=0, page_kib=page_kib, arithmetic=())


@pytest.mark.parametrize(
    ("total", "page_kib", "engines", "free", "mem_size", "hugepage"),
    [
        (16384, PAGE_2M, 2, None, 16384, 2),
        (16384, PAGE_2M, 2, 8192, 16384, 2),
        (16384, PAGE_2M, 2, 8191, 16382, 2),
        (16384, PAGE_2M, 1, 0, 0, 2),
        (33, PAGE_1G, 2, 33, 16384, 1024),
        (8195, PAGE_2M, 2, None, 8194, 2),
    ],
)
def test_memory_of_an_engine(total: int, page_kib: int, engines: int, free: int | None, mem_size: int, hugepage: int) -> None:
    found = engine_memory([engine(index) for index in range(engines)], of(total, page_kib), free_pages=free)
    assert [each.index for each in found] == list(range(engines))
    assert {(each.mem_size_mib, each.hugepage_mib) for each in found} == {(mem_size, hugepage)}
    share = total // engines
    assert f"{total} / {engines} = {share} hugepages" in found[0].arithmetic[0]
    short = free is not None and free < share
    assert all(bool(each.notice) is short for each in found)
    if short:
        assert f"only {free} hugepages" in found[0].notice


def test_an_engine_without_bdevs_takes_no_hugepages() -> None:
    first, second = engine_memory([engine(0, bdevs=False), engine(1)], of(4096))
    assert (first.mem_size_mib, first.hugepage_mib, first.arithmetic) == (0, 0, ())
    assert (second.index, second.mem_size_mib) == (1, 4096)


@QUICK
@given(st.integers(0, 1 << 20), st.integers(1, 16), st.sampled_from([PAGE_2M, PAGE_1G]), st.none() | st.integers(0, 1 << 20))
def test_engines_share_alike_and_never_take_more_than_there_is(total: int, engines: int, page_kib: int, free: int | None) -> None:
    found = engine_memory([engine(index) for index in range(engines)], of(total, page_kib), free_pages=free)
    (size,) = {each.mem_size_mib for each in found}
    page_mib = page_kib // 1024
    assert size % page_mib == 0
    assert 0 <= engines * size <= total * page_mib
    assert free is None or size <= free * page_mib
    if free is None:
        assert total * page_mib - engines * size < engines * page_mib


def test_ninety_percent_must_be_available() -> None:
    need_kib = memory.needed_available([8]) // KIB
    assert memory.needed_available([8]) == 8 * GIB // 100 * 90
    assert "7.2 GiB" in memory.check_available([8], need_kib + 1)
    with pytest.raises(Fault) as caught:
        memory.check_available([8], need_kib - 1)
    assert caught.value.code == codes.SCM_RAMDISK_LOW_MEM
    assert "free" in caught.value.description


# Sizes and paths


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (9, "9 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4 * GIB, "4.0 GiB"),
        (30 * GIB, "30 GiB"),
        (int(9.96 * GIB), "10 GiB"),
        (int(9.94 * GIB), "9.9 GiB"),
        (1 << 60, "1.0 EiB"),
        (1 << 71, "2048 EiB"),
    ],
)
def test_sizes_in_words(size: int, text: str) -> None:
    assert bytes_text(size) == text


def test_no_negative_sizes() -> None:
    with pytest.raises(ValueError, match="never negative"):
        bytes_text(-1)


@QUICK
@given(st.integers(1, 1 << 62))
def test_sizes_in_words_are_near(size: int) -> None:
    number, unit = bytes_text(size).split()
    scale = 1 << (10 * ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].index(unit))
    assert abs(float(number) * scale - size) <= scale * (0.05 if float(number) < 10 and "." in number else 0.5)


@pytest.mark.parametrize(
    ("path", "root", "inside"),
    [
        ("/a/b/c", "/a/b", True),
        ("/a/bc", "/a/b", False),
        ("/a/b", "/a/b", False),
        ("/a/b/../c", "/a/b", False),
        ("/a/b/c", "/a/b/", True),
        ("/x", "/", True),
    ],
)
def test_containment_is_by_component(path: str, root: str, inside: bool) -> None:
    assert is_within(path, root) is inside


def test_the_digest_tells_configurations_apart_and_nothing_else() -> None:
    first = wanted(engine(0, roles=frozenset({"data", "meta", "wal"})))
    same = wanted(engine(0, roles=frozenset({"wal", "data", "meta"})))
    assert first.digest() == same.digest()
    assert first.digest() != wanted(engine(0, roles=frozenset({"data", "meta"}))).digest()
    assert first.digest() != wanted(engine(0), nr_hugepages=1).digest()


def test_the_digest_does_not_know_the_machine() -> None:
    assert wanted(engine(0, node=1)).digest() == wanted(engine(0, node=0)).digest()
