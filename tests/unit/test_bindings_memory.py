# SPDX-License-Identifier: BSD-2-Clause-Patent
"""/proc/meminfo, NUMA lists and hugepage file names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daos_bindings.linux import hugepages, kernel, kernelfiles, memory, mounts, numa
from daos_bindings.linux.kernelfiles import MalformedError

pytestmark = pytest.mark.unit

SAMPLE = b"""\
MemTotal:       394679412 kB
MemFree:        371032148 kB
MemAvailable:   373302236 kB
Buffers:            7252 kB
AnonHugePages:   1157120 kB
ShmemHugePages:        0 kB
HugePages_Total:    8192
HugePages_Free:     8100
HugePages_Rsvd:        3
HugePages_Surp:        2
Hugepagesize:       2048 kB
Hugetlb:        16777216 kB
DirectMap4k:      483224 kB
"""


def test_real_meminfo() -> None:
    assert memory.parse(SAMPLE) == memory.MemInfo(
        hugepages_total=8192,
        hugepages_free=8100,
        hugepages_reserved=3,
        hugepages_surplus=2,
        hugepage_size_kb=2048,
        mem_total_kb=394679412,
        mem_free_kb=371032148,
        mem_available_kb=373302236,
    )


def test_a_kernel_without_hugepages_has_none() -> None:
    found = memory.parse(b"".join(line for line in SAMPLE.splitlines(keepends=True) if b"Huge" not in line))
    assert (found.hugepages_total, found.hugepage_size_kb) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"2048 kB", b"2 MB"),
        (b"2048 kB", b"2048"),
        (b"8192\n", b"8192 kB\n"),
        (b"394679412 kB", b""),
        (b"394679412 kB", b"-1 kB"),
        (b"394679412 kB", b"1e9 kB"),
        (b"394679412 kB", b"394679412 kB kB"),
        (b"394679412", b"1" * 21),
        (b"MemFree:", b"MemTotal:"),
        (b"MemTotal:", b"memTotal:"),
        (b"MemAvailable:", b"Mem\xffAvailable:"),
    ],
)
def test_hostile_meminfo_is_refused(old: bytes, new: bytes) -> None:
    assert old in SAMPLE
    with pytest.raises(MalformedError, match="meminfo"):
        memory.parse(SAMPLE.replace(old, new, 1))


values = st.integers(0, 2**53)


@given(values, values, values, values, values)
def test_any_numbers_come_back(total: int, free: int, available: int, pages: int, size: int) -> None:
    text = f"MemTotal: {total} kB\nMemFree:\t{free} kB\nMemAvailable: {available} kB\nHugePages_Total: {pages}\nHugepagesize: {size} kB\n"
    found = memory.parse(text.encode())
    assert (found.mem_total_kb, found.mem_free_kb, found.mem_available_kb) == (total, free, available)
    assert (found.hugepages_total, found.hugepage_size_kb) == (pages, size)


@given(st.binary(max_size=300) | st.lists(st.sampled_from(SAMPLE.split()), max_size=30).map(b" ".join))
def test_any_bytes_are_refused_in_one_way(data: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        memory.parse(data.replace(b"MemFree", b""))
    assert str(caught.value).isprintable()


def test_own_memory_can_be_read() -> None:
    found = memory.read()
    assert found.mem_total_kb >= found.mem_available_kb > 0
    assert found.mem_total_kb * 1024 == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.01)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", (0,)), ("0-3", (0, 1, 2, 3)), ("0-1,4", (0, 1, 4)), ("", ()), ("\n", ()), ("1,3,5-6\n", (1, 3, 5, 6))],
)
def test_kernel_lists(text: str, expected: tuple[int, ...]) -> None:
    assert numa.parse_list(text) == expected


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "1,1", "2,1", "1-3,2", "0-99999999999", "1;2", "1,,2", "1 2", "0x1", "\u0661"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        numa.parse_list(text)


def test_a_machine_has_a_node_with_memory() -> None:
    assert numa.online()
    assert set(numa.with_memory()) <= set(numa.online())


def test_a_kernel_without_numa_is_one_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hugepages.nr_path(0, 2048) == "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
    monkeypatch.setattr(numa, "DIRECTORY", str(tmp_path / "none"))
    assert numa.online() == numa.with_memory() == hugepages.nodes() == (0,)
    assert hugepages.nr_path(0, 2048) == "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


def test_hugepage_counts_of_every_node_can_be_read() -> None:
    size = hugepages.default_size_kib()
    if not size:
        pytest.skip("this kernel has no hugepages: their counts cannot be read")
    pages = hugepages.read_nodes(size)
    assert [found.node for found in pages] == list(hugepages.nodes())
    # Another test may change the counts between two reads; the relations hold at any time.
    assert all(0 <= found.surplus <= found.total for found in pages)
    assert all(os.path.isfile(hugepages.nr_path(found.node, size)) for found in pages)


def test_a_node_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        hugepages.read_node(1023, 2048)
    with pytest.raises(FileNotFoundError):
        hugepages.read_node(0, 3)


@pytest.mark.parametrize(
    ("name", "pid"),
    [("spdk_pid123map_0", 123), ("spdk_pid1map", 1), ("spdk_pid0map_9", 0), ("spdk_pid9999999999map_0", 9999999999)],
)
def test_names_of_hugepage_files(name: str, pid: int) -> None:
    assert hugepages.owner_pid(name) == pid


@pytest.mark.parametrize(
    "name",
    [
        "spdk_pidmap",
        "spdk_pid12",
        "spdk_pid12ma",
        "spdk_pid12_map",
        "spdk_pid-1map",
        "spdk_pid 1map",
        "spdk_pid\u0661map",
        "spdk_pid1xmap",
        "xspdk_pid1map",
        "SPDK_pid1map",
        "spdk_pid12345678901map",
        "rtemap_0",
        "",
    ],
)
def test_other_files_are_nobodys(name: str) -> None:
    assert hugepages.owner_pid(name) is None


def dead_pid() -> int:
    """Return the number of a process that is gone."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_files_of_dead_and_living_processes(tmp_path: Path) -> None:
    dead = dead_pid()
    (tmp_path / f"spdk_pid{os.getpid()}map_0").write_bytes(b"x" * 4096)
    (tmp_path / f"spdk_pid{dead}map_1").write_bytes(b"")
    (tmp_path / "spdk_pid9999999999map_0").write_bytes(b"")
    (tmp_path / "rtemap_0").write_bytes(b"")
    (tmp_path / f"spdk_pid{dead}map_link").symlink_to("/etc/passwd")
    inner = tmp_path / f"spdk_pid{dead}map_dir"
    inner.mkdir()
    (inner / f"spdk_pid{dead}map_2").write_bytes(b"")
    found = {file.name: (file.pid, file.alive, file.size) for file in hugepages.stale_files(str(tmp_path))}
    assert found == {
        f"spdk_pid{os.getpid()}map_0": (os.getpid(), True, 4096),
        f"spdk_pid{dead}map_1": (dead, False, 0),
        "spdk_pid9999999999map_0": (9999999999, False, 0),
    }


