# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The storage commands: each is planned, then run.  What the command line calls, and later the daemon.

``plan_prepare``, ``plan_format`` and ``plan_reset`` only look, and their plan is complete and exact; ``run`` does it.  ``prepare``,
``format_storage`` and ``reset`` do both with one helper; ``scan`` only looks.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from daos_pbin.faults import Fault
from daos_server.installation import Installation
from daos_server.plan import prepare as prepare_planner
from daos_server.plan import reset as reset_planner
from daos_server.plan.affinity import affinity
from daos_server.plan.format import planner as format_planner
from daos_server.plan.scm import tiers
from daos_server.plan.steps import Plan
from daos_server.plan.wanted import from_config
from daos_server.storage import facts, journal, scm, ssds
from daos_server.storage.helper import LazyHelper
from daos_server.storage.host_facts import read_host
from daos_server.storage.lock import only_one
from daos_server.storage.report import Report, Silent, together
from daos_server.storage.runner import Runner
from daos_server.storage.scan import scan_report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from daos_server.config.load import LoadedConfig
    from daos_server.config.model import ServerConfig
    from daos_server.plan.affinity import Affinity
    from daos_server.plan.host import HostFacts
    from daos_server.plan.unfinished import Unfinished
    from daos_server.plan.wanted import Wanted
    from daos_server.storage.helper import Session, SessionFactory
    from daos_server.storage.report import Reporter

Part = Literal["", "scm", "nvme"]
"""What of a host's storage is meant; empty for all of it."""


@dataclass(frozen=True)
class Context:
    """What a storage command works with.

    :param config: None for an ``nvme`` command that has none.
    :param session: makes a session with the helper; None starts the installation's.  It is entered only if something needs it.
    :param hostname: as the engines use it in device names.
    """

    config: LoadedConfig | ServerConfig | None
    installation: Installation = field(default_factory=Installation)
    session: SessionFactory | None = None
    hostname: str = field(default_factory=lambda: os.uname().nodename)

    def found(self) -> Found:
        """Look at this machine, and return what the configuration asks for on it, its paths free of symbolic links.

        :raises Fault: 2113 if /proc or /sys cannot be read.
        """
        config = self.config.config if isinstance(self.config, tuple) else self.config
        if config is None:
            raise ValueError("a storage command needs a configuration")
        host = read_host(self.installation.account)
        placed = affinity(config, host.interfaces)
        return Found(host, placed, from_config(config, self.hostname, os.path.realpath, placed.nodes))

    @asynccontextmanager
    async def helper(self, reporter: Reporter) -> AsyncIterator[LazyHelper]:
        """Have a helper that starts when it is first called."""
        helper = LazyHelper(self.session or self._start, reporter)
        try:
            yield helper
        finally:
            await helper.close()

    def _start(self, reporter: Reporter) -> Session:
        from daos_pbin.session import HelperSession

        return HelperSession(
            self.installation.helper, socket=self.installation.helper_socket, on_log=lambda line: reporter.log(line.level, line.text)
        )


class Found(NamedTuple):
    """A machine, and what a configuration asks for on it."""

    host: HostFacts
    placed: Affinity
    wanted: Wanted


async def plan_prepare(ctx: Context, *, force: bool = False, only: Part = "", reporter: Reporter | None = None) -> Plan:
    """Plan the devices of persistent memory, hugepages and the drivers of SSDs.

    :param force: take memory allocation goals back that wait for the next start.
    :param only: one part; empty for all.
    """
    host, placed, wanted = ctx.found()
    plan = Plan(command="prepare", digest=wanted.digest())
    if only != "scm":
        found = ssds.read() if wanted.nvme_devices else {}
        plan = _noted(prepare_planner.plan_prepare(wanted, host, found), *placed.arithmetic, *placed.notices)
    if only == "nvme":
        return plan
    async with ctx.helper(reporter or Silent()) as helper:
        steps, standing = await scm.plan_prepare(ctx, wanted, helper, force=force)
    if only and not steps and not standing:
        plan = _noted(plan, "the configuration has no tier of class dcpm")
    return replace(plan, steps=(*steps, *plan.steps), standing=(*standing, *plan.standing))


async def plan_format(ctx: Context, *, force: bool = False, reporter: Reporter | None = None) -> Plan:
    """Plan the format of everything that is not formatted, or, forced, of everything."""
    async with ctx.helper(reporter or Silent()) as helper:
        return await _plan_format(ctx, helper, force=force)


