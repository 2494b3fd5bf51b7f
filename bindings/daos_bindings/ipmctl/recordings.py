# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Recordings that libipmctl would play back instead of asking the modules.  Opens no library."""

from __future__ import annotations

import os
import stat

from daos_pbin import codes
from daos_pbin.faults import Fault

FOLDER = "/tmp/pbr"  # noqa: S108 - the library's own choice, which is why it is checked


def check(folder: str) -> None:
    """See to it that nobody but root can put recordings where the library looks for them.

    It can record its talk with the modules and play that back, and looks for such a session in a folder with a fixed name
    under /tmp that anybody may make first: root would then parse their files, and believe them.  Made by us before, in a folder with the
    sticky bit, it stays ours.

    :raises Fault: 2105 if the folder, or the one above it, is not root's alone, or a recording is in it.
    """
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise _unsafe(folder, f"it cannot be made: {os.strerror(error.errno or 0)}") from error
    found, above = os.lstat(folder), os.lstat(os.path.dirname(folder))
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unsafe(folder, "it must be a folder that belongs to root and that only root can write to")
    if above.st_uid != 0 or (above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX):
        raise _unsafe(folder, "the folder above it must belong to root and have the sticky bit")
    if os.listdir(folder):
        raise _unsafe(folder, "a recording of ipmctl is in it; remove it")


def _unsafe(folder: str, reason: str) -> Fault:
    return Fault(codes.STORAGE_PATH_UNSAFE, object=folder, path=folder, reason=reason)
