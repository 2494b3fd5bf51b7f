# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Puts files in their places: each one written beside its place, given owner and mode, and only then renamed into it."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path

from daos_install.interpreter import require_trusted
from daos_install.layout import Layout

FRESH = ".daos-new"
"""Suffix of a file that is being written; one left by a killed install is overwritten by the next."""


@dataclass(frozen=True)
class Item:
    """One file of the installation: either a copy of ``source`` or ``content``."""

    path: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    source: Path | None = None
    content: bytes = b""


@dataclass(frozen=True)
class Folder:
    """One folder of the installation, by path of the installed system.

    :param shared: others may have things in it: one that is there is left as it is, but must be root's alone.
    """

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    shared: bool = False


@dataclass
class Content:
    """Everything that is put in place, folders before what is in them."""

    folders: list[Folder] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)

    def add_tree(self, source: Path, target: str) -> None:
        """Add a folder of the build with everything in it, as root's, readable by all."""
        self.folders.append(Folder(target))
        for path in sorted(source.rglob("*")):
            placed = f"{target}/{path.relative_to(source)}"
            if path.is_dir():
                self.folders.append(Folder(placed))
            else:
                self.items.append(Item(placed, source=path))


def missing_folders(layout: Layout, folders: list[Folder]) -> set[str]:
    """Return those of the folders, and of the folders above them, that are not there yet."""
    wanted = {str(path) for folder in folders for path in [Path(folder.path), *Path(folder.path).parents]}
    return {path for path in wanted if not layout.staged(path).exists()}


def place_folder(layout: Layout, folder: Folder) -> None:
    """Make a folder, those above it too, or correct its owner and mode.

    :raises InstallError: if it is shared, there already, and could be changed by others than root.
    """
    staged = layout.staged(folder.path)
    if folder.shared and staged.is_dir():
        if not layout.destdir:
            require_trusted(str(staged), folder.path)
        return
    staged.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    staged.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(staged, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, folder.uid, folder.gid)
        os.fchmod(descriptor, folder.mode)
    finally:
        os.close(descriptor)


def place_item(layout: Layout, item: Item) -> bool:
    """Put a file in its place.

    :returns: False if it was there already, the same in content, owner and mode.
    """
    staged = layout.staged(item.path)
    if same(staged, item):
        return False
    fresh = staged.with_name(staged.name + FRESH)
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        if item.source is None:
            file.write(item.content)
        else:
            with open(item.source, "rb") as source:
                shutil.copyfileobj(source, file)
        file.flush()
        # The owner first: a change of owner takes the setuid bit away.
        os.fchown(file.fileno(), item.uid, item.gid)
        os.fchmod(file.fileno(), item.mode)
    fresh.rename(staged)
    return True


def same(staged: Path, item: Item) -> bool:
    """Tell whether the file is in its place already."""
    try:
        found = staged.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode) or (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) != (item.mode, item.uid, item.gid):
        return False
    if item.source is not None:
        return filecmp.cmp(staged, item.source, shallow=False)
    return staged.read_bytes() == item.content


def remove_file(layout: Layout, path: str) -> None:
    """Remove a file, and what a killed install left beside it."""
    staged = layout.staged(path)
    staged.unlink(missing_ok=True)
    staged.with_name(staged.name + FRESH).unlink(missing_ok=True)
