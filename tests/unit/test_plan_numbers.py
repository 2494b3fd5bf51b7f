# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The arithmetic of hugepages, RAM disks and sizes: the reference's own examples, and what must hold for all numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan import hugepages, memory
from daos_server.plan.units import GIB, KIB, MIB, bytes_text
from daos_server.plan.wanted import Bdevs, Engine, Scm, Wanted, is_within

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


def test_a_node_that_is_not_there_is_refused() -> None:
    with pytest.raises(Fault) as caught:
        hugepages.per_node(wanted(engine(0, node=5)), 16384, (0, 1))
    assert caught.value.code == codes.HUGEPAGES_NODE_MISSING


@pytest.mark.parametrize(("total", "nodes", "pages"), [(0, (0,), (128,)), (0, (0, 1), (64, 64)), (7, (0, 1, 3), (3, 2, 2))])
def test_pages_without_bdevs(total: int, nodes: tuple[int, ...], pages: tuple[int, ...]) -> None:
    found = hugepages.per_node(wanted(engine(0, bdevs=False)), total, nodes)
    assert found.nodes == tuple(zip(nodes, pages, strict=True))


@given(st.integers(1, 16), st.integers(1, 4), st.integers(0, 1 << 20))
def test_every_node_gets_the_same_and_never_less_than_its_share(per_node: int, nodes: int, total: int) -> None:
    engines = [engine(index, node=index % nodes) for index in range(per_node * nodes)]
    found = hugepages.per_node(wanted(*engines), total, tuple(range(nodes)))
    counts = {count for _, count in found.nodes}
    assert len(found.nodes) == nodes
    assert counts == {total // nodes + 2 * per_node}


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
    assert bytes_text(found.size) in found.arithmetic[0]


def test_too_little_memory() -> None:
    with pytest.raises(Fault) as caught:
        memory.max_ramdisk(total_kib=46 * MIB, hugepage_bytes=33 * GIB, reserved_gib=5, targets=16, engines=2)
    assert caught.value.code == codes.SCM_RAMDISK_LOW_MEM
    assert "50 GiB" in caught.value.description
    assert "46 GiB" in caught.value.description


@pytest.mark.parametrize(("total", "targets", "engines"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_max_ramdisk_without_numbers(total: int, targets: int, engines: int) -> None:
    with pytest.raises(ValueError, match=r"not known|at least one"):
        memory.max_ramdisk(total_kib=total, hugepage_bytes=0, reserved_gib=0, targets=targets, engines=engines)


@given(st.integers(1, 1 << 32), st.integers(0, 1 << 44), st.integers(1, 64), st.integers(1, 64), st.integers(1, 8))
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


@given(st.integers(1, 1000))
def test_engine_reservation(targets: int) -> None:
    assert memory.engine_reservation(targets) == max(128 * MIB * targets, GIB)


def test_a_configured_size_over_the_maximum() -> None:
    limit = memory.Limit(size=9 * GIB + 1, arithmetic=())
    assert memory.over_maximum(9, limit) is None
    fault = memory.over_maximum(10, limit)
    assert fault is not None
    assert fault.code == codes.SERVER_CONFIG_RAMDISK_OVER_MAX_MEM


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
