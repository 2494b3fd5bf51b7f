# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a format may destroy: everything with ``--force``; else only what an interrupted format had begun with consent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.plan.unfinished import State, Unfinished


@dataclass(frozen=True)
class Lacking:
    """Something that a format would destroy, and for which there is no consent."""

    subject: str
    found: str


@dataclass
class Consent:
    """What was consented to, and what turned out to need consent and has none.

    :param force: the command was given ``--force``.
    :param resume: the interrupted format that this one completes; None if it completes none.
    :param found: what would be destroyed.
    :param left: what an interrupted forced format was to destroy, and had not begun.
    """

    force: bool
    resume: Unfinished | None
    found: list[Lacking] = field(default_factory=list)
    left: list[Lacking] = field(default_factory=list)

    def state(self, key: str) -> State | None:
        """Return how far the interrupted format came with a step; None if it had no such step."""
        return None if self.resume is None else self.resume.state(key)

    def given(self, key: str) -> bool:
        """Tell whether a step may destroy what is there."""
        return self.force or (self.resume is not None and self.resume.consent(key))

    def was_to_be_forced(self, key: str) -> bool:
        """Tell whether an interrupted forced format meant to do this and had not begun: its consent does not reach so far."""
        return self.resume is not None and self.resume.force and self.state(key) in ("pending", "failed")

    def need(self, key: str, subject: str, found: str) -> None:
        """Note that a step would destroy what was found, without consent."""
        (self.left if self.was_to_be_forced(key) else self.found).append(Lacking(subject, found))

    def refusals(self) -> Iterator[Fault]:
        """Yield one refusal for what an interrupted format left, and one for everything else that was found."""
        if self.left:
            subjects, cause = _listed(self.left)
            yield Fault(codes.STORAGE_FORMAT_INTERRUPTED, object=subjects, cause=cause, what=subjects)
        if self.found:
            subjects, cause = _listed(self.found)
            yield Fault(codes.STORAGE_ALREADY_FORMATTED, object=subjects, cause=cause)


def _listed(parts: list[Lacking]) -> tuple[str, str]:
    return ", ".join(part.subject for part in parts), "; ".join(f"{part.subject}: {part.found}" for part in parts)
