# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Tables, the JSON envelope and error lines, to the character."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli.output import MISSING, envelope, error_lines, escape, escape_lines, table

REFERENCE_TABLE = "SCM Namespace Socket Capacity \n------------- ------ -------- \npmem0         0      3.2 TB   \n"


def test_table_is_laid_out_as_the_reference_does() -> None:
    assert table(("SCM Namespace", "Socket", "Capacity"), [("pmem0", 0, "3.2 TB")]) == REFERENCE_TABLE


def test_table_pads_to_the_widest_cell_and_dashes_follow_the_title() -> None:
    lines = table(("A", "Bcd"), [("wider than A", "x"), ("y", "z")]).split("\n")
    assert lines == ["A            Bcd ", "-            --- ", "wider than A x   ", "y            z   ", ""]


def test_cells_without_a_value_show_none() -> None:
    assert table(("A", "B"), [(None, ""), ("x",)]).split("\n")[2:] == [f"{MISSING}      ", f"x    {MISSING} ", ""]


def test_table_without_rows_has_only_its_head() -> None:
    assert table(("A",), []) == "A \n- \n"


def test_more_cells_than_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        table(("A",), [("x", "y")])


@settings(database=None, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=20))
def test_nothing_printed_can_steer_a_terminal(text: str) -> None:
    assert escape(text).isprintable()
    lines = table(("Title",), [(text,)])
    assert lines.count("\n") == 3
    assert lines.replace("\n", "").isprintable()


def test_escapes_say_which_character_was_there() -> None:
    assert escape("a\x1b[2J\n\u202e\udcff\x9b") == "a\\x1b[2J\\n\\u202e\\udcff\\x9b"
    assert escape("/mnt/daos Ü") == "/mnt/daos Ü"


def test_a_later_line_cannot_pose_as_one_of_ours() -> None:
    assert escape_lines("first\nERROR: forged\n") == "first\n  ERROR: forged"


def test_envelope_of_a_success() -> None:
    assert envelope({"a": [1]}) == '{\n  "response": {\n    "a": [\n      1\n    ]\n  },\n  "error": null,\n  "status": 0\n}\n'


def test_envelope_of_a_failure() -> None:
    assert envelope(None, "why") == '{\n  "response": null,\n  "error": "why",\n  "status": -1025\n}\n'


def test_envelope_takes_undecodable_text_and_keeps_escapes_out_of_the_terminal() -> None:
    text = envelope("\udcff\x9b\u202e")
    assert text.isascii()
    assert json.loads(text)["response"] == "\udcff\x9b\u202e"


def test_error_lines_say_what_and_what_to_do_and_where_to_read_more() -> None:
    fault = Fault(codes.STORAGE_DEVICE_IN_USE, device="/dev/loop0", found="ext4, label \x1b[31mdaos", cause="busy")
    what, remedy, more = error_lines(fault)
    assert what.startswith(f'ERROR: {fault.domain}: code = 2100 description = "')
    assert "\\x1b[31mdaos" in what
    assert remedy == f'ERROR: {fault.domain}: code = 2100 resolution = "{escape_lines(fault.resolution)}"'
    assert more == "(more: daos_server explain 2100)"
