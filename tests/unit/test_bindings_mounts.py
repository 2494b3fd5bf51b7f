# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Mountinfo: real lines, hostile lines, and any line the kernel could write."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daos_bindings.linux import mounts
from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.linux.mounts import Mount

pytestmark = pytest.mark.unit

DEBIAN = b"""\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:14 - proc proc rw
28 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw,errors=remount-ro
31 24 0:27 / /dev/hugepages rw,relatime shared:16 - hugetlbfs hugetlbfs rw,pagesize=2M
40 28 0:35 / /mnt/daos0 rw,nosuid,nodev,noexec,noatime shared:20 - tmpfs tmpfs rw,size=8388608k,huge=always,mpol=prefer:0
41 28 0:36 / /home/nfs rw,relatime shared:21 master:4 propagate_from:2 - nfs4 server:/export rw,vers=4.2,addr=10.0.0.1
42 28 0:37 /sub /mnt/with\\040space\\134and\\011tab rw - fuse.sshfs me@host:/a\\040b rw,user_id=0,group_id=0
43 28 0:38 /gone//deleted /mnt/deleted rw - tmpfs  rw
44 28 0:39 / /net rw,relatime unbindable - autofs /etc/auto.misc rw,fd=7,pgrp=1,timeout=300,minproto=5
45 28 0:40 / /overlay rw - overlay overlay rw,lowerdir=/a\\054b:/c,upperdir=/raw\\q,comment=two words
"""


def mount(mount_id: int, parent_id: int, mount_point: str, *, fs_type: str = "tmpfs") -> Mount:
    return Mount(mount_id, parent_id, 0, 1, "/", mount_point, ("rw",), (), fs_type, "none", ("rw",))


def test_real_lines_are_decoded() -> None:
    found = {entry.mount_id: entry for entry in mounts.parse(DEBIAN)}
    assert len(found) == 10
    assert found[28] == Mount(
        mount_id=28,
        parent_id=1,
        major=253,
        minor=0,
        root="/",
        mount_point="/",
        options=("rw", "relatime"),
        propagation=("shared:1",),
        fs_type="ext4",
        source="/dev/mapper/vg-root",
        super_options=("rw", "errors=remount-ro"),
    )
    assert found[41].propagation == ("shared:21", "master:4", "propagate_from:2")
    assert found[41].fs_type in mounts.NETWORK_FILE_SYSTEMS
    assert found[42].mount_point == "/mnt/with space\\and\ttab"
    assert found[42].source == "me@host:/a b"
    assert found[42].propagation == ()
    assert (found[43].root, found[43].source) == ("/gone//deleted", "")
    assert found[45].super_options == ("rw", "lowerdir=/a,b:/c", "upperdir=/raw\\q", "comment=two words")


def test_empty_is_no_mounts() -> None:
    assert mounts.parse(b"") == ()


GOOD = b"28 1 253:0 / /mnt rw - ext4 /dev/sda rw\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(GOOD[:-1], id="truncated"),
        pytest.param(b"\n" + GOOD, id="empty line"),
        pytest.param(GOOD.replace(b" - ", b" "), id="no separator"),
        pytest.param(GOOD.replace(b"28 ", b"x ", 1), id="no number"),
        pytest.param(GOOD.replace(b"28 ", b"-28 ", 1), id="negative"),
        pytest.param(GOOD.replace(b"28 ", b"\xd9\xa1 ", 1), id="another script's digit"),
        pytest.param(GOOD.replace(b"28 ", b"9" * 21 + b" ", 1), id="endless number"),
        pytest.param(GOOD.replace(b"253:0", b"2530"), id="no colon"),
        pytest.param(GOOD.replace(b"253:0", b"253:"), id="no minor"),
        pytest.param(GOOD.replace(b"/mnt", b"mnt"), id="relative"),
        pytest.param(GOOD.replace(b"/mnt", b"/mnt\\9"), id="unknown escape"),
        pytest.param(GOOD.replace(b"/mnt", b"/mnt\\04"), id="short escape"),
        pytest.param(GOOD.replace(b"/mnt", b"/mnt\\777"), id="escape above a byte"),
        pytest.param(GOOD.replace(b"/mnt rw", b"/mnt"), id="field missing"),
        pytest.param(GOOD.replace(b" /dev/sda rw", b" /dev/sda"), id="no super options"),
        pytest.param(GOOD + b"\x00" * 10 + b"\n", id="zeroes"),
    ],
)
def test_hostile_lines_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="mountinfo"):
        mounts.parse(data)
    assert len(mounts.parse(GOOD)) == 1


