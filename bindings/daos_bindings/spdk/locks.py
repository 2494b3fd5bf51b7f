# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The files by whose locks SPDK processes keep out of each other's controllers.

They are in a folder where everybody may make files, and SPDK opens them as it finds them, truncates them and writes a number:
a link that waits there for root would be followed.  So each is made anew before SPDK comes to it, and in a sticky folder
nobody but its owner can put something else in its place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from daos_bindings.linux.pci_address import VMD_DOMAIN
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daos_bindings.linux.pci_address import PciAddress

FOLDER = "/var/tmp"  # noqa: S108 - where SPDK has them
FLOCK: Final = struct.Struct("hhqqi4x")
"""struct flock on a 64-bit machine: type, whence, start, length, pid."""


def path(address: PciAddress) -> str:
    """Return the path of a controller's file; SPDK writes the domain of one behind a VMD with as few digits as it has."""
    bus, device, function = address.vmd
    domain = bus << 16 | device << 8 | function if address.domain == VMD_DOMAIN else address.domain
    return f"{FOLDER}/spdk_pci_lock_{domain:04x}:{address.bus:02x}:{address.device:02x}.{address.function:x}"


def reserve(address: PciAddress) -> None:
    """Make a controller's file, empty and ours.

    :raises Fault: 2141 if a living process holds its lock, 2142 if it cannot be made for another reason.
    """
    name = path(address)
    try:
        _remove_stale(address, name)
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        reason = f"its lock file {name} cannot be made: {os.strerror(error.errno) if error.errno else error}"
        raise Fault(codes.SPDK_CONTROLLER_NOT_ATTACHED, object=str(address), address=address, reason=reason) from error


def release(addresses: Iterable[PciAddress]) -> None:
    """Remove the files of controllers that are not in use any more; one that another process has locked meanwhile is its own.

    :raises OSError: if one is there and cannot be removed; the others are.
    """
    failed: OSError | None = None
    for address in dict.fromkeys(addresses):
        try:
            with suppress(Fault):
                _remove_stale(address, path(address))
        except OSError as error:
            failed = error
    if failed is not None:
        raise failed


def _remove(name: str) -> None:
    try:
        os.unlink(name)
    except FileNotFoundError:
        return


def _remove_stale(address: PciAddress, name: str) -> None:
    """Remove a file that a dead process left, holding its lock meanwhile; or a link that somebody planted."""
    try:
        fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        _remove(name)
        return
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            _take(fd, address, name)
        _remove(name)
    finally:
        os.close(fd)


def _take(fd: int, address: PciAddress, name: str) -> None:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EAGAIN}:
            raise
        pid = _holder(fd) or 0
        raise Fault(codes.SPDK_CONTROLLER_LOCKED, object=str(address), address=address, path=name, pid=pid, uid=_uid(pid)) from error


def holder(name: str) -> int | None:
    """Return the process that holds the lock of a file; None if none does, 0 if it cannot be named (in another container).

    Takes nothing and writes nothing.

    :raises OSError: if it cannot be opened for reading, or is no file that can be locked.
    """
    # It stands in a folder where anybody may put anything: no link, no waiting for a writer.
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _holder(fd)
    finally:
        os.close(fd)


def _holder(fd: int) -> int | None:
    asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _whence, _start, _length, pid = FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else max(int(pid), 0)


def _uid(pid: int) -> str:
    try:
        return str(os.stat(f"/proc/{pid}").st_uid)
    except OSError:
        return "unknown"
