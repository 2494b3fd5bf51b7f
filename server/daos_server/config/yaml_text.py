# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A tree of values as YAML that reads back as the same values, with a comment after each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from daos_server.config.fields import BusRange
from daos_server.config.scalars import as_flag, is_null
from daos_server.config.yaml_source import Scalar

if TYPE_CHECKING:
    from daos_server.config.effective import Leaf, Tree, Value

COMMENT_COLUMN = 48
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./+;=-]*", re.ASCII)


def yaml_lines(tree: Tree, indent: str = "") -> Iterator[str]:
    """Yield the lines of a tree."""
    for key, node in tree.items():
        if isinstance(node, dict):
            yield f"{indent}{key}:"
            yield from yaml_lines(node, f"{indent}  ")
        elif isinstance(node, list):
            yield f"{indent}{key}:"
            for item in node:
                first, *others = yaml_lines(item, f"{indent}  ")
                yield f"{indent}- {first[len(indent) + 2 :]}"
                yield from others
        else:
            yield _leaf_line(indent, key, node)


def _leaf_line(indent: str, key: str, leaf: Leaf) -> str:
    return f"{f'{indent}{key}: {value_text(leaf.value)}':<{COMMENT_COLUMN}}  # {leaf.origin.text}"


def value_text(value: Value) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, BusRange):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(value_text(item) for item in value)}]"
    return _word(value) if isinstance(value, str) else json.dumps(value)


def _word(text: str) -> str:
    """Return a text, in quotes if it could be taken for anything else."""
    scalar = Scalar(text, 0)
    if _PLAIN.fullmatch(text) and as_flag(scalar) is None and not is_null(scalar):
        return text
    return json.dumps(text, ensure_ascii=False)
