# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The plan of a format as far as it has come: what every part of it reads, and adds to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from daos_server.plan.format import keys
from daos_server.plan.steps import Standing

if TYPE_CHECKING:
    from daos_pbin.faults import Fault
    from daos_server.plan.access import Access
    from daos_server.plan.facts import EngineState, FileState, Storage
    from daos_server.plan.format.consent import Consent
    from daos_server.plan.steps import CreateFile, Step
    from daos_server.plan.wanted import Engine, Wanted

Verdict = Literal["format", "fresh", "empty", "stays", "blocked"]
"""What becomes of an engine's SCM: formatted now; formatted by the run that this one completes; formatted, mounted and empty;
formatted and in use; or in need of consent."""


@dataclass(frozen=True)
class Judged:
    """An engine, what was found of it, and what becomes of its SCM: all that its bdevs depend on."""

    engine: Engine
    state: EngineState
    scm: Verdict


@dataclass
class Draft:
    """A plan in the making.

    :param access: how SSDs are handed to the engines.
    :param metadata: steps for the control metadata.
    :param scm: steps for the SCM of all engines.
    :param bdevs: steps for their bdevs and NVMe configurations.
    :param files: the files that are made, and what is there when their turn comes.
    :param metadata_fresh: the metadata folders are made by this run, or were by the one that it completes: nothing is in them.
    """

    wanted: Wanted
    facts: Storage
    access: Access
    consent: Consent
    notes: list[str]
    metadata: list[Step] = field(default_factory=list)
    scm: list[Step] = field(default_factory=list)
    bdevs: list[Step] = field(default_factory=list)
    files: list[tuple[CreateFile, FileState]] = field(default_factory=list)
    standing: list[Standing] = field(default_factory=list)
    refusals: list[Fault] = field(default_factory=list)
    metadata_fresh: bool = False

    @property
    def metadata_is_hidden(self) -> bool:
        """Whether the metadata folders are on a device that is not mounted, so that nobody can look into them."""
        state = self.facts.metadata
        return bool(state.device) and not state.mounted and not self.metadata

    @property
    def metadata_keys(self) -> tuple[str, ...]:
        """The steps without which there is no control metadata: SCM needs them."""
        return tuple(step.key for step in self.metadata)

    def bdev_needs(self, engine: Engine) -> tuple[str, ...]:
        """Return the steps without which an engine's bdevs and NVMe configuration have no place."""
        late_mount = (keys.MOUNT,) if self.metadata_is_hidden and engine.has_meta_role else ()
        return (*self.metadata_keys, *late_mount, *(step.key for step in self.scm if step.engine == engine.index))

    def stand(
        self,
        subject: str,
        action: str,
        *,
        already: bool,
        detail: str,
        engine: int | None = None,
        tier: int | None = None,
        fault: Fault | None = None,
    ) -> None:
        """Add a part that needs no step."""
        part = Standing(engine=engine, tier=tier, subject=subject, action=action, already=already, detail=detail, fault=fault)
        self.standing.append(part)
