# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The audit trail of an installation as a test reads it: the lines since some moment, taken apart strictly."""

from __future__ import annotations

import re
from pathlib import Path

from installed import Installation

Line = dict[str, str]

VALUE = re.compile(r'([a-z_]+)=(?:"([^"]*)"|([A-Za-z0-9./_:@,+-]+))(?: |$)')
"""One value: a plain word, or quoted text in which no quote is left."""
HEAD = re.compile(r"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|@\d+) daos_server_helper\[\d+\]: ")


def parse(text: str) -> Line:
    """Take one line apart; fail if anything in it is not a value."""
    head = HEAD.match(text)
    assert head is not None, text
    assert text.isascii(), text
    assert text.isprintable(), text
    line: Line = {}
    at = head.end()
    while at < len(text):
        found = VALUE.match(text, at)
        assert found is not None, text[at:]
        assert found[1] not in line, text
        line[found[1]] = found[2] if found[2] is not None else found[3]
        at = found.end()
    return line


class Trail:
    """Both audit files, from the moment that this is made on."""

    def __init__(self, installation: Installation) -> None:
        self._files = (Path(installation.layout.audit_log), Path(installation.layout.audit_read_log))
        self._sizes = {path: self._size(path) for path in self._files}

    @staticmethod
    def _size(path: Path) -> int:
        return path.stat().st_size if path.exists() else 0

    def lines(self) -> list[Line]:
        """Return the lines written since, those about changes first."""
        found: list[Line] = []
        for path in self._files:
            if path.exists():
                with open(path, encoding="ascii") as file:
                    file.seek(self._sizes[path])
                    found += [parse(text) for text in file.read().splitlines()]
        return found

    def ends(self) -> list[Line]:
        """Return the lines that tell how something ended."""
        return [line for line in self.lines() if "verdict" in line]

    def only(self) -> Line:
        """Return the one line that tells how the one attack ended."""
        (line,) = self.ends()
        return line