async def plan_reset(ctx: Context, *, force: bool = False, reporter: Reporter | None = None) -> Plan:
    """Plan what takes back mounts, hugepages and SSDs."""
    async with ctx.helper(reporter or Silent()) as helper:
        return await _plan_reset(ctx, helper, force=force)


async def _plan_format(ctx: Context, helper: facts.Helper, *, force: bool) -> Plan:
    host, placed, wanted = ctx.found()
    unfinished, note = _unfinished(ctx)
    plan = format_planner.plan_format(wanted, await facts.gather(wanted, helper, host), force=force, unfinished=unfinished)
    return _noted(plan, *note, *placed.arithmetic, *placed.notices)


async def _plan_reset(ctx: Context, helper: facts.Helper, *, force: bool) -> Plan:
    host, _, wanted = ctx.found()
    unfinished, _ = _unfinished(ctx)
    found = await facts.gather(wanted, helper, host, ask=False)
    return reset_planner.plan_reset(wanted, found, force=force, unfinished=unfinished is not None)


def _noted(plan: Plan, *notes: str) -> Plan:
    return replace(plan, notes=(*notes, *plan.notes))


def _unfinished(ctx: Context) -> tuple[Unfinished | None, tuple[str, ...]]:
    """Return the record of an interrupted format; one that cannot be read gives no consent to anything, but a note."""
    try:
        return journal.read(ctx.installation.state_dir), ()
    except Fault as fault:
        return None, (f"the record of an earlier format is not used: {fault.description}",)


async def run(plan: Plan, ctx: Context, reporter: Reporter | None = None) -> Report:
    """Do what a plan says and report on every part.

    :raises Fault: the plan's refusal if it has one; 2010 if another storage command is running; 2114 if the state folder
        cannot be used.  What fails of the steps is in the report.
    """
    listener = reporter or Silent()
    refusal = refusal_of(plan)
    if refusal is not None:
        raise refusal
    with only_one(ctx.installation.state_dir):
        record = _begin(plan, ctx)
        async with ctx.helper(listener) as helper:
            report = await Runner(plan, helper, listener, record).run()
        if plan.command == "format" and not report.failed:
            journal.remove(ctx.installation.state_dir)
    return report


def foreseen(plan: Plan) -> Fault | None:
    """Return what a plan is going to fail with, as far as it knows: its refusals, or the parts that cannot be done."""
    faults = [part.fault for part in plan.standing if part.fault is not None]
    return refusal_of(plan) or together(faults, len(plan.standing))


def refusal_of(plan: Plan) -> Fault | None:
    """Return the one fault that stands for a plan's refusals; None if it may run."""
    return together(plan.refusals, len(plan.refusals))


def _begin(plan: Plan, ctx: Context) -> journal.Journal | None:
    if plan.command != "format" or not plan.steps:
        return None
    earlier, _ = _unfinished(ctx)
    if earlier is not None and (earlier.digest != plan.digest or plan.force):
        earlier = None
    return journal.Journal.begin(ctx.installation.state_dir, plan.steps, digest=plan.digest, force=plan.force, earlier=earlier)


async def prepare(ctx: Context, *, force: bool = False, reporter: Reporter | None = None) -> Report:
    """Plan and run ``prepare``; raises as ``run``."""
    return await run(await plan_prepare(ctx, force=force), ctx, reporter)


async def format_storage(ctx: Context, *, force: bool = False, reporter: Reporter | None = None) -> Report:
    """Plan and run ``format``; raises as ``run``."""
    return await run(await plan_format(ctx, force=force, reporter=reporter), ctx, reporter)


async def reset(ctx: Context, *, force: bool = False, reporter: Reporter | None = None) -> Report:
    """Plan and run ``reset``; raises as ``run``."""
    return await run(await plan_reset(ctx, force=force, reporter=reporter), ctx, reporter)


async def scan(ctx: Context, *, reporter: Reporter | None = None) -> Report:
    """Look at everything that the configuration names, and at the host's hugepages and memory."""
    host, placed, wanted = ctx.found()
    async with ctx.helper(reporter or Silent()) as helper:
        found = await facts.gather(wanted, helper, host)
        rows, told = await scm.scan_rows(helper) if tiers(wanted) else ((), ())
    unfinished, note = _unfinished(ctx)
    notes = (*note, *placed.notices, *told)
    return scan_report(wanted, found, unfinished=unfinished is not None, notes=notes, pmem=rows)
