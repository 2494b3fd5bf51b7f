# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A step: the unit of privilege.  A method is a generator that yields steps; the monitor runs each in a worker of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final, Protocol, TypeVar

from msgspec import Struct, ValidationError, convert

from daos_helper.privileges import Row
from daos_pbin import codes
from daos_pbin.faults import Fault

T = TypeVar("T")

Built = dict[str, object]
"""What a step's function returns: plain values only."""


class WorkerIO(Protocol):
    """How a step speaks to the people who wait for it."""

    def progress(self, done: int, total: int, unit: str, what: str) -> None:
        """Report how far the step is."""

    def log(self, text: str) -> None:
        """Say something for the log."""


class Step:
    """One piece of work for one worker.

    :param row: its row of the privilege table.
    :param subject: what it works on, for faults and logs.
    :param keep: descriptors that the worker keeps; all others are closed before the drop.
    :param run: the work of a step in Python; None for a program.
    :param program: argument vector of a program, with an absolute path first; None for Python.
    :param into: a file in memory, among those in ``keep``, that gets what a program prints on standard output; the log without.
    """

    def __init__(
        self,
        row: Row,
        subject: str,
        *,
        keep: tuple[int, ...] = (),
        run: Callable[[WorkerIO], Built] | None = None,
        program: tuple[str, ...] | None = None,
        into: int | None = None,
    ) -> None:
        if (run is None) == (program is None):
            raise ValueError("a step is either a function or a program")
        self.row = row
        self.subject = subject
        self.keep = keep
        self.run = run
        self.program = program
        self.into = into


class Exit(Struct, frozen=True, forbid_unknown_fields=True):
    """How a program ended, with the last of what it printed."""

    status: int
    output: str


Work = Generator[Step, object, T]
"""A method, or a part of one: yields steps, is sent what they returned, returns its own answer."""

OUTPUT_KEPT: Final = 4096
"""Characters of a program's output that are kept for its fault."""


def perform(step: Step, result: type[T]) -> Work[T]:
    """Run a step and give its result a type: what a worker says is hostile until then.

    :raises Fault: what the worker raised, or 2007 if its answer is not of the type.
    """
    outcome = yield step
    try:
        return convert(outcome, result)
    except ValidationError as error:
        raise Fault(codes.HELPER_WORKER_NO_ANSWER, cause=str(error), step=step.row.step, status="with an answer of another type") from error
