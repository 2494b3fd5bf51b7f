# SPDX-License-Identifier: BSD-2-Clause-Patent
"""On which NUMA node each engine runs, and its memory is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daos_server.config.model import ServerConfig

NONE_DETECTED = 0
"""The node of an engine whose interface belongs to none."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where one engine runs.

    :param node: the NUMA node that its RAM disk and its hugepages come from.
    :param pin: the node that the engine binds itself to; None if it allocates cores by ``first_core``, over all nodes.
    """

    index: int
    node: int
    pin: int | None


@dataclass(frozen=True, kw_only=True)
class Affinity:
    """Where all engines run, in the order of the configuration.

    :param arithmetic: how it came about, line by line.
    :param notices: what an administrator may not have meant.
    """

    engines: tuple[Placement, ...] = ()
    arithmetic: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[int, ...]:
        """The node of each engine."""
        return tuple(engine.node for engine in self.engines)


def affinity(config: ServerConfig, interfaces: Mapping[str, int | None]) -> Affinity:
    """Place every engine: by ``pinned_numa_node``, else on the node of its fabric interface.

    As soon as any engine has a ``first_core``, none is placed.  An engine that is alone and would be on node 0 is not pinned
    to it, so that it may use the cores of all nodes.

    :param interfaces: node of each fabric interface of the machine; None for one that belongs to none.
    """
    if any(engine.first_core for engine in config.engines):
        return _by_core(config)
    lines: list[str] = []
    notices: list[str] = []
    placements = tuple(_place(config, index, interfaces, lines, notices) for index in range(len(config.engines)))
    return Affinity(engines=placements, arithmetic=tuple(lines), notices=tuple(notices))


def _by_core(config: ServerConfig) -> Affinity:
    first = next(index for index, engine in enumerate(config.engines) if engine.first_core)
    why = f"engine {first} has first_core {config.engines[first].first_core}"
    notices = tuple(
        f"engine {index}: pinned_numa_node {engine.pinned_numa_node} is not used, because {why}"
        for index, engine in enumerate(config.engines)
        if engine.pinned_numa_node is not None
    )
    line = f"{why}: engines take their cores by number, and their memory is on NUMA node {NONE_DETECTED}"
    engines = tuple(Placement(index=index, node=NONE_DETECTED, pin=None) for index in range(len(config.engines)))
    return Affinity(engines=engines, arithmetic=(line,), notices=notices)


def _place(config: ServerConfig, index: int, interfaces: Mapping[str, int | None], lines: list[str], notices: list[str]) -> Placement:
    pinned = config.engines[index].pinned_numa_node
    name = config.fabric(index).interfaces[0]
    detected = interfaces.get(name)
    if pinned is not None:
        lines.append(f"engine {index}: NUMA node {pinned}, by pinned_numa_node")
        if detected is not None and detected != pinned:
            notices.append(
                f"engine {index}: pinned_numa_node is {pinned}, but its interface {name} is on NUMA node {detected}:"
                f" it runs on node {pinned}, and all its traffic crosses to the other"
            )
        return Placement(index=index, node=pinned, pin=pinned)
    node = NONE_DETECTED if detected is None else detected
    line = f"engine {index}: NUMA node {node}, {_why(name, detected, known=name in interfaces)}"
    if name not in interfaces:
        notices.append(f"engine {index}: this machine has no interface {name or '(none is configured)'}: its NUMA node is not known")
    if len(config.engines) == 1 and node == NONE_DETECTED:
        lines.append(f"{line}; it is the only engine and may use the cores of all nodes")
        return Placement(index=index, node=node, pin=None)
    lines.append(line)
    return Placement(index=index, node=node, pin=node)


def _why(name: str, detected: int | None, *, known: bool) -> str:
    if detected is not None:
        return f"that of its interface {name}"
    return f"since its interface {name} belongs to no node" if known else "for want of a better one"
