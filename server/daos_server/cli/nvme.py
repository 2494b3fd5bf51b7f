# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The nvme commands: prepare, reset and scan.  A configuration is used if there is one; none is needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from daos_server.cli.output import emit, envelope, error_lines, escape, note, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daos_pbin.nvme import ControllerRecord
    from daos_server.cli.options import Invocation
    from daos_server.cli.options_nvme import NvmeOptions
    from daos_server.config.load import LoadedConfig
    from daos_server.plan.access import Asked
    from daos_server.plan.nvme import Ssd
    from daos_server.storage.nvme_commands import Scan

UNKNOWN = "-"
NO_ROLES = "NA"
NO_RANK = None
"""An SSD that no engine was asked about has no roles and no rank; the reference's table shows the second as ``None``."""


def prepare(invocation: Invocation, options: NvmeOptions) -> None:
    """Give SSDs to a userspace driver; the exit code is left in ``invocation``.

    :raises Fault: 2304 and others of loading the configuration, 2307 and others of becoming the account, 2360 beside a service.
    """
    from daos_server.cli.execute import execute
    from daos_server.storage.nvme_commands import plan_prepare

    loaded = _begin(invocation, options, changes=not options.dry_run)
    execute(
        invocation,
        loaded,
        "prepare",
        dry_run=options.dry_run,
        force=options.force,
        planner=lambda context: plan_prepare(context, _asked(options), everything=options.all),
    )


def reset(invocation: Invocation, options: NvmeOptions) -> None:
    """Give SSDs back to the drivers that they had; otherwise as ``prepare``."""
    from daos_server.cli.execute import execute
    from daos_server.storage.nvme_commands import plan_reset

    loaded = _begin(invocation, options, changes=not options.dry_run)
    execute(
        invocation,
        loaded,
        "reset",
        dry_run=options.dry_run,
        force=options.force,
        planner=lambda context: plan_reset(context, _asked(options)),
    )


def scan(invocation: Invocation, options: NvmeOptions) -> None:
    """Print the SSDs of this machine, also beside a service; otherwise as ``prepare``."""
    from daos_pbin import codes
    from daos_pbin.faults import Fault
    from daos_server.cli.execute import StopError, show_loaded, until_stopped
    from daos_server.cli.progress import Progress
    from daos_server.storage.commands import Context
    from daos_server.storage.nvme_commands import scan as scan_ssds

    loaded = _begin(invocation, options, changes=False)
    if loaded is not None:
        show_loaded(invocation, loaded)
    context = Context(loaded, invocation.installation)
    looking = scan_ssds(context, vmd=not options.disable_vmd, everything=options.all, reporter=Progress())
    try:
        found = asyncio.run(until_stopped(looking))
    except StopError as stop:
        raise Fault(codes.HELPER_CANCELLED, step="nvme scan", cause=stop.signal_name) from None
    for line in found.notes:
        note(f"NOTICE: {escape(line)}")
    fault = found.fault()
    if invocation.json:
        emit(envelope([_as_json(ssd) for ssd in found.ssds], None if fault is None else str(fault)))
    else:
        emit(_as_text(found))
    if fault is not None:
        invocation.exit_code = 1
        note("\n".join(error_lines(fault)))


def _begin(invocation: Invocation, options: NvmeOptions, *, changes: bool) -> LoadedConfig | None:
    from daos_server.cli.storage import begin

    return begin(invocation, helper_log_file=options.helper_log_file, ignore_config=options.ignore_config, changes=changes)


def _asked(options: NvmeOptions) -> Asked:
    from daos_server.plan.access import Asked

    return Asked(
        allow=",".join(options.pci_allow_list),
        block=",".join(options.pci_block_list),
        hugepages=options.hugepages,
        user=options.target_user,
        disable_vfio=options.disable_vfio,
    )


# What a scan shows


def _as_text(found: Scan) -> str:
    """Return the reference's table, and below it what else is known of each SSD."""
    if not found.ssds:
        return "  No NVMe devices found\n"
    first = table(("NVMe PCI", "Model", "FW Revision", "Socket", "Capacity", "Role(s)", "Rank"), map(_row, found.ssds))
    titles = ("NVMe PCI", "Serial", "Driver", "IOMMU Group", "Namespaces", "Configured", "State")
    return first + "\n" + table(titles, (_more(ssd, found.places[ssd.address]) for ssd in found.ssds))


def _row(ssd: Ssd) -> Sequence[object]:
    from daos_server.hardware.show import decimal_bytes

    record = ssd.record
    if record is None:
        return (ssd.address, UNKNOWN, UNKNOWN, ssd.numa_node, UNKNOWN, NO_ROLES, NO_RANK)
    capacity = decimal_bytes(sum(space.size for space in record.namespaces))
    return (ssd.address, record.model, record.fw_rev, ssd.numa_node, capacity, NO_ROLES, NO_RANK)


def _more(ssd: Ssd, place: tuple[int | None, int | None]) -> Sequence[object]:
    engine, tier = place
    configured = UNKNOWN if engine is None else f"engine {engine} tier {tier}"
    group = ssd.group if ssd.group >= 0 else UNKNOWN
    record = ssd.record
    serial = record.serial if record is not None else UNKNOWN
    return (ssd.address, serial, ssd.driver or "none", group, _namespaces(record), configured, _state(ssd))


def _namespaces(record: ControllerRecord | None) -> str:
    from daos_server.hardware.show import decimal_bytes

    if record is None:
        return UNKNOWN
    return ", ".join(f"{space.id}: {decimal_bytes(space.size)}" for space in record.namespaces) or "none"


def _state(ssd: Ssd) -> str:
    if ssd.fault is not None:
        return f"{ssd.fault.description} ({ssd.fault.code})"
    if ssd.in_use:
        return f"in use: {'; '.join(ssd.in_use)}"
    if ssd.is_vmd:
        return "a VMD; nobody sees behind it now"
    return "free" if ssd.driver else "no driver: 'daos_server nvme reset' gives it one"


def _as_json(ssd: Ssd) -> dict[str, object]:
    """Return an SSD with the reference's keys, then ours."""
    record = ssd.record
    return {
        "info": "",
        "model": record.model if record else "",
        "serial": record.serial if record else "",
        "pci_addr": ssd.address,
        "fw_rev": record.fw_rev if record else "",
        "vendor_id": "",
        "pci_type": "",
        "socket_id": ssd.numa_node,
        "health_stats": _health(record),
        "namespaces": [{"id": space.id, "size": space.size} for space in record.namespaces] if record else None,
        "smd_devices": None,
        "dev_state": "UNKNOWN",
        "led_state": "NA",
        "driver": ssd.driver,
        "kernel_address": ssd.kernel,
        "iommu_group": ssd.group if ssd.group >= 0 else None,
        "vmd_endpoint": ssd.vmd,
        "source": ssd.source,
        "in_use": list(ssd.in_use),
        "fault": None if ssd.fault is None else ssd.fault.to_wire(),
    }


def _health(record: ControllerRecord | None) -> dict[str, object] | None:
    from msgspec.structs import asdict

    return None if record is None or record.health_stats is None else asdict(record.health_stats)
