# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The record of a format that did not end, as the planner sees it: what was begun, what was done, and with whose consent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["pending", "begun", "done", "failed"]
"""``begun`` may have changed something and was not undone; ``failed`` changed nothing, or undid it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One step of the unfinished format.

    :param subject: what it is done to, for people.
    :param force: the consent it was begun with.
    """

    subject: str
    state: State
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A format that was interrupted.

    :param digest: fingerprint of the configuration that it was for.
    :param force: it was given ``--force``.
    :param started: when, UTC, ISO 8601.
    :param steps: by the steps' keys.
    """

    digest: str
    force: bool
    started: str
    steps: Mapping[str, Entry] = field(default_factory=dict)

    def state(self, key: str) -> State | None:
        """Return the state of a step; None if the format had no such step."""
        found = self.steps.get(key)
        return None if found is None else found.state

    def consent(self, key: str) -> bool:
        """Tell whether the step was begun with force."""
        found = self.steps.get(key)
        return found is not None and found.state == "begun" and found.force
