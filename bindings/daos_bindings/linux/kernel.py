# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The running kernel's version."""

from __future__ import annotations

import os


def release() -> str:
    """Return the kernel's release, such as ``5.14.0-427.el9.x86_64``."""
    return os.uname().release


def version(text: str) -> tuple[int, int]:
    """Return the first two numbers of a release.

    :raises ValueError: if it does not begin with two numbers.
    """
    major, _, rest = text.partition(".")
    minor = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if not (major.isascii() and major.isdigit() and minor):
        raise ValueError(f"no kernel release: {text!r}")
    return int(major), int(minor)
