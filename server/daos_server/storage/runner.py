# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs a plan: each step by whoever can do it, the helper or the server itself; a row for every part, whatever happens."""

from __future__ import annotations

import asyncio
import os
import threading
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import (
    BdevPrepare,
    Dcpm,
    MetadataFormat,
    MetadataMount,
    MetadataUnmount,
    NodePages,
    Ramdisk,
    ScmFormat,
    ScmUnmount,
)
from daos_server.plan.scm import PreparePmem
from daos_server.plan.steps import (
    BindSsd,
    CleanHugepages,
    CreateFile,
    FormatDcpm,
    FormatMetadata,
    FormatRam,
    MakeMetadataFolders,
    MountMetadata,
    RestoreSsd,
    ReturnHugepages,
    SetHugepages,
    UnmountMetadata,
    UnmountScm,
    WipeSsd,
    WriteNvmeConf,
)
from daos_server.storage import files, folders, nvme_conf, nvme_steps, scm
from daos_server.storage.nvme_steps import failed, row
from daos_server.storage.patience import Patient
from daos_server.storage.report import Outcome, Report, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daos_pbin.envelope import Progress
    from daos_server.plan.steps import Plan, Standing, Step
    from daos_server.storage.facts import Helper
    from daos_server.storage.journal import Journal
    from daos_server.storage.report import Reporter

FORMAT_S = 3600.0
"""Seconds that the making of one file system may take."""

T = TypeVar("T")

Ending = tuple[Outcome, str]
"""What became of a step, and what is to be said about it."""


