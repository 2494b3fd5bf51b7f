# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is read of the machine for a plan, and what of a configuration."""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from daos_bindings.linux import hugepages, memory, mounts
from daos_bindings.linux.mounts import Mount
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.load import load
from daos_server.installation import Installation
from daos_server.plan.affinity import affinity
from daos_server.plan.facts import Mounted
from daos_server.plan.host import HostFacts, NodePages
from daos_server.plan.steps import SetHugepages
from daos_server.plan.units import MIB
from daos_server.plan.wanted import from_config
from daos_server.storage import commands, facts
from daos_server.storage.filesystems import check_metadata_file_system, mount_id
from daos_server.storage.host_facts import interfaces, read_host
from daos_server.storage.report import Outcome, Report, Row
from daos_server.storage.topology import buses_of_node

if TYPE_CHECKING:
    from daos_pbin.messages import Request, ResultT

DATA = Path(__file__).parents[1] / "data" / "config"


def test_the_host_has_memory_and_nodes() -> None:
    host = read_host()
    assert host.total_kib > host.available_kib > 0
    assert host.nodes
    assert set(host.pages) == {node.node for node in host.nodes}


def test_the_user_of_the_engines_is_this_one_or_the_one_given() -> None:
    assert read_host().user == pwd.getpwuid(os.geteuid()).pw_name
    assert read_host("daos_server").is_root is False


def test_real_interfaces_are_all_there() -> None:
    names = {name for name in os.listdir("/sys/class/net") if os.path.isdir(f"/sys/class/net/{name}")}
    assert names <= set(read_host().interfaces)


def a_machine(sysfs: Path) -> Path:
    """Make up the parts of sysfs that are read: two cards, what is stacked on them, a VMD and an IOMMU."""
    for address, node in (("0000:17:00.0", "0"), ("0000:b1:00.0", "1"), ("0000:05:00.0", "-1")):
        card = sysfs / "devices" / address
        card.mkdir(parents=True)
        (card / "numa_node").write_text(f"{node}\n")
    net = sysfs / "class/net"
    for name, address in (("ib0", "0000:17:00.0"), ("ib1", "0000:b1:00.0"), ("usb0", "0000:05:00.0"), ("gone", "0000:ff:00.0")):
        (net / name).mkdir(parents=True)
        (net / name / "device").symlink_to(sysfs / "devices" / address)
    for name, below in (("bond0", ("ib0", "ib1")), ("vlan7", ("bond0",)), ("br0", ("lo", "ib1")), ("lo", ()), ("loop", ("loop",))):
        (net / name).mkdir()
        for lower in below:
            (net / name / f"lower_{lower}").symlink_to(net / lower)
    (sysfs / "devices/0000:b1:00.0/virtio3").mkdir()
    (net / "eth9").mkdir()
    (net / "eth9/device").symlink_to(sysfs / "devices/0000:b1:00.0/virtio3")
    (net / "bonding_masters").write_text("bond0\n")
    (sysfs / "class/infiniband/mlx5_0").mkdir(parents=True)
    (sysfs / "class/infiniband/mlx5_0/device").symlink_to(sysfs / "devices/0000:b1:00.0")
    return sysfs


def test_interfaces_belong_to_the_node_of_their_hardware(tmp_path: Path) -> None:
    found = interfaces(str(a_machine(tmp_path)))
    assert found == {
        "ib0": 0,
        "ib1": 1,
        "mlx5_0": 1,
        "eth9": 1,
        "bond0": 0,
        "vlan7": 0,
        "br0": 1,
        "usb0": None,
        "gone": None,
        "lo": None,
        "loop": None,
    }
    assert interfaces(str(tmp_path / "nowhere")) == {}


@pytest.mark.parametrize("text", ["", "x", "-2", "1 2", "1" * 30])
def test_a_node_that_is_no_number_is_none(tmp_path: Path, text: str) -> None:
    sysfs = a_machine(tmp_path)
    (sysfs / "devices/0000:b1:00.0/numa_node").write_text(text)
    assert interfaces(str(sysfs))["ib1"] is None


