# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every field that reaches root is in the table of SECURITY.md, with its bound as the types have it, and tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest
from daos_install.layout import SOURCE
from fields import OF_THE_ENVELOPE, REQUESTS, ROWS, Row, bound, fields_of_messages, line

from daos_pbin import envelope
from daos_pbin.methods import METHODS, PING

TESTS = Path(__file__).parents[1]


def test_every_field_has_exactly_one_row() -> None:
    named = [field for row in ROWS for field in row.fields]
    assert len(named) == len(set(named))
    assert set(named) == OF_THE_ENVELOPE.keys() | fields_of_messages().keys()
    of_messages = {f"{kind}.{field}" for kind in ("request", "cancel") for field in envelope.FIELDS[kind]}
    assert OF_THE_ENVELOPE.keys() == of_messages | {"frame.length", "socket.peer"}
    assert (PING, *REQUESTS) == METHODS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fields[0])
def test_row_is_in_security_md_and_its_tests_exist(row: Row) -> None:
    text = (SOURCE / "SECURITY.md").read_text(encoding="utf-8")
    assert line(row) in text.splitlines(), f"SECURITY.md lacks:\n{line(row)}"
    assert row.tests
    for test in row.tests:
        file, _, function = test.partition("::")
        body = ast.parse((TESTS / file).read_text(encoding="utf-8")).body
        assert function in {node.name for node in body if isinstance(node, ast.FunctionDef)}, f"{test} is not there"


def test_nothing_else_is_in_the_table() -> None:
    text = (SOURCE / "SECURITY.md").read_text(encoding="utf-8")
    section = text.partition("## Every field that reaches root")[2].partition("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")][1:]
    assert rows == [line(row) for row in ROWS]


@pytest.mark.parametrize("kind", [str, int, tuple[int, ...], bytes, float, dict[str, int]])
def test_a_field_without_a_bound_cannot_be_in_the_table(kind: type) -> None:
    with pytest.raises(ValueError, match="no bound"):
        bound(msgspec.inspect.type_info(kind))
