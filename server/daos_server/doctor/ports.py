# SPDX-License-Identifier: BSD-2-Clause-Patent
"""TCP ports that the server and its engines will listen on: does somebody else already."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from daos_bindings.linux import kernelfiles
from daos_server.doctor import reading
from daos_server.doctor.finding import Finding, Verdict
from daos_server.identity import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.doctor.machine import Machine, Setting

DEFAULT_CONTROL_PORT = 10001
LISTENING = "0A"
OURS = ("daos_server", "daos_engine")
_LINE = re.compile(
    r" *\d+: (?:[0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) \S+ \S+ \S+ +(\d{1,10}) +\d+ (\d{1,20})\b.*",
    re.ASCII,
)


class Port(NamedTuple):
    """A port that is needed, the key that names it, and how bad it is if it cannot be had."""

    number: int
    key: str
    bad: Verdict


class Listener(NamedTuple):
    """A socket that listens: the user that made it, and its number, by which its process is found."""

    port: int
    uid: int
    inode: str


def needed(setting: Setting) -> Iterator[Port]:
    """Yield the ports that the configuration names; without one, the default control port."""
    config = setting.config
    if config is None:
        yield Port(DEFAULT_CONTROL_PORT, "port", "warning")
        return
    yield Port(config.port, "port", "stops")
    if config.telemetry_port:
        yield Port(config.telemetry_port, "telemetry_port", "warning")
    for index in range(len(config.engines)):
        if number := config.fabric(index).port:
            yield Port(number, f"fabric_iface_port of engine {index}", "stops")


def check(machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield for each port whether it is free."""
    listeners = {each.port: each for name in ("tcp", "tcp6") for each in parse(reading.lines(f"{machine.proc}/net/{name}"), name)}
    for port in needed(setting):
        subject = f"TCP port {port.number} ({port.key})"
        if port.number not in listeners:
            yield Finding(subject=subject, found="free", verdict="ok")
        else:
            yield _taken(machine, setting, port, listeners[port.number], subject)


def _taken(machine: Machine, setting: Setting, port: Port, listener: Listener, subject: str) -> Finding:
    pid = owner(machine.proc, listener.inode)
    if pid is None:
        who, ours = f"a process of {user_name(listener.uid)}, which only root can name", listener.uid == setting.uid
    else:
        name = "".join(reading.lines(f"{machine.proc}/{pid}/comm"))
        who, ours = f"{reading.program(machine.proc, pid)} of {user_name(listener.uid)}", name in OURS
    return Finding.of(
        subject,
        f"in use by {who}",
        right=ours,
        why="two programs cannot listen on one port",
        advice=f"end that process, or change {port.key} in the configuration; to see it, as root:\n  ss -ltnp 'sport = :{port.number}'",
        bad=port.bad,
    )


def parse(lines: tuple[str, ...], name: str) -> Iterator[Listener]:
    """Yield the listening sockets of /proc/net/tcp or tcp6; the first line is a title.

    :raises MalformedError: if any line is not as the kernel writes it.
    """
    for line in lines[1:]:
        match = _LINE.fullmatch(line)
        if match is None:
            raise kernelfiles.MalformedError(name, f"not a socket: {kernelfiles.printable(line)}")
        if match[2] == LISTENING:
            yield Listener(int(match[1], 16), int(match[3]), match[4])


def owner(proc: str, inode: str) -> int | None:
    """Return the lowest process that has a socket open, None if none is seen: other users' can be seen by root alone."""
    for pid in sorted(int(name) for name in reading.names(proc) if name.isascii() and name.isdigit()):
        try:
            with os.scandir(f"{proc}/{pid}/fd") as entries:
                if any(_link(entry.path) == f"socket:[{inode}]" for entry in entries):
                    return pid
        except OSError:
            continue  # another user's, or gone
    return None


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