def test_iommu_and_vmd_of_a_machine(tmp_path: Path) -> None:
    sysfs = a_machine(tmp_path)
    bare = read_host(sysfs=str(sysfs))
    assert (bare.iommu, bare.vmd_endpoints) == (False, ())
    (sysfs / "class/iommu").mkdir()
    assert read_host(sysfs=str(sysfs)).iommu is False
    (sysfs / "class/iommu/dmar0").mkdir()
    links = sysfs / "bus/pci/devices"
    links.mkdir(parents=True)
    for address, device, pci_class in (("0000:5d:05.5", "0x201d", "0x010400"), ("0000:81:00.0", "0x0a54", "0x010802")):
        function = sysfs / "devices/pci0000:00" / address
        function.mkdir(parents=True)
        (links / address).symlink_to(f"../../../devices/pci0000:00/{address}")
        values = {"class": pci_class, "vendor": "0x8086", "device": device, "numa_node": "0", "driver_override": "(null)"}
        for name, value in values.items():
            (function / name).write_text(f"{value}\n")
    found = read_host(sysfs=str(sysfs))
    assert (found.iommu, found.vmd_endpoints) == (True, ("0000:5d:05.5",))


def test_the_real_hugepages_of_each_node() -> None:
    host = read_host()
    size = host.page_kib
    for node in host.nodes:
        path = Path(f"/sys/devices/system/node/node{node.node}/hugepages/hugepages-{size}kB/nr_hugepages")
        assert not path.exists() or int(path.read_text()) == node.total
    assert 0 <= host.free_pages <= sum(host.pages.values())


@pytest.mark.parametrize("size", [0, 3])
def test_a_kernel_without_hugepages_of_its_default_size_has_none(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    info = memory.MemInfo(hugepage_size_kb=size, mem_total_kb=4, mem_free_kb=3, mem_available_kb=2)
    monkeypatch.setattr(memory, "read", lambda: info)
    host = read_host()
    assert (host.page_kib, host.total_kib, host.available_kib, host.free_pages) == (size, 4, 2, 0)
    assert set(host.pages.values()) == {0}


def test_the_owner_of_hugetlbfs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hugepages, "DIRECTORY", str(tmp_path))
    assert read_host().hugetlbfs_is_ours is None
    monkeypatch.setattr(mounts, "read", lambda: (Mount(1, 0, 8, 1, "/", str(tmp_path), (), (), "hugetlbfs", "none", ()),))
    assert read_host().hugetlbfs_is_ours is True
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert read_host("somebody").hugetlbfs_is_ours is False


def test_hugepage_files_of_another_account_are_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise PermissionError(errno.EACCES, "no", hugepages.DIRECTORY)

    monkeypatch.setattr(hugepages, "stale_files", refused)
    assert read_host().files == ()


def test_a_malformed_kernel_file_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "read", lambda: memory.parse(b"MemTotal: 1 kB\n"))
    with pytest.raises(Fault) as caught:
        read_host()
    assert (caught.value.code, caught.value.object) == (codes.STORAGE_SYSTEM_CALL_FAILED, "/proc/meminfo")
    assert "mem_free_kb" in caught.value.cause


def test_a_kernel_file_that_cannot_be_read_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError(errno.EACCES, "no", "/proc/meminfo")

    monkeypatch.setattr(memory, "read", broken)
    with pytest.raises(Fault) as caught:
        read_host()
    assert (caught.value.code, caught.value.object) == (codes.STORAGE_SYSTEM_CALL_FAILED, "/proc/meminfo")


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (Mounted(kind="tmpfs", content=(), size=8 << 30), "tmpfs of 8.0 GiB, mounted, empty"),
        (Mounted(kind="ext4", content=None), "ext4, mounted, with content that the server's account cannot list"),
        (Mounted(kind="tmpfs", content=("a", "b")), "tmpfs, mounted, with a, b"),
        (Mounted(kind="tmpfs", content=tuple("abcde")), "tmpfs, mounted, with a, b, c and 2 others"),
        (Mounted(kind="tmpfs", content=tuple("abcdefghijklmnop")), "tmpfs, mounted, with a, b, c and more others"),
    ],
)
def test_mounts_in_words(mount: Mounted, words: str) -> None:
    assert facts.describe_mount(mount) == words


def table(fs_type: str, *options: str) -> tuple[Mount, ...]:
    return (mounts.Mount(1, 0, 8, 1, "/", "/", options, (), fs_type, "somewhere", ()),)


