# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A configuration as YAML text in which a comment above every key says why it has its value.

Lists of maps are maps with a dash, lists of texts have a line per entry, texts are quoted where YAML could take them for anything else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from daos_server.cli.output import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Scalar = str | int | bool
Plain = Scalar | list["Plain"] | dict[str, "Plain"]
WIDTH = 118
_WORD = re.compile(r"[A-Za-z/][A-Za-z0-9/_.+-]*", re.ASCII)
_NOT_TEXT = re.compile(r"y|n|yes|no|on|off|true|false|null", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its value (a list of texts is never empty), and why it has it, in one sentence without a full stop."""

    name: str
    value: Scalar | tuple[str, ...] | Section | tuple[Section, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Section:
    """A map, in the order in which it is written; never empty."""

    keys: tuple[Key, ...]


def text(root: Section, head: Sequence[str]) -> str:
    """Return the file: the lines of the head as comments, unbroken because commands are among them, then the keys."""
    comments = [f"# {escape(line)}" for line in head]
    return "\n".join([*comments, "", *_section(root, "")]) + "\n"


def plain(root: Section) -> dict[str, Plain]:
    """Return what a YAML reader makes of the file."""
    return {key.name: _plain(key.value) for key in root.keys}


def _plain(value: Scalar | tuple[str, ...] | Section | tuple[Section, ...]) -> Plain:
    if isinstance(value, Section):
        return plain(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _section(section: Section, indent: str) -> Iterator[str]:
    for key in section.keys:
        yield from _comment(key.why, indent)
        yield from _key(key, indent)


def _key(key: Key, indent: str) -> Iterator[str]:
    name = f"{indent}{key.name}:"
    if isinstance(key.value, Section):
        yield name
        yield from _section(key.value, indent + "  ")
    elif isinstance(key.value, tuple):
        yield name
        for item in key.value:
            yield from _item(item, indent + "  ")
    else:
        yield f"{name} {_scalar(key.value)}"


def _item(item: str | Section, indent: str) -> Iterator[str]:
    if isinstance(item, str):
        yield f"{indent}- {_scalar(item)}"
        return
    first, *others = item.keys
    yield from _comment(first.why, indent)
    begin, *rest = _key(first, indent + "  ")
    yield f"{indent}- {begin.lstrip()}"
    yield from rest
    yield from _section(Section(tuple(others)), indent + "  ")


def _comment(why: str, indent: str) -> Iterator[str]:
    for line in wrap(escape(why), WIDTH - len(indent), break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {line}"


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (_WORD.fullmatch(value) and not _NOT_TEXT.fullmatch(value)):
        return str(value)
    return json.dumps(value, ensure_ascii=False)
