# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A machine with persistent memory, played by a stand-in for libipmctl, and a process to ask it in."""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import signal
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from daos_pbin.faults import Fault

P = ParamSpec("P")
T = TypeVar("T")

HEADER = Path("/usr/include/nvm_management.h")
SOURCE = Path(__file__).parent / "ipmctl_standin" / "standin.c"
GIB = 1 << 30
CAPACITY = 128 * GIB
"""Bytes of each module."""
INTERLEAVED, NOT_INTERLEAVED, OTHER = 1, 2, 0
HEALTHY, ERROR, PENDING, LOCKED = 1, 2, 4, 5
NEW, BAD_REQUEST = 2, 3


def uid(socket: int, number: int) -> str:
    """Return the UID of a module of the played machine."""
    return f"8089-a2-1748-{socket:04x}{number:04x}"


def module(socket: int, number: int, health: int = 1) -> str:
    """Return the line that describes a module."""
    return (
        f"module {uid(socket, number)} {socket} {number // 2} {number % 2} 0 {socket * 16 + number + 17} {CAPACITY} {health} "
        "NMA1XXD128GPS 01.02.00.5446 00.00.00.0000"
    )


def region(socket: int, free: int, *, kind: int = INTERLEAVED, health: int = HEALTHY, capacity: int = 2 * CAPACITY, iset: int = 0) -> str:
    """Return the line that describes a region."""
    return f"region {socket} {iset or 1000 + socket} {kind} {capacity} {free} {health}"


def modules(*sockets: int) -> list[str]:
    """Return the lines of two modules on each socket."""
    return [module(socket, number) for socket in sockets for number in (0, 1)]


@dataclass(frozen=True)
class Machine:
    """The stand-in, and the description beside it."""

    library: Path

    @property
    def _file(self) -> Path:
        return self.library.parent / "machine"

    def describe(self, lines: Iterable[str]) -> None:
        """Make the machine this."""
        self._file.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")

    def lines(self, kind: str) -> list[str]:
        """Return the lines of one kind."""
        return [line for line in self._file.read_text(encoding="ascii").splitlines() if line.split()[0] == kind]

    def reboot(self, refuse: int = 0) -> None:
        """Do what the firmware does with goals at the start of a machine.

        :param refuse: the status that it gives them instead.
        """
        goals = [line.split() for line in self.lines("goal")]
        others = [line for line in self._file.read_text(encoding="ascii").splitlines() if line not in self.lines("goal")]
        if refuse:
            self.describe([*others, *(f"goal {one[1]} {one[2]} {refuse}" for one in goals)])
            return
        sockets = {int(one[2]) for one in goals}
        gone = [line for line in self.lines("region") if int(line.split()[1]) in sockets]
        self.describe([*(line for line in others if line not in gone), *(region(socket, 2 * CAPACITY) for socket in sorted(sockets))])

    def ask(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Call the bindings with the stand-in as libipmctl, in a process of its own."""
        return Process(library=str(self.library)).ask(call, *arguments, **named)


def build(folder: Path) -> Machine:
    """Compile the stand-in into the folder; skip where the header is missing."""
    if not HEADER.exists():
        pytest.skip(f"no {HEADER}: install libipmctl-dev")
    library = folder / "libipmctl.so.5"
    where = f'-DFOLDER="{folder}"'
    command = ["/usr/bin/gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", where, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return Machine(library)


@dataclass(frozen=True)
class Process:
    """A process of its own to call something in, whose output goes nowhere.

    :param library: instead of the installed libipmctl.
    :param uid: of the process; its own if None.
    :param deadline_s: seconds until it is killed.
    """

    library: str = ""
    uid: int | None = None
    deadline_s: float = 60

    def ask(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Call a function there.

        :raises Fault: what the function raised.
        :raises ChildProcessError: if the process crashed, saying the signal.
        :raises TimeoutError: if it was killed at the deadline.
        """
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            _answer(writer, partial(call, *arguments, **named), self)
        os.close(writer)
        with open(reader, "rb") as answer:
            readable, _, _ = select.select([answer], [], [], self.deadline_s)
            if not readable:
                os.kill(pid, signal.SIGKILL)
            data = answer.read()
        _, status = os.waitpid(pid, 0)
        if not readable:
            raise TimeoutError
        if not data:
            raise ChildProcessError(signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else str(status))
        kind, value = pickle.loads(data)  # noqa: S301 - from our own child
        if kind == "fault":
            raise Fault.from_wire(value)
        if kind == "error":
            raise ValueError(value)
        result: T = value
        return result


def _answer(writer: int, call: Callable[[], T], process: Process) -> None:
    try:
        from daos_bindings.ipmctl import raw

        faulthandler.disable()  # a crash is what some ask for
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if process.library:
            raw.NAMES = (process.library, process.library)
        if process.uid is not None:
            os.setuid(process.uid)
        try:
            answer: tuple[str, object] = ("result", call())
        except Fault as fault:
            answer = ("fault", fault.to_wire())
        except ValueError as error:
            answer = ("error", str(error))
        with open(writer, "wb") as stream:
            stream.write(pickle.dumps(answer))
    finally:
        os._exit(0)
