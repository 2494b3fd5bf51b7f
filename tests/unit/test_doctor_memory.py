# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Doctor: hugepages, the files in them, transparent huge pages, sysctls; on made-up machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from made_up import Tree, by_subject, complete, facts, installation, setting

from daos_bindings.linux.kernelfiles import MalformedError
from daos_server.doctor import boot, hugepage_files, hugepages, kernel_settings
from daos_server.doctor.machine import Setting

NOTHING = Setting(installation())
SSD = '"0000:81:00.0"'
PAGE_KIB = 2048
WANTED = 8 * 512 + 2


def memory_of(
    folder: Path, pages: tuple[int, ...] = (0, 0), *, blocks: int = 0, free_kib: int = 0, page_kib: int = PAGE_KIB, release: str = "6.1.0"
) -> Tree:
    """A machine with so many hugepages on each node, so many free blocks of 4 MiB, and so much free memory."""
    tree = Tree(folder, release)
    tree.write("proc/meminfo", f"MemTotal: 99 kB\nMemFree: 9 kB\nMemAvailable: 9 kB\nHugepagesize: {page_kib} kB\n")
    tree.write("proc/cmdline", "quiet\n")
    zones = "".join(f"Node {node}, zone   Normal      7 0 0 0 0 0 0 0 0 0 {blocks} \n" for node in range(len(pages)))
    tree.write("proc/buddyinfo", f"Node 0, zone      DMA      0 0 0 0 0 0 0 0 0 0 999 \n{zones}")
    tree.write("sys/devices/system/node/has_memory", f"0-{len(pages) - 1}\n")
    for node, count in enumerate(pages):
        base = f"sys/devices/system/node/node{node}"
        tree.write(f"{base}/hugepages/hugepages-{page_kib}kB/nr_hugepages", f"{count}\n")
        tree.write(f"{base}/hugepages/hugepages-{page_kib}kB/free_hugepages", f"{count // 2}\n")
        tree.write(f"{base}/meminfo", f"Node {node} MemTotal: 99999999 kB\nNode {node} MemFree: {free_kib} kB\n")
    return tree


def test_hugepages_that_are_there_are_ok_on_each_node(tmp_path: Path) -> None:
    tree = memory_of(tmp_path, (WANTED, WANTED + 1))
    found = by_subject(hugepages.check(tree.machine, setting(tmp_path, SSD, '"0000:c1:00.0"')))
    assert {subject: point.verdict for subject, point in found.items()} == dict.fromkeys(
        ("hugepages wanted", "hugepages of node 0", "hugepages of node 1"), "ok"
    )
    assert found["hugepages of node 1"].found == f"{WANTED + 1} of {WANTED} wanted, {(WANTED + 1) // 2} free"


