# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The last thing before a worker's step: from then on the kernel holds it to its row's paths and system calls, for good.

Both come after the drop of uid and capabilities, and need neither.  A kernel may lack one: then the worker runs with the rest, and the
request's audit line says so.  One that has it and refuses is a fault.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from daos_bindings.linux import landlock, seccomp
from daos_bindings.linux.landlock import Right
from daos_helper import calls
from daos_helper.privileges import Held, Paths, Row

READ: Final = Right.READ_FILE | Right.READ_DIR
WRITE: Final = READ | Right.WRITE_FILE | Right.TRUNCATE | Right.IOCTL_DEV
CHANGE: Final = WRITE | Right.MAKE_REG | Right.MAKE_DIR | Right.MAKE_SOCK | Right.REMOVE_FILE | Right.REMOVE_DIR
EXECUTE: Final = Right.EXECUTE | Right.READ_FILE
HELD: Final[dict[Held, Right]] = {
    "nothing": Right(0),
    "make folders": Right.READ_DIR | Right.MAKE_DIR,
    "remove files": Right.READ_DIR | Right.REMOVE_FILE,
    "read again": READ,
    "open again": WRITE,
}


class Kernel(NamedTuple):
    """What this kernel can hold a process to.

    :param landlock: its ABI; 0 if there is none.
    """

    landlock: int
    seccomp: bool

    @property
    def lacks(self) -> tuple[str, ...]:
        """The features that are not there, by their names."""
        return tuple(name for name, there in (("landlock", self.landlock), ("seccomp", self.seccomp)) if not there)


@functools.cache
def kernel() -> Kernel:
    """Ask the kernel, once."""
    return Kernel(landlock.abi(), seccomp.available())


@functools.cache
def filter_of(name: str) -> seccomp.Filter:
    """Return the filter of a list, ready to be loaded.  Asked for in the monitor, so that all workers have it."""
    return seccomp.assemble(calls.LISTS[name], fatal=calls.NEVER, not_here=calls.NOT_HERE)


def enter(row: Row, held: tuple[int, ...], program: str | None) -> None:
    """Confine the worker.

    :param held: the step's own descriptors.
    :param program: path of the program that it is about to become.
    :raises OSError: if the kernel refuses.
    """
    found = kernel()
    if row.paths is not None and found.landlock:
        descriptors = ((descriptor, HELD[row.paths.held]) for descriptor in held)
        landlock.restrict(found.landlock, _by_path(row.paths, program), descriptors)
    if found.seccomp:
        seccomp.load(filter_of(row.calls))


def _by_path(paths: Paths, program: str | None) -> Iterator[tuple[str, Right]]:
    for group, right in ((paths.read, READ), (paths.execute, EXECUTE), (paths.write, WRITE), (paths.change, CHANGE)):
        for path in group:
            for place in _places(path):
                yield place, right
    if program is not None:
        yield program, EXECUTE


def _places(path: str) -> tuple[str, ...]:
    """Return what a path of the table stands for now: itself, or with a star at its end all that begin like it."""
    folder, name = os.path.split(path)
    if not name.endswith("*"):
        return (path,)
    try:
        return tuple(f"{folder}/{one}" for one in os.listdir(folder) if one.startswith(name[:-1]))
    except OSError:
        return ()
