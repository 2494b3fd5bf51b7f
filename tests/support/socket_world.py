# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The helper behind a socket: whoever plays systemd for the tests, and connections as anybody."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from callers import TIMEOUT_S, Caller
from hostile import Message
from installed import Installation
from socket_unit import SERVICE_UNIT, directives

from daos_pbin import envelope
from daos_pbin.frames import ANSWER_LIMIT, FrameReader

SYSTEMD_ANALYZE = "/usr/bin/systemd-analyze"
SECCOMP_LIBRARY = "libseccomp.so.2"

CONNECT = """
import socket, sys
end = socket.socket(fileno=0)
try:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
except OSError as error:
    end.send(str(error.errno).encode())
else:
    socket.send_fds(end, [b"0"], [connection.fileno()])
"""
"""Connects as whoever runs it, and hands the connection over; the kernel keeps in mind who connected."""


def system_calls(unit_folder: str) -> str:
    """Return the numbers of all system calls that the service unit lets pass; skip the test where nobody knows them."""
    if not Path(SYSTEMD_ANALYZE).exists():
        pytest.skip("systemd-analyze is missing: it knows which system calls the unit lets pass")
    try:
        library = ctypes.CDLL(SECCOMP_LIBRARY)
    except OSError:
        pytest.skip(f"{SECCOMP_LIBRARY} is missing: it knows the numbers of system calls")
    names = {name for line in directives(unit_folder, SERVICE_UNIT)["SystemCallFilter"] for word in line.split() for name in _calls(word)}
    numbers = {library.seccomp_syscall_resolve_name(name.encode()) for name in names}
    return ",".join(str(number) for number in sorted(numbers) if number >= 0)


def _calls(word: str) -> Iterator[str]:
    if not word.startswith("@"):
        yield word
        return
    text = subprocess.run([SYSTEMD_ANALYZE, "syscall-filter", word], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines()[1:]:
        if line.strip() and not line.strip().startswith("#"):
            yield from _calls(line.strip())


@dataclass
class PlayedSystemd:
    """Listens for the installation's helper."""

    installation: Installation
    process: subprocess.Popen[bytes]

    @property
    def path(self) -> str:
        return self.installation.layout.socket

    def ending(self) -> int:
        """Wait for the next helper that ends, and return its exit status."""
        if self.process.stdout is None:
            raise RuntimeError("it was started without pipes")
        if not select.select([self.process.stdout], [], [], TIMEOUT_S)[0]:
            raise AssertionError(f"no helper ended for {TIMEOUT_S:.0f} seconds")
        return int(json.loads(self.process.stdout.readline())["status"])

    def connect(self, caller: Caller, wrapper: Sequence[str] = ()) -> Link:
        """Connect as somebody.

        :param wrapper: a program that runs what follows it, such as unshare.
        :raises OSError: as ``connect`` did.
        """
        return connect(self.path, caller, wrapper)


def connect(path: str, caller: Caller, wrapper: Sequence[str] = ()) -> Link:
    """Connect to a socket as somebody; parameters and errors as of ``PlayedSystemd.connect``."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [*wrapper, "/usr/bin/python3", "-I", "-S", "-c", CONNECT, path]
        subprocess.run(
            command, stdin=theirs.fileno(), check=True, timeout=TIMEOUT_S, env={}, cwd="/",
            user=caller.uid, group=caller.gid, extra_groups=list(caller.groups),
        )  # fmt: skip
        said, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
    if not descriptors:
        raise OSError(int(said), os.strerror(int(said)))
    return Link(socket.socket(fileno=descriptors[0]))


class Link:
    """A connection in which nothing that is sent is checked."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(TIMEOUT_S)
        self._reader = FrameReader(ANSWER_LIMIT)
        self._waiting: list[Message] = []

    def send(self, data: bytes) -> None:
        """Send bytes; the rest of what a helper that hung up does not take is dropped."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def receive(self) -> Message | None:
        """Return the next message; None once the helper has closed its end."""
        while not self._waiting:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:  # it closed without reading all that we had sent
                return None
            if not data:
                return None
            self._waiting += self._reader.feed(data)
        return self._waiting.pop(0)

    def answer(self, identifier: int) -> Message | None:
        """Return the result or failure of a request, or the session's own failure; None if the helper ends without."""
        while (message := self.receive()) is not None:
            if message["type"] in ("result", "failure") and message["id"] in (identifier, envelope.SESSION_ID):
                return message
        return None

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


@contextlib.contextmanager
def played_systemd(installation: Installation, wrapper: Sequence[str] = ()) -> Iterator[PlayedSystemd]:
    """Have somebody listen as the installed units say.

    :param wrapper: a program that runs what follows it, such as unshare.
    """
    numbers = system_calls(installation.layout.units)
    script = str(Path(__file__).with_name("socket_unit.py"))
    command = [*wrapper, sys.executable, "-B", script, installation.layout.units, numbers]
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("it was started without pipes")
        assert process.stdout.readline() == b"ready\n"
        yield PlayedSystemd(installation, process)
        process.stdin.close()
        process.stdout.read()
    assert process.returncode == 0
    assert not os.path.lexists(installation.layout.socket)
