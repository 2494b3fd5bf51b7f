# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The same work for many devices at the same time, in a worker, where one device that hangs must not hide the others.

Load it before the fork: a worker that is confined cannot, and the import would cost each worker again.
"""

from __future__ import annotations

import functools
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

T = TypeVar("T")

STACK_BYTES = 512 * 1024
"""Of a thread: address space may be limited."""
FEW = 2
"""Threads to begin with for work that computes as much as it waits: after a fork, each more makes all of them slower."""
SLOW_S = 0.25
"""Seconds without any result after which another thread is added."""


def spread(
    count: int, work: Callable[[int], T], *, threads: int, seconds: float | None, done: Callable[[int, T], None], first: int = 0
) -> None:
    """Do ``work(0)`` to ``work(count - 1)``, and leave what is not finished in time to itself.

    Who calls this must leave with ``os._exit`` soon, as workers do: threads that hang are never waited for.

    :param threads: how many at most; fewer, and none at all, if the system has no more.
    :param first: how many to begin with, such as ``FEW``; 0 for all at once, as suits work that waits.  One is added whenever
        nothing is finished for a while: a device that hangs must not stop the others.
    :param seconds: for all of it; None for as long as it takes.
    :param done: called with each result as it comes, in the calling thread.
    :raises Exception: the first that ``work`` raises; the rest goes on unwatched.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    finished: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    for number in range(count):
        waiting.put(number)

    def serve() -> None:
        while not waiting.empty():
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            finished.put(_outcome(number, work, done))

    threading.stack_size(STACK_BYTES)
    most = min(threads, count)
    running = _start(serve, min(first or most, most))
    if not running:
        serve()
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    told = 0
    while told < count:
        left = deadline - time.monotonic()
        wait = min(left, SLOW_S if running < most else threading.TIMEOUT_MAX)
        try:
            tell = finished.get(timeout=max(0.0, wait))
        except queue.Empty:
            if wait == left:
                return
            running += _start(serve, 1)
            continue
        told += 1
        tell()


def _outcome(number: int, work: Callable[[int], T], done: Callable[[int, T], None]) -> Callable[[], None]:
    """Do the work; return what the calling thread is to do with what came of it."""
    try:
        value = work(number)
    except Exception as error:  # raised where somebody hears it
        return functools.partial(_fail, error)
    return functools.partial(done, number, value)


def _fail(error: Exception) -> NoReturn:
    raise error


def _start(serve: Callable[[], None], count: int) -> int:
    """Start as many threads as the system lets us; return how many those are."""
    for started in range(count):
        try:
            threading.Thread(target=serve, daemon=True).start()
        except RuntimeError:  # Python's word for EAGAIN
            return started
    return count