@pytest.mark.parametrize("fs_type", ["nfs", "nfs4", "cifs", "lustre", "9p", "fuse.sshfs"])
def test_metadata_is_not_for_network_file_systems(fs_type: str) -> None:
    with pytest.raises(Fault) as caught:
        check_metadata_file_system("/var/daos/not/there", table(fs_type))
    assert caught.value.code == codes.CONTROL_METADATA_BAD_FILESYSTEM
    assert fs_type in caught.value.description


@pytest.mark.parametrize("fs_type", ["ext4", "xfs", "btrfs", "zfs", "something-new"])
def test_metadata_is_for_local_ones(fs_type: str) -> None:
    check_metadata_file_system("/var/daos/not/there", table(fs_type, "rw"))


def test_metadata_is_not_for_other_peoples_nosuid_mounts() -> None:
    with pytest.raises(Fault) as caught:
        check_metadata_file_system("/var/daos/not/there", table("xfs", "rw", "nosuid"))
    assert caught.value.code == codes.CONTROL_METADATA_BAD_FILESYSTEM


def test_the_mount_of_a_descriptor() -> None:
    here, proc = os.open("/", os.O_PATH), os.open("/proc", os.O_PATH)
    try:
        assert mount_id(here) != mount_id(proc)
        assert mount_id(proc) in {mount.mount_id for mount in mounts.read() if mount.fs_type == "proc"}
    finally:
        os.close(here)
        os.close(proc)


def test_pci_buses_of_a_node(tmp_path: Path) -> None:
    for address, node, subordinate in (
        ("0000:00:00.0", "0", ""),
        ("0000:17:02.0", "0", "26"),
        ("0000:80:00.0", "1", ""),
        ("0000:85:00.0", "1", ""),
        ("0000:02:00.0", "-1", ""),
        ("10000:e0:00.0", "1", ""),
        ("nonsense", "0", ""),
    ):
        folder = tmp_path / address
        folder.mkdir()
        (folder / "numa_node").write_text(node + "\n")
        if subordinate:
            (folder / "subordinate_bus_number").write_text(subordinate + "\n")
    (tmp_path / "0000:01:00.0").mkdir()
    assert buses_of_node(0, str(tmp_path)) == (0, 26)
    assert buses_of_node(1, str(tmp_path)) == (0x80, 0xE0)
    assert buses_of_node(2, str(tmp_path)) is None
    assert buses_of_node(0, str(tmp_path / "nowhere")) is None


def test_the_local_example_as_wanted() -> None:
    loaded = load(str(DATA / "daos_server_local.yml"))
    found = from_config(loaded.config, "host", lambda path: path, (0,))
    (engine,) = found.engines
    assert engine.scm is not None
    assert (engine.scm.storage_class, engine.scm.mount, engine.scm.size_gib) == ("ram", "/mnt/daos", 8)
    (tier,) = engine.bdevs
    assert (tier.tier, tier.storage_class, tier.devices, tier.size_gib) == (1, "file", ("/tmp/daos-bdev",), 16)  # noqa: S108
    assert engine.nvme_conf == "/mnt/daos/daos_nvme.conf"
    assert (found.metadata_root, found.data_path, found.has_bdevs, found.nvme_devices) == ("", "", True, ())


def test_the_node_of_the_interface_decides_where_memory_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nodes = (NodePages(node=0), NodePages(node=1))
    host = HostFacts(total_kib=64 * MIB, available_kib=64 * MIB, page_kib=2048, nodes=nodes, interfaces={"eth0": 1})
    monkeypatch.setattr(commands, "read_host", lambda _user: host)
    path = tmp_path / "daos_server.yml"
    path.write_text((DATA / "daos_server_local.yml").read_text().replace("pinned_numa_node: 0", "pinned_numa_node:"))
    context = commands.Context(load(str(path)))
    plan = asyncio.run(commands.plan_prepare(context))
    (step,) = plan.steps
    assert isinstance(step, SetHugepages)
    assert step.nodes == ((1, 0, 514),)
    assert plan.notes == (
        "engine 0: NUMA node 1, that of its interface eth0",
        "SSDs: the configuration names none, so neither VFIO nor an IOMMU is needed",
        "hugepages: for 1 target (engine 0: 1)",
        "hugepages: 1 x 1.0 GiB / 2.0 MiB = 512 pages at least",
        "hugepages: nr_hugepages is 0 (automatic): 512 pages, 1.0 GiB",
        "hugepages on node 1: 512 / 1 + 2 x 1 engine there = 514 pages",
    )
    assert [engine.numa_node for engine in context.found().wanted.engines] == [1]


