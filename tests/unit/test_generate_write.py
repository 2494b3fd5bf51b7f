# SPDX-License-Identifier: BSD-2-Clause-Patent
"""YAML with comments: it reads back as what was written, and every key has a comment of its own."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daos_server.generate.write import WIDTH, Key, Section, plain, text

pytestmark = pytest.mark.unit
UNTIMED = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = """\
# a file

# why one
one: 1
# why many
many:
  - "0000:05:00.0"
  - word
# why below
below:
  # why deep
  deep: true
# why list
list:
  # why a
  - a: "y"
    # why b
    b:
      # why c
      - c: ""
  # why d
  - d: "5"
"""
ROOT = Section(
    (
        Key("one", 1, "why one"),
        Key("many", ("0000:05:00.0", "word"), "why many"),
        Key("below", Section((Key("deep", True, "why deep"),)), "why below"),
        Key(
            "list",
            (
                Section((Key("a", "y", "why a"), Key("b", (Section((Key("c", "", "why c"),)),), "why b"))),
                Section((Key("d", "5", "why d"),)),
            ),
            "why list",
        ),
    )
)


def test_the_layout() -> None:
    assert text(ROOT, ["a file"]) == TEXT
    assert yaml.safe_load(TEXT) == plain(ROOT)


def test_a_long_reason_is_broken_and_a_line_break_in_one_is_not_let_through() -> None:
    lines = text(Section((Key("key", 1, "word " * 60 + "\nevil: 1"),)), ["head\nevil: 2"]).splitlines()
    assert all(len(line) <= WIDTH + 2 for line in lines)
    assert [line for line in lines if line and not line.startswith("# ")] == ["key: 1"]


@UNTIMED
@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"))))
def test_any_printable_text_reads_back(value: str) -> None:
    assert yaml.safe_load(text(Section((Key("key", value, "why"),)), [])) == {"key": value}


WORDS = ("yes", "Off", "TRUE", "null", "~", "1e3", "0x10", "012", "1_000", "2026-01-01", "12:30:45", ".5", "-", "a: b", "a #b")


@pytest.mark.parametrize("word", WORDS)
def test_words_that_yaml_takes_for_something_else(word: str) -> None:
    assert yaml.safe_load(text(Section((Key("key", (word,), "why"),)), [])) == {"key": [word]}
