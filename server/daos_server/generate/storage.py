# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which persistent memory and which SSDs each NUMA node offers, and how the SSDs of an engine are divided into tiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.hardware.pci import sort_key

if TYPE_CHECKING:
    from daos_server.generate.facts import MachineFacts, Ssd
    from daos_server.generate.options import GenerateOptions

MANY_SSDS = 6
"""From so many on, two of them keep the write-ahead log, else one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeStorage:
    """What the engine of one NUMA node gets.

    :param pmem: devices of persistent memory, sorted; empty if the engine gets RAM.
    :param ssds: in the order of their addresses; empty if the engine does without.
    """

    pmem: tuple[str, ...] = ()
    ssds: tuple[Ssd, ...] = ()

    @property
    def entries(self) -> tuple[str, ...]:
        """What ``bdev_list`` names for the SSDs: their addresses, or those of the VMDs that they are behind."""
        return tuple(sorted({ssd.entry for ssd in self.ssds}, key=sort_key))


def engine_count(facts: MachineFacts, options: GenerateOptions) -> int:
    """Return how many engines are wanted: as given, else one for each NUMA node.

    :raises Fault: 2343 for a negative number, 2342 if the machine has no NUMA nodes.
    """
    if options.num_engines < 0:
        remedy = "use --num-engines with 1 or more, or leave it out for one engine on each NUMA node"
        raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=f"{options.num_engines} engines are not possible", remedy=remedy)
    if not facts.numa_nodes:
        remedy = "look at 'lscpu' and /sys/devices/system/node: the kernel should list at least node 0"
        raise Fault(codes.CONFIG_GENERATE_MACHINE_UNFIT, reason="it has no NUMA node with cores", remedy=remedy)
    return options.num_engines or len(facts.numa_nodes)


def by_node(facts: MachineFacts, options: GenerateOptions, engines: int) -> Mapping[int, NodeStorage]:
    """Return the NUMA nodes that have all an engine needs, at least as many as engines.

    :raises Fault: 2341 if there are fewer.
    """
    found = _with_ssds(facts, options, engines, _with_scm(facts, options, engines))
    return dict(sorted(found.items()))


def _with_scm(facts: MachineFacts, options: GenerateOptions, engines: int) -> dict[int, NodeStorage]:
    if options.use_tmpfs_scm:
        if engines > len(facts.numa_nodes):
            reason = f"{_want(engines)}, and the machine has {len(facts.numa_nodes)}"
            raise _too_little(reason, _fewer(len(facts.numa_nodes)))
        return {node: NodeStorage() for node in facts.numa_nodes}
    found = {node: tuple(sorted(each.device for each in facts.pmem if each.numa_node == node)) for node in facts.numa_nodes}
    groups = {node: NodeStorage(pmem=devices) for node, devices in found.items() if devices}
    if len(groups) < engines:
        counts = _counts({node: len(devices) for node, devices in found.items()})
        reason = f"{_want(engines)} with a PMem namespace; found: {counts}{_left_out(facts, '/dev/')}"
        raise _too_little(reason, "use --use-tmpfs-scm (-t) for RAM in place of persistent memory", _fewer(len(groups)))
    return groups


def _with_ssds(facts: MachineFacts, options: GenerateOptions, engines: int, scm: dict[int, NodeStorage]) -> dict[int, NodeStorage]:
    if options.scm_only:
        return scm
    ssds = {node: sorted((each for each in facts.ssds if each.numa_node == node), key=lambda each: sort_key(each.address)) for node in scm}
    passing = {node: replace(storage, ssds=tuple(ssds[node])) for node, storage in scm.items() if ssds[node]}
    if len(passing) < engines:
        counts = _counts({node: len(found) for node, found in ssds.items()})
        reason = f"{_want(engines)} with an NVMe SSD; found: {counts}{_left_out(facts, ':')}"
        raise _too_little(reason, "use --scm-only (-s) to do without SSDs", _fewer(len(passing)))
    return passing


def _too_little(reason: str, *remedies: str) -> Fault:
    return Fault(codes.CONFIG_GENERATE_NO_STORAGE, reason=reason, remedy=", or ".join(filter(None, remedies)))


def _want(engines: int) -> str:
    return "the engine wants a NUMA node" if engines == 1 else f"{engines} engines want as many NUMA nodes"


def _fewer(possible: int) -> str:
    return f"use --num-engines {possible} (-e {possible})" if possible else ""


def _counts(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{count} on node {node}" for node, count in sorted(counts.items()))


def _left_out(facts: MachineFacts, mark: str) -> str:
    """Return why devices whose name has this mark are not counted."""
    return "".join(f"; {each.device} is left out: {each.why}" for each in facts.left_out if mark in each.device)


def balanced(chosen: Mapping[int, NodeStorage]) -> Mapping[int, NodeStorage]:
    """Return the storage of the chosen nodes with the same number of SSDs on each: those with the lowest addresses.

    :raises Fault: 511 if one of the nodes would have to give up SSDs behind a VMD, which come all or not at all.
    """
    common = min(len(storage.ssds) for storage in chosen.values())
    for storage in chosen.values():
        if len(storage.ssds) > common and any(ssd.vmd for ssd in storage.ssds):
            counts = _counts({each: len(other.ssds) for each, other in chosen.items()})
            raise Fault(codes.CLIENT_CONFIG_VMD_IMBALANCE, object=f"SSDs: {counts}")
    return {node: replace(storage, ssds=storage.ssds[:common]) for node, storage in chosen.items()}


def tier_sizes(entries: int) -> tuple[int, ...]:
    """Return how many of an engine's ``bdev_list`` entries (1 or more) each tier gets when metadata is on SSD."""
    if entries == 1:
        return (1,)
    log = 1 if entries < MANY_SSDS else 2
    return (log, entries - log)


def tiers(chosen: Mapping[int, NodeStorage], *, on_ssd: bool) -> Mapping[int, tuple[tuple[str, ...], ...]]:
    """Return the ``bdev_list`` of each tier for each node; no tiers without SSDs.

    VMDs can differ in number where their SSDs do not, so the node with the fewest entries decides how all are divided.

    :param on_ssd: whether metadata is on SSD; if not, there is one tier.
    """
    fewest = min(len(storage.entries) for storage in chosen.values())
    first = tier_sizes(fewest)[0] if on_ssd and fewest > 1 else 0
    return {node: tuple(filter(None, (storage.entries[:first], storage.entries[first:]))) for node, storage in chosen.items()}


def check_modes(options: GenerateOptions) -> None:
    """Refuse options that contradict each other.

    :raises Fault: 2343 if metadata shall be on SSD with persistent memory, or without SSDs.
    """
    if not options.control_metadata_path:
        return
    if not options.use_tmpfs_scm:
        reason = "--control-metadata-path puts metadata on SSDs, which needs RAM in place of persistent memory"
        remedy = "add --use-tmpfs-scm (-t), or leave --control-metadata-path (-m) out"
        raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=reason, remedy=remedy)
    if options.scm_only:
        reason = "--control-metadata-path puts metadata on SSDs, and --scm-only does without them"
        remedy = "leave one of the two out"
        raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=reason, remedy=remedy)
