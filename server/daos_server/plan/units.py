# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Sizes for people.  Binary units: one decimal below 10, none from 10 on."""

from __future__ import annotations

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def bytes_text(size: int) -> str:
    """Return a number of bytes as text, such as ``4.0 GiB`` or ``30 GiB``; below 10 bytes as they are.

    :raises ValueError: if the size is negative.
    """
    if size < 0:
        raise ValueError(f"a size is never negative: {size}")
    if size < KIB:
        return f"{size} B"
    unit = min((size.bit_length() - 1) // 10, len(_UNITS) - 1)
    scale = 1 << (10 * unit)
    tenths = (size * 10 * 2 + scale) // (2 * scale)
    if tenths < 100:
        return f"{tenths // 10}.{tenths % 10} {_UNITS[unit]}"
    whole = (size * 2 + scale) // (2 * scale)
    return f"{whole} {_UNITS[unit]}"


def apart(one: int, other: int) -> tuple[str, str]:
    """Return two numbers of bytes as text: in whole KiB where two that differ would otherwise look the same."""
    texts = bytes_text(one), bytes_text(other)
    return texts if texts[0] != texts[1] else (f"{one // KIB} KiB", f"{other // KIB} KiB")


def kib_text(size_kib: int) -> str:
    """Return a number of KiB as text."""
    return bytes_text(size_kib * KIB)


def pages_text(count: int, page_kib: int) -> str:
    """Return the memory of so many pages as text."""
    return kib_text(count * page_kib)
