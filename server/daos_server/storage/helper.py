# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A helper that is started by the first call and not at all without one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from daos_pbin.envelope import Progress
    from daos_pbin.messages import Request, ResultT
    from daos_server.storage.facts import Helper
    from daos_server.storage.report import Reporter

    Session = AbstractAsyncContextManager[Helper]
    SessionFactory = Callable[[Reporter], Session]

DEADLINE_S = 600.0
"""Seconds that a request may take unless its caller says otherwise; the making of a large file system is the longest."""
AT_ONCE = 8
"""Requests that are open at a time; the helper refuses too many, and disks gain nothing from more."""


class LazyHelper:
    """The helper's session, entered when first needed; a helper that does not start is tried once."""

    def __init__(self, factory: SessionFactory, reporter: Reporter) -> None:
        self._factory = factory
        self._reporter = reporter
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._session: Helper | None = None
        self._refused: Fault | None = None

    async def call(
        self, request: Request[ResultT], *, deadline_s: float = DEADLINE_S, on_progress: Callable[[Progress], None] | None = None
    ) -> ResultT:
        """Make a request; raises as ``HelperSession``, from its start as well."""
        session = await self._entered()
        async with self._turn:
            return await session.call(request, deadline_s=deadline_s, on_progress=on_progress)

    async def _entered(self) -> Helper:
        async with self._starting:
            if self._refused is not None:
                raise self._refused
            if self._session is None:
                try:
                    self._session = await self._stack.enter_async_context(self._factory(self._reporter))
                except Fault as fault:
                    self._refused = fault
                    raise
            return self._session

    async def close(self) -> None:
        """End the session, if there is one."""
        await self._stack.aclose()
