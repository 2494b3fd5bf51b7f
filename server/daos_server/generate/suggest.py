# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which options would work on a machine where the given ones do not: found by trying, which costs nothing because all is pure."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from daos_pbin.faults import Fault
from daos_server.generate.build import command_line, generate
from daos_server.generate.options import NET_CLASSES

if TYPE_CHECKING:
    from daos_server.generate.build import Generated
    from daos_server.generate.facts import MachineFacts
    from daos_server.generate.options import GenerateOptions


def generate_or_suggest(options: GenerateOptions, facts: MachineFacts) -> Generated:
    """Do as ``generate``; a refusal ends with a command that works on this machine, if changing a few options gives one.

    :raises Fault: as ``generate``.
    """
    try:
        return generate(options, facts)
    except Fault as fault:
        found = nearest(options, facts)
        if found is not None:
            fault.resolution += f" (what works on this machine: {command_line(found)})"
        raise


def nearest(options: GenerateOptions, facts: MachineFacts) -> GenerateOptions | None:
    """Return options that work and differ in as few as possible of network class, kind of SCM, use of SSDs and number of engines."""
    others = sorted(_others(options), key=lambda each: _differences(each, options))
    return next((each for each in others if _works(each, facts)), None)


def _others(options: GenerateOptions) -> list[GenerateOptions]:
    return [
        replace(options, net_class=net_class, use_tmpfs_scm=tmpfs, scm_only=scm_only, num_engines=engines)
        for engines, scm_only, tmpfs, net_class in product(
            sorted({options.num_engines, 1}, key=lambda count: count != options.num_engines),
            sorted({options.scm_only, True}),
            sorted({options.use_tmpfs_scm, True}),
            NET_CLASSES,
        )
    ]


def _differences(one: GenerateOptions, other: GenerateOptions) -> int:
    names = ("net_class", "use_tmpfs_scm", "scm_only", "num_engines")
    return sum(getattr(one, name) != getattr(other, name) for name in names)


def _works(options: GenerateOptions, facts: MachineFacts) -> bool:
    try:
        generate(options, facts)
    except Fault:
        return False
    return True
