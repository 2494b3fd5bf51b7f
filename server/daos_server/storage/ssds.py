# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Looks at the NVMe SSDs and VMDs of this machine: what sysfs shows to everybody, and what the helper reads from them."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from daos_bindings.linux import attributes, inuse, mounts, pci
from daos_bindings.linux.block import UsageTable
from daos_bindings.linux.kernelfiles import printable
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.nvme import Ssd
from daos_server.storage.host_facts import kernel_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from daos_bindings.linux.pci import PciFunction, Scan
    from daos_pbin.nvme import ControllerRecord
    from daos_pbin.nvme_messages import BdevScanResult, ScannedController
    from daos_server.storage.facts import Helper

SCAN_S = 120.0
"""Seconds that all SSDs together may take to tell about themselves; each has its own, shorter deadline in the helper."""
NODES = "/dev/vfio"
MODEL_LIMIT, SERIAL_LIMIT, REVISION_LIMIT = 40, 20, 8


def read(sysfs: str = pci.SYSFS, nodes: str = NODES) -> dict[str, Ssd]:
    """Return what everybody can see: every SSD and VMD, by address, in the order of the addresses.

    :param sysfs: where PCI functions are read.
    :param nodes: folder of the nodes of IOMMU groups.
    :raises Fault: 2113 if /sys or /proc cannot be read.
    """
    with kernel_files():
        scan, table = pci.scan(sysfs), UsageTable(mounts.read())
        functions = sorted((*scan.controllers, *scan.vmds), key=lambda function: function.address)
        return {str(function.address): _ssd(function, scan, table, nodes) for function in functions}


def _ssd(function: PciFunction, scan: Scan, table: UsageTable, nodes: str) -> Ssd:
    shared = ", ".join(f"{member.address} ({member.driver})" for member in function.blocking)
    vmd = next((str(one.address) for one in scan.vmds if function.vmd and one.kernel == function.vmd), "")
    return Ssd(
        address=str(function.address),
        kernel=function.kernel,
        driver=function.driver,
        override=function.driver_override,
        numa_node=function.numa_node,
        group=function.iommu_group,
        owner=_owner(f"{nodes}/{function.iommu_group}") if function.iommu_group >= 0 else "",
        shared=shared,
        is_vmd=function.is_vmd,
        vmd=vmd,
        behind=tuple(str(one.address) for one in scan.behind(function)) if function.is_vmd else (),
        in_use=tuple(str(reason) for reason in inuse.of_function(function, scan, table)),
        source="kernel" if function.controller is not None else "none",
        record=_record(function),
    )


def _owner(node: str) -> str:
    """Return the name of the one user that may open the node of an IOMMU group; empty if none alone may."""
    from daos_server.identity import user_name

    try:
        found = os.stat(node, follow_symlinks=False)
    except OSError:
        return ""
    return user_name(found.st_uid) if stat.S_ISCHR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600 else ""


def _record(function: PciFunction) -> ControllerRecord | None:
    """Return what the kernel's driver has already asked the SSD; None if another driver has it."""
    from daos_pbin.nvme import ControllerRecord, NamespaceRecord

    one = function.controller
    if one is None:
        return None
    folder = f"{function.directory}/nvme/{one.name}"
    model, serial, revision = (printable(attributes.optional(f"{folder}/{name}")).strip() for name in ("model", "serial", "firmware_rev"))
    return ControllerRecord(
        model=model[:MODEL_LIMIT],
        serial=serial[:SERIAL_LIMIT],
        fw_rev=revision[:REVISION_LIMIT],
        vendor=function.vendor,
        namespaces=tuple(NamespaceRecord(id=space.nsid, size=space.size_bytes) for space in one.namespaces),
    )


async def ask(
    ssds: Mapping[str, Ssd], helper: Helper, devices: Iterable[str] = (), *, vmd: bool = True, health: bool = True
) -> tuple[dict[str, Ssd], tuple[str, ...]]:
    """Return the same with what the helper reads from them beside it, and what else it has to say.

    :param devices: none for all.
    :param vmd: look behind VMDs, too.
    :raises Fault: what the helper's start, or the request as a whole, fails with.
    """
    from daos_pbin.nvme_messages import BdevScan

    answer = await helper.call(BdevScan(devices=tuple(devices), vmd=vmd, health=health), deadline_s=SCAN_S)
    return merge(ssds, answer, health=health), answer.notes


def merge(ssds: Mapping[str, Ssd], answer: BdevScanResult, *, health: bool = False) -> dict[str, Ssd]:
    """Return what was seen, with the helper's answer beside it; SSDs that only the helper sees come last.

    :param health: one that tells about itself and leaves out its health has a fault: 801.
    """
    found = dict(ssds)
    for row in answer.controllers:
        known = found.get(row.address) or Ssd(address=row.address, kernel=row.kernel_address)
        found[row.address] = _told(known, row, health=health)
    return found


def _told(known: Ssd, row: ScannedController, *, health: bool) -> Ssd:
    fault = None if row.fault is None else row.fault.fault()
    if fault is None and health and row.record is not None and row.record.health_stats is None:
        fault = Fault(codes.SPDK_CTRLR_NO_HEALTH, object=row.address)
    return replace(
        known,
        driver=row.driver,
        numa_node=row.numa_node,
        group=row.iommu_group,
        vmd=row.vmd_endpoint or known.vmd,
        in_use=tuple(dict.fromkeys((*known.in_use, *row.in_use))),
        source=row.source,
        record=row.record or known.record,
        fault=fault,
    )


def unasked(ssds: Mapping[str, Ssd], fault: Fault) -> dict[str, Ssd]:
    """Return the same, each SSD with why nobody could ask it."""
    return {address: replace(one, fault=fault) for address, one in ssds.items()}


NOT_ITS_FAULT = frozenset(
    {
        codes.PRIVILEGED_HELPER_NOT_PRIVILEGED,
        codes.PRIVILEGED_HELPER_NOT_AVAILABLE,
        codes.PRIVILEGED_HELPER_REQUEST_FAILED,
        codes.SPDK_MISSING,
    }
)
"""Faults that say nothing about the thing that was looked at."""


def is_its_own(fault: Fault) -> bool:
    """Tell whether a fault is that of the thing which was looked at, and not of who looked at it."""
    of_helper = codes.HELPER_PROTOCOL_MISMATCH <= fault.code <= codes.HELPER_INTERNAL and fault.code != codes.HELPER_POLICY_REFUSED
    return fault.code not in NOT_ITS_FAULT and not of_helper
