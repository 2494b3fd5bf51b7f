# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How many threads an engine gets from the cores of its NUMA node."""

from __future__ import annotations

from typing import NamedTuple

from daos_pbin import codes
from daos_pbin.faults import Fault

FOR_SYSTEM = 2
"""Cores of each NUMA node that engines leave to the system and to their own service threads."""
MOST_WITHOUT_SSDS = 16
TARGETS_PER_HELPER = 4


class Threads(NamedTuple):
    """Targets (at least 1) and helper threads of an engine, each with its reason."""

    targets: int
    helpers: int
    why_targets: str
    why_helpers: str


def check_cores(cores: int) -> None:
    """Refuse a machine whose NUMA nodes have too few cores for an engine.

    :raises Fault: 2342 if there are fewer than 2.
    """
    if cores < FOR_SYSTEM:
        has = "1 core" if cores == 1 else f"{cores} cores"
        reason = f"a NUMA node has {has}, and an engine's node needs at least {FOR_SYSTEM}"
        remedy = "give the machine, or the virtual machine, more cores"
        raise Fault(codes.CONFIG_GENERATE_MACHINE_UNFIT, reason=reason, remedy=remedy)


def threads(cores: int, ssds: int) -> Threads:
    """Return the threads of an engine.

    :param cores: of its NUMA node, hyper-threads not counted; at least 2.
    :param ssds: that the engine has, 0 or more.
    """
    free = cores - FOR_SYSTEM
    start = f"{cores} cores per NUMA node - {FOR_SYSTEM} for the system = {free}"
    # Four fifths of the cores are for targets, in whole targets for each SSD.
    per_ssd = free * 4 // (5 * ssds) if ssds else 0
    if per_ssd:
        targets = ssds * per_ssd
        each = "1 target" if per_ssd == 1 else f"{per_ssd} targets"
        why = f"{start}; 80 % of them shared by {_count(ssds)}: {each} for each"
        return Threads(targets, targets // TARGETS_PER_HELPER, why, f"one for each {TARGETS_PER_HELPER} targets")
    no_helpers = "none: the targets take the cores there are" if ssds else "none: without SSDs there is nothing for them to do"
    if free == 0:
        return Threads(1, 0, f"{start}; one target is the least, and enough to try DAOS only", no_helpers)
    if ssds:
        why = f"{start}, of which 80 % are less than one for each of {_count(ssds)}: one for each core, but not more than SSDs"
        return Threads(min(ssds, free), 0, why, no_helpers)
    return Threads(min(MOST_WITHOUT_SSDS, free), 0, f"{start}, but {MOST_WITHOUT_SSDS} at most without SSDs", no_helpers)


def _count(ssds: int) -> str:
    return "1 SSD" if ssds == 1 else f"{ssds} SSDs"
