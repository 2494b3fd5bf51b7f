# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Rules about one engine: its threads, its network, its environment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from daos_server.config.fields import quoted
from daos_server.config.model import ServerConfig
from daos_server.config.problems import Problem, Where
from daos_server.config.rules.parts import PORT_LIMIT, engines_of

LOG_MASK_LIMIT = 1023
SRX_VARIABLE = "FI_OFI_RXM_USE_SRX"
LOG_LEVELS = frozenset({"DEBUG", "DBUG", "INFO", "NOTE", "WARN", "ERROR", "ERR", "CRIT", "ALRT", "FATAL", "EMRG", "EMIT"})
SUBSYSTEMS = frozenset(
    {
        "ALL", "DAOS", "ARRAY", "KV", "COMMON", "TREE", "VOS", "CLIENT", "SERVER", "RDB", "RSVC", "POOL", "CONTAINER", "OBJECT",
        "PLACEMENT", "REBUILD", "MGMT", "BIO", "TESTS", "DFS", "DUNS", "DRPC", "SECURITY", "DTX", "DFUSE", "IL", "CSUM", "STACK",
        "MISC", "MEM", "SWIM", "FI", "TELEM", "CRT", "RPC", "BULK", "CORPC", "GRP", "LM", "HG", "EXTERNAL", "ST", "IV", "CTL",
    }
)
STREAMS = frozenset(
    {
        "ALL", "MD", "PL", "MGMT", "EPC", "DF", "REBUILD", "SEC", "CSUM", "GROUP_DEFAULT", "GROUP_METADATA_ONLY", "GROUP_METADATA",
        "ANY", "TRACE", "MEM", "NET", "IO", "TEST",
    }
)
_ALL = "ALL"
CORES_MAX = 1 << 16
"""More than the kernel can be built for; above it, what is computed from the number would only hide the mistake."""


def thread_counts(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in engines_of(config):
        if engine.targets == 0:
            yield Problem((*where, "targets"), "is not set, or 0", "give the number of service threads, such as 16")
        for key, value in (("targets", engine.targets), ("nr_xs_helpers", engine.nr_xs_helpers), ("first_core", engine.first_core)):
            if value < 0:
                yield Problem((*where, key), f"{value} is negative", "use 0 or more" if key != "targets" else "use 1 or more")
            if value > CORES_MAX:
                yield Problem((*where, key), f"{value} is more than any machine has cores", "use no more than one NUMA node has ('lscpu')")
        if engine.first_core > 0 and engine.pinned_numa_node is not None:
            yield Problem((*where, "first_core"), "is set, and so is pinned_numa_node", "remove one of the two")


def engine_fabric(config: ServerConfig) -> Iterator[Problem]:
    for index, (where, _) in enumerate(engines_of(config)):
        fabric = config.fabric(index)
        # Without a provider anywhere, fault 707 has said so already.
        if not fabric.interface:
            remedy = 'set it ("ip link" lists those of this host)'
            yield Problem((*where, "fabric_iface"), "is not set", remedy, rests_on=(("fabric_iface",),))
        elif fabric.provider and len(_items(fabric.provider)) != len(_items(fabric.interface)):
            message = f"{quoted(fabric.interface)} and provider {quoted(fabric.provider)} have different numbers of entries"
            yield Problem((*where, "fabric_iface"), message, "name one interface per provider")
        if not 1 <= fabric.port <= PORT_LIMIT:
            message = f"{fabric.port} is no port number" if fabric.port else "is not set"
            remedy = f"use a port from 1 to {PORT_LIMIT}, such as 31416"
            yield Problem((*where, "fabric_iface_port"), message, remedy, rests_on=(("fabric_iface_port",),))
        for place, value in enumerate(fabric.secondary_endpoints):
            if value < 1:
                yield Problem((*where, "secondary_provider_endpoints", place), f"{value} is less than 1", "use 1 or more")


def environment(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in engines_of(config):
        yield from _log_mask((*where, "log_mask"), engine.log_mask)
        for index, entry in enumerate(engine.env_vars):
            name, _, value = entry.partition("=")
            place: Where = (*where, "env_vars", index)
            if name == "DD_SUBSYS":
                yield from _words(place, value, SUBSYSTEMS, "subsystem")
            elif name == "DD_MASK":
                yield from _words(place, value, STREAMS, "debug stream")
        for index, name in enumerate(engine.env_pass_through):
            if name == SRX_VARIABLE:
                yield Problem((*where, "env_pass_through", index), f"{SRX_VARIABLE} cannot be taken over", "remove it; use disable_srx")


def _log_mask(where: Where, mask: str) -> Iterator[Problem]:
    if not mask:
        return
    if len(mask) > LOG_MASK_LIMIT or not re.fullmatch("[a-zA-Z,=_]+", mask):
        message = f"{quoted(mask)} is no log mask"
        yield Problem(where, message, f"use letters, underscores, commas and = only, {LOG_MASK_LIMIT} characters at most")
        return
    for place, token in enumerate(mask.split(",")):
        subsystem, equals, level = token.rpartition("=")
        if (level.upper() not in LOG_LEVELS) or (not equals and place):
            remedy = "write a level first, then SUBSYSTEM=LEVEL, with levels of " + ", ".join(sorted(LOG_LEVELS))
            yield Problem(where, f"{quoted(token)} is no log level", remedy)
        elif equals and (subsystem.upper() not in SUBSYSTEMS or subsystem.upper() == _ALL):
            yield Problem(where, f"{quoted(subsystem)} is no subsystem of its own", "use one of " + ", ".join(sorted(SUBSYSTEMS - {_ALL})))


def _words(where: Where, text: str, known: frozenset[str], what: str) -> Iterator[Problem]:
    words = text.upper().split(",") if text else []
    for word in words:
        if word not in known:
            yield Problem(where, f"{quoted(word)} is no {what}", "use some of " + ", ".join(sorted(known)))
    if _ALL in words and len(words) > 1:
        yield Problem(where, "has ALL beside others", "keep ALL alone, or remove it")


def _items(text: str) -> list[str]:
    return [item for item in text.split(",") if item.strip()]
