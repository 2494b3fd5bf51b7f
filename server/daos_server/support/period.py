# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which lines of a log are wanted, by the time that they begin with.

Times are compared as written: a log and the person who reads it share a time zone, or know that they do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TIMES = re.compile(
    rb"(?:(?P<year>[0-9]{4})[-/])?(?P<month>[0-9]{2})[-/](?P<day>[0-9]{2})[-T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
)
"""2024/04/25 12:34:56, 2024-04-25T12:34:56, 2024/04/25-12:34:56, 04/25-12:34:56: those of the engines, the server and the helper."""
HEAD = 160
"""How much of a line is searched for its time, in bytes: a host name and a level may stand before it."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """From when to when; None means without an end on that side.

    With a day and a time on one side, the time belongs to that day.  Times alone hold for every day.
    """

    first_day: date | None = None
    last_day: date | None = None
    start: time | None = None
    end: time | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no line is left out."""
        return not (self.first_day or self.last_day or self.start or self.end)

    def holds(self, moment: datetime) -> bool:
        """Return whether a line of this time is wanted."""
        clock = moment.time()
        first = datetime.combine(self.first_day, self.start or time.min) if self.first_day else None
        last = datetime.combine(self.last_day, self.end or time.max) if self.last_day else None
        if (first and moment < first) or (last and moment > last):
            return False
        if not self.first_day and self.start and clock < self.start:
            return False
        return bool(self.last_day or not self.end or clock <= self.end)

    def wanted(self, lines: Iterable[bytes], year: int) -> Iterator[bytes]:
        """Yield the lines of the period; a line without a time goes with the one before it.

        :param year: of lines whose time has none: that in which the log was last written.
        """
        keep = self.is_everything
        for line in lines:
            moment = moment_of(line, year)
            if moment is not None:
                keep = self.holds(moment)
            if keep:
                yield line


def moment_of(line: bytes, year: int) -> datetime | None:
    """Return the time of a log line, to the second; None if it has none."""
    found = _TIMES.search(line[:HEAD])
    if not found:
        return None
    month, day_, hour, minute, second = (int(found[name]) for name in ("month", "day", "hour", "minute", "second"))
    try:
        return datetime(int(found["year"] or year), month, day_, hour, minute, second)
    except ValueError:
        return None


def day(text: str, today: date) -> date:
    """Return a day written as YYYY-MM-DD, or as MM-DD, which is the last such day up to today.

    :raises ValueError: if it is none.
    """
    numbers = _numbers(text, "-")
    try:
        if len(numbers) == 3:
            return date(*numbers)
        last = date(today.year, *numbers)
        return last if last <= today else date(today.year - 1, *numbers)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{text!r} is no day") from error


def clock(text: str) -> time:
    """Return a time of day written as HH:MM:SS or HH:MM.

    :raises ValueError: if it is none.
    """
    numbers = _numbers(text, ":")
    try:
        hour, minute, second = (*numbers, 0)[:3]
        return time(hour, minute, second)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time") from error


def _numbers(text: str, between: str) -> tuple[int, ...]:
    """Return the two or three numbers that a text is made of; none if it is made of anything else."""
    parts = text.split(between)
    if len(parts) not in (2, 3) or not all(part.isascii() and part.isdigit() for part in parts):
        return ()
    return tuple(map(int, parts))
