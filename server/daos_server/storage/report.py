# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The answer of a storage command: one row for each part that the configuration names, and who listens while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daos_server.plan.steps import Step


class Outcome(StrEnum):
    """What became of one part; the first four end steps, the others are what a scan says."""

    DONE = "done"
    ALREADY = "already"
    SKIPPED = "skipped"
    FAILED = "failed"

    FORMATTED = "formatted"
    UNFORMATTED = "unformatted"
    PRESENT = "present"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One part of the machine and what became of it.

    :param engine: index of the engine it belongs to; None for what all engines share.
    :param tier: index of the storage tier; None if it is no tier.
    :param subject: the thing: a mount point, a device, a file, ``node 0``.
    :param action: what was wanted, such as ``format SCM (ram)``.
    :param detail: what was found or done, or why not, in words.
    :param fault: the error of a failed row, or of one that could not be looked at.
    """

    subject: str
    action: str
    outcome: Outcome
    detail: str = ""
    engine: int | None = None
    tier: int | None = None
    fault: Fault | None = None

    @property
    def where(self) -> str:
        """The part's place in the configuration, such as ``engine 0 tier 1``; empty for what all engines share."""
        if self.engine is None:
            return ""
        return f"engine {self.engine}" if self.tier is None else f"engine {self.engine} tier {self.tier}"

    def as_json(self) -> dict[str, object]:
        """Return the row as the value that ``--json`` prints."""
        return {
            "engine": self.engine,
            "tier": self.tier,
            "subject": self.subject,
            "action": self.action,
            "outcome": self.outcome.value,
            "detail": self.detail,
            "fault": None if self.fault is None else self.fault.to_wire(),
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a command did or found.

    :param command: ``prepare``, ``scan``, ``format`` or ``reset``.
    :param notes: what an administrator should know besides the rows, each a sentence.
    """

    command: str
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows that make the command fail."""
        return tuple(row for row in self.rows if row.outcome is Outcome.FAILED)

    def fault(self) -> Fault | None:
        """The error of the command as a whole: None if nothing failed, the one fault, or 2303 that names each part."""
        failed = self.failed
        faults = [row.fault for row in failed if row.fault is not None]
        if not failed:
            return None
        if len(failed) == 1 and faults:
            return faults[0]
        return partial_failure([f"{row.where} {row.subject}".strip() for row in failed], len(self.rows))

    def as_json(self) -> dict[str, object]:
        """Return the report as the value that ``--json`` prints."""
        return {"command": self.command, "rows": [row.as_json() for row in self.rows], "notes": list(self.notes)}


def partial_failure(parts: Sequence[str], total: int) -> Fault:
    """Return fault 2303 for several parts that failed, of ``total`` parts."""
    return Fault(codes.SERVER_PARTIAL_FAILURE, failed=len(parts), total=total, parts=", ".join(parts))


def together(faults: Sequence[Fault], total: int) -> Fault | None:
    """Return the one fault that stands for several, of ``total`` parts: 2303 that names each; None if there is none."""
    if len(faults) < 2:
        return faults[0] if faults else None
    return partial_failure([f"{fault.object or fault.name} ({fault.code})" for fault in faults], total)


class Reporter(Protocol):
    """Whoever shows a command's progress; called from the event loop only."""

    def step_started(self, step: Step) -> None:
        """A step begins."""

    def progress(self, step: Step, done: int, total: int, unit: str, what: str) -> None:
        """A step is at ``done`` of ``total`` (0 if unknown) units; ``what`` is being done now."""

    def step_finished(self, step: Step, row: Row) -> None:
        """A step ended, well or not."""

    def log(self, level: str, text: str) -> None:
        """Something happened that is worth a line; ``level`` is debug, info, notice or error."""


class Silent:
    """A reporter that shows nothing."""

    def step_started(self, step: Step) -> None:
        """Ignore it."""

    def progress(self, step: Step, done: int, total: int, unit: str, what: str) -> None:
        """Ignore it."""

    def step_finished(self, step: Step, row: Row) -> None:
        """Ignore it."""

    def log(self, level: str, text: str) -> None:
        """Ignore it."""
