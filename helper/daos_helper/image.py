# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Firmware images: files of root's own, opened before anybody is given them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from daos_helper.paths import open_path
from daos_pbin import codes
from daos_pbin.faults import Fault


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open an image that is root's own.

    :raises Fault: 2105 if it is not, 2113 if it cannot be opened.
    """
    try:
        descriptor = open_path(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Fault(codes.STORAGE_FILE_UNUSABLE, object=path, path=path, reason="it is not there") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_nlink != 1 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            reason = "a firmware image must be a file with one name, belong to root and be writable by root alone"
            raise Fault(codes.STORAGE_PATH_UNSAFE, object=path, path=path, reason=reason)
        yield descriptor
    finally:
        os.close(descriptor)
