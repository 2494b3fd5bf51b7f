# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The checklist is whole: every attack has tests that exist, or says why it cannot be tried here; and SECURITY.md tells the same."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from checklist import CHECKLIST, REFERENCE, Attack
from daos_install.layout import SOURCE

TESTS = Path(__file__).parents[1]
ALL = CHECKLIST + REFERENCE


def functions(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_numbers_are_those_of_the_security_notes() -> None:
    assert [attack.number for attack in CHECKLIST] == [str(number) for number in range(1, 43)]
    assert [attack.number for attack in REFERENCE] == list("abcdefghijkl")


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.number)
def test_attack_has_tests(attack: Attack) -> None:
    assert attack.tests or attack.not_tried
    for test in attack.tests:
        file, _, function = test.partition("::")
        assert function in functions(TESTS / file), f"{attack.number} names {test}, which is not there"


@pytest.mark.parametrize("attack", [attack for attack in ALL if attack.not_tried], ids=lambda attack: attack.number)
def test_what_is_not_tried_is_told(attack: Attack) -> None:
    pytest.skip(f"attack {attack.number} ({attack.what}), in part: {attack.not_tried}")


def test_every_attack_is_in_the_table_of_security_md() -> None:
    text = (SOURCE / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for attack in ALL:
        assert [row for row in rows if row.startswith(f"| {attack.number} ")], f"attack {attack.number} has no row"
