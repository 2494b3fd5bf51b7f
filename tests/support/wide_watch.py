# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A watch over all that root has to lose: everything in /etc and /usr, the upper folders of /root and /home, mounts, processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostile import Watch

DEEP = ("/etc", "/usr", "/boot", "/var/spool")
SHALLOW = ("/root", "/home")
LEVELS = 2
"""Levels below a shallow folder that are looked at: as deep as /root/.ssh/authorized_keys."""
NOISE = ("/.cache", "/.npm", "/__pycache__", "/.local")
"""Folders in which the machine's other users work all the time."""


@dataclass
class WideWatch(Watch):
    """As Watch, over far more; a new set-id bit, owner or mode anywhere in it is a change.

    Content is told by size and time of last change in the deep folders; in the shallow ones, where people work, existence, owner
    and mode count.
    """

    def _look(self) -> dict[str, str]:
        seen = super()._look()
        for folder in DEEP:
            if os.path.isdir(folder) and not os.path.islink(folder):
                for path, found in _walk(folder, levels=99):
                    seen[path] = f"{found.st_mode:o} {found.st_uid}:{found.st_gid} {found.st_size} {found.st_mtime_ns}"
        for folder in SHALLOW:
            for path, found in _walk(folder, levels=LEVELS):
                seen[path] = f"{found.st_mode:o} {found.st_uid}:{found.st_gid}"
        return seen


def _walk(folder: str, levels: int) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.path.endswith(NOISE):
                    continue
                try:
                    yield entry.path, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it went meanwhile, and shows as a change if it had been there
                if levels > 1 and entry.is_dir(follow_symlinks=False):
                    yield from _walk(entry.path, levels - 1)
    except FileNotFoundError:
        return


def locks_left(rundir: str) -> list[str]:
    """Return the lock files that nobody removed."""
    return sorted(entry.name for entry in Path(rundir).glob("lock-*"))
