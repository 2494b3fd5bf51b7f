# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The audit trail: one structured line at the start and one at the end of every request, refused ones included.

It goes to the journal, else to /dev/log, else to a file of root's (0600).  If none can be written, methods that change
anything are refused.  Values from outside are quoted, so that no line can be forged or broken.
"""

from __future__ import annotations

import _socket  # ``socket`` costs 8 ms of a cold start for the one datagram that is sent here
import os
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
VALUE_LIMIT = 512
"""Characters kept of one value."""


def quote(value: object) -> str:
    """Return a value as one word, or as quoted text in which every unusual character is escaped."""
    text = str(value)[:VALUE_LIMIT]
    if text and all(character.isascii() and (character.isalnum() or character in "/._:@,+-") for character in text):
        return text
    escaped = "".join(
        character if " " <= character <= "~" and character not in '"\\' else f"\\u{ord(character):04x}" for character in text
    )
    return f'"{escaped}"'


class Audit:
    """Where the lines go.

    :param path: the file of last resort, made by the installation in a folder of root's.
    :param common: key=value text that every line begins with.
    """

    def __init__(self, path: str, common: dict[str, object], *, journal: str = JOURNAL, syslog: str = SYSLOG) -> None:
        self._path = path
        self._common = " ".join(f"{key}={quote(value)}" for key, value in common.items())
        self._tried: list[str] = []
        self._write = self._open(journal, syslog)

    @property
    def writable(self) -> bool:
        """Whether lines arrive anywhere."""
        return self._write is not None

    @property
    def tried(self) -> str:
        """Which sinks were tried, and why each failed."""
        return "; ".join(self._tried)

    def line(self, **values: object) -> None:
        """Write one line.  After a failure ``writable`` is false."""
        if self._write is None:
            return
        text = self._common + "".join(f" {key}={quote(value)}" for key, value in values.items())
        try:
            self._write(text)
        except OSError as error:
            self._tried.append(f"write: {error.strerror}")
            self._write = None

    def _open(self, journal: str, syslog: str) -> Callable[[str], None] | None:
        for path, make in ((journal, self._journal), (syslog, self._syslog), (self._path, self._file)):
            try:
                return make(path)
            except OSError as error:
                self._tried.append(f"{path}: {error.strerror}")
        return None

    def _journal(self, path: str) -> Callable[[str], None]:
        send = _datagram(path)
        head = f"SYSLOG_IDENTIFIER={IDENTIFIER}\nPRIORITY=6\nSYSLOG_FACILITY=10\nMESSAGE="
        return lambda text: send(head + text + "\n")

    def _syslog(self, path: str) -> Callable[[str], None]:
        send = _datagram(path)
        head = f"<{FACILITY_AUTHPRIV_INFO}>{IDENTIFIER}[{os.getpid()}]: "
        return lambda text: send(head + text)

    def _file(self, path: str) -> Callable[[str], None]:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
        found = os.fstat(descriptor)
        if found.st_uid != 0 or found.st_mode & 0o177 or found.st_nlink != 1:
            os.close(descriptor)
            raise PermissionError(1, "not a file of root's alone")
        if found.st_size > FILE_LIMIT:
            os.rename(path, path + ".1")
            os.close(descriptor)
            descriptor = os.open(path, flags, 0o600)

        def write(text: str) -> None:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            os.write(descriptor, f"{moment} {IDENTIFIER}[{os.getpid()}]: {text}\n".encode())

        return write


def _datagram(path: str) -> Callable[[str], None]:
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    connection.connect(path)
    connection.settimeout(2.0)
    return lambda text: _send(connection, text)


def _send(connection: _socket.socket, text: str) -> None:
    connection.send(text.encode())
