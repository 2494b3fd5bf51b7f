# SPDX-License-Identifier: BSD-2-Clause-Patent
"""NUMA nodes of this machine, from /sys/devices/system/node."""

from __future__ import annotations

from daos_bindings.linux import kernelfiles
from daos_bindings.linux.kernelfiles import MalformedError

DIRECTORY = "/sys/devices/system/node"
HIGHEST = 1023
"""Largest node number that a kernel can be configured for (``NODES_SHIFT`` 10)."""


def parse_list(text: str, *, highest: int = HIGHEST) -> tuple[int, ...]:
    """Parse the kernel's list format, such as ``0-1,4``: ascending, without doubles.

    :raises MalformedError: if it is anything else, or goes beyond *highest*.
    """
    numbers: list[int] = []
    for part in text.strip().split(",") if text.strip() else ():
        first, dash, last = part.partition("-")
        begin = kernelfiles.decimal("list", first)
        end = kernelfiles.decimal("list", last) if dash else begin
        if not begin <= end <= highest or (numbers and begin <= numbers[-1]):
            raise MalformedError("list", f"not ascending up to {highest}: {kernelfiles.printable(text)}")
        numbers += range(begin, end + 1)
    return tuple(numbers)


def online() -> tuple[int, ...]:
    """Return the numbers of the online nodes; ``(0,)`` on a kernel without NUMA.

    :raises OSError: if the kernel's list cannot be read.
    :raises MalformedError: if it is not a list.
    """
    try:
        return parse_list(kernelfiles.text(f"{DIRECTORY}/online"))
    except FileNotFoundError:
        return (0,)


def with_memory() -> tuple[int, ...]:
    """Return the numbers of the nodes that have memory; ``(0,)`` on a kernel without NUMA."""
    try:
        return parse_list(kernelfiles.text(f"{DIRECTORY}/has_memory"))
    except FileNotFoundError:
        return online()
