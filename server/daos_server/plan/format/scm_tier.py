# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The SCM of one engine: a tmpfs, or ext4 on persistent memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.format import keys
from daos_server.plan.reset import lost_content
from daos_server.plan.steps import FormatDcpm, FormatRam
from daos_server.plan.units import GIB, bytes_text

if TYPE_CHECKING:
    from daos_server.plan.facts import ScmState
    from daos_server.plan.format.draft import Draft, Verdict
    from daos_server.plan.steps import Step
    from daos_server.plan.wanted import Engine, Scm


def plan(draft: Draft, engine: Engine, state: ScmState, size_gib: int) -> Verdict:
    """Plan the SCM of an engine, and return what becomes of it.

    :param size_gib: of a RAM disk.
    """
    if engine.scm is None:
        draft.refusals.append(Fault(codes.SCM_CONFIG_TIER_MISSING, object=f"engine {engine.index}"))
        return "blocked"
    if state.fault is not None:
        draft.refusals.append(state.fault)
        return "blocked"
    return _Tier(draft, engine, engine.scm, state, size_gib).plan()


class _Tier:
    def __init__(self, draft: Draft, engine: Engine, scm: Scm, state: ScmState, size_gib: int) -> None:
        self._draft = draft
        self._engine = engine
        self._scm = scm
        self._state = state
        self._size_gib = size_gib
        self._key = keys.scm(engine.index)

    def plan(self) -> Verdict:
        state, before = self._state, self._draft.consent.state(self._key)
        if self._draft.consent.given(self._key):
            return self._format(force=True)
        if before == "begun" and state.mounted:
            return self._was_done()
        if before == "begun" and state.mountable:
            # The device was blank when the interrupted run began; what is on it now is what that run made.
            return self._format(force=True)
        if before == "done" and not state.needs_format:
            return self._was_done()
        return self._plan_unformatted() if state.needs_format else self._plan_formatted()

    def _plan_unformatted(self) -> Verdict:
        if not self._state.formatted:
            return self._format(force=False)
        self._draft.consent.need(self._key, self._state.device or self._scm.mount, self._state.found)
        return "blocked"

    def _plan_formatted(self) -> Verdict:
        state, mount = self._state, self._state.mount
        is_empty = self._scm.storage_class == "ram" and mount.kind == "tmpfs" and mount.content == ()
        if self._draft.consent.was_to_be_forced(self._key) and not is_empty:
            self._draft.consent.need(self._key, state.device or self._scm.mount, state.found)
            return "blocked"
        self._stand(f"formatted already: {state.found}")
        if is_empty and mount.size and mount.size != self._size_gib * GIB:
            self._draft.notes.append(
                f"engine {self._engine.index}: {self._scm.mount} has {bytes_text(mount.size)},"
                f" the configuration leads to {self._size_gib} GiB: --force makes it anew"
            )
        return "empty" if is_empty else "stays"

    def _was_done(self) -> Verdict:
        self._stand("the interrupted format did it")
        return "fresh"

    def _stand(self, detail: str) -> None:
        action = FormatDcpm.action if self._scm.storage_class == "dcpm" else FormatRam.action
        self._draft.stand(self._scm.mount, action, already=True, detail=detail, engine=self._engine.index, tier=self._scm.tier)

    def _format(self, *, force: bool) -> Verdict:
        self._draft.scm.append(self._on_device(force=force) if self._scm.storage_class == "dcpm" else self._in_memory(force=force))
        return "format"

    def _on_device(self, *, force: bool) -> Step:
        state = self._state
        return FormatDcpm(
            key=self._key,
            engine=self._engine.index,
            tier=self._scm.tier,
            subject=self._scm.mount,
            device=state.device,
            force=force,
            lost=state.found if state.formatted or state.mounted or state.mountable else "",
            needs=self._draft.metadata_keys,
        )

    def _in_memory(self, *, force: bool) -> Step:
        mount = self._state.mount
        return FormatRam(
            key=self._key,
            engine=self._engine.index,
            tier=self._scm.tier,
            subject=self._scm.mount,
            size_gib=self._size_gib,
            numa_node=self._engine.numa_node,
            disable_hugepages=self._scm.disable_hugepages,
            force=force,
            lost=lost_content(mount) if mount.kind == "tmpfs" else mount.kind,
            needs=self._draft.metadata_keys,
        )
