# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Disks of a guest that tests write to."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

EDGE = 1 << 20
"""Bytes at each end, more than any signature needs."""


@contextlib.contextmanager
def cleaned(*paths: str) -> Iterator[None]:
    """Leave disks as they were when the guest booted: zeros where signatures are, and no data that nobody knows."""
    try:
        yield
    finally:
        for path in paths:
            empty(path)


def empty(path: str) -> None:
    """Leave nothing at either end of a disk."""
    subprocess.run(["/sbin/wipefs", "-a", "-q", path], check=True)
    with open(path, "r+b") as disk:
        for start in (0, disk.seek(-EDGE, os.SEEK_END)):
            disk.seek(start)
            disk.write(bytes(EDGE))
