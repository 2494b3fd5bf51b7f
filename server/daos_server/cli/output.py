# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is printed: tables, the JSON envelope, errors.  Nothing from outside reaches a terminal unescaped."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daos_pbin.faults import Fault

MISSING = "None"
"""What a table shows for a cell that has no value."""

STATUS_OK = 0
STATUS_MISC = -1025
"""``DER_MISC``: the status of every error that is not a return code of the DAOS library."""


def escape(value: object) -> str:
    """Return the value's text with every character that could steer a terminal written as an escape such as ``\\x1b``."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def escape_lines(value: object) -> str:
    """Return a text of several lines escaped; all but the first are indented, so that none can pose as a line of ours."""
    return "\n  ".join(escape(line) for line in str(value).rstrip("\n").split("\n"))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose layout is the reference's, with a newline at its end.

    Every cell, the last of a line included, is left-aligned and padded to one more than the widest cell of its column; dashes
    as long as the title stand below it; a cell that is None or left out shows ``None``.

    :raises ValueError: if a row has more cells than there are columns.
    """
    lines = [[escape(title) for title in columns], ["-" * len(title) for title in columns]]
    for row in rows:
        if len(row) > len(columns):
            raise ValueError(f"{len(row)} cells for {len(columns)} columns")
        cells = [MISSING if cell is None else escape(cell) for cell in row]
        lines.append(cells + [MISSING] * (len(columns) - len(cells)))
    widths = [max(len(line[index]) for line in lines) + 1 for index in range(len(columns))]
    return "".join("".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + "\n" for line in lines)


def envelope(response: object, error: str | None = None) -> str:
    """Return the one JSON object that a command prints with ``--json``, with a newline at its end."""
    from json import dumps

    status = STATUS_OK if error is None else STATUS_MISC
    return dumps({"response": response, "error": error, "status": status}, indent=2) + "\n"


def error_lines(fault: Fault) -> list[str]:
    """Return what an administrator reads when a command fails: what happened, what to do, where to read more."""
    return [
        f"ERROR: {escape_lines(fault)}",
        f'ERROR: {fault.domain}: code = {fault.code} resolution = "{escape_lines(fault.resolution)}"',
        f"(more: daos_server explain {fault.code})",
    ]


def note(text: str, end: str = "\n") -> None:
    """Print on standard error; that it takes no more is no reason to stop what is under way, nor for another exit code."""
    try:
        sys.stderr.write(text + end)
        sys.stderr.flush()
    except OSError:
        abandon(2)


def emit(text: str) -> None:
    """Print a result on standard output.

    :raises OutputGoneError: if the reader went away, or what stands behind standard output is full.
    """
    _write(text if text.endswith("\n") else text + "\n")


def emit_rest() -> None:
    """Print what others have put into standard output's buffer.

    :raises OutputGoneError: as ``emit``.
    """
    _write("")


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise OutputGoneError(error) from None


class OutputGoneError(Exception):
    """Standard output takes no more.

    :param error: why; nobody is to be told if the reader went away.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.reason = "" if isinstance(error, BrokenPipeError) else error.strerror or str(error)


def abandon(stream: int) -> None:
    """Point a standard stream at nothing, so that what is still buffered does not end in a traceback, or exit code 120, at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream)
    if nowhere != stream:
        os.close(nowhere)
