# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The answer of ``storage scan``: facts as rows, for everything that the configuration names and for the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.units import bytes_text, kib_text, pages_text
from daos_server.plan.wanted import is_within
from daos_server.storage.report import Outcome, Report, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daos_server.plan.facts import EngineState, FileState, Storage
    from daos_server.plan.host import HostFacts
    from daos_server.plan.wanted import Bdevs, Engine, Wanted

HUGEPAGES = "/dev/hugepages"


def scan_report(wanted: Wanted, facts: Storage, *, unfinished: bool, notes: Sequence[str] = ()) -> Report:
    """Return the rows of a scan.

    :param unfinished: an interrupted format is on record.
    :param notes: what else there is to say, first.
    """
    notes = [*notes]
    if unfinished:
        notes.append("an interrupted format is on record: 'daos_server storage format' completes it")
    if not wanted.engines:
        notes.append("the configuration has no engines")
    rows = [*_host_rows(facts.host), *_metadata_rows(wanted, facts)]
    for engine, state in zip(wanted.engines, facts.engines, strict=True):
        hidden = engine.has_meta_role and bool(wanted.metadata_device) and not facts.metadata_mount.kind
        rows += _engine_rows(engine, state, conf_is_hidden=hidden)
    if any(row.outcome is Outcome.UNKNOWN and row.fault is not None for row in rows):
        notes.append("what is unknown could not be looked at, because the helper did not answer: run 'daos_server helper check'")
    return Report(command="scan", rows=tuple(rows), notes=tuple(notes))


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


def _engine_rows(engine: Engine, state: EngineState, *, conf_is_hidden: bool) -> Iterator[Row]:
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
            yield _bdev_row(engine, state, tier, device)
    if engine.nvme_conf:
        outcome, detail = Outcome.MISSING, "not there, or not a file of the server's account"
        if state.nvme_conf is not None:
            outcome, detail = Outcome.PRESENT, f"{len(state.nvme_conf.encode())} bytes"
        elif conf_is_hidden:
            outcome, detail = Outcome.UNKNOWN, "the control metadata is not mounted"
        yield Row(engine=engine.index, subject=engine.nvme_conf, action="NVMe configuration", outcome=outcome, detail=detail)


def _bdev_row(engine: Engine, state: EngineState, tier: Bdevs, device: str) -> Row:
    row = Row(engine=engine.index, tier=tier.tier, subject=device, action=f"bdev ({tier.storage_class})", outcome=Outcome.UNKNOWN)
    if tier.storage_class == "nvme":
        return _not_seen(row, Fault(codes.STORAGE_CLASS_NOT_BUILT, object=device, storage_class="nvme", where=row.where))
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


def _file_words(found: FileState) -> str:
    return f"a file of {bytes_text(found.size)}, " + ("holds data" if found.has_data else "without data")


def _not_seen(row: Row, fault: Fault) -> Row:
    """Return the row of something that could not be looked at: unknown if that is the helper's fault, failed if it is its own."""
    is_unknown = fault.code in NOT_ITS_FAULT or codes.HELPER_PROTOCOL_MISMATCH <= fault.code <= codes.HELPER_INTERNAL
    is_unknown = is_unknown and fault.code != codes.HELPER_POLICY_REFUSED
    outcome = Outcome.UNKNOWN if is_unknown else Outcome.FAILED
    return Row(
        engine=row.engine, tier=row.tier, subject=row.subject, action=row.action, outcome=outcome, detail=fault.description, fault=fault
    )


NOT_ITS_FAULT = frozenset(
    {
        codes.PRIVILEGED_HELPER_NOT_PRIVILEGED,
        codes.PRIVILEGED_HELPER_NOT_AVAILABLE,
        codes.PRIVILEGED_HELPER_REQUEST_FAILED,
        codes.STORAGE_CLASS_NOT_BUILT,
    }
)
"""Faults that say nothing about the thing that was looked at."""


def _with(row: Row, outcome: Outcome, detail: str) -> Row:
    return Row(engine=row.engine, tier=row.tier, subject=row.subject, action=row.action, outcome=outcome, detail=detail)
