# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Steps of a plan, as they are told to callers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from daos_pbin.pmem import Remembered
from daos_pbin.pmem_messages import PmemStep
from daos_pbin.pmem_plan import CreateGoal, CreateNamespace, DeleteGoals, DestroyNamespace, Remember, Step, Unmount

MIB = 1 << 20


def described(step: Step) -> PmemStep:
    """Return a step's names and words; not done."""
    if isinstance(step, DeleteGoals):
        return PmemStep("delete-goals", step.uids, f"take back what was asked of the firmware for {_modules(step.uids)}")
    if isinstance(step, CreateGoal):
        words = f"ask the firmware for interleaved regions on {_modules(step.uids)}, to be made at the next start of the machine"
        return PmemStep("create-goal", step.uids, words)
    if isinstance(step, CreateNamespace):
        return PmemStep("create-namespace", (step.region.dev,), f"make a namespace of {step.size // MIB} MiB on {step.region.dev}")
    if isinstance(step, Unmount):
        return PmemStep("unmount", (step.blockdev,), f"unmount /dev/{step.blockdev}")
    if isinstance(step, DestroyNamespace):
        return PmemStep("destroy-namespace", (step.dev,), f"destroy {step.dev} and everything in it")
    return PmemStep("remember", (), _record(step))


class HowFar(NamedTuple):
    """How far a change is, as ``steps.WorkerIO.progress`` takes it."""

    done: int
    total: int
    unit: str
    what: str


def how_far(steps: Sequence[Step], place: int) -> HowFar | None:
    """Return how far a change is before one of its steps: in namespaces; None for a step that is about none.

    :param place: of the step; those before it are done.
    """
    step = steps[place]
    if isinstance(step, CreateNamespace):
        what = f"made, now one on {step.region.dev}"
    elif isinstance(step, DestroyNamespace):
        what = f"destroyed, now {step.dev}"
    else:
        return None
    alike = [index for index, one in enumerate(steps) if type(one) is type(step)]
    return HowFar(alike.index(place), len(alike), "namespaces", what)


def _modules(uids: tuple[str, ...]) -> str:
    return f"{len(uids)} modules" if len(uids) != 1 else "1 module"


def _record(step: Remember) -> str:
    if step.record == Remembered():
        return "write down that nothing is begun any more"
    return "write down what is begun, for a run after a restart"