class Runner:
    """One run of one plan."""

    def __init__(self, plan: Plan, helper: Helper, reporter: Reporter, journal: Journal | None = None) -> None:
        self._plan = plan
        self._helper = Patient(helper, reporter)
        self._reporter = reporter
        self._journal = journal
        self._ended: dict[str, Row] = {}
        self._beside: list[Row] = []

    async def run(self) -> Report:
        """Run the steps in their order, SCM of all engines side by side, SSDs likewise; what a step meets ends in its row.

        :raises Fault: 2114 if the journal cannot be written; no step is begun without it.
        """
        for _, group in groupby(self._plan.steps, key=_stage):
            steps = tuple(group)
            if isinstance(steps[0], BindSsd | RestoreSsd | WipeSsd):
                await self._ssds(steps)
                continue
            ended = await asyncio.gather(*(self._one(step) for step in steps), return_exceptions=True)
            for problem in ended:
                if problem is not None:
                    raise problem
        rows = [*self._ended.values(), *(_standing_row(part) for part in self._plan.standing)]
        notes = (*self._plan.notes, *nvme_steps.notes_beside(self._beside))
        return Report(command=self._plan.command, rows=(*sorted(rows, key=_place), *self._beside), notes=notes)

    async def _one(self, step: Step) -> None:
        if not self._begin(step):
            return
        try:
            outcome, detail = await self._do(step)
        except Fault as fault:
            if isinstance(step, CleanHugepages) and step.optional:
                self._end(step, row(step, Outcome.SKIPPED, str(fault)))
            else:
                self._end(step, failed(step, fault))
            return
        self._end(step, row(step, outcome, detail))

    async def _ssds(self, steps: Sequence[Step]) -> None:
        """Run steps of one kind about SSDs together: one request, a row for each."""
        due = [step for step in steps if isinstance(step, BindSsd | RestoreSsd | WipeSsd) and self._begin(step)]
        if not due:
            return

        def progress(found: Progress) -> None:
            step = next((step for step in due if step.subject in found.what), due[0])
            self._reporter.progress(step, found.done, found.total, found.unit, found.what)

        try:
            rows, beside = await nvme_steps.run(due, self._helper, progress)
        except Fault as fault:
            rows, beside = {step.key: failed(step, fault) for step in due}, ()
        for step in due:
            self._end(step, rows[step.key])
        self._beside += beside

    def _begin(self, step: Step) -> bool:
        """Put a step on record; False if it is skipped, because one that it needs did not get there."""
        missing = next((self._ended[key] for key in step.needs if not self._is_fine(key)), None)
        if missing is not None:
            reason = f"{missing.action} {missing.subject} {'failed' if missing.outcome is Outcome.FAILED else 'was skipped'}"
            self._ended[step.key] = row(step, Outcome.SKIPPED, f"skipped, because {reason}")
            self._reporter.step_finished(step, self._ended[step.key])
            return False
        if self._journal is not None:
            self._journal.begun(step)
        self._reporter.step_started(step)
        return True

    def _is_fine(self, key: str) -> bool:
        row = self._ended.get(key)
        return row is None or row.outcome in (Outcome.DONE, Outcome.ALREADY)

    def _end(self, step: Step, found: Row) -> None:
        """Put on record what became of a step."""
        if self._journal is not None and found.fault is not None:
            self._journal.failed(step, found.fault)
        elif self._journal is not None:
            self._journal.done(step)
        self._ended[step.key] = found
        self._reporter.step_finished(step, found)

    async def _do(self, step: Step) -> Ending:
        """Do one step; raises Fault."""
        match step:
            case FormatRam() | FormatDcpm():
                return await self._format_scm(step)
            case FormatMetadata():
                return await self._format_metadata(step)
            case MakeMetadataFolders():
                await _in_thread(lambda _stop: folders.make_folders(step.root, step.subject, step.engines, force=step.force))
                return Outcome.DONE, f"{len(step.engines)} engine folder(s)"
            case MountMetadata():
                mount = await self._helper.call(MetadataMount(root_path=step.subject, device=step.device))
                return _changed(mount.changed), f"{step.device} is mounted"
            case UnmountMetadata():
                return await self._unmount_metadata(step)
            case CreateFile():
                return await self._create_file(step)
            case WriteNvmeConf():
                return await _in_thread(lambda _stop: _write_conf(step))
            case SetHugepages():
                return await self._set_hugepages(step)
            case PreparePmem():
                return await scm.run_prepare(step, self._helper, self._progress_of(step))
            case CleanHugepages():
                cleaned = await self._helper.call(BdevPrepare(clean_hugepages_only=True))
                return _changed(cleaned.changed), f"{len(cleaned.removed)} file(s) removed"
            case ReturnHugepages():
                return await self._return_hugepages()
            case UnmountScm():
                unmounted = await self._helper.call(ScmUnmount(target=step.subject))
                return _changed(unmounted.changed), "unmounted"
        raise TypeError(f"no way to run {type(step).__name__}")

    async def _format_scm(self, step: FormatRam | FormatDcpm) -> Ending:
        if isinstance(step, FormatRam):
            ramdisk = Ramdisk(size_gib=step.size_gib, numa_node=step.numa_node, disable_hugepages=step.disable_hugepages)
            request = ScmFormat(mountpoint=step.subject, force=step.force, ramdisk=ramdisk)
        else:
            request = ScmFormat(mountpoint=step.subject, force=step.force, dcpm=Dcpm(device=step.device))
        result = await self._helper.call(request, deadline_s=FORMAT_S, on_progress=self._progress_of(step))
        return Outcome.DONE, f"mounted ({result.options})" if result.options else "mounted"

    async def _format_metadata(self, step: FormatMetadata) -> Ending:
        if not step.device:
            made = await _in_thread(lambda _stop: folders.make_root(step.subject))
            if made is not None:
                return _changed(made), f"{step.subject} is the account's"
        request = MetadataFormat(root_path=step.subject, device=step.device, force=step.force)
        result = await self._helper.call(request, deadline_s=FORMAT_S, on_progress=self._progress_of(step))
        where = f"{step.device} is mounted on it" if step.device else "made by the helper"
        return _changed(result.changed), where

    async def _unmount_metadata(self, step: UnmountMetadata) -> Ending:
        result = await self._helper.call(MetadataUnmount(root_path=step.subject, device=step.device))
        return _changed(result.changed), "unmounted" if result.changed else "was not mounted"

    async def _create_file(self, step: CreateFile) -> Ending:
        if step.superblock and os.path.lexists(step.superblock):
            return Outcome.ALREADY, f"{step.superblock} is there: the engine's files stay as they are"
        loop = asyncio.get_running_loop()

        def create(stop: threading.Event) -> bool:
            def progress(done: int, total: int) -> None:
                if stop.is_set():
                    raise Fault(codes.HELPER_CANCELLED, object=step.subject, step=step.action)
                loop.call_soon_threadsafe(self._reporter.progress, step, done, total, "bytes", step.subject)

            return files.create(step.subject, step.size, force=step.force, progress=progress)

        made = await _in_thread(create)
        return _changed(made), "made" if made else "was there, without data"

    async def _set_hugepages(self, step: SetHugepages) -> Ending:
        nodes = tuple(NodePages(node=node, count=count) for node, _, count in step.nodes)
        result = await self._helper.call(BdevPrepare(hugepages=nodes), on_progress=self._progress_of(step))
        for grant in result.hugepages:
            if grant.granted < grant.wanted:
                raise Fault(
                    codes.HUGEPAGES_SHORT_GRANT,
                    object=f"NUMA node {grant.node}",
                    node=grant.node,
                    wanted=grant.wanted,
                    granted=grant.granted,
                    size_kib=step.page_kib,
                )
        counts = ", ".join(f"node {grant.node}: {grant.before} -> {grant.granted} pages" for grant in result.hugepages)
        owner = f"; hugetlbfs belongs to {result.hugetlbfs_owner}" if result.hugetlbfs_owner else ""
        return _changed(result.changed), counts + owner

    async def _return_hugepages(self) -> Ending:
        result = await self._helper.call(BdevPrepare(reset=True))
        counts = ", ".join(f"node {grant.node}: {grant.before} -> {grant.granted} pages" for grant in result.hugepages)
        return _changed(result.changed), counts or "nothing to give back"

    def _progress_of(self, step: Step) -> Callable[[Progress], None]:
        return lambda found: self._reporter.progress(step, found.done, found.total, found.unit, found.what)


async def _in_thread(work: Callable[[threading.Event], T]) -> T:
    """Do blocking work in a thread; cancelled, tell it to stop and wait until it has."""
    stop = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(None, work, stop)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.gather(future, return_exceptions=True)
        raise


def _write_conf(step: WriteNvmeConf) -> Ending:
    if step.folder:
        folders.ensure_folder(step.folder)
    changed = nvme_conf.write(step.subject, step.content)
    return _changed(changed), f"{len(step.content.encode())} bytes"


def _changed(changed: bool) -> Outcome:
    return Outcome.DONE if changed else Outcome.ALREADY


def _stage(step: Step) -> str:
    """Return what a step is run side by side with: steps of SCM with each other, those of SSDs, too, any other with none."""
    if isinstance(step, BindSsd | RestoreSsd | WipeSsd):
        return step.action
    return "scm" if isinstance(step, FormatRam | FormatDcpm) else step.key


def _standing_row(part: Standing) -> Row:
    outcome = Outcome.FAILED if part.fault else Outcome.ALREADY if part.already else Outcome.SKIPPED
    return Row(
        engine=part.engine, tier=part.tier, subject=part.subject, action=part.action, outcome=outcome, detail=part.detail, fault=part.fault
    )


def _place(row: Row) -> tuple[int, int]:
    """Order rows as the configuration has them, what all engines share first; equal ones stay in the order of the steps."""
    return (-1 if row.engine is None else row.engine, 1 << 16 if row.tier is None else row.tier)
