# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The same work for many devices at the same time, in a worker, where one device that hangs must not hide the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import threading

T = TypeVar("T")

STACK_BYTES = 512 * 1024
"""Of a thread: address space may be limited."""


def spread(count: int, work: Callable[[int], T], *, threads: int, seconds: float, done: Callable[[int, T], None]) -> None:
    """Do ``work(0)`` to ``work(count - 1)``, and leave what is not finished in time to itself.

    Who calls this must leave with ``os._exit`` soon, as workers do: threads that hang are never waited for.

    :param threads: how many at most; fewer, and none at all, if the system has no more.
    :param seconds: for all of it.
    :param done: called with each result as it comes, in the calling thread.
    """
    import queue
    import threading

    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    finished: queue.SimpleQueue[tuple[int, T]] = queue.SimpleQueue()
    for number in range(count):
        waiting.put(number)

    def serve() -> None:
        while not waiting.empty():
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            finished.put((number, work(number)))

    threading.stack_size(STACK_BYTES)
    if not _start([threading.Thread(target=serve, daemon=True) for _ in range(min(threads, count))]):
        serve()
    deadline = time.monotonic() + seconds
    for _ in range(count):
        try:
            done(*finished.get(timeout=max(0.0, deadline - time.monotonic())))
        except queue.Empty:
            return


def _start(threads: list[threading.Thread]) -> int:
    """Start as many as the system lets us; return how many those are."""
    for started, thread in enumerate(threads):
        try:
            thread.start()
        except RuntimeError:  # Python's word for EAGAIN
            return started
    return len(threads)
