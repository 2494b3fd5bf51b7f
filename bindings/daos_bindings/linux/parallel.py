# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The same work for many devices at the same time, in a worker, where one device that hangs must not hide the others.

Load it before the fork: a worker that is confined cannot, and the import would cost each worker again.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")

STACK_BYTES = 512 * 1024
"""Of a thread: address space may be limited."""
FEW = 2
"""Threads to begin with for work that computes as much as it waits: after a fork, each more makes all of them slower."""
SLOW_S = 1.0
"""Seconds after which another thread is added, while there is work left."""


def spread(
    count: int, work: Callable[[int], T], *, threads: int, seconds: float | None, done: Callable[[int, T], None], first: int = 0
) -> None:
    """Do ``work(0)`` to ``work(count - 1)``, and leave what is not finished in time to itself.

    Who calls this must leave with ``os._exit`` soon, as workers do: threads that hang are never waited for.

    :param threads: how many at most; fewer, and none at all, if the system has no more.
    :param first: how many to begin with, such as ``FEW``; 0 for all at once, as suits work that waits.  One is added every
        ``SLOW_S``: devices that are slow, or hang, must not use up the time of the others.
    :param seconds: for all of it; None for as long as it takes.
    :param done: called with each result as it comes, in the calling thread.
    :raises Exception: the first that ``work`` raises, once everything else is done.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    finished: queue.SimpleQueue[tuple[int, T | _Failed]] = queue.SimpleQueue()
    for number in range(count):
        waiting.put(number)

    def serve() -> None:
        while not waiting.empty():
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            finished.put((number, _outcome(number, work)))

    threading.stack_size(STACK_BYTES)
    most = min(threads, count)
    running = _start(serve, min(first or most, most))
    if not running:
        serve()
    begun = time.monotonic()
    deadline = math.inf if seconds is None else begun + seconds
    another = begun + SLOW_S
    failed: list[BaseException] = []
    told = 0
    while told < count and (now := time.monotonic()) < deadline:
        if now >= another and running < most:
            running += _start(serve, 1)
            another = now + SLOW_S
        wake = min(deadline, another if running < most else math.inf)
        with contextlib.suppress(queue.Empty):
            number, outcome = finished.get(timeout=min(max(0.0, wake - now), threading.TIMEOUT_MAX))
            told += 1
            if isinstance(outcome, _Failed):
                failed.append(outcome.error)
            else:
                done(number, outcome)
    if failed:
        raise failed[0]


class _Failed(NamedTuple):
    error: BaseException


def _outcome(number: int, work: Callable[[int], T]) -> T | _Failed:
    try:
        return work(number)
    except BaseException as error:  # raised where somebody hears it
        return _Failed(error)


def _start(serve: Callable[[], None], count: int) -> int:
    """Start as many threads as the system lets us; return how many those are."""
    for started in range(count):
        try:
            threading.Thread(target=serve, daemon=True).start()
        except RuntimeError:  # Python's word for EAGAIN
            return started
    return count
