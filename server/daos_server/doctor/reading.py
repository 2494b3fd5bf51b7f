# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reading what may not be there.  What may not be read raises, so that the caller can say so."""

from __future__ import annotations

import os

from daos_bindings.linux import kernelfiles


def text(path: str) -> str | None:
    """Return the single line of a file of the kernel; None if there is no such file."""
    try:
        return kernelfiles.text(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def lines(path: str) -> tuple[str, ...]:
    """Return the lines of a text file; none if there is no such file."""
    try:
        data = kernelfiles.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(data.decode("utf-8", "backslashreplace").splitlines())


def names(folder: str) -> tuple[str, ...]:
    """Return the names in a folder, sorted; none if there is no such folder."""
    try:
        return tuple(sorted(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def driver(sys: str, address: str) -> str:
    """Return the name of the driver that a PCI function is bound to; empty if it is bound to none."""
    try:
        return os.path.basename(os.readlink(f"{sys}/bus/pci/devices/{address}/driver"))
    except FileNotFoundError:
        return ""


def program(proc: str, pid: int) -> str:
    """Return a process in words, such as ``process 4711 (daos_engine)``."""
    name = kernelfiles.printable("".join(lines(f"{proc}/{pid}/comm")[:1]))
    return f"process {pid} ({name})" if name else f"process {pid}"
