# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The audit trail: one structured line at the start and one at the end of every request, refused ones included.

It goes to the journal, else to /dev/log, else to a file of root's (0600).  If none can be written, methods that change
anything are refused.  Values from outside are quoted, so that no line can be forged or broken.
"""

from __future__ import annotations

import _socket  # ``socket`` costs 8 ms of a cold start for the one datagram that is sent here
import os
import stat
import time

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

    def write(self, texts: tuple[str, ...]) -> None:
        """Send lines, a datagram each."""
        for text in texts:
            self._connection.send((self._head + text + self._tail).encode())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class FileSink:
    """A file of root's, mode 0600, turned over once it is large.

    :raises OSError: if it cannot be opened, or is not root's alone.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = _open_own(path)
        if os.fstat(self._descriptor).st_size > FILE_LIMIT:
            os.rename(path, path + ".1")
            os.close(self._descriptor)
            self._descriptor = _open_own(path)

    def write(self, texts: tuple[str, ...]) -> None:
        """Append lines, all at once."""
        head = time.strftime(f"%Y-%m-%dT%H:%M:%SZ {IDENTIFIER}[{os.getpid()}]: ", time.gmtime())
        os.write(self._descriptor, "".join([f"{head}{text}\n" for text in texts]).encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Audit:
    """Where the lines go: the first sink that can be opened.

    :param path: the file of last resort, made by the installation in a folder of root's.
    :param common: key=value text that every line begins with.
    """

    def __init__(self, path: str, common: dict[str, object], *, journal: str = JOURNAL, syslog: str = SYSLOG) -> None:
        self._common = " ".join(f"{key}={quote(value)}" for key, value in common.items())
        self._tried: list[str] = []
        self._sink = self._open(path, journal, syslog)

    @property
    def writable(self) -> bool:
        """Whether lines arrive anywhere."""
        return self._sink is not None

    @property
    def tried(self) -> str:
        """Which sinks were tried, and why each failed."""
        return "; ".join(self._tried)

    def line(self, **values: object) -> None:
        """Write one line.  After a failure ``writable`` is false."""
        self.lines(values)

    def lines(self, *several: dict[str, object]) -> None:
        """Write lines that belong together."""
        if self._sink is None:
            return
        texts = [self._common + "".join([f" {key}={quote(value)}" for key, value in values.items()]) for values in several]
        try:
            self._sink.write(tuple(texts))
        except OSError as error:
            self._tried.append(f"write: {error.strerror or error}")
            self.close()

    def close(self) -> None:
        """Close the sink; later lines go nowhere."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _open(self, path: str, journal: str, syslog: str) -> DatagramSink | FileSink | None:
        journal_head = f"SYSLOG_IDENTIFIER={IDENTIFIER}\nPRIORITY=6\nSYSLOG_FACILITY=10\nMESSAGE="
        syslog_head = f"<{FACILITY_AUTHPRIV_INFO}>{IDENTIFIER}[{os.getpid()}]: "
        for place, make in (
            (journal, lambda: DatagramSink(journal, journal_head, "\n")),
            (syslog, lambda: DatagramSink(syslog, syslog_head)),
            (path, lambda: FileSink(path)),
        ):
            try:
                return make()
            except OSError as error:
                self._tried.append(f"{place}: {error.strerror or error}")
        return None


def _open_own(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o177 or found.st_nlink != 1:
        os.close(descriptor)
        raise PermissionError(1, "it is not a file of root's alone, mode 0600")
    return descriptor
