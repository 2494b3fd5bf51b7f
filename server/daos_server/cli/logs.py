# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Where log lines go: standard error, as text or as JSON, and syslog if asked for."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from daos_server.cli.output import escape, note

if TYPE_CHECKING:
    from daos_server.cli.options import Invocation

SYSLOG_SOCKET = "/dev/log"
LOG = "daos_server"
"""The logger above all of the server's."""


def start_log(invocation: Invocation) -> None:
    """Send the server's log where the command line says: warnings and errors, or everything with ``--debug``."""
    logging.raiseExceptions = False  # a reader of the log that went away must not end what is under way
    log = logging.getLogger(LOG)
    log.setLevel(logging.DEBUG if invocation.debug else logging.WARNING)
    log.propagate = False
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(JsonLines() if invocation.json_logging else PlainLines())
    log.handlers = [console]
    if invocation.syslog:
        _add_syslog(log)


def _add_syslog(log: logging.Logger) -> None:
    if not os.path.exists(SYSLOG_SOCKET):  # the handler itself would stay silent about it
        note(f"NOTICE: --syslog has no effect: there is no {SYSLOG_SOCKET}; is a system log running?")
        return
    handler = logging.handlers.SysLogHandler(SYSLOG_SOCKET, logging.handlers.SysLogHandler.LOG_DAEMON)
    handler.ident = f"{LOG}: "
    handler.setFormatter(PlainLines())
    log.addHandler(handler)


def _level(record: logging.LogRecord) -> str:
    return "NOTICE" if record.levelno == logging.WARNING else record.levelname


class PlainLines(logging.Formatter):
    """``LEVEL: text`` on one line, nothing in it that a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return f"{_level(record)}: {escape(record.getMessage())}"


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
