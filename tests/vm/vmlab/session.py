# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The host's side of the channel to the agent in a guest."""

from __future__ import annotations

import base64
import json
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vmlab.errors import GuestError

CHUNK = 1 << 16
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
"""What a program in the guest is started with."""
HELLO = 0
"""The number under which the agent says that it is there."""
Message = dict[str, int | str]


@dataclass(frozen=True)
class Completed:
    """A program that ended in the guest.

    :param status: its exit status; minus the signal's number if a signal ended it.
    """

    argv: tuple[str, ...]
    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """What it printed, without the last line's end."""
        return self.out.decode(errors="replace").removesuffix("\n")


@dataclass
class Session:
    """One connection to an agent; several programs can run at a time.

    :param connection: connected to the agent's port.
    """

    connection: socket.socket
    _rest: bytes = b""
    _programs: dict[int, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._programs[HELLO] = Running(self, HELLO, ())

    def wait_until_there(self, timeout_s: float) -> None:
        """Wait for the agent's first word.

        :raises GuestError: if it does not come in time.
        """
        deadline = time.monotonic() + timeout_s
        while HELLO in self._programs:
            self.receive(deadline)

    def start(self, argv: Sequence[str], *, given: bytes = b"", env: Mapping[str, str] | None = None, folder: str = "/") -> Running:
        """Start a program in the guest, as root and without a shell.

        :param given: its standard input.
        :param env: added to its plain environment.
        :param folder: its working directory.
        """
        number = max(self._programs, default=HELLO) + 1
        running = Running(self, number, tuple(argv))
        self._programs[number] = running
        environment = {**ENVIRONMENT, **(env or {})}
        encoded = base64.b64encode(given).decode()
        self.send({"id": number, "argv": list(argv), "env": environment, "cwd": folder, "input": encoded})
        return running

    def send(self, message: Mapping[str, object]) -> None:
        """Send one message.

        :raises GuestError: if the guest is gone.
        """
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise GuestError(f"the guest is gone: {error.strerror}") from error

    def receive(self, deadline: float) -> None:
        """Take in what the agent sends next.

        :param deadline: on the monotonic clock.
        :raises GuestError: if nothing comes before it, or the guest is gone.
        """
        readable, _, _ = select.select([self.connection], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise GuestError("the guest kept silent past its deadline")
        try:
            data = self.connection.recv(CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            raise GuestError("the guest ended")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._dispatch(json.loads(line))

    def _dispatch(self, message: Message) -> None:
        number = int(message["id"])
        running = self._programs[number]
        if number == HELLO or "exit" in message:
            running.status = int(message.get("exit", 0))
            del self._programs[number]
        running.out += base64.b64decode(str(message.get("out", "")))
        running.err += base64.b64decode(str(message.get("err", "")))


@dataclass
class Running:
    """A program in the guest.

    :param status: None as long as it runs.
    :param out: what it has written so far; ``err`` likewise.
    """

    session: Session
    number: int
    argv: tuple[str, ...]
    status: int | None = None
    out: bytes = b""
    err: bytes = b""

    def wait(self, timeout_s: float = 60.0) -> Completed:
        """Wait for its end.

        :raises GuestError: if it has not ended after so many seconds; it is killed then.
        """
        deadline = time.monotonic() + timeout_s
        while self.status is None:
            if time.monotonic() > deadline:
                self.kill()
                raise GuestError(f"{self.argv[0]} still ran after {timeout_s} s; it said:\n{self.err.decode(errors='replace')}")
            self.session.receive(deadline + 1)
        return Completed(self.argv, self.status, self.out, self.err)

    def lines(self, timeout_s: float) -> Iterator[bytes]:
        """Yield what it prints, line by line, until it has ended.

        :raises GuestError: if it prints no line for so many seconds.
        """
        position = 0
        while True:
            end = self.out.find(b"\n", position)
            if end >= 0:
                yield self.out[position:end]
                position = end + 1
            elif self.status is None:
                self.session.receive(time.monotonic() + timeout_s)
            else:
                return

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to it and to all that it started in its session."""
        self.session.send({"id": self.number, "signal": int(number)})