def test_links_in_configured_paths_are_resolved_here(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    text = (DATA / "daos_server_local.yml").read_text().replace("/mnt/daos", f"{tmp_path}/link/daos")
    (tmp_path / "daos_server.yml").write_text(text)
    found = from_config(load(str(tmp_path / "daos_server.yml")).config, "host", os.path.realpath, (0,))
    assert found.engines[0].scm is not None
    assert found.engines[0].scm.mount == f"{tmp_path}/real/daos"
    assert found.engines[0].nvme_conf == f"{tmp_path}/real/daos/daos_nvme.conf"


def test_every_shipped_configuration_is_understood() -> None:
    for path in sorted(DATA.glob("*.yml")):
        config = load(str(path)).config
        found = from_config(config, "host", lambda path: path, affinity(config, {}).nodes)
        assert len(found.digest()) == 64


def test_a_report_fails_with_its_one_fault_or_names_all() -> None:
    def failed(engine: int) -> Row:
        fault = Fault(codes.STORAGE_MOUNT_BUSY, target="/x")
        return Row(engine=engine, tier=0, subject=f"/mnt/daos{engine}", action="a", outcome=Outcome.FAILED, fault=fault)

    fine = Row(subject="x", action="a", outcome=Outcome.DONE)
    assert Report(command="format", rows=(fine,)).fault() is None
    one = Report(command="format", rows=(fine, failed(0))).fault()
    assert one is not None
    assert one.code == codes.STORAGE_MOUNT_BUSY
    both = Report(command="format", rows=(fine, failed(0), failed(1))).fault()
    assert both is not None
    assert both.code == codes.SERVER_PARTIAL_FAILURE
    assert "engine 1 tier 0 /mnt/daos1" in both.description


def test_an_installation_follows_its_prefix() -> None:
    assert Installation.under("/opt/daos") == Installation()
    moved = Installation.under("/p", sysconfdir="/e", localstatedir="/v")
    assert (moved.helper, moved.config_file, moved.state_dir) == ("/p/bin/daos_server_helper", "/e/daos_server.yml", "/v/lib/daos_server")


def test_a_helper_that_does_not_start_is_tried_once() -> None:
    from daos_pbin.messages import ScmUnmount
    from daos_server.storage.helper import LazyHelper
    from daos_server.storage.report import Silent

    starts = []

    class Refuses:
        async def __aenter__(self) -> facts.Helper:
            starts.append(1)
            raise Fault(codes.PRIVILEGED_HELPER_NOT_AVAILABLE, helper="/x")

        async def __aexit__(self, *_: object) -> None:
            return None

    async def call_twice() -> None:
        helper = LazyHelper(lambda _reporter: Refuses(), Silent())
        for _ in range(2):
            with pytest.raises(Fault):
                await helper.call(ScmUnmount(target="/mnt/daos"))
        await helper.close()

    asyncio.run(call_twice())
    assert starts == [1]


def test_only_so_many_requests_are_open_at_once() -> None:
    from daos_pbin.messages import MountResult, ScmUnmount
    from daos_server.storage.helper import AT_ONCE, LazyHelper
    from daos_server.storage.report import Silent

    most = 0
    gate = asyncio.Event()

    class Slow:
        opened = 0

        async def __aenter__(self) -> Slow:
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

        async def call(self, request: Request[ResultT], **_: object) -> ResultT:
            nonlocal most
            self.opened += 1
            most = max(most, self.opened)
            if self.opened == AT_ONCE:
                gate.set()
            await gate.wait()
            self.opened -= 1
            return cast("ResultT", MountResult("/mnt/daos", False, False))

    async def many() -> None:
        helper = LazyHelper(lambda _reporter: Slow(), Silent())
        await asyncio.gather(*(helper.call(ScmUnmount(target="/mnt/daos")) for _ in range(4 * AT_ONCE)))
        await helper.close()

    asyncio.run(many())
    assert most == AT_ONCE
