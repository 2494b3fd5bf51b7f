# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Names of the steps of a format.  The record of an interrupted format holds them, so they are the same in every run and version."""

from __future__ import annotations

METADATA = "metadata"
FOLDERS = "metadata-folders"
MOUNT = "metadata-mount"
UNMOUNT = "metadata-unmount"


def scm(engine: int) -> str:
    """Return the name of formatting the SCM of an engine."""
    return f"scm:{engine}"


def ssd(engine: int, tier: int, address: str) -> str:
    """Return the name of formatting an SSD."""
    return f"ssd:{engine}:{tier}:{address}"


def file(engine: int, tier: int, path: str) -> str:
    """Return the name of making a file that stands for an SSD."""
    return f"bdev:{engine}:{tier}:{path}"


def nvme_conf(engine: int) -> str:
    """Return the name of writing the NVMe configuration of an engine."""
    return f"conf:{engine}"
