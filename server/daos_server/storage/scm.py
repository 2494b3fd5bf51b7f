# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Persistent memory of this machine: asked of the helper, with what everybody can see beside it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from daos_bindings.linux import block, kernelfiles, mounts, numa
from daos_pbin.faults import Fault
from daos_pbin.pmem import SOCKETS_LIMIT
from daos_pbin.pmem_messages import ScmPrepare, ScmScan
from daos_pbin.pmem_state import State
from daos_server.hardware.attributes import number, text
from daos_server.plan import scm, scm_words
from daos_server.plan.steps import Standing
from daos_server.storage.host_facts import interfaces, kernel_files
from daos_server.storage.lock import only_one
from daos_server.storage.report import Outcome, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from daos_bindings.linux.block import Usage
    from daos_pbin.envelope import Progress
    from daos_pbin.pmem import Namespace
    from daos_pbin.pmem_messages import ScmPrepareResult, ScmScanResult
    from daos_server.config.model import EngineConfig, ServerConfig
    from daos_server.plan.steps import Step
    from daos_server.plan.wanted import Wanted
    from daos_server.storage.commands import Context
    from daos_server.storage.facts import Helper
    from daos_server.storage.report import Reporter

    OnProgress = Callable[[Progress], None]

LOOK_S = 600.0
"""Seconds that looking may take: libipmctl asks every module, which can take minutes."""
CHANGE_S = 3600.0
CPUS = "/sys/devices/system/cpu"
NO_RANK = 2**32 - 1
"""The rank of what no engine has yet."""
MIB = 1 << 20
METADATA_MIB = 1024
"""What an engine keeps for its own metadata if its environment does not say ``METADATA_VARIABLE``."""
METADATA_VARIABLE = "DAOS_MD_CAP"
CONTROL_MIB = 16
FILE_SYSTEM_MIB = 1
USES: Mapping[str, str] = {
    "mount": "mounted on {detail}",
    "swap": "swap space",
    "holder": "part of {detail}",
    "loop": "the file of {detail}",
    "partition": "divided into {detail}",
}


# Asking the helper


async def look(ctx: Context, socket: int | None, reporter: Reporter, on_progress: OnProgress) -> ScmScanResult:
    """Return what there is.

    :param on_progress: called with how far it is.
    :raises Fault: what the helper's start, or the request, fails with.
    """
    async with ctx.helper(reporter) as helper:
        return await helper.call(ScmScan(socket=socket), deadline_s=LOOK_S, on_progress=on_progress)


async def foresee(ctx: Context, request: ScmPrepare, reporter: Reporter, on_progress: OnProgress) -> ScmPrepareResult:
    """Return what a request would do; raises as ``look``."""
    async with ctx.helper(reporter) as helper:
        return await helper.call(_only_planned(request), deadline_s=LOOK_S, on_progress=on_progress)


async def change(ctx: Context, request: ScmPrepare, reporter: Reporter, on_progress: OnProgress) -> ScmPrepareResult:
    """Do what a request says; raises as ``look``, and 2010 if another storage command is running."""
    with only_one(ctx.installation.state_dir):
        async with ctx.helper(reporter) as helper:
            return await helper.call(request, deadline_s=CHANGE_S, on_progress=on_progress)


def _only_planned(request: ScmPrepare) -> ScmPrepare:
    return ScmPrepare(reset=request.reset, namespaces_per_socket=request.namespaces_per_socket, socket=request.socket, plan_only=True)


# What everybody can see


def places(ctx: Context) -> tuple[int | None, ...]:
    """Return the CPU socket of each engine with persistent memory; None for one of which it is not known; none without a configuration.

    :raises Fault: 2113 if /sys cannot be read.
    """
    config = ctx.config.config if isinstance(ctx.config, tuple) else ctx.config
    if config is None:
        return ()
    with kernel_files():
        return scm.placed(config, interfaces(), sockets())


def sockets(nodes: str = numa.DIRECTORY, cpus: str = CPUS) -> dict[int, int]:
    """Return the CPU socket of each NUMA node that has CPUs: with several nodes on a socket they are not the same number."""
    found: dict[int, int] = {}
    for node in numa.online():
        first = text(f"{nodes}/node{node}/cpulist").partition(",")[0].partition("-")[0]
        socket = number(f"{cpus}/cpu{first}/topology/physical_package_id", missing=-1) if first else -1
        if 0 <= socket < SOCKETS_LIMIT:
            found[node] = socket
    return found


class Seen(NamedTuple):
    """What namespaces are used for, by their names.

    :param uses: in words; those that are not used are left out.
    :param mounts: what tools know of a mount, of those that are mounted.
    """

    uses: dict[str, str]
    mounts: dict[str, dict[str, object]]


def seen(namespaces: Sequence[Namespace], config: ServerConfig | None = None) -> Seen:
    """Look at what the block devices of namespaces are used for.

    :param config: says how much of each file system its engine keeps for itself.
    :raises Fault: 2113 if /proc or /sys cannot be read.
    """
    found = Seen({}, {})
    with kernel_files():
        table = block.UsageTable(mounts.read())
        for one in namespaces:
            device = block.by_name(one.blockdev) if one.blockdev else None
            holds = () if device is None else block.usage(device, table)
            if holds:
                found.uses[one.dev] = "; ".join(dict.fromkeys(map(_words, holds)))
            mounted = next((hold.detail for hold in holds if hold.kind == "mount" and hold.device == one.blockdev), "")
            if mounted:
                found.mounts[one.dev] = mount_json(f"/dev/{one.blockdev}", mounted, config)
    return found


def _words(hold: Usage) -> str:
    return USES.get(hold.kind, f"{hold.kind} {{detail}}").format(detail=kernelfiles.printable(hold.detail))


