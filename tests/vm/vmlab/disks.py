# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Disks of a guest that tests write to."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def cleaned(*paths: str) -> Iterator[None]:
    """Leave disks as they were when the guest booted: zeros where signatures are, and no data that nobody knows."""
    try:
        yield
    finally:
        for path in paths:
            subprocess.run(["/sbin/wipefs", "-a", "-q", path], check=True)
            with open(path, "r+b") as disk:
                disk.write(bytes(1 << 20))
