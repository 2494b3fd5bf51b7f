# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which lines of a log are collected."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest

from daos_server.support.period import Period, clock, day, moment_of

ENGINE = b"04/25-12:34:56.78 host DAOS[1234/0/0] mgmt INFO started\n"
NEW_ENGINE = b"2024/04/25-12:34:56.781234 host DAOS[1234/0/0] mgmt INFO started\n"
CONTROL = b"host INFO 2024/04/25 12:34:56 server.go:1: listening\n"
OURS = b"host 2024-04-25T12:34:56.001+00:00 NOTICE: careful\n"
MOMENT = datetime(2024, 4, 25, 12, 34, 56)


@pytest.mark.parametrize("line", [ENGINE, NEW_ENGINE, CONTROL, OURS])
def test_the_time_is_found_in_all_logs(line: bytes) -> None:
    assert moment_of(line, 2024) == MOMENT


@pytest.mark.parametrize(
    "line", [b"", b"no time\n", b"13/45-12:00:00 x\n", b"x" * 200 + CONTROL, b"02/29-00:00:00 x\n", b"0000/01/01 00:00:00\n"]
)
def test_a_line_without_a_time_has_none(line: bytes) -> None:
    assert moment_of(line, 2023) is None


@pytest.mark.parametrize(
    ("period", "held"),
    [
        (Period(), True),
        (Period(first_day=date(2024, 4, 25), last_day=date(2024, 4, 25)), True),
        (Period(first_day=date(2024, 4, 26)), False),
        (Period(last_day=date(2024, 4, 24)), False),
        (Period(first_day=date(2024, 4, 25), start=time(12, 34, 57)), False),
        (Period(first_day=date(2024, 4, 24), start=time(12, 34, 57)), True),
        (Period(last_day=date(2024, 4, 25), end=time(12, 34, 55)), False),
        (Period(last_day=date(2024, 4, 26), end=time(1)), True),
        (Period(start=time(12, 34, 56), end=time(12, 34, 56)), True),
        (Period(start=time(13)), False),
        (Period(end=time(12)), False),
        (Period(first_day=date(2024, 4, 1), end=time(12)), False),
        (Period(last_day=date(2024, 5, 1), start=time(13)), False),
    ],
)
def test_days_and_times_bound_a_period(period: Period, held: bool) -> None:
    assert period.holds(MOMENT) is held
    assert list(period.wanted([CONTROL], 2024)) == ([CONTROL] if held else [])


def test_a_line_without_a_time_goes_with_the_one_before_it() -> None:
    early, late = b"2024-04-24 00:00:00 early\n", b"2024-04-26 00:00:00 late\n"
    lines = [b"head\n", early, b"  more\n", CONTROL, b"  trace\n", late, b"  end\n"]
    assert list(Period(first_day=date(2024, 4, 25), last_day=date(2024, 4, 25)).wanted(lines, 2024)) == [CONTROL, b"  trace\n"]
    assert list(Period().wanted(lines, 2024)) == lines


def test_a_day_without_a_year_is_the_last_such_day() -> None:
    today = date(2026, 3, 1)
    assert day("2025-12-31", today) == date(2025, 12, 31)
    assert day("03-01", today) == today
    assert day("03-02", today) == date(2025, 3, 2)


@pytest.mark.parametrize("text", ["", "today", "2026", "2026-13-01", "01-32", "1-2-3-4", "-01-02", "\u0663-01", "02-29"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no day"):
        day(text, date(2026, 3, 1))


def test_a_time_has_seconds_or_not() -> None:
    assert clock("08:30:05") == time(8, 30, 5)
    assert clock("08:30") == time(8, 30)


@pytest.mark.parametrize("text", ["", "8", "24:00", "08:60:00", "a:b", "1:2:3:4", "-1:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        clock(text)
