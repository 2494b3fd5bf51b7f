# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Asks the helper again while somebody else holds what a request is about: after a kill, the kernel finishes what was begun."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from daos_pbin.envelope import Progress
    from daos_pbin.messages import Request, ResultT
    from daos_server.storage.facts import Helper
    from daos_server.storage.report import Reporter

TRIES: Final = 16
"""How often a request is made."""
PAUSE_S: Final = 1.0
"""Seconds between two tries; together as long as the kernel usually needs to let go of a drive."""


class Patient:
    """A helper whose calls wait a bounded time for what another holds (2010): nothing was done then, so nothing is done twice."""

    def __init__(self, helper: Helper, reporter: Reporter) -> None:
        self._helper = helper
        self._reporter = reporter

    async def call(
        self, request: Request[ResultT], *, deadline_s: float | None = None, on_progress: Callable[[Progress], None] | None = None
    ) -> ResultT:
        """Make a request and return its result; raises ``Fault``, 2010 only after the last try."""
        for left in range(TRIES - 1, 0, -1):
            try:
                return await self._once(request, deadline_s, on_progress)
            except Fault as fault:
                if fault.code != codes.HELPER_RESOURCE_BUSY:
                    raise
                self._reporter.log("notice", f"{fault.description}: trying again, for {left * PAUSE_S:.0f} more seconds")
            await asyncio.sleep(PAUSE_S)
        return await self._once(request, deadline_s, on_progress)

    async def _once(
        self, request: Request[ResultT], deadline_s: float | None, on_progress: Callable[[Progress], None] | None
    ) -> ResultT:
        if deadline_s is None:
            return await self._helper.call(request, on_progress=on_progress)
        return await self._helper.call(request, deadline_s=deadline_s, on_progress=on_progress)
