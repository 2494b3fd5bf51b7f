# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether a daos_server runs as a service on this host, ours or the one that it replaces."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from daos_bindings.linux import kernelfiles
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "daos_server"
SERVICE = "start"
INTERPRETER = re.compile(r"python[0-9.]*", re.ASCII)
PROC = "/proc"
COMMAND_LINE_LIMIT = 64 * 1024


def refuse_if_running(proc: str = PROC) -> None:
    """Refuse to go on beside a service.

    The reference refuses beside any process of that name.  A command that only looks is no danger, and two that change something
    keep each other out by a lock: so only a service counts here.

    :raises Fault: 2360 with its process id.
    """
    pid = running_service(proc)
    if pid:
        raise Fault(codes.SERVER_ALREADY_RUNNING, pid=pid)


def running_service(proc: str = PROC) -> int:
    """Return the process id of a daos_server that was started as a service and is not this process; 0 if there is none."""
    own = str(os.getpid())
    for name in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        if name != own and is_service(_command_line(f"{proc}/{name}/cmdline")):
            return int(name)
    return 0


def is_service(command_line: Sequence[str]) -> bool:
    """Return whether a process with these arguments, its own name first, is a daos_server that serves."""
    words = list(command_line)
    if words and INTERPRETER.fullmatch(os.path.basename(words[0])):
        words = words[1:]
        while words and words[0].startswith("-"):
            words = words[1:]
    return bool(words) and os.path.basename(words[0]) == PROGRAM and SERVICE in words[1:]


def _command_line(path: str) -> list[str]:
    try:
        text = kernelfiles.read(path, limit=COMMAND_LINE_LIMIT)
    except (OSError, kernelfiles.MalformedError):
        return []  # It ended just now, or it is hidden from us, or it is no command line of ours.
    return os.fsdecode(text).rstrip("\0").split("\0")
