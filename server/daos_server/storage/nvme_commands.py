# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The ``nvme`` commands: SSDs alone, with or without a configuration.  Each is planned here; ``commands.run`` does the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan import nvme
from daos_server.plan.prepare import plan_nvme_prepare
from daos_server.plan.reset import plan_nvme_reset
from daos_server.storage import ssds
from daos_server.storage.host_facts import read_host
from daos_server.storage.report import Silent, together

if TYPE_CHECKING:
    from daos_server.plan.access import Asked
    from daos_server.plan.host import HostFacts
    from daos_server.plan.nvme import Ssd
    from daos_server.plan.steps import Plan
    from daos_server.plan.wanted import Wanted
    from daos_server.storage.commands import Context
    from daos_server.storage.report import Reporter


def _found(ctx: Context) -> tuple[HostFacts, Wanted | None]:
    if ctx.config is None:
        return read_host(ctx.installation.account), None
    host, _, wanted = ctx.found()
    return host, wanted


async def plan_prepare(ctx: Context, asked: Asked, *, everything: bool = False) -> Plan:
    """Plan ``nvme prepare``; raises as ``plan_nvme_prepare``."""
    host, wanted = _found(ctx)
    return plan_nvme_prepare(asked, host, ssds.read(), wanted, everything=everything)


async def plan_reset(ctx: Context, asked: Asked) -> Plan:
    """Plan ``nvme reset``; raises as ``plan_nvme_reset``."""
    host, wanted = _found(ctx)
    return plan_nvme_reset(asked, host, ssds.read(), wanted)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The SSDs of this machine.

    :param ssds: sorted by address; a VMD stands only where nothing is seen behind it.
    :param places: engine and tier of those that the configuration names.
    :param notes: what else is to be known.
    :param missing: configured addresses at which there is nothing.
    """

    ssds: tuple[Ssd, ...] = ()
    places: dict[str, nvme.Place]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def fault(self) -> Fault | None:
        """What the scan fails with: configured SSDs that are not there (304), or else what the first of several says."""
        if self.missing:
            names = ", ".join(self.missing)
            return Fault(codes.BDEV_NOT_FOUND, object=names, variant="ssd", addresses=names)
        faults = [ssd.fault for ssd in self.ssds if ssd.fault is not None and ssds.is_its_own(ssd.fault)]
        return together(faults, len(self.ssds))


async def scan(ctx: Context, *, vmd: bool = True, everything: bool = False, reporter: Reporter | None = None) -> Scan:
    """Look at the SSDs that the configuration names; at all if it names none, or with ``everything``.

    Nothing is unbound to be looked at.  Without a helper there are rows all the same, with what sysfs tells.

    :raises Fault: 2113 if /sys or /proc cannot be read.
    """
    _, wanted = _found(ctx)
    found = ssds.read()
    named = () if everything or wanted is None else wanted.nvme_devices
    vmd = vmd and (wanted is None or wanted.enable_vmd)
    notes: tuple[str, ...] = ()
    async with ctx.helper(reporter or Silent()) as helper:
        try:
            if found:
                found, notes = await ssds.ask(found, helper, vmd=vmd)
        except Fault as fault:
            found = ssds.unasked(found, fault)
            notes = (f"the helper could not be asked, so model, serial and health may be missing: {fault} ({fault.code})",)
    return _selected(found, named, nvme.places(wanted), notes, vmd=vmd)


def _selected(found: dict[str, Ssd], named: tuple[str, ...], places: dict[str, nvme.Place], notes: tuple[str, ...], *, vmd: bool) -> Scan:
    backing = nvme.backing(found)
    rows = [one for one in found.values() if (vmd or not (one.vmd or one.is_vmd)) and one.address not in backing]
    missing = tuple(address for address in named if address not in found and address not in backing)
    if named:
        rows = [one for one in rows if one.address in named or one.vmd in named]
        notes = (*notes, "only the SSDs of the configuration are listed; --ignore-config lists all")
    placed = {one.address: places.get(one.address) or places.get(one.vmd) or nvme.NOWHERE for one in rows}
    # A fault that is everybody's is said once, in the notes.
    shown = tuple(one if one.fault is None or _is_spoken_for(one) else replace(one, fault=None) for one in rows)
    return Scan(ssds=shown, places=placed, notes=notes, missing=missing)


def _is_spoken_for(ssd: Ssd) -> bool:
    return ssd.fault is not None and (ssds.is_its_own(ssd.fault) or ssd.fault.code == codes.SPDK_MISSING)
