# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Bounded, strict reading of files in /proc and /sys.

They are the kernel's, but what is in them (mount points, labels, program names) was chosen by others, and a mount put
over them can make them anything.
"""

from __future__ import annotations

import os

LIMIT = 4 * 1024 * 1024
"""Most bytes that are read of any such file."""

CHUNK = 64 * 1024
PRINTED = 120


class MalformedError(ValueError):
    """A kernel file does not look as the kernel writes it.

    :param path: the file.
    :param problem: what is wrong with it, printable.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def printable(text: str | bytes) -> str:
    """Return *text* fit for a message: one line, no control characters or undecodable bytes, not endless."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    clean = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text[: PRINTED + 1].decode("utf-8", "backslashreplace")
    )
    return clean if len(clean) <= PRINTED else clean[:PRINTED] + "..."


def read(path: str, *, limit: int = LIMIT) -> bytes:
    """Read the whole of *path*.

    :raises OSError: if it cannot be read.
    :raises MalformedError: if it is longer than *limit* bytes.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        parts: list[bytes] = []
        left = limit + 1
        while left > 0 and (part := os.read(fd, min(CHUNK, left))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(fd)
    if left <= 0:
        raise MalformedError(path, f"longer than {limit} bytes")
    return b"".join(parts)


def text(path: str) -> str:
    """Read a one-line file without the end of its line.

    :raises MalformedError: if it has several lines or is not ASCII.
    """
    return one_line(path, read(path, limit=CHUNK))


def one_line(path: str, data: bytes) -> str:
    """Decode the single line *data* of the file *path*."""
    line = data.removesuffix(b"\n")
    if b"\n" in line or not line.isascii():
        raise MalformedError(path, f"not one line of text: {printable(line)}")
    return line.decode("ascii").strip()


def number(path: str) -> int:
    """Read a file that holds one decimal number, 0 or above.

    :raises MalformedError: if it holds anything else.
    """
    return decimal(path, text(path))


def decimal(path: str, digits: str) -> int:
    """Convert *digits*, found in the file *path*, to a number of at most 20 digits."""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise MalformedError(path, f"not a number: {printable(digits)}")
    return int(digits)


def unescape(path: str, field: bytes, *, strict: bool = False) -> str:
    """Decode the kernel's ``\\ooo`` in a *field* of the file *path*.

    :param strict: for paths, which the kernel escapes without fail; some file systems print their options as they are.
    :raises MalformedError: if *strict*, and a backslash is followed by anything but three octal digits of one byte.
    """
    first, *rest = field.split(b"\\")
    decoded = bytearray(first)
    for part in rest:
        code = part[:3]
        if len(code) == 3 and code[0] in b"0123" and code[1] in b"01234567" and code[2] in b"01234567":
            decoded.append(int(code, 8))
            decoded += part[3:]
        elif strict:
            raise MalformedError(path, f"unknown escape: {printable(field)}")
        else:
            decoded += b"\\" + part
    return os.fsdecode(bytes(decoded))
