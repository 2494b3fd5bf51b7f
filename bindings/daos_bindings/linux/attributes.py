# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Attributes in sysfs of devices that may be pulled out while they are read."""

from __future__ import annotations

import errno
import os

from daos_bindings.linux import kernelfiles
from daos_bindings.linux.kernelfiles import MalformedError

GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR})
"""Errors of reading something in sysfs that has just been taken away."""

HEX = frozenset("0123456789abcdefABCDEF")


def hexadecimal(path: str) -> int:
    """Read a file such as ``0x010802``.

    :raises OSError: if there is no such file (any more).
    :raises MalformedError: if it holds anything else.
    """
    text = kernelfiles.text(path)
    digits = text.removeprefix("0x")
    if text == digits or not 0 < len(digits) <= 8 or not HEX.issuperset(digits):
        raise MalformedError(path, f"not a hexadecimal number: {kernelfiles.printable(text)}")
    return int(digits, 16)


def optional(path: str) -> str:
    """Read an attribute that not every device has; empty if there is none (any more)."""
    try:
        return kernelfiles.text(path)
    except OSError as error:
        if error.errno in GONE:
            return ""
        raise


def link(path: str) -> str:
    """Return the last part of what a link leads to; empty if there is none (any more)."""
    try:
        return os.path.basename(os.readlink(path))
    except OSError as error:
        if error.errno in GONE:
            return ""
        raise


def entries(directory: str) -> list[str]:
    """List a folder by name; empty if there is none (any more)."""
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        if error.errno in GONE:
            return []
        raise
