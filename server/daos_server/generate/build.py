# SPDX-License-Identifier: BSD-2-Clause-Patent
"""From options and the facts of a machine to a checked configuration: the steps in their order.  Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from daos_server.generate import fabric, memory, nodes, server, storage
from daos_server.generate.engine import EnginePlan, section
from daos_server.generate.options import ANY_PROVIDER, GenerateOptions
from daos_server.generate.threads import check_cores, threads
from daos_server.generate.write import Key, Section, text
from daos_server.plan import hugepages, roles
from daos_server.plan.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.generate.facts import MachineFacts
    from daos_server.generate.memory import Ramdisk
    from daos_server.plan.hugepages import Need

NAME = "(generated)"
"""Stands for the path of the file in messages: nothing has been written yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """A configuration that keeps every rule.

    :param text: the file.
    :param root: what the file says, before it became text.
    :param notices: what the administrator should know about it, line by line.
    """

    text: str
    root: Section
    notices: tuple[str, ...]


def generate(options: GenerateOptions, facts: MachineFacts) -> Generated:
    """Return the configuration for a machine.

    :raises Fault: 2340 to 2343 and 511 where machine and options do not allow one, 214, 2202 or 2204 where its memory does not, and
        those of the configuration's own rules, such as 706 for an even number of access points.
    """
    server.check_texts(options)
    storage.check_modes(options)
    count = storage.engine_count(facts, options)
    check_cores(facts.fabric.cores_per_numa)
    engines = _engines(options, facts, count)
    pages = hugepages.need(Wanted(hostname="", engines=tuple(engine.as_wanted() for engine in engines)), facts.hugepage_kib)
    ram = _ram(options, facts, engines, pages)
    root = _root(options, facts, engines, pages, ram)
    written = text(root, tuple(_head(options, facts)))
    notices = (*_notices(options, facts, engines, ram), *_checked(written))
    return Generated(text=written, root=root, notices=notices)


def _engines(options: GenerateOptions, facts: MachineFacts, count: int) -> tuple[EnginePlan, ...]:
    interfaces = fabric.usable(facts.fabric.interfaces, options)
    offered = storage.by_node(facts, options, count)
    choice = nodes.choose(interfaces, {node: len(each.ssds) for node, each in offered.items()}, count)
    chosen = storage.balanced({node: offered[node] for node in choice.nodes})
    on_ssd = bool(options.control_metadata_path)
    tiers = storage.tiers(chosen, on_ssd=on_ssd)
    ports = fabric.ports(options, count)
    return tuple(
        EnginePlan(
            index=index,
            interface=interfaces[choice.provider][node],
            storage=chosen[node],
            tiers=tiers[node],
            roles=roles.assign("ram", [()] * len(tiers[node])).tiers if on_ssd else (),
            spared=tuple(ssd.address for ssd in offered[node].ssds[len(chosen[node].ssds) :]),
            threads=threads(facts.fabric.cores_per_numa, len(chosen[node].ssds)),
            port=ports[index],
            port_given=bool(options.fabric_ports),
        )
        for index, node in enumerate(choice.nodes)
    )


def _ram(options: GenerateOptions, facts: MachineFacts, engines: tuple[EnginePlan, ...], pages: Need) -> Ramdisk | None:
    """Return the RAM disk of each engine; None with persistent memory, where hugepages alone must fit."""
    targets, count = engines[0].threads.targets, len(engines)
    if options.use_tmpfs_scm:
        return memory.ramdisk(total_kib=facts.mem_total_kib, hugepage_bytes=pages.total_bytes, targets=targets, engines=count)
    memory.check_hugepages(total_kib=facts.mem_total_kib, hugepage_bytes=pages.total_bytes, targets=targets, engines=count)
    return None


def _checked(written: str) -> Iterator[str]:
    """Check the text as a file would be, and yield what its rules find worth knowing.

    :raises Fault: for the first rule that it breaks.
    """
    from daos_server.config.load import check, fault_of
    from daos_server.config.yaml_source import parse

    found = check(parse(written, NAME), NAME)
    if found.config is None:
        raise fault_of(found.problems, NAME)
    return (f"{notice.key} {notice.message}" for notice in found.notices)


# The top of the file


