# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A running worker as the monitor sees it."""

from __future__ import annotations

import os
import select
import signal


class Worker:
    """The monitor's view of a running worker.

    :ivar pid: its process id.
    :ivar ended: it has ended and was reaped.
    :ivar pidfd: readable when it has ended.
    :ivar answers: its private pipe.
    :ivar output: what it prints.
    """

    def __init__(self, pid: int, answers: int, output: int) -> None:
        self.pid = pid
        self.ended = False
        self.pidfd = os.pidfd_open(pid)
        self.answers = answers
        self.output = output

    def kill(self) -> None:
        """Kill it, if it is still there."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    def reap(self) -> int | None:
        """Return its wait status, or None if it has not ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        self.ended = pid != 0
        return status if pid else None

    def close(self) -> None:
        """Close our ends."""
        for descriptor in (self.pidfd, self.answers, self.output):
            os.close(descriptor)


def drain(descriptor: int, limit: int) -> bytes:
    """Read what is there now, at most ``limit`` bytes; empty at the end of the stream or when nothing waits."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if not poller.poll(0):
        return b""
    try:
        return os.read(descriptor, limit)
    except BlockingIOError:
        return b""
