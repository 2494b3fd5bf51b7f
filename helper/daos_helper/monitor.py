# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The monitor: the only parser of the caller's bytes.

It reads bounded frames, answers ``Ping`` itself, and hands every other request to the dispatcher, which is imported with the
first one: a ``Ping`` costs a bare interpreter and msgpack.  Nothing here loads a C library that touches hardware.
"""

from __future__ import annotations

import _socket  # as in audit: ``socket`` costs 8 ms of a cold start
import os
import select
import stat
import sys
import time

from daos_helper.audit import Audit
from daos_pbin import PROTOCOL_VERSION, VERSION, envelope
from daos_pbin.envelope import Cancel
from daos_pbin.frames import ANSWER_LIMIT, REQUEST_LIMIT, FrameError, FrameReader, encode
from daos_pbin.methods import METHODS, PING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from daos_helper.dispatch import Dispatcher

APP_NAME = "daos_server_helper"
READ_SIZE = 64 * 1024
NOISE_LIMIT = 256 * 1024
"""Bytes waiting for a slow reader above which progress and log lines are dropped."""
QUEUE_LIMIT = 8 * 1024 * 1024
"""Bytes waiting for a slow reader above which the session ends."""
FRAME_PATIENCE_S = 30.0
"""Seconds that half a frame may stay half."""
REQUESTS = 0
ANSWERS = 1


class Paths:
    """Where things are, fixed by the installation.

    :ivar policy: helper.toml.
    :ivar run: the helper's folder under /run.
    :ivar audit: the audit file of last resort.
    :ivar account: the file that the server's account owns.
    :ivar worker: the file that daos_helper owns.
    :ivar state: the helper's folder under /var/lib, for what must be known after a reboot.
    """

    def __init__(self, *, policy: str, run: str, audit: str, account: str, worker: str, state: str) -> None:
        self.policy = policy
        self.run = run
        self.audit = audit
        self.account = account
        self.worker = worker
        self.state = state


class Monitor:
    """One session with one caller."""

    def __init__(self, paths: Paths, caller: int) -> None:
        self.paths = paths
        pid = _caller_pid()
        self.audit = Audit(paths.audit, {"caller_uid": caller, "caller_pid": pid, "caller_exe": _claimed_exe(pid)})
        self._poller = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._reader = FrameReader(REQUEST_LIMIT)
        self._half_since: float | None = None
        self._waiting = bytearray()
        self._ended = False
        self._dispatcher: Dispatcher | None = None
        self._pings = 0

    def run(self) -> int:
        """Serve until the caller closes its end, or breaks the protocol; return the exit status."""
        _own_description(REQUESTS, os.O_RDONLY)
        _own_description(ANSWERS, os.O_WRONLY)
        self._handlers[REQUESTS] = self._read_requests
        self._poller.register(REQUESTS, select.POLLIN)
        self.send(envelope.hello(PROTOCOL_VERSION, VERSION, METHODS))
        status = 0
        try:
            while not self._ended:
                for descriptor, _ in self._poller.poll(self._timeout_ms()):
                    handler = self._handlers.get(descriptor)
                    if handler is not None:
                        handler()
                self._check_times()
        except FrameError as error:
            self.audit.line(changes=False, values={"event": "session", "verdict": "refused", "cause": error.reason})
            self.send(envelope.failure(envelope.SESSION_ID, error.fault()))
            status = 1
        finally:
            if self._dispatcher is not None:
                self._dispatcher.shut_down()
            if self._pings > 1:
                self.audit.line(changes=False, values={"event": "session", "pings": self._pings})
            self.audit.close()
        return status

    @property
    def watched(self) -> dict[int, Callable[[], None]]:
        """The descriptors that are watched, with their handlers."""
        return self._handlers

    def watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        """Call the handler whenever the descriptor can be read."""
        self._handlers[descriptor] = handler
        self._poller.register(descriptor, select.POLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Stop that."""
        if self._handlers.pop(descriptor, None) is not None:
            self._poller.unregister(descriptor)

    def send(self, message: dict[str, object], *, noise: bool = False) -> None:
        """Send a message; ``noise`` (progress, log) is dropped when the caller does not keep up."""
        if noise and len(self._waiting) > NOISE_LIMIT:
            return
        self.send_frame(encode(message, ANSWER_LIMIT))

    def send_frame(self, frame: bytes) -> None:
        """Send a message that is a frame already."""
        self._waiting += frame
        self._flush()
        if len(self._waiting) > QUEUE_LIMIT:
            self._ended = True

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(ANSWERS, self._waiting)]
        except BlockingIOError:
            self._handlers[ANSWERS] = self._flush
            self._poller.register(ANSWERS, select.POLLOUT)
            return
        except (BrokenPipeError, ConnectionResetError):
            self._waiting.clear()
            self._ended = True
        self.unwatch(ANSWERS)

    def _read_requests(self) -> None:
        try:
            data = os.read(REQUESTS, READ_SIZE)
        except BlockingIOError:
            return  # somebody else read it: the caller may share its end
        except ConnectionResetError:
            data = b""  # it closed its socket without reading what we had sent
        if not data:
            self._ended = True
            self._reader.close()
            return
        for message in self._reader.feed(data):
            self._take(envelope.parse_from_server(message))
            self._half_since = None
        if not self._reader.pending:
            self._half_since = None
        elif self._half_since is None:
            self._half_since = time.monotonic()

    def _take(self, message: envelope.RequestEnvelope | Cancel) -> None:
        if isinstance(message, Cancel):
            if self._dispatcher is not None:
                self._dispatcher.cancel(message.id)
            return
        if self._dispatcher is not None and self._dispatcher.is_open(message.id):
            raise FrameError(f"request {message.id} is open already")
        if message.method == PING and not message.payload:
            self._ping(message.id)
            return
        if self._dispatcher is None:
            from daos_helper.dispatch import Dispatcher

            self._dispatcher = Dispatcher(self)
        self._dispatcher.take(message)

    def _ping(self, request: int) -> None:
        """Answer at once.  The first ping of a session is audited, the others are counted: they could only fill the trail."""
        if not self._pings:
            line: dict[str, object] = {"event": "start", "request": request, "method": PING}
            self.audit.line(changes=False, values=line)
            self.audit.line(changes=False, values={**line, "event": "end", "verdict": "done"})
        self._pings += 1
        self.send(envelope.result(request, {"version": VERSION, "app_name": APP_NAME}))

    def _timeout_ms(self) -> int | None:
        times = [] if self._dispatcher is None else self._dispatcher.times()
        if self._half_since is not None:
            times.append(self._half_since + FRAME_PATIENCE_S)
        if not times:
            return None
        return max(0, int((min(times) - time.monotonic()) * 1000) + 1)

    def _check_times(self) -> None:
        if self._half_since is not None and time.monotonic() > self._half_since + FRAME_PATIENCE_S:
            raise FrameError(f"half a frame for {FRAME_PATIENCE_S:.0f} seconds")
        if self._dispatcher is not None:
            self._dispatcher.check_times()