def test_a_refusal_is_printable() -> None:
    with pytest.raises(MalformedError) as caught:
        mounts.parse(b"\xff\x1b[31m " + b"x" * 10_000 + b"\n")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def escape(text: str, also: bytes = b"") -> bytes:
    """Escape as the kernel's ``mangle`` and ``seq_show_option`` do."""
    special = b" \t\n\\" + also
    return b"".join(b"\\%03o" % byte if byte in special else bytes([byte]) for byte in os.fsencode(text))


names = st.binary(max_size=20).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
words = names.filter(bool)
numbers = st.integers(0, 2**31)
paths = names.map(lambda name: "/" + name)
options = st.lists(words, min_size=1, max_size=4).map(tuple)
optional = st.lists(st.sampled_from(["shared:3", "master:1", "propagate_from:9", "unbindable"]), unique=True, max_size=3).map(tuple)
any_mount = st.builds(Mount, numbers, numbers, numbers, numbers, paths, paths, options, optional, words, names, options)


def line(entry: Mount) -> bytes:
    front = b"%d %d %d:%d " % (entry.mount_id, entry.parent_id, entry.major, entry.minor)
    front += escape(entry.root) + b" " + escape(entry.mount_point) + b" " + b",".join(escape(option, b",") for option in entry.options)
    front += b"".join(b" " + field.encode() for field in entry.propagation)
    back = b",".join(escape(option, b",") for option in entry.super_options)
    return front + b" - " + escape(entry.fs_type) + b" " + escape(entry.source) + b" " + back + b"\n"


@given(st.lists(any_mount, max_size=5))
def test_whatever_the_kernel_writes_comes_back(entries: list[Mount]) -> None:
    assert mounts.parse(b"".join(map(line, entries))) == tuple(entries)


@given(st.binary(max_size=200) | st.lists(st.sampled_from(GOOD.split(b" ")), max_size=14).map(lambda parts: b" ".join(parts) + b"\n"))
def test_any_bytes_are_mounts_or_one_error(data: bytes) -> None:
    with suppress(MalformedError):
        assert all(entry.mount_point.startswith("/") for entry in mounts.parse(data))


TREE = (
    mount(3, 2, "/mnt/a"),
    mount(2, 1, "/mnt"),
    mount(1, 0, "/"),
    mount(4, 3, "/mnt/a"),
    mount(5, 3, "/mnt/a/hidden"),
    mount(6, 1, "/var"),
    mount(7, 1, "/var/lib"),
    mount(8, 7, "/var/lib/daos"),
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", 1),
        ("/etc", 1),
        ("/mnt", 2),
        ("/mnt/ab", 2),
        ("/mnt/a", 4),
        ("/mnt/a/b", 4),
        ("/mnt/a/hidden", 4),  # 5 is under the root that 4 covers
        ("/var/lib/daos/x", 6),  # 7 was there before 6 covered /var
    ],
)
def test_the_visible_mount_contains_a_path(path: str, expected: int) -> None:
    found = mounts.containing(TREE, path)
    assert found is not None
    assert found.mount_id == expected


def test_at_wants_the_exact_mount_point() -> None:
    top = mounts.at(TREE, "/mnt/a")
    assert top is not None
    assert top.mount_id == 4
    assert mounts.at(TREE, "/mnt/a/b") is None
    assert mounts.at(TREE, "/mnt/a/hidden") is None


def test_of_two_mounts_at_one_place_the_later_is_on_top() -> None:
    found = mounts.at((mount(1, 0, "/"), mount(2, 1, "/a"), mount(3, 1, "/a")), "/a")
    assert found is not None
    assert found.mount_id == 3


def test_a_root_that_is_its_own_parent_ends_the_walk() -> None:
    found = mounts.containing((mount(1, 1, "/"), mount(2, 1, "/")), "/x")
    assert found is not None
    assert found.mount_id == 2


def test_a_loop_of_parents_ends_the_walk() -> None:
    assert mounts.containing((mount(1, 2, "/"), mount(2, 1, "/")), "/x") is None


def test_a_chroot_off_any_mount_has_none() -> None:
    listed = (mount(5, 1, "/proc"),)
    assert mounts.containing(listed, "/") is None
    found = mounts.containing(listed, "/proc/self")
    assert found is not None
    assert found.mount_id == 5


@pytest.mark.parametrize("ask", [mounts.containing, mounts.at])
def test_a_relative_path_is_refused(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(ValueError, match="absolute"):
        ask(TREE, "mnt")


def test_own_mounts_can_be_read() -> None:
    assert mounts.at(mounts.read(), "/proc") is not None


def test_a_process_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        mounts.read(2**22 + 1)
