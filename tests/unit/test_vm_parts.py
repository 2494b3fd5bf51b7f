# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What guests are made of, as far as no guest is needed to see it."""

from __future__ import annotations

import lzma
import stat
from pathlib import Path

import pytest
from vmlab import initramfs, kernel, machine
from vmlab.errors import UnavailableError
from vmlab.inside import pytest_command
from vmlab.spec import IOMMU, MIB, SYSTEMD, UIO, Controller, Nvdimm, Spec

DEPENDENCIES = """\
kernel/net/9p/9pnet.ko:
kernel/fs/9p/9p.ko: kernel/fs/netfs/netfs.ko kernel/net/9p/9pnet.ko
kernel/fs/netfs/netfs.ko:
kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
"""
KERNEL = kernel.Kernel("6.1", Path("/k/vmlinux"), Path("/k/modules/6.1"))
PARTS = machine.Parts("/usr/bin/qemu", KERNEL, Path("/i"), Path("/d"), Path("/s"), "null", 7, 8)


def test_modules_come_after_what_they_need() -> None:
    order = initramfs.load_order(DEPENDENCIES, "", ["9p", "9pnet_virtio"])
    assert order == ["kernel/net/9p/9pnet.ko", "kernel/fs/netfs/netfs.ko", "kernel/fs/9p/9p.ko", "kernel/net/9p/9pnet_virtio.ko"]


def test_a_module_is_found_by_either_spelling_and_left_out_if_built_in() -> None:
    order = initramfs.load_order(DEPENDENCIES, "kernel/lib/crc16.ko\n", ["crc32c_intel", "crc16"])
    assert order == ["kernel/arch/x86/crypto/crc32c-intel.ko.xz"]


def test_a_kernel_without_a_module_is_no_use() -> None:
    with pytest.raises(UnavailableError, match="no module nvme"):
        initramfs.load_order(DEPENDENCIES, "", ["nvme"])


def test_an_archive_is_what_the_kernel_documents() -> None:
    archive = initramfs.archive({"dev": (stat.S_IFDIR | 0o755, b""), "init": (stat.S_IFREG | 0o755, b"12345")})
    entries = []
    position = 0
    while position < len(archive):
        assert archive[position : position + 6] == b"070701"
        fields = [int(archive[position + at : position + at + 8], 16) for at in range(6, 110, 8)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[position + 110 : position + 110 + name_size]
        content = (position + 110 + name_size + 3) // 4 * 4
        entries.append((name, mode, archive[content : content + size]))
        position = (content + size + 3) // 4 * 4
    assert entries == [(b"dev\0", 0o40755, b""), (b"init\0", 0o100755, b"12345"), (b"TRAILER!!!\0", 0, b"")]


def test_the_kernel_inside_is_found_and_another_compression_is_left_alone() -> None:
    elf = b"\x7fELF" + bytes(1000)
    setup = bytes(kernel.SETUP_END)
    assert kernel.uncompressed(setup + b"code" + lzma.compress(elf) + b"relocations") == elf
    assert kernel.uncompressed(setup + b"zstd") == setup + b"zstd"


def test_disks_are_made_once_and_keep_what_is_on_them(tmp_path: Path) -> None:
    spec = Spec("one", controllers=(Controller("A", namespaces=(MIB,)),), nvdimms=(Nvdimm(16 * MIB),))
    machine.make_disks(spec, tmp_path)
    namespace = tmp_path / "A-1.img"
    assert namespace.read_bytes() == bytes(MIB)
    assert (tmp_path / "nvdimm0.img").stat().st_size == 16 * MIB + 128 * 1024
    namespace.write_bytes(b"x" * MIB)
    machine.make_disks(spec, tmp_path)
    assert namespace.read_bytes() == b"x" * MIB


@pytest.mark.parametrize("size", [0, 16 * MIB + 1])
def test_an_nvdimm_that_would_not_align_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="multiple"):
        Nvdimm(size)


@pytest.mark.parametrize("spec", [IOMMU, UIO, SYSTEMD], ids=lambda spec: spec.name)
def test_only_the_guest_that_says_so_has_an_iommu_and_none_uses_kvm(spec: Spec) -> None:
    words = machine.command_line(spec, PARTS, ("/bin/true",))
    assert any("aw-bits=48" in word for word in words) is spec.iommu
    assert ("intel_iommu=on" in words[words.index("-append") + 1]) is spec.iommu
    assert ("manager=/lib/systemd/systemd" in words[words.index("-append") + 1].split()) is (spec is SYSTEMD)
    assert words[words.index("-accel") + 1].startswith("tcg")


def test_flavours_are_what_the_tests_count_on() -> None:
    assert [len(one.namespaces) for one in IOMMU.controllers] == [2] * 12
    assert {one.node for one in IOMMU.controllers} == {one.node for one in UIO.controllers} == {0, 1}


def test_coverage_is_measured_in_the_guest_if_it_is_here() -> None:
    assert pytest_command(["t.py"], measured=True)[2:5] == ["-m", "coverage", "run"]
    assert "coverage" not in pytest_command(["t.py"], measured=False)