def _own_description(descriptor: int, mode: int) -> None:
    """Make a descriptor that never blocks, and whose flags nobody else can change: the caller shares the one that it gave us.

    A socket, which only root may give us, cannot be opened again; there the flag is set on what is shared.
    """
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", mode | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        os.set_blocking(descriptor, False)
        return
    os.dup2(own, descriptor, inheritable=False)
    os.close(own)


def _caller_pid() -> int:
    """Return who asks: our parent, or whoever connected the socket that root gave us; 0 if that one cannot be seen from here."""
    if not stat.S_ISSOCK(os.fstat(REQUESTS).st_mode):
        return os.getppid()
    connection = _socket.socket(fileno=REQUESTS)
    try:
        credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    finally:
        connection.detach()
    return int.from_bytes(credentials[:4], sys.byteorder)


def _claimed_exe(pid: int) -> str:
    """Return what the caller says it is: for the audit line, never for a decision."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return "unknown"


def main(paths: Paths, caller: int) -> int:
    """Run one session.

    :param caller: uid of the caller, as the launcher found it.
    :returns: exit status: 0 after the caller closed its end, 1 after it broke the protocol, 2 after a defect of ours.
    """
    try:
        return Monitor(paths, caller).run()
    except Exception as error:
        os.write(2, f"{APP_NAME}: internal error {type(error).__name__}; the session ends\n".encode())
        return 2
