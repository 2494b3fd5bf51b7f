# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The one exception that crosses the process boundary.

A fault says what happened, to which object, why, and what to do next.  Its numeric code and its name are the reference's
(``codes.py``); the words are in ``catalogue.py``, which is imported only when a fault is made, so that a session that goes
well never pays for it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD_LIMIT = 4096
"""Longest text, in characters, of any field of a fault on the wire."""

WIRE_FIELDS = ("code", "domain", "description", "object", "cause", "resolution")


class Fault(Exception):  # noqa: N818 - the reference's own word for it
    """An error with a stable code.

    :param code: a number from ``codes.py``.
    :param object: the thing it happened to (a path, an address, a key); empty if there is none.
    :param cause: the underlying reason, usually an operating system error in words.
    :param variant: which wording, for the few codes that have several (see ``catalogue.py``).
    :param values: what fills the placeholders of the catalogue's description and resolution.
    :raises KeyError: if a placeholder of the catalogue entry is not given: a defect of the caller.
    """

    def __init__(self, code: int, *, object: str = "", cause: str = "", variant: str = "", **values: object) -> None:
        from daos_pbin.catalogue import entry

        found = entry(code, variant)
        self._fill(
            code,
            found.domain,
            found.description.format_map(values),
            str(object),
            str(cause),
            found.resolution.format_map(values),
        )

    def _fill(self, code: int, domain: str, description: str, subject: str, cause: str, resolution: str) -> None:
        self.code = code
        self.domain = domain
        self.description = description
        self.object = subject
        self.cause = cause
        self.resolution = resolution
        super().__init__(code, description)

    @classmethod
    def from_wire(cls, fields: Mapping[str, object]) -> Fault:
        """Make a fault from the six wire fields, already checked by ``envelope.py``."""
        fault = cls.__new__(cls)
        code, *texts = (fields[name] for name in WIRE_FIELDS)
        domain, description, subject, cause, resolution = (str(text) for text in texts)
        fault._fill(int(str(code)), domain, description, subject, cause, resolution)
        return fault

    def to_wire(self) -> dict[str, int | str]:
        """Return the six wire fields, each text cut to ``FIELD_LIMIT``."""
        return {
            "code": self.code,
            "domain": self.domain,
            "description": self.description[:FIELD_LIMIT],
            "object": self.object[:FIELD_LIMIT],
            "cause": self.cause[:FIELD_LIMIT],
            "resolution": self.resolution[:FIELD_LIMIT],
        }

    @property
    def name(self) -> str:
        """The code's name, such as ``StorageAlreadyFormatted``."""
        from daos_pbin.catalogue import name_of

        return name_of(self.code)

    def __str__(self) -> str:
        text = f"{self.domain}: code = {self.code} description = \"{self.description}\""
        if self.object and self.object not in self.description:
            text += f" ({self.object})"
        if self.cause:
            text += f": {self.cause}"
        return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fault) and other.code == self.code

    def __hash__(self) -> int:
        return hash(self.code)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a fault crosses a process boundary only through pbin")