def reserved(config: ServerConfig | None, device: str, path: str) -> int:
    """Return how many bytes of a mounted file system are not for data: metadata of its engine, the control plane and the file system.

    Without a configuration, or for a file system of none of its engines, the engine's are ``METADATA_MIB``.
    """
    engine = next((one for one in config.engines if _has_scm(one, device, path)), None) if config is not None else None
    if config is None or engine is None:
        return (METADATA_MIB + CONTROL_MIB + FILE_SYSTEM_MIB) * MIB
    value = engine.environment.get(METADATA_VARIABLE, "")
    metadata = int(value) if re.fullmatch("[0-9]{1,9}", value) else METADATA_MIB
    control = CONTROL_MIB if config.control_metadata.path in ("", path) else 0
    return (metadata + control + FILE_SYSTEM_MIB) * MIB


def _has_scm(engine: EngineConfig, device: str, path: str) -> bool:
    tier = engine.scm_tier
    return tier is not None and (tier.scm_mount == path or device in tier.scm_list)


def mount_json(device: str, path: str, config: ServerConfig | None = None) -> dict[str, object]:
    """Return a mount as tools know it; sizes are 0 if the file system does not tell them."""
    try:
        status = os.statvfs(path)
        total, available = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    except OSError:
        total = available = 0
    return {
        "class": "dcpm",
        "device_list": [device],
        "info": "",
        "path": kernelfiles.printable(path),
        "rank": NO_RANK,
        "total_bytes": total,
        "avail_bytes": available,
        "usable_bytes": max(available - reserved(config, device, path), 0),
    }


# The part of the storage commands


async def plan_prepare(ctx: Context, wanted: Wanted, helper: Helper, *, force: bool) -> tuple[tuple[Step, ...], tuple[Standing, ...]]:
    """Return what makes the devices of persistent memory that a configuration names: nothing if they are all there."""
    tiers = scm.tiers(wanted)
    there = tuple(scm.is_there(engine, tier) for engine, tier in tiers if os.path.exists(tier.device))
    missing = tuple(tier.device for _, tier in tiers if not os.path.exists(tier.device))
    if not missing:
        return (), there
    try:
        found = places(ctx)
        socket, per_socket = scm.only_socket(found), scm.namespaces_needed(found)
        request = ScmPrepare(namespaces_per_socket=per_socket, socket=socket, plan_only=True)
        answer = await helper.call(request, deadline_s=LOOK_S)
        part = scm.prepare_step(answer, missing, per_socket=per_socket, socket=socket, force=force)
    except Fault as fault:
        part = scm.cannot(missing, fault)
    return ((), (*there, part)) if isinstance(part, Standing) else ((part,), there)


async def run_prepare(step: scm.PreparePmem, helper: Helper, on_progress: OnProgress) -> tuple[Outcome, str]:
    """Run a step, and return how it ended and what is to be said about it.

    :raises Fault: what the helper stopped at; 204 if devices that the configuration names are still not there.
    """
    request = ScmPrepare(namespaces_per_socket=step.per_socket, socket=step.socket)
    answer = await helper.call(request, deadline_s=CHANGE_S, on_progress=on_progress)
    fault = scm.fault_of(answer)
    if fault is not None:
        raise fault
    changed = any(one.done for one in scm.shown(answer))
    outcome = Outcome.DONE if changed else Outcome.ALREADY
    if answer.reboot_required:
        text = scm_words.prepared(State(answer.state), answer.outcome, answer.namespaces, scm.repeat(step.per_socket, step.socket))
        return outcome, text.rstrip("\n")
    left = tuple(device for device in step.devices if not os.path.exists(device))
    if left:
        raise scm.missing(left)
    return outcome, ", ".join(scm_words.namespace_words(one) for one in answer.namespaces)


async def scan_rows(helper: Helper) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Return the rows of ``storage scan`` about the machine's persistent memory, and what else there is to say."""
    try:
        found = await helper.call(ScmScan(), deadline_s=LOOK_S)
        used = seen(found.namespaces).uses
    except Fault as unknown:
        # Devices that engines need have rows of their own: those fail if there is nothing behind them.
        return (_row(scm.SUBJECT, scm.SUBJECT, Outcome.UNKNOWN, unknown.description, unknown),), ()
    parts = [_namespace_row(one, used.get(one.dev, "not mounted")) for one in found.namespaces]
    if not parts:
        parts = [_row(one.uid, "SCM module", Outcome.PRESENT, scm_words.module_words(one)) for one in found.modules]
    return (_state_row(found), *parts), (*found.notes, *scm_words.scan_notes(found.goals))


def _namespace_row(one: Namespace, use: str) -> Row:
    subject = f"/dev/{one.blockdev}" if one.blockdev else one.dev
    detail = f"{scm_words.namespace_words(one, use)} (NUMA node {one.numa_node})"
    return _row(subject, "SCM namespace", Outcome.PRESENT, detail)


def _state_row(found: ScmScanResult) -> Row:
    if found.fault is not None:
        fault = found.fault.fault()
        return _row(scm.SUBJECT, scm.SUBJECT, Outcome.FAILED, fault.description, fault)
    state = State(found.state)
    outcome = Outcome.MISSING if state is State.NO_MODULES and not found.namespaces else Outcome.PRESENT
    words = scm_words.next_step(state, reboot=found.reboot_required, namespaces=found.namespaces)
    return _row(scm.SUBJECT, scm.SUBJECT, outcome, words)


def _row(subject: str, action: str, outcome: Outcome, detail: str, fault: Fault | None = None) -> Row:
    return Row(subject=subject, action=action, outcome=outcome, detail=detail, fault=fault)
