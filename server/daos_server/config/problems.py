# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One thing that is wrong in a configuration, and one worth knowing about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daos_pbin import codes

Where = tuple[str | int, ...]
"""Where in the file: keys and places in lists (from 0), such as ``("engines", 0, "targets")``."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a configuration is refused.

    :param where: the key that it is about.
    :param message: what is wrong, with the value found.
    :param remedy: what to change.
    :param code: the reference's fault code for this case, or ``SERVER_CONFIG_INVALID`` where it has none.
    :param values: what the catalogue's words for that code want.
    :param rests_on: other keys that it would not be without.
    :param line: line of the file, from 1; 0 if not known.
    :param meant: the key that was probably meant by one that does not exist; empty if none is close.
    """

    where: Where
    message: str
    remedy: str
    code: int = codes.SERVER_CONFIG_INVALID
    values: Mapping[str, object] = field(default_factory=dict)
    rests_on: tuple[Where, ...] = ()
    line: int = 0
    meant: Where = ()

    @property
    def key(self) -> str:
        """The key as a person writes it, such as ``engines[0].storage[1].bdev_list``."""
        return key_text(self.where)

    def text(self, path: str) -> str:
        """Return the line for a terminal: file, line, key, what, remedy."""
        return f"{path}:{self.line}: {self.key}: {self.message}: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something taken otherwise than written, or worth knowing; no reason to refuse the file.

    :param code: the reference's fault code for this case; 0 where it has none.
    """

    where: Where
    message: str
    line: int = 0
    code: int = 0

    @property
    def key(self) -> str:
        """The key as a person writes it."""
        return key_text(self.where)

    def text(self, path: str) -> str:
        """Return the line for a terminal."""
        return f"{path}:{self.line}: {self.key}: {self.message}"


def key_text(where: Where) -> str:
    """Return a place as a person writes it; the file itself is ``(file)``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".") or "(file)"