def _root(
    options: GenerateOptions, facts: MachineFacts, engines: tuple[EnginePlan, ...], pages: Need, ram: Ramdisk | None
) -> Section:
    port = server.control_port(options)
    keys = [
        Key("name", "daos_server", "name of the DAOS system: the default; the same on all its servers"),
        Key("access_points", options.access_points, "hosts of the management service, an odd number; localhost is this host alone"),
        Key("port", port, "port of the control plane: " + ("the default" if port == server.CONTROL_PORT else "that of the access points")),
        Key("transport_config", _transport(), "certificates of the control network, looked for in /etc/daos/certs"),
        Key("provider", engines[0].interface.provider, _why_provider(options, facts, engines)),
        Key("control_log_file", "/tmp/daos_server.log", "the usual place; /tmp may be lost at a reboot"),  # noqa: S108 - no file is made here
    ]
    if excluded := tuple(sorted({each.exclude for each in facts.left_out if each.exclude})):
        keys.append(Key("bdev_exclude", excluded, "never to be prepared for DAOS, because they are in use: see above"))
    if ram and ram.reserved_gib != memory.RESERVED_GIB:
        why = f"GiB of RAM left to the system; the default of {memory.RESERVED_GIB} does not leave 4 GiB for each engine's RAM disk"
        keys.append(Key("system_ram_reserved", ram.reserved_gib, why))
    keys.append(Key("nr_hugepages", pages.total, "; ".join(pages.arithmetic[:2])))
    if options.control_metadata_path:
        path = Key("path", options.control_metadata_path, "as given with --control-metadata-path; it must survive a reboot")
        keys.append(Key("control_metadata", Section((path,)), "where the control plane keeps its own data, because SCM is RAM"))
    where = f"NUMA node {_listed(engines)}" if len(engines) == 1 else f"each of the NUMA nodes {_listed(engines)}"
    why = f"one engine on {where}: best interfaces, and the storage asked for"
    keys.append(Key("engines", tuple(section(engine, ram) for engine in engines), why))
    return Section(tuple(keys))


def _transport() -> Section:
    why = "certificates are required; true does without them, and without any protection, for tests only"
    return Section((Key("allow_insecure", False, why),))


def _why_provider(options: GenerateOptions, facts: MachineFacts, engines: tuple[EnginePlan, ...]) -> str:
    if facts.provider_assumed:
        return f"assumed: {facts.provider_assumed}"
    if options.net_provider not in ("", ANY_PROVIDER):
        return "as given with --net-provider"
    return f"the best that has an interface of class {options.net_class} on NUMA node {_listed(engines)}"


def _listed(engines: tuple[EnginePlan, ...]) -> str:
    return ", ".join(str(engine.node) for engine in engines)


# What a person reads first


def _head(options: GenerateOptions, facts: MachineFacts) -> Iterator[str]:
    yield f"Generated by: {command_line(options)}"
    yield "The comment above each key says why it has its value. After a change: daos_server config check FILE"
    for each in facts.left_out:
        yield f"Left out: {each.device}: {each.why}"


def command_line(options: GenerateOptions) -> str:
    """Return the command that has these options, defaults left out."""
    words = ["daos_server", "config", "generate"]
    for each in fields(options):
        value = getattr(options, each.name)
        if value == each.default:
            continue
        words.append("--" + each.name.replace("_", "-"))
        if not isinstance(value, bool):
            words.append(shlex.quote(",".join(map(str, value)) if isinstance(value, tuple) else str(value)))
    return " ".join(words)


def _notices(
    options: GenerateOptions, facts: MachineFacts, engines: tuple[EnginePlan, ...], ram: Ramdisk | None
) -> Iterator[str]:
    yield from facts.fabric.notes
    if facts.provider_assumed:
        provider = engines[0].interface.provider
        yield f"provider {provider} is assumed: {facts.provider_assumed}; once one can tell, compare with 'daos_server network scan'"
    for left in facts.left_out:
        yield f"{left.device} is left out: {left.why}"
    if idle := _idle(options, facts, engines):
        yield f"not used, because no engine is on their NUMA node: {', '.join(idle)}"
    for engine in engines:
        if engine.spared:
            yield f"engine {engine.index} does without {', '.join(engine.spared)}, so that all engines have the same number of SSDs"
        if engine.storage.pmem[1:]:
            yield f"engine {engine.index} uses {engine.storage.pmem[0]}; not used: {', '.join(engine.storage.pmem[1:])}"
    if ram and ram.reserved_gib != memory.RESERVED_GIB:
        yield f"only {ram.reserved_gib} GiB of RAM are left to the system: enough to try DAOS, not to run it for long"
    if facts.fabric.cores_per_numa <= 2:
        yield f"{facts.fabric.cores_per_numa} cores per NUMA node are enough to try DAOS, not to run it for long"
    if len(options.fabric_ports) > len(engines):
        yield f"--fabric-ports has {len(options.fabric_ports)} ports and there are {len(engines)} engines: the first ones are used"


def _idle(options: GenerateOptions, facts: MachineFacts, engines: tuple[EnginePlan, ...]) -> list[str]:
    """Return the devices of the kinds that are wanted whose NUMA node has no engine."""
    pmem = [] if options.use_tmpfs_scm else [(each.device, each.numa_node) for each in facts.pmem]
    ssds = [] if options.scm_only else [(each.address, each.numa_node) for each in facts.ssds]
    nodes = {engine.node for engine in engines}
    return [device for device, node in (*pmem, *ssds) if node not in nodes]
