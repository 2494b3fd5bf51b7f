# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Commands to QEMU itself, over its machine protocol: one JSON object per line."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping

from vmlab.errors import GuestError

Reply = dict[str, object]


class Qmp:
    """A connection to QEMU's monitor.

    :param connection: connected to it.
    :param timeout_s: seconds after which a missing answer or event is an error.
    """

    def __init__(self, connection: socket.socket, timeout_s: float = 30.0) -> None:
        connection.settimeout(timeout_s)
        self._lines = connection.makefile("rb")
        self._connection = connection
        self._events: list[Reply] = []
        self._read()
        self.execute("qmp_capabilities")

    def _read(self) -> Reply:
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise GuestError("QEMU does not answer") from None
        except ConnectionError:
            line = b""
        if not line:
            raise GuestError("QEMU ended")
        reply = json.loads(line)
        if not isinstance(reply, dict):
            raise GuestError(f"QEMU said: {line!r}")
        return reply

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        """Execute a command and return what QEMU returns.

        :raises GuestError: if QEMU refuses it.
        """
        try:
            self._connection.sendall(json.dumps({"execute": command, "arguments": dict(arguments or {})}).encode() + b"\n")
        except ConnectionError:
            raise GuestError("QEMU ended") from None
        while True:
            reply = self._read()
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise GuestError(f"QEMU refused {command}: {reply['error']}")
            if "event" in reply:
                self._events.append(reply)

    def wait_for(self, event: str, device: str) -> None:
        """Wait until an event about a device was seen since the last such call.

        :raises GuestError: if it does not come in time.
        """
        while True:
            for position, seen in enumerate(self._events):
                data = seen.get("data")
                if seen.get("event") == event and isinstance(data, dict) and data.get("device") == device:
                    del self._events[: position + 1]
                    return
            reply = self._read()
            if "event" in reply:
                self._events.append(reply)

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._connection.close()
