# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Files of the system's own configuration: put there once, and from then on the administrator's to change.

One that was changed is neither written again nor removed.  The manifest knows each by the digest of what was put there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from daos_install.layout import SOURCE, Layout
from daos_install.place import Item, place_item, remove_file

MODULES = SOURCE / "packaging" / "modules-load.d"
KERNELS = Path("/lib/modules")


def items(layout: Layout, kernels: Path = KERNELS) -> tuple[list[Item], list[str]]:
    """Return the files for this machine, and in words what is left out, because it would only make an error at every boot.

    :param kernels: the folder of the kernels' modules; one for a package is for any machine.
    """
    found, left = [], []
    for path in sorted(MODULES.glob("*.conf")):
        lines = path.read_text(encoding="ascii").splitlines()
        names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        missing = [] if layout.destdir else sorted(set(names) - known_modules(kernels / os.uname().release, names))
        item = Item(f"{layout.modules_load}/{path.name}", source=path)
        if missing:
            left.append(f"{item.path} left out: this kernel has no module {', '.join(missing)}")
        else:
            found.append(item)
    return found, left


def known_modules(folder: Path, names: Iterable[str]) -> set[str]:
    """Return which of the modules a kernel has, built in or to be loaded."""
    listed: set[str] = set()
    for name in ("modules.dep", "modules.builtin"):
        try:
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        listed |= {_plain(line.partition(":")[0].rsplit("/", 1)[-1].partition(".")[0]) for line in lines}
    return {name for name in names if _plain(name) in listed}


def _plain(name: str) -> str:
    return name.replace("-", "_")


def digest(path: Path) -> str:
    """Return the digest of a file's content; empty if there is no such regular file."""
    if path.is_symlink() or not path.is_file():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_changed(layout: Layout, item: Item, recorded: dict[str, str]) -> bool:
    """Tell whether somebody else made what is in the place of a file, or changed it."""
    staged = layout.staged(item.path)
    if not os.path.lexists(staged):
        return False
    return item.path not in recorded or digest(staged) not in {recorded[item.path], wanted(item)}


def wanted(item: Item) -> str:
    """Return the digest of what is to be put in the place of a file."""
    return digest(item.source) if item.source is not None else hashlib.sha256(item.content).hexdigest()


def place(layout: Layout, found: list[Item], recorded: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Put files in their places but those that were changed; return what to record, and in words what was left as it is.

    :param recorded: what an earlier install has recorded.
    """
    after, left = dict(recorded), []
    for item in found:
        if not layout.destdir and is_changed(layout, item, recorded):
            left.append(f"{item.path} is not as it was installed: left as it is")
            continue
        place_item(layout, item)
        after[item.path] = wanted(item)
    return after, left


def remove(layout: Layout, recorded: dict[str, str]) -> list[str]:
    """Remove files that are as they were put there; return in words what was left."""
    left = []
    for path, expected in sorted(recorded.items()):
        staged = layout.staged(path)
        if digest(staged) == expected:
            remove_file(layout, path)
        elif os.path.lexists(staged):
            left.append(f"{path}: it was changed after it was installed")
    return left
