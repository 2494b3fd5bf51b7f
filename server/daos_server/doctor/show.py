# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Findings as text for a terminal: one line for what is well; below what is not, why it matters and what to do."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from daos_server.cli.output import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daos_server.doctor.finding import Finding, Verdict

LABELS: dict[Verdict, str] = {"ok": "ok", "warning": "warning", "stops": "STOPS", "unknown": "unknown"}
WIDEST = 100
"""Columns at most: longer lines are hard to read."""
INDENT = 10
"""Columns before a subject: two, the longest label, a blank."""


def width() -> int:
    """Return the columns to fill: the terminal's, 80 without one."""
    from shutil import get_terminal_size

    return min(get_terminal_size().columns, WIDEST)


def group_text(title: str, findings: Sequence[Finding], columns: int) -> str:
    """Return a group of findings under its title, in their order, with a newline at its end."""
    return "\n".join([title, *(line for point in findings for line in _lines(point, columns))]) + "\n"


def _lines(point: Finding, columns: int) -> Iterator[str]:
    yield _filled(f"  {LABELS[point.verdict]:<{INDENT - 3}} ", f"{point.subject}: {point.found}", columns)
    if point.why:
        yield _filled(f"{'':{INDENT}}why: ", point.why, columns)
    first = f"{'':{INDENT}}do:  "
    for line in point.advice.split("\n") if point.advice else ():
        # A command is copied and pasted: it is never broken.
        yield first + escape(line.lstrip() if "do:" in first else line) if line.startswith(" ") else _filled(first, line, columns)
        first = " " * len(first)


def _filled(first: str, text: str, columns: int) -> str:
    following = " " * len(first)
    return fill(escape(text), columns, initial_indent=first, subsequent_indent=following, break_long_words=False, break_on_hyphens=False)
