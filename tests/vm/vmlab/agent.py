# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs programs inside the guest for the host.  Standard library only; the guest's first process starts it.

Both directions carry one JSON object per line.  From the host: ``{"id", "argv", "env", "cwd", "input"}`` starts a program,
``{"id", "signal"}`` signals it and what it started.  To the host: ``{"id": 0}`` once, then ``{"id", "out" | "err"}`` (base64)
as a program writes, and ``{"id", "exit"}`` when it has ended, even if children that it left behind hold its pipes.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import selectors
import subprocess
from collections.abc import Callable
from io import FileIO
from typing import IO

PORT = "/dev/vport0p1"
CHUNK = 1 << 16
NOT_STARTED = 127
"""Exit status of a program that could not be executed, as shells have it."""


class Agent:
    """Serves the host over one port until it hangs up."""

    def __init__(self, port: FileIO) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._groups: dict[int, int] = {}
        self._line = b""
        self._open = True

    def serve(self) -> None:
        """Work until the host has hung up."""
        self._watch(self._port.fileno(), self._receive)
        self._send({"id": 0})
        while self._open:
            for key, _ in self._selector.select():
                # A program's end takes its pipes out of the selector, whose events may still be in this round.
                if key.fd in self._selector.get_map():
                    key.data()

    def _watch(self, fd: int, call: Callable[[], object]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, call)

    def _send(self, message: dict[str, object]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            data = data[os.write(self._port.fileno(), data) :]

    def _receive(self) -> None:
        data = self._port.read(CHUNK)
        if not data:
            self._open = False
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "signal" in request:
                self._signal(request["id"], request["signal"])
            else:
                self._start(request["id"], request["argv"], request["env"], request["cwd"], base64.b64decode(request["input"]))

    def _signal(self, number: int, signal: int) -> None:
        if number in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._groups[number], signal)

    def _start(self, number: int, argv: list[str], env: dict[str, str], cwd: str, given: bytes) -> None:
        with contextlib.ExitStack() as stack:
            stdin = stack.enter_context(os.fdopen(os.memfd_create("input"), "wb"))
            stdin.write(given)
            stdin.seek(0)
            try:
                process = subprocess.Popen(
                    argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=cwd, start_new_session=True
                )
            except OSError as error:
                self._output(number, "err", f"{argv[0]}: {error}\n".encode())
                self._send({"id": number, "exit": NOT_STARTED})
                return
        self._groups[number] = process.pid
        pipes = {name: pipe for name, pipe in (("out", process.stdout), ("err", process.stderr)) if pipe is not None}
        for name, pipe in pipes.items():
            os.set_blocking(pipe.fileno(), False)
            self._watch(pipe.fileno(), functools.partial(self._copy, number, name, pipe))
        ended = os.pidfd_open(process.pid)
        self._watch(ended, functools.partial(self._finish, number, process, ended, pipes))

    def _output(self, number: int, name: str, data: bytes) -> None:
        self._send({"id": number, name: base64.b64encode(data).decode()})

    def _copy(self, number: int, name: str, pipe: IO[bytes]) -> bool:
        """Pass on what is in a pipe; say whether there was anything."""
        try:
            data = os.read(pipe.fileno(), CHUNK)
        except BlockingIOError:
            return False
        if data:
            self._output(number, name, data)
        else:
            self._selector.unregister(pipe.fileno())
        return bool(data)

    def _finish(self, number: int, process: subprocess.Popen[bytes], ended: int, pipes: dict[str, IO[bytes]]) -> None:
        for name, pipe in pipes.items():
            while pipe.fileno() in self._selector.get_map() and self._copy(number, name, pipe):
                pass
            if pipe.fileno() in self._selector.get_map():
                self._selector.unregister(pipe.fileno())
            pipe.close()
        self._selector.unregister(ended)
        os.close(ended)
        del self._groups[number]
        self._send({"id": number, "exit": process.wait()})


if __name__ == "__main__":
    with open(PORT, "r+b", buffering=0) as port:
        Agent(port).serve()
