# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Lets the kernel refuse one system call of a running helper or of its workers: strace changes its result, nothing else."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

STRACE = "/usr/bin/strace"


@contextlib.contextmanager
def _attached(command: list[str]) -> Iterator[list[bytes]]:
    """Run strace while the block runs; when it ends, the list holds what strace wrote to standard error."""
    said: list[bytes] = []
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        if tracer.stderr is None:
            raise RuntimeError("strace was started without a pipe")
        while b" attached" not in (line := tracer.stderr.readline()):
            if line == b"" or b"Operation not permitted" in line:
                tracer.kill()
                pytest.skip(f"this machine lets nobody trace: {line.decode()}")
        yield said
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
    with _attached(command) as said:
        yield
    assert b"(INJECTED)" in said[0], f"the helper never came to {call} number {nth}:\n{said[0].decode(errors='replace')}"


@contextlib.contextmanager
def traced(monitor: int, call: str, output: Path) -> Iterator[None]:
    """While the block runs, write each of these system calls of the monitor and its workers to a file, with all its arguments."""
    _need_strace()
    with _attached([STRACE, "-f", "-v", "-s", "4096", "-o", str(output), "-e", f"trace={call}", "-p", str(monitor)]):
        yield


def _need_strace() -> None:
    if not Path(STRACE).exists():
        pytest.skip("strace is missing: make deps-tests installs it")
