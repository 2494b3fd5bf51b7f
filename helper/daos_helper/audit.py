# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The audit trail: one structured line at the start and one at the end of every request, refused ones included.

It goes to the journal, or to /dev/log where there is none, and always to a file of root's (0600) as well: a journal drops
lines of a unit that says too much.  What changes the machine has a file of its own, which nothing that only looks or is
refused can turn over.  If nothing can be written, methods that change anything are refused.  Values from outside are
quoted, so that no line can be forged or broken.
"""

from __future__ import annotations

import _socket  # ``socket`` costs 8 ms of a cold start for the one datagram that is sent here
import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

JOURNAL = "/run/systemd/journal/socket"
SYSLOG = "/dev/log"
IDENTIFIER = "daos_server_helper"
FACILITY_AUTHPRIV_INFO = 10 * 8 + 6
"""Syslog priority: facility authpriv (10), severity info (6); RFC 5424, section 6.2.1."""
FILE_LIMIT = 16 * 1024 * 1024
"""Bytes after which the file is turned over once, so that a caller cannot fill the disk."""
SEND_PATIENCE_S = 2.0
"""Seconds that a line waits for a journal that does not read."""
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._:@,+-"
"""Characters of which a value needs no quotes."""
VALUE_LIMIT = 512
"""Characters kept of one value."""


def quote(value: object) -> str:
    """Return a value as one word, or as quoted text in which every unusual character is escaped."""
    text = str(value)[:VALUE_LIMIT]
    if text and not text.strip(PLAIN):
        return text
    escaped = "".join(
        character if " " <= character <= "~" and character not in '"\\' else f"\\u{ord(character):04x}" for character in text
    )
    return f'"{escaped}"'


class DatagramSink:
    """The journal or syslog: one datagram a line.

    :raises OSError: if nobody listens there.
    """

    def __init__(self, path: str, head: str, tail: str = "") -> None:
        self._head = head
        self._tail = tail
        self._connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
        try:
            self._connection.connect(path)
        except OSError:
            self._connection.close()
            raise
        self._connection.settimeout(SEND_PATIENCE_S)

    def write(self, text: str) -> None:
        """Send one line."""
        self._connection.send((self._head + text + self._tail).encode())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class FileSink:
    """A file of root's, mode 0600, turned over once it is large.

    :raises OSError: if it cannot be opened, or is not root's alone.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = _open_own(path)
        self._size = os.fstat(self._descriptor).st_size

    def write(self, text: str) -> None:
        """Append one line."""
        if self._size > FILE_LIMIT:
            self._turn_over()
        head = time.strftime(f"%Y-%m-%dT%H:%M:%SZ {IDENTIFIER}[{os.getpid()}]: ", time.gmtime())
        self._size += os.write(self._descriptor, f"{head}{text}\n".encode())

    def _turn_over(self) -> None:
        # Another session may have done it already: then the name is a new file, and only we still write to the old one.
        try:
            if os.stat(self._path).st_ino == os.fstat(self._descriptor).st_ino:
                os.rename(self._path, self._path + ".1")
        except FileNotFoundError:
            self._size = 0
        os.close(self._descriptor)
        self._descriptor = _open_own(self._path)
        self._size = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_path(path: str) -> str:
    """Return the file beside ``path`` for requests that changed nothing."""
    return path.removesuffix(".log") + "-read.log"


class Audit:
    """Where the lines go.  A sink that fails is opened again with the next line.

    :param path: the file for what changes the machine, made by the installation in a folder of root's.
    :param common: key=value text that every line begins with.
    """

    def __init__(self, path: str, common: dict[str, object], *, journal: str = JOURNAL, syslog: str = SYSLOG) -> None:
        self._common = " ".join([f"{key}={quote(value)}" for key, value in common.items()])
        journal_head = f"SYSLOG_IDENTIFIER={IDENTIFIER}\nPRIORITY=6\nSYSLOG_FACILITY=10\nMESSAGE="
        syslog_head = f"<{FACILITY_AUTHPRIV_INFO}>{IDENTIFIER}[{os.getpid()}]: "
        self._makers: dict[str, Callable[[], DatagramSink | FileSink]] = {
            journal: lambda: DatagramSink(journal, journal_head, "\n"),
            syslog: lambda: DatagramSink(syslog, syslog_head),
            path: lambda: FileSink(path),
            read_path(path): lambda: FileSink(read_path(path)),
        }
        self._logs = (journal, syslog)
        self._file = path
        self._sinks: dict[str, DatagramSink | FileSink] = {}
        self._problems: dict[str, str] = {}

    @property
    def writable(self) -> bool:
        """Whether lines about changes arrive anywhere."""
        return any(self._open(place) for place in (self._file, *self._logs))

    @property
    def tried(self) -> str:
        """Which sinks failed, and why."""
        return "; ".join(f"{place}: {problem}" for place, problem in self._problems.items())

    def line(self, *, changes: bool, values: dict[str, object]) -> None:
        """Write one line.

        :param changes: it is about a request that may change the machine, and was admitted.
        """
        text = self._common + "".join([f" {key}={quote(value)}" for key, value in values.items()])
        self._write(self._file if changes else read_path(self._file), text)
        for place in self._logs:
            if self._write(place, text):
                return

    def close(self) -> None:
        """Close all sinks."""
        for sink in self._sinks.values():
            sink.close()
        self._sinks.clear()

    def _write(self, place: str, text: str) -> bool:
        if not self._open(place):
            return False
        try:
            self._sinks[place].write(text)
        except OSError as error:
            self._problems[place] = error.strerror or str(error)
            self._sinks.pop(place).close()
            return False
        return True

    def _open(self, place: str) -> bool:
        if place in self._sinks:
            return True
        try:
            self._sinks[place] = self._makers[place]()
        except OSError as error:
            self._problems[place] = error.strerror or str(error)
            return False
        self._problems.pop(place, None)
        return True


def _open_own(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o177 or found.st_nlink != 1:
        os.close(descriptor)
        raise PermissionError(1, "it is not a file of root's alone, mode 0600")
    return descriptor
