# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Progress on standard error while a plan runs: a line for each step that ended, and on a terminal one live line below."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from daos_server.cli.logs import LOG
from daos_server.cli.output import escape, note

if TYPE_CHECKING:
    from daos_server.plan.steps import Step
    from daos_server.storage.report import Row

CLEAR_LINE = "\r\x1b[K"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "notice": logging.WARNING, "warning": logging.WARNING, "error": logging.ERROR}


class Progress:
    """Shows how a plan goes, and remembers the rows of the steps that ended, for when it is interrupted.

    :param total: number of steps of the plan.
    """

    def __init__(self, total: int = 0) -> None:
        self.ended: list[Row] = []
        self._total = total
        self._running: dict[str, str] = {}
        self._live = sys.stderr.isatty()

    @property
    def running(self) -> tuple[str, ...]:
        """The steps that have begun and not ended, each described."""
        return tuple(self._running.values())

    def step_started(self, step: Step) -> None:
        """Show the step as running."""
        self._running[step.key] = step.describe()
        self._draw()

    def progress(self, step: Step, done: int, total: int, unit: str, what: str) -> None:
        """Show how far the step is."""
        amount = f"{done} of {total} {unit}" if total else f"{done} {unit}"
        self._running[step.key] = f"{step.action} {step.subject}: {amount} {what}".rstrip()
        self._draw()

    def step_finished(self, step: Step, row: Row) -> None:
        """Print the step's outcome."""
        self._running.pop(step.key, None)
        self.ended.append(row)
        place = f"{row.where}: " if row.where else ""
        detail = f" ({row.detail})" if row.detail else ""
        self._print(f"[{len(self.ended)}/{self._total}] {row.outcome}: {place}{row.action} {row.subject}{detail}")

    def log(self, level: str, text: str) -> None:
        """Pass a line on to the log, which the command line has set up."""
        self.close()
        logging.getLogger(LOG).log(LEVELS.get(level, logging.ERROR), "%s", text)
        self._draw()

    def close(self) -> None:
        """Take the live line away."""
        if self._live:
            note(CLEAR_LINE, end="")

    def _print(self, line: str) -> None:
        self.close()
        note(escape(line))
        self._draw()

    def _draw(self) -> None:
        if not self._live:
            return
        from shutil import get_terminal_size

        text = escape("running: " + "; ".join(self._running.values())) if self._running else ""
        note(CLEAR_LINE + text[: get_terminal_size().columns - 1], end="")