@pytest.mark.parametrize(
    ("blocks", "free_kib", "verdict", "words"),
    [
        (WANTED // 2, 0, "warning", "daos_server storage prepare"),
        (1, WANTED * PAGE_KIB, "warning", "hugepagesz=2M hugepages=0:"),
        (1, 2 * PAGE_KIB, "stops", "lower targets"),
    ],
    ids=["can be made", "fragmented", "no memory"],
)
def test_missing_hugepages_are_judged_by_the_memory_of_their_node(
    blocks: int, free_kib: int, verdict: str, words: str, tmp_path: Path
) -> None:
    tree = memory_of(tmp_path, (0,), blocks=blocks, free_kib=free_kib)
    point = by_subject(hugepages.check(tree.machine, setting(tmp_path, SSD)))["hugepages of node 0"]
    assert (point.verdict, complete(point)) == (verdict, True)
    assert f"0 of {WANTED} wanted, {WANTED} missing (8.0 GiB)" in point.found
    assert words in point.advice


def test_missing_hugepages_that_no_engine_needs_stop_nobody(tmp_path: Path) -> None:
    tree = memory_of(tmp_path, (0,))
    point = by_subject(hugepages.check(tree.machine, setting(tmp_path, host=facts(nodes=1))))["hugepages of node 0"]
    assert "0 of 128 wanted" in point.found
    assert point.verdict == "warning"


def test_a_number_below_what_the_targets_need_is_named(tmp_path: Path) -> None:
    asked = setting(tmp_path, SSD, more="nr_hugepages: 100")
    found = by_subject(hugepages.check(memory_of(tmp_path, (102,)).machine, asked))
    assert found["hugepages wanted"].verdict == "warning"
    assert "nr_hugepages" in found["hugepages wanted"].advice
    assert found["hugepages of node 0"].verdict == "ok"


def test_disabled_hugepages_are_not_missed(tmp_path: Path) -> None:
    asked = setting(tmp_path, more="disable_hugepages: true")
    found = by_subject(hugepages.check(memory_of(tmp_path).machine, asked))
    assert {subject: point.verdict for subject, point in found.items()} == {"hugepages wanted": "ok"}


def test_without_a_configuration_hugepages_are_told_and_not_judged(tmp_path: Path) -> None:
    found = by_subject(hugepages.check(memory_of(tmp_path, (4, 6), blocks=3, free_kib=20 * PAGE_KIB).machine, NOTHING))
    assert {point.verdict for point in found.values()} == {"unknown"}
    assert found["hugepages of node 0"].found.startswith("4 of 2.0 MiB, 2 free, memory for 20 more (6 of them at once)")
    assert found["hugepages of node 1"].found.startswith("6 of 2.0 MiB, 3 free, memory for 20 more (6 of them at once)")


def test_a_kernel_without_hugepages_stops_engines(tmp_path: Path) -> None:
    found = by_subject(hugepages.check(memory_of(tmp_path, page_kib=0).machine, NOTHING))
    assert (found["hugepages"].verdict, complete(found["hugepages"])) == ("stops", True)


def test_a_kernel_without_numa_has_one_pool(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/meminfo", "MemTotal: 99999 kB\nMemFree: 8192 kB\nMemAvailable: 9 kB\nHugepagesize: 2048 kB\n")
    tree.write("proc/buddyinfo", "Node 0, zone   Normal      0 0 0 0 0 0 0 0 0 2 1 \n")
    for name, count in (("nr", 5), ("free", 3)):
        tree.write(f"sys/kernel/mm/hugepages/hugepages-2048kB/{name}_hugepages", f"{count}\n")
    assert hugepages.read_nodes(tree.machine, PAGE_KIB) == (hugepages.Node(number=0, total=5, free=3, unbroken=4, possible=4),)


def test_kernel_arguments_name_nodes_where_the_kernel_knows_them() -> None:
    nodes = ((0, 4), (1, 6))
    assert hugepages.kernel_arguments(nodes, 2048, "5.16.0") == "hugepagesz=2M hugepages=0:4,1:6"
    assert hugepages.kernel_arguments(nodes, 2048, "5.14.0-427.el9") == "hugepagesz=2M hugepages=10"
    assert hugepages.kernel_arguments(nodes, 1 << 20, "6.1.0") == "hugepagesz=1G hugepages=0:4,1:6"


def test_pages_of_one_gib_come_only_from_blocks_that_large() -> None:
    blocks = hugepages.parse_buddyinfo("Node 0, zone   Normal      0 0 0 0 0 0 0 0 0 0 900 \n")
    assert hugepages.unbroken(blocks, 0, 18) == 0
    assert hugepages.unbroken(blocks, 0, 9) == 1800
    assert hugepages.unbroken(blocks, 1, 9) == 0


@pytest.mark.parametrize("line", ["", "Node 0 zone Normal 1", "Node 0, zone Normal x", "Node 0, zone Normal"])
def test_a_strange_buddyinfo_is_refused(line: str) -> None:
    with pytest.raises(MalformedError, match="not a zone"):
        hugepages.parse_buddyinfo(f"{line}\n")


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("grubby", 'grubby --update-kernel=ALL --args="a=1"'),
        ("update-grub", "\n  update-grub && reboot"),
        ("grub2-mkconfig", "-o /boot"),
        ("", "anew"),
    ],
)
def test_boot_arguments_are_changed_as_the_distribution_does(tool: str, words: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write(f"usr/sbin/{tool or 'other'}")
    assert words in boot.adding(tree.machine, "a=1")
    assert "a=1" in boot.adding(tree.machine, "a=1")
    assert "a=1" in boot.removing(tree.machine, "a=1")


def mounted(tree: Tree, *points: str) -> None:
    lines = (f"{number} 1 0:{number} / {point} rw - hugetlbfs hugetlbfs rw\n" for number, point in enumerate(points, 30))
    tree.write("proc/self/mountinfo", "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + "".join(lines))


def test_hugetlbfs_must_be_mounted_where_engines_look_for_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    mounted(tree)
    verdicts = {
        "with SSDs": by_subject(hugepage_files.check(tree.machine, setting(tmp_path, SSD)))["hugetlbfs"],
        "without": by_subject(hugepage_files.check(tree.machine, setting(tmp_path)))["hugetlbfs"],
        "not known": by_subject(hugepage_files.check(tree.machine, NOTHING))["hugetlbfs"],
    }
    assert {name: point.verdict for name, point in verdicts.items()} == {"with SSDs": "stops", "without": "ok", "not known": "warning"}
    assert all(map(complete, verdicts.values()))
    mounted(tree, "/dev/hugepages")
    assert by_subject(hugepage_files.check(tree.machine, setting(tmp_path, SSD)))["hugetlbfs"].verdict == "ok"


def test_files_are_told_by_process_dead_or_alive(tmp_path: Path) -> None:
    dead = 4194304
    for name in (f"spdk_pid{dead}map_0", f"spdk_pid{dead}map_1", f"spdk_pid{os.getpid()}map_0", "other"):
        (tmp_path / name).write_bytes(b"x" * 1024)
    tree = Tree(tmp_path)
    tree.write(f"proc/{os.getpid()}/comm", "daos_engine\n")
    found = by_subject(hugepage_files.folder(tree.machine, str(tmp_path)))
    gone, lives = found[f"{tmp_path}/spdk_pid{dead}map*"], found[f"{tmp_path}/spdk_pid{os.getpid()}map*"]
    assert (gone.verdict, gone.found) == ("warning", f"2 files, 2.0 KiB; process {dead} is gone")
    assert gone.advice == f"  rm -f {tmp_path}/spdk_pid{dead}map*"
    assert (lives.verdict, lives.found) == ("ok", f"1 file, 1.0 KiB; process {os.getpid()} (daos_engine) lives")


def test_a_folder_without_files_of_spdk_is_ok(tmp_path: Path) -> None:
    (point,) = hugepage_files.folder(Tree(tmp_path).machine, str(tmp_path))
    assert point.verdict == "ok"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("[always] madvise never", "warning"), ("always [madvise] never", "ok"), ("always madvise [never]", "ok"), (None, "ok")],
)
def test_transparent_huge_pages(text: str | None, verdict: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    if text is not None:
        tree.write("sys/kernel/mm/transparent_hugepage/enabled", f"{text}\n")
    (point,) = kernel_settings.transparent_hugepages(tree.machine, NOTHING)
    assert (point.verdict, complete(point)) == (verdict, True)
    assert verdict == "ok" or "transparent_hugepage=never" in point.advice


def test_an_unknown_choice_of_transparent_huge_pages_is_refused(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("sys/kernel/mm/transparent_hugepage/enabled", "always sometimes\n")
    with pytest.raises(MalformedError):
        list(kernel_settings.transparent_hugepages(tree.machine, NOTHING))


def test_sysctls_are_held_against_their_floors(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for name, (floor, _) in kernel_settings.FLOORS.items():
        tree.write(f"proc/sys/{name.replace('.', '/')}", f"{floor}\n")
    tree.write("proc/sys/vm/max_map_count", "65530\n")
    found = by_subject(kernel_settings.sysctls(tree.machine, NOTHING))
    assert {name: point.verdict for name, point in found.items()} == {
        "vm.max_map_count": "warning",
        "net.core.rmem_max": "ok",
        "net.core.rmem_default": "ok",
    }
    assert "echo 'vm.max_map_count = 1000000'" in found["vm.max_map_count"].advice
    (tmp_path / "proc/sys/net/core/rmem_max").unlink()
    assert by_subject(kernel_settings.sysctls(tree.machine, NOTHING))["net.core.rmem_max"].verdict == "unknown"
