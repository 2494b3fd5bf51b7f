# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Commands of all controllers side by side: each is a generator that yields while it waits for its drive.

SPDK has no interrupts: whoever waits asks the drive again and again, and one that never answers costs the others nothing.
"""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from daos_bindings.nvme.admin import AdminError
from daos_bindings.spdk.raw import answered, awaited, ffi, lib

T = TypeVar("T")
Task = Generator[None, None, T]

POLL_S = 50e-6
"""Pause between two looks at all drives."""
DMA_ALIGNMENT = 4096
ANY_NODE = -1

_numbers = itertools.count(1)


def run_all(tasks: Sequence[Task[T]]) -> list[T]:
    """Run them all to their ends; return their results in the same order."""
    results: dict[int, T] = {}
    while len(results) < len(tasks):
        for place, task in enumerate(tasks):
            if place in results:
                continue
            try:
                next(task)
            except StopIteration as end:
                results[place] = end.value
        time.sleep(POLL_S)
    return [results[place] for place in range(len(tasks))]


def until(done: Callable[[], bool], timeout_s: float) -> Task[bool]:
    """Wait; return whether it came to pass in time."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        yield
    return True


def transfer(
    name: str, send: Callable[[object, object], int], poll: Callable[[], int], length: int, data: bytes = b"", *, timeout_s: float
) -> Task[bytes]:
    """Send one command with memory that the drive can reach, and return what is in it afterwards.

    :param name: of the command, for messages.
    :param send: sends it, given the memory and what SPDK is to call back with; returns a negative errno if it cannot.
    :param poll: lets SPDK look for answers; the same.
    :param data: what is in the memory before, at most *length* bytes; the rest are zeros.
    :raises AdminError: if the command does not succeed; ``timed_out`` after *timeout_s*.
    """
    memory = lib.spdk_zmalloc(max(length, 1), DMA_ALIGNMENT, ffi.NULL, ANY_NODE, lib.SPDK_MALLOC_DMA)
    if not memory:
        raise AdminError(name, number=errno.ENOMEM)
    ffi.buffer(memory, length)[: len(data)] = data
    number = next(_numbers)
    awaited.add(number)
    _check(name, send(memory, ffi.cast("void *", number)), memory)

    def done() -> bool:
        if number in awaited:
            _check(name, poll(), None)
        return number not in awaited

    if not (yield from until(done, timeout_s)):
        # The drive may still write to the memory, so that is never given back: this process soon ends.
        awaited.discard(number)
        raise AdminError(name, number=errno.ETIMEDOUT)
    found = bytes(ffi.buffer(memory, length))
    lib.spdk_free(memory)
    status = answered.pop(number)
    if status:
        raise AdminError(name, status=status)
    return found


def _check(name: str, rc: int, memory: object) -> None:
    if rc < 0:
        if memory is not None:
            lib.spdk_free(memory)
        raise AdminError(name, number=-rc)
