# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Lets the kernel refuse one system call of a running helper or of its workers: strace changes its result, nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import pytest

STRACE = "/usr/bin/strace"
STOPPED = re.compile(rb"\[pid +(\d+)\] --- stopped by SIGSTOP ---")


class Tracer(NamedTuple):
    """A strace that is attached.

    :param errors: its standard error, as it comes.
    :param said: once it has ended, what nobody has read of that.
    """

    errors: IO[bytes]
    said: list[bytes]


@contextlib.contextmanager
def _attached(command: list[str]) -> Iterator[Tracer]:
    """Run strace while the block runs."""
    said: list[bytes] = []
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        if tracer.stderr is None:
            raise RuntimeError("strace was started without a pipe")
        while b" attached" not in (line := tracer.stderr.readline()):
            if line == b"" or b"Operation not permitted" in line:
                tracer.kill()
                pytest.skip(f"this machine lets nobody trace: {line.decode()}")
        yield Tracer(tracer.stderr, said)
    finally:
        tracer.send_signal(signal.SIGTERM)  # which detaches
        said.append(tracer.communicate(timeout=60)[1])


@contextlib.contextmanager
def injected(monitor: int, call: str, error: str, *, nth: str = "1", path: str = "") -> Iterator[None]:
    """While the block runs, make a system call fail in the monitor and in each process that it starts.

    :param nth: which of these calls, counted in each process from its start (in the monitor from here on); as strace's ``when``.
    :param path: count and fail only calls that are about this file, by name or by descriptor.
    """
    _need_strace()
    only = ["-P", path] if path else []
    command = [STRACE, "-f", *only, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={nth}", "-p", str(monitor)]
    with _attached(command) as tracer:
        yield
    said = b"".join(tracer.said)
    assert b"(INJECTED)" in said, f"the helper never came to {call} number {nth}:\n{said.decode(errors='replace')}"


@contextlib.contextmanager
def stopped_at(monitor: int, call: str, meanwhile: Callable[[], None]) -> Iterator[None]:
    """While the block runs, stop the first process of the monitor's at its first such system call, do something, and let it go on.

    :param meanwhile: what is done while it stands still.
    """
    _need_strace()
    command = [STRACE, "-f", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGSTOP:when=1", "-p", str(monitor)]
    with ThreadPoolExecutor(1) as pool, _attached(command) as tracer:  # strace ends first, and with it what the thread reads
        done = pool.submit(_while_stopped, tracer.errors, meanwhile)
        yield
    assert done.result(), f"the helper never came to {call}"


def _while_stopped(errors: IO[bytes], meanwhile: Callable[[], None]) -> bool:
    for line in errors:
        found = STOPPED.search(line)
        if found is not None:
            try:
                meanwhile()
            finally:
                os.kill(int(found[1]), signal.SIGCONT)
            return True
    return False


@contextlib.contextmanager
def traced(monitor: int, call: str, output: Path) -> Iterator[None]:
    """While the block runs, write each of these system calls of the monitor and its workers to a file, with all its arguments."""
    _need_strace()
    with _attached([STRACE, "-f", "-v", "-s", "4096", "-o", str(output), "-e", f"trace={call}", "-p", str(monitor)]):
        yield


def _need_strace() -> None:
    if not Path(STRACE).exists():
        pytest.skip("strace is missing: make deps-tests installs it")
