# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The answer of ``storage scan``: facts as rows, for everything that the configuration names and for the host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_server.hardware.show import decimal_bytes
from daos_server.plan import nvme
from daos_server.plan.units import bytes_text, kib_text, pages_text
from daos_server.plan.wanted import is_within
from daos_server.storage.report import Outcome, Report, Row
from daos_server.storage.ssds import is_its_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daos_pbin.faults import Fault
    from daos_server.plan.facts import EngineState, FileState, Storage
    from daos_server.plan.host import HostFacts
    from daos_server.plan.nvme import Ssd, Ssds
    from daos_server.plan.wanted import Bdevs, Engine, Wanted

HUGEPAGES = "/dev/hugepages"


def scan_report(wanted: Wanted, facts: Storage, *, unfinished: bool, notes: Sequence[str] = (), pmem: Sequence[Row] = ()) -> Report:
    """Return the rows of a scan.

    :param unfinished: an interrupted format is on record.
    :param notes: what else there is to say, first.
    :param pmem: the rows of the machine's persistent memory, if the configuration names any.
    """
    notes = [*notes]
    if unfinished:
        notes.append("an interrupted format is on record: 'daos_server storage format' completes it")
    if not wanted.engines:
        notes.append("the configuration has no engines")
    rows = [*_host_rows(facts.host), *pmem, *_metadata_rows(wanted, facts)]
    for engine, state in zip(wanted.engines, facts.engines, strict=True):
        hidden = engine.has_meta_role and bool(wanted.metadata_device) and not facts.metadata_mount.kind
        rows += _engine_rows(engine, state, facts.ssds, conf_is_hidden=hidden)
    if any(row.outcome is Outcome.UNKNOWN and row.fault is not None and _is_helpers(row.fault) for row in rows):
        notes.append("what is unknown could not be looked at, because the helper did not answer: run 'daos_server helper check'")
    return Report(command="scan", rows=tuple(rows), notes=tuple(notes))


def _is_helpers(fault: Fault) -> bool:
    return fault.code != codes.SPDK_MISSING and not is_its_own(fault)


def _host_rows(host: HostFacts) -> Iterator[Row]:
    detail = f"{kib_text(host.total_kib)}, {kib_text(host.available_kib)} available"
    yield Row(subject="memory", action="memory", outcome=Outcome.PRESENT, detail=detail)
    for node in host.nodes:
        detail = f"{node.total} of {kib_text(host.page_kib)}, {node.free} free ({pages_text(node.total, host.page_kib)} in all)"
        outcome = Outcome.PRESENT if node.total else Outcome.MISSING
        yield Row(subject=f"node {node.node}", action="hugepages", outcome=outcome, detail=detail)
    for file in host.files:
        owner = "alive" if file.alive else "dead: the file is stale, 'daos_server storage prepare' removes it"
        detail = f"{bytes_text(file.size)}; its process {file.pid} is {owner}"
        yield Row(subject=f"{HUGEPAGES}/{file.name}", action="hugepage file", outcome=Outcome.PRESENT, detail=detail)


def _metadata_rows(wanted: Wanted, facts: Storage) -> Iterator[Row]:
    if not wanted.metadata_root:
        return
    state = facts.metadata
    if state.fault is not None:
        yield _not_seen(Row(subject=wanted.metadata_root, action="control metadata", outcome=Outcome.UNKNOWN), state.fault)
        return
    outcome = Outcome.UNFORMATTED if state.needs_format else Outcome.FORMATTED
    detail = state.reason + (f"; {state.found}" if state.found and state.found != state.reason else "")
    yield Row(subject=wanted.metadata_root, action="control metadata", outcome=outcome, detail=detail)


def _engine_rows(engine: Engine, state: EngineState, ssds: Ssds, *, conf_is_hidden: bool) -> Iterator[Row]:
    if engine.scm is not None:
        row = Row(
            engine=engine.index,
            tier=engine.scm.tier,
            subject=engine.scm.mount,
            action=f"SCM ({engine.scm.storage_class})",
            outcome=Outcome.UNFORMATTED if state.scm.needs_format else Outcome.FORMATTED,
            detail=state.scm.found,
        )
        yield row if state.scm.fault is None else _not_seen(row, state.scm.fault)
    for tier in engine.bdevs:
        for device in tier.devices:
            yield _bdev_row(engine, state, tier, device, ssds)
    if engine.nvme_conf:
        outcome, detail = Outcome.MISSING, "not there, or not a file of the server's account"
        if state.nvme_conf is not None:
            outcome, detail = Outcome.PRESENT, f"{len(state.nvme_conf.encode())} bytes"
        elif conf_is_hidden:
            outcome, detail = Outcome.UNKNOWN, "the control metadata is not mounted"
        yield Row(engine=engine.index, subject=engine.nvme_conf, action="NVMe configuration", outcome=outcome, detail=detail)


def _bdev_row(engine: Engine, state: EngineState, tier: Bdevs, device: str, ssds: Ssds) -> Row:
    row = Row(engine=engine.index, tier=tier.tier, subject=device, action=f"bdev ({tier.storage_class})", outcome=Outcome.UNKNOWN)
    if tier.storage_class == "nvme":
        return _ssd_row(row, ssds)
    found = state.files[device]
    if found.problem is not None:
        if engine.scm is not None and not state.scm.mounted and is_within(device, engine.scm.mount):
            return _with(row, Outcome.MISSING, f"{engine.scm.mount} is not mounted")
        return _not_seen(row, found.problem)
    if tier.storage_class == "kdev":
        return _with(row, Outcome.PRESENT, "a block device, used as it is")
    if not found.exists:
        return _with(row, Outcome.MISSING, f"would be a file of {tier.size_gib} GiB")
    return _with(row, Outcome.FORMATTED if found.has_data else Outcome.PRESENT, _file_words(found))


def _ssd_row(row: Row, ssds: Ssds) -> Row:
    """Return the row of an SSD, or of a VMD with what is seen behind it."""
    ssd = ssds.get(row.subject)
    behind = [ssds[address] for address in nvme.backing(ssds).get(row.subject, ()) if address in ssds]
    if ssd is None and not behind:
        fault = nvme.missing(row.subject)
        return _not_seen(row, fault)
    for one in (*behind, *((ssd,) if ssd else ())):
        if one.fault is not None:
            return _not_seen(row, one.fault)
    words = "; ".join(ssd_words(one) for one in (*((ssd,) if ssd else ()), *behind))
    return _with(row, Outcome.PRESENT, words)


def ssd_words(ssd: Ssd) -> str:
    """Return an SSD in words: what it is, which driver has it, what uses it."""
    record = ssd.record
    known = f"{record.model} of {decimal_bytes(sum(space.size for space in record.namespaces))}, " if record else ""
    used = f", in use: {'; '.join(ssd.in_use)}" if ssd.in_use else ""
    driver = f"bound to {ssd.driver}" if ssd.driver else "bound to no driver"
    return f"{'a VMD, ' if ssd.is_vmd else known}{driver}{used}"


def _file_words(found: FileState) -> str:
    return f"a file of {bytes_text(found.size)}, " + ("holds data" if found.has_data else "without data")


def _not_seen(row: Row, fault: Fault) -> Row:
    """Return the row of something that could not be looked at: unknown if that is the helper's fault, failed if it is its own."""
    return replace(row, outcome=Outcome.FAILED if is_its_own(fault) else Outcome.UNKNOWN, detail=fault.description, fault=fault)


def _with(row: Row, outcome: Outcome, detail: str) -> Row:
    return replace(row, outcome=outcome, detail=detail)
