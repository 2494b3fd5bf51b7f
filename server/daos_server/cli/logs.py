# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Where log lines go: standard error, as text or as JSON, and syslog if asked for."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from datetime import UTC, datetime
from io import TextIOWrapper
from socket import gethostname
from typing import TYPE_CHECKING

from daos_server.cli.output import escape, note

if TYPE_CHECKING:
    from daos_server.cli.options import Invocation

SYSLOG_SOCKET = "/dev/log"
LOG = "daos_server"
"""The logger above all of the server's."""
LEVELS = {
    "DISABLED": logging.CRITICAL + 1,
    "ERROR": logging.ERROR,
    "NOTICE": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": logging.DEBUG,
}
"""What the levels of the configuration are to Python."""
FILE_MODE = 0o664


def start_log(invocation: Invocation) -> None:
    """Send the server's log where the command line says: warnings and errors, or everything with ``--debug``."""
    logging.raiseExceptions = False  # a reader of the log that went away must not end what is under way
    log = logging.getLogger(LOG)
    log.setLevel(logging.DEBUG if invocation.debug else logging.WARNING)
    log.propagate = False
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(log.level)
    console.setFormatter(JsonLines() if invocation.json_logging else PlainLines())
    for old in log.handlers:
        old.close()
    log.handlers = [console]
    if invocation.syslog:
        _add_syslog(log)


def _add_syslog(log: logging.Logger) -> None:
    if not os.path.exists(SYSLOG_SOCKET):  # the handler itself would stay silent about it
        note(f"NOTICE: --syslog has no effect: there is no {SYSLOG_SOCKET}; is a system log running?")
        return
    handler = logging.handlers.SysLogHandler(SYSLOG_SOCKET, logging.handlers.SysLogHandler.LOG_DAEMON)
    handler.ident = f"{LOG}: "
    handler.setLevel(log.level)
    handler.setFormatter(PlainLines())
    log.addHandler(handler)


def log_to_file(path: str, level: str, *, as_json: bool) -> None:
    """Append the server's log to a file as well, each line with the name of this host; never through a symbolic link.

    :param level: the least that is logged there, as ``control_log_mask`` has it.
    :raises Fault: 2365 if the file cannot be written.
    """
    from daos_pbin import codes
    from daos_pbin.faults import Fault

    try:
        handler = LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise Fault(codes.SERVER_LOG_FILE_UNUSABLE, path=path, reason=error.strerror or str(error)) from error
    handler.setLevel(LEVELS[level])
    handler.setFormatter(JsonLines() if as_json else HostLines())
    log = logging.getLogger(LOG)
    log.setLevel(min(log.level, handler.level))
    log.addHandler(handler)


class LogFile(logging.FileHandler):
    """A file that lines are appended to; if it takes no more, that is said once, and is no reason to stop what is under way."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Say that lines are missing from the file."""
        error = sys.exc_info()[1]
        if not self._told:
            self._told = True
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            note(f"NOTICE: lines of the log are lost: {escape(self.baseFilename)} cannot be written: {escape(reason)}")

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return open(os.open(self.baseFilename, flags, FILE_MODE), "a", encoding=self.encoding, errors=self.errors)


def _level(record: logging.LogRecord) -> str:
    return "NOTICE" if record.levelno == logging.WARNING else record.levelname


class PlainLines(logging.Formatter):
    """``LEVEL: text`` on one line, nothing in it that a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return f"{_level(record)}: {escape(record.getMessage())}"


class HostLines(PlainLines):
    """As ``PlainLines``, behind the name of this host and the time: logs of many hosts are often read together."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return f"{gethostname()} {time} {super().format(record)}"


class JsonLines(logging.Formatter):
    """One JSON object a line: level, time, source, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(
            {
                "level": _level(record),
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "source": record.name,
                "message": record.getMessage(),
            }
        )
