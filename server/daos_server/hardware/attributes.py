# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reading single facts from sysfs: what is missing, garbage or gone by now is the fact that is not known.

For an inventory, in which one odd card must not hide all others.  What decides about a device is read with
``daos_bindings.linux.attributes``, to which only what is gone is missing, and all else an error.
"""

from __future__ import annotations

import os

from daos_bindings.linux import kernelfiles
from daos_bindings.linux.kernelfiles import MalformedError

NODE_LIMIT = 1024
"""The kernel cannot be configured for a node of this number."""


def entries(folder: str) -> list[str]:
    """Return the names in a folder in their order; none if it is not there."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def text(path: str) -> str:
    """Return the one line of a file; empty if there is none."""
    try:
        return kernelfiles.text(path)
    except (OSError, MalformedError):
        return ""


def number(path: str, missing: int = 0) -> int:
    """Return the number in a file; *missing* if there is none, or a negative one."""
    try:
        return kernelfiles.number(path)
    except (OSError, MalformedError):
        return missing


def numa_node(folder: str) -> int | None:
    """Return the NUMA node of a device: what it, or else the nearest device above it, says; None if none knows.

    :param folder: the resolved folder of the device.
    """
    while len(folder) > 1:
        node = number(f"{folder}/numa_node", missing=NODE_LIMIT)
        if node < NODE_LIMIT:
            return node
        folder = os.path.dirname(folder)
    return None
