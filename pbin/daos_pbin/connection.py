# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The helper behind a socket: systemd starts one for each connection, so that nothing needs to be setuid.

Looks to a session like ``process.HelperProcess``, but there is no process of ours: the end of the stream is the helper's end, and
what it has to say besides is in the journal.
"""

from __future__ import annotations

import _socket  # ``socket`` costs 8 ms of a cold start
import os

from daos_pbin.process import GONE, READ_SIZE, last_of, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from daos_pbin.faults import Fault


class HelperConnection:
    """A connection to a helper; ``stdin`` and ``stdout`` are two descriptors of it, neither of which blocks.

    :param path: of the socket.
    :raises OSError: if nobody listens there, or not to us.
    """

    __slots__ = ("_heard", "_socket", "pid", "pidfd", "program", "status", "stderr", "stdin", "stdout")

    def __init__(self, path: str) -> None:
        self.program = path
        self.pid = 0
        self.status: int | None = None
        self.stderr = self.pidfd = GONE
        self._heard = False
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK, 0)
        try:
            self._socket.connect(path)
            self.stdin = os.dup(self._socket.fileno())
        except OSError:
            self._socket.close()
            raise
        self.stdout = self._socket.fileno()

    def read_output(self) -> bytes | None:
        """Return what the helper wrote: at most ``READ_SIZE`` bytes, empty once it has ended, None if there is nothing yet."""
        try:
            data = os.read(self.stdout, READ_SIZE)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""
        self._heard = self._heard or bool(data)
        return data

    def read_errors(self) -> int | None:
        """Return 0: a helper behind a socket has no standard error that we could read."""
        return 0

    def write(self, data: bytes | bytearray) -> int | None:
        """Write as much as the socket takes and return how much that was; None if the helper does not read any more."""
        return write(self.stdin, data)

    def last_output(self) -> bytes:
        """Return what is left in the connection of a helper that has closed it."""
        return last_of(self.read_output)

    def errors(self) -> str:
        """Return nothing, for the same reason."""
        return ""

    def reap(self) -> None:
        """Do nothing: the helper is systemd's child."""

    def ending(self) -> Fault:
        """Return what its end means for whatever waits for an answer: 2180 if it never said a word, else 2012."""
        from daos_pbin import codes
        from daos_pbin.endings import session_closed
        from daos_pbin.faults import Fault

        if not self._heard:
            return Fault(codes.HELPER_SOCKET_CLOSED, object=self.program, socket=self.program)
        return session_closed(self.program, "the helper closed the connection")

    def kill(self) -> bool:
        """Break the connection, whereupon the helper kills its workers and ends."""
        self._shut_down(_socket.SHUT_RDWR)
        return True

    def close_input(self) -> None:
        """Let the helper see the end of its input, which asks it to end."""
        if self.stdin != GONE:
            self._shut_down(_socket.SHUT_WR)
            os.close(self.stdin)
            self.stdin = GONE

    def release(self) -> None:
        """Close every descriptor."""
        self.close_input()
        self._socket.close()
        self.stdout = GONE

    def _shut_down(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError:  # it is not connected any more
            return
