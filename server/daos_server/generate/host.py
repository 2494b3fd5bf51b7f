# SPDX-License-Identifier: BSD-2-Clause-Patent
"""This machine as ``generate`` wants to know it.  Needs neither root nor the helper, and changes nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_bindings.linux import block, kernelfiles, memory
from daos_bindings.linux import mounts as mount_table
from daos_bindings.linux.kernelfiles import MalformedError
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.generate.assumed import interfaces
from daos_server.generate.facts import LeftOut, MachineFacts, Pmem
from daos_server.generate.nvme import read_nvme
from daos_server.hardware.attributes import numa_node
from daos_server.network.interfaces import FabricScan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daos_bindings.linux.block import BlockIdentity, Usage
    from daos_bindings.linux.mounts import Mount
    from daos_server.generate.options import GenerateOptions
    from daos_server.hardware.topology import Topology

ENGINE_MOUNTS = "/mnt/daos"
"""Where engines have their SCM mounted: a namespace that is mounted there is not in use by others."""
_WORDS = {
    "mount": "is mounted on {detail}",
    "swap": "is swap space",
    "holder": "belongs to {detail}",
    "loop": "is the file of {detail}",
    "partition": "has the partition {detail}",
}


def read_facts(options: GenerateOptions) -> MachineFacts:
    """Read this machine.

    :param options: whose provider is taken for granted where no fabric library can tell.
    :raises Fault: 2342 if the kernel's description of the machine cannot be read, 2334 if that of its network cannot.
    """
    try:
        return _read_facts(options)
    except (OSError, MalformedError) as error:
        reason = f"what the kernel says about it cannot be read: {kernelfiles.printable(str(error))}"
        remedy = "check that /sys and /proc are mounted and not hidden from this process"
        raise Fault(codes.CONFIG_GENERATE_MACHINE_UNFIT, reason=reason, remedy=remedy) from error


def _read_facts(options: GenerateOptions) -> MachineFacts:
    from daos_server.hardware import sysfs

    topology = sysfs.read()
    mounts = mount_table.read()
    nvme = read_nvme(in_use(mounts))
    pmem, pmem_left_out = _pmem(mounts)
    known = memory.read()
    fabric, assumed = _fabric(topology, options)
    return MachineFacts(
        fabric=fabric,
        numa_nodes=tuple(node.id for node in topology.nodes if node.cores),
        hugepage_kib=known.hugepage_size_kb,
        mem_total_kib=known.mem_total_kb,
        ssds=nvme.ssds,
        pmem=pmem,
        left_out=(*nvme.left_out, *pmem_left_out),
        provider_assumed=assumed,
    )


# What holds a disk


def in_use(mounts: Iterable[Mount]) -> Callable[[str], str]:
    """Return a function that says of a disk, by the kernel's name, what it is used for; empty if for nothing."""
    table = block.UsageTable(mounts)

    def use(disk: str) -> str:
        if disk in table.roots:
            return "holds the root file system"
        device = block.by_name(disk)
        return use_text(block.usage(device, table)) if device else ""

    return use


def use_text(holds: Iterable[Usage]) -> str:
    """Return the use that says most, a mount before a mere partition; empty without any."""
    by_kind = {hold.kind: kernelfiles.printable(hold.detail) for hold in reversed(list(holds))}
    return next((words.format(detail=by_kind[kind]) for kind, words in _WORDS.items() if kind in by_kind), "")


# Persistent memory


def _pmem(mounts: Iterable[Mount]) -> tuple[tuple[Pmem, ...], tuple[LeftOut, ...]]:
    table = block.UsageTable(mounts)
    free: list[Pmem] = []
    left_out: list[LeftOut] = []
    for device in block.list_devices():
        if block.driver_kind(device.name) != "pmem" or device.is_partition:
            continue
        why = pmem_use(device, block.usage(device, table), in_root=device.disk in table.roots)
        if why:
            left_out.append(LeftOut(device=device.path, why=f"it {why}"))
        else:
            free.append(Pmem(device=device.path, numa_node=numa_node(_sysfs_directory(device)) or 0))
    return tuple(free), tuple(left_out)


def _sysfs_directory(device: BlockIdentity) -> str:
    return os.path.realpath(f"{block.BY_NAME}/{device.name}")


def pmem_use(device: BlockIdentity, holds: Iterable[Usage], *, in_root: bool) -> str:
    """Return why no engine may have a namespace; empty if one may, which includes one that an engine has mounted already."""
    if in_root:
        return "holds the root file system"
    if not device.dax:
        return "is not in fsdax mode, so it cannot be mapped as memory"
    return use_text(hold for hold in holds if hold.kind != "mount" or not hold.detail.startswith(ENGINE_MOUNTS))


# Network


def _fabric(topology: Topology, options: GenerateOptions) -> tuple[FabricScan, str]:
    """Return what the fabric libraries find; if nothing, what sysfs shows, and why that is an assumption."""
    from daos_server.network.scan import scan

    try:
        return scan(), ""
    except Fault as fault:
        if fault.code not in (codes.NETWORK_NOTHING_FOUND, codes.NETWORK_LIBRARY_FAILED):
            raise
        why = fault.description
    guessed = interfaces(topology, options)
    return FabricScan(interfaces=guessed, numa_count=len(topology.nodes), cores_per_numa=topology.cores_per_node), why
