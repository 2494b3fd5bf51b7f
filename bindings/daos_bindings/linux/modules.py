# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether a kernel module is there, or could be loaded.  Reads only; nobody here loads one."""

from __future__ import annotations

import os

from daos_bindings.linux import kernel, kernelfiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Presence = Literal["loaded", "builtin", "loadable", "missing"]

LIMIT = 16 * 1024 * 1024
"""Longest list of modules that is read; a distribution's has about 1 MiB."""


def presence(name: str, *, root: str = "/", release: str = "") -> Presence:
    """Tell whether the module *name* is ``loaded``, ``builtin`` (part of the kernel), ``loadable`` or ``missing``.

    :param name: with ``-`` or ``_``, which are the same to the kernel.
    :param root: of the file system, for tests.
    :param release: of the kernel; the running one if empty.
    :raises OSError: if a list of modules is there and cannot be read.
    """
    plain = name.replace("-", "_")
    lists = os.path.join(root, "lib/modules", release or kernel.release())
    if plain in _listed(f"{lists}/modules.builtin"):
        return "builtin"
    if os.path.isdir(os.path.join(root, "sys/module", plain)):
        return "loaded"
    return "loadable" if plain in _listed(f"{lists}/modules.dep") else "missing"


def driver_is_ready(driver: str, *, root: str = "/") -> bool:
    """Tell whether a PCI driver of that name takes devices now."""
    return os.path.isdir(os.path.join(root, "sys/bus/pci/drivers", driver))


def _listed(path: str) -> frozenset[str]:
    """Return the names of the modules in a list (modules.dep(5)); none if there is no such list."""
    try:
        lines = kernelfiles.read(path, limit=LIMIT).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return frozenset()
    files = (os.path.basename(line.partition(":")[0]) for line in lines)
    return frozenset(file.partition(".ko")[0].replace("-", "_") for file in files)