def test_the_first_process_is_alive_for_everybody(tmp_path: Path) -> None:
    (tmp_path / "spdk_pid1map_0").write_bytes(b"")
    assert [file.alive for file in hugepages.stale_files(str(tmp_path))] == [True]


def test_no_directory_has_no_files(tmp_path: Path) -> None:
    assert hugepages.stale_files(str(tmp_path / "none")) == []


def test_hugetlbfs_mounts() -> None:
    huge = mounts.parse(b"31 1 0:27 / /dev/hugepages rw - hugetlbfs hugetlbfs rw,pagesize=2M\n32 1 0:28 / /tmp rw - tmpfs /hugetlbfs rw\n")
    assert [mount.mount_id for mount in hugepages.hugetlbfs_mounts(huge)] == [31]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5.14.0-427.el9.x86_64", (5, 14)), ("6.18.44", (6, 18)), ("6.1-rc3", (6, 1)), ("10.0+", (10, 0))],
)
def test_kernel_releases(text: str, expected: tuple[int, int]) -> None:
    assert kernel.version(text) == expected


@pytest.mark.parametrize("text", ["", "6", "6.", "x.1", "6.x", ".1", "-6.1"])
def test_no_kernel_release(text: str) -> None:
    with pytest.raises(ValueError, match="release"):
        kernel.version(text)


def test_the_running_kernel_has_a_version() -> None:
    assert kernel.version(kernel.release()) > (2, 6)


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(MalformedError, match="longer than 100 bytes"):
        kernelfiles.read("/dev/zero", limit=100)


def test_a_file_of_just_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert kernelfiles.read(str(path), limit=100) == b"x" * 100
    path.write_bytes(b"x" * 101)
    with pytest.raises(MalformedError):
        kernelfiles.read(str(path), limit=100)


@pytest.mark.parametrize("content", [b"", b"-1\n", b"1 2\n", b"1\n2\n", b"0x10\n", b"\xb2\n", b"9" * 21])
def test_what_is_no_number_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(MalformedError, match=str(path)):
        kernelfiles.number(str(path))


def test_messages_are_one_printable_line() -> None:
    assert kernelfiles.printable("a\nb\x1b\udcff\u202e") == "a\\nb\\x1b\\xff\\u202e"
    assert kernelfiles.printable(b"caf\xc3\xa9 \xff") == "caf\u00e9 \\xff"
    assert kernelfiles.printable("x" * 500) == "x" * 120 + "..."
