# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the YAML parser stumbles over, in the words of somebody who wrote the file and does not know how it is parsed."""

from __future__ import annotations

from typing import NamedTuple

import yaml

_TAB = "this is a tab; YAML is indented with spaces only"
_LOOK_ABOVE = "correct that place, or the line above it, where an unclosed quote, a missing colon or a wrong indentation may begin"
_NO_BREAK_SPACE = "\xa0"
_WORDS = {
    "could not find expected ':'": "no colon with a space after it parts a key from its value here",
    "mapping values are not allowed in this context": "no key can stand here: the line is indented deeper than the key above it, the"
    " line above lacks its colon, or a value with a colon in it lacks its quotes",
    "did not find expected '-' indicator": "the line is indented neither like the dashes of the list nor like the keys of its entry",
    "did not find expected key": "the line is indented unlike the keys above it, or something follows a closing quote",
    "did not find expected ',' or ']'": "a list that begins with [ has no ], or no comma between two entries",
    "did not find expected ',' or '}'": "keys that begin with { have no }, or no comma between two of them",
    "found unexpected end of stream": "the quote that opens here is never closed",
    "found unknown escape character": "a backslash inside double quotes begins an escape that does not exist; use single quotes",
    "found a tab character that violates indentation": _TAB,
}
"""By what libyaml says."""
_AT_BEGINNING = frozenset(
    {
        "could not find expected ':'",
        "did not find expected ',' or ']'",
        "did not find expected ',' or '}'",
        "found unexpected end of stream",
    }
)
"""What is seen only where the next thing begins, or at the end; the mistake is where this one began."""


class Explained(NamedTuple):
    """Line and column from 1, what is wrong there, and what to do about it."""

    line: int
    column: int
    words: str
    remedy: str


def explained(error: yaml.MarkedYAMLError, text: str, quote: tuple[int, int]) -> Explained:
    """Return where a file went wrong, and why.

    :param quote: first and last line of the last quoted value that goes over several lines, both 0 without one.
    """
    said = error.problem or ""
    mark = (error.context_mark if said in _AT_BEGINNING else None) or error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    words = _words(said, text.splitlines(), line, column, quote)
    return Explained(line, column, words, "put spaces in its place" if words == _TAB else _LOOK_ABOVE)


def _words(said: str, lines: list[str], line: int, column: int, quote: tuple[int, int]) -> str:
    if quote[1] == line:
        return f"quotes that open in line {quote[0]} are closed only here; one is missing in between"
    here = lines[line - 1] if line <= len(lines) else ""
    if spaced := next((number for number in (line, line - 1) if _NO_BREAK_SPACE in "".join(lines[number - 1 : number])), 0):
        return f"line {spaced} has a no-break space (U+00A0), which is no blank to YAML; type an ordinary one"
    if said == "found character that cannot start any token":
        character = here[column - 1 : column]
        return _TAB if character == "\t" else f"a value that begins with {character} must be in quotes"
    return _WORDS.get(said, said or "not YAML")
