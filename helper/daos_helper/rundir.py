# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The helper's folder under /run: locks that outlive a session, and what a later run must know of an earlier one.

The folder belongs to root, mode 0700.  A lock is a flock that the worker inherits: if a worker is stuck in the kernel and
its monitor is gone, the resource stays locked for as long as the worker exists, and the file says who that is.
"""

from __future__ import annotations

import binascii
import contextlib
import errno
import fcntl
import os
import stat

from daos_pbin import codes
from daos_pbin.faults import Fault

NOTE_LIMIT = 1024
"""Bytes of a note or a record."""
NEW = ".new"
"""Ends the name of a record that is being written."""


class RunDirectory:
    """An open folder under /run.

    :raises Fault: 2105 if the folder is not root's alone.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise Fault(
                codes.STORAGE_SYSTEM_CALL_FAILED, object=path, cause=os.strerror(error.errno or 0), call="mkdir", what=path
            ) from error
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(self._folder)
        if found.st_uid != 0 or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Fault(codes.STORAGE_PATH_UNSAFE, path=path, reason="it must belong to root, mode 0700")

    def lock(self, resource: str) -> Lock:
        """Lock a resource at once.

        :raises Fault: 2010, naming the holder, if somebody else has it.
        """
        name = f"lock-{_file_name(resource)}"
        while True:
            descriptor = self._lock_file(name, resource)
            if os.fstat(descriptor).st_nlink:
                return Lock(resource, descriptor, name, self._folder)
            os.close(descriptor)  # its last holder removed it between our open and our lock

    def _lock_file(self, name: str, resource: str) -> int:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            note = os.pread(descriptor, NOTE_LIMIT, 0).decode(errors="replace")
            os.close(descriptor)
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise Fault(codes.HELPER_RESOURCE_BUSY, object=resource, resource=resource, holder=_holder(note)) from error
        return descriptor

    def write(self, name: str, text: bytes) -> None:
        """Write a record so that it is there whole or not at all."""
        descriptor = os.open(name + NEW, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        try:
            os.write(descriptor, text)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(name + NEW, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)

    def read(self, name: str) -> bytes | None:
        """Return a record, or None if there is none."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        try:
            return os.read(descriptor, 64 * NOTE_LIMIT)
        finally:
            os.close(descriptor)

    def names(self, prefix: str) -> list[str]:
        """Return the names of all records that begin with the prefix."""
        return sorted(name for name in os.listdir(self._folder) if name.startswith(prefix) and not name.endswith(NEW))

    def tidy(self) -> None:
        """Remove what writes left that were cut off; for a folder that only the caller writes to."""
        for name in os.listdir(self._folder):
            if name.endswith(NEW):
                os.unlink(name, dir_fd=self._folder)

    def remove(self, name: str) -> None:
        """Forget a record; one that is not there is forgotten already."""
        try:
            os.unlink(name, dir_fd=self._folder)
        except FileNotFoundError:
            return
        os.fsync(self._folder)

    def close(self) -> None:
        """Let go of the folder; locks stay with who has them."""
        os.close(self._folder)


class Lock:
    """A locked resource; its descriptor is handed to the worker that works on it."""

    def __init__(self, resource: str, descriptor: int, name: str, folder: int) -> None:
        self.resource = resource
        self.descriptor = descriptor
        self._name = name
        self._folder = folder

    def note(self, *, pid: int, request: int, step: str) -> None:
        """Write down who holds the lock, for those who find it busy."""
        text = f"{pid} request {request}, step {step}".encode()
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text[:NOTE_LIMIT], 0)

    def release(self) -> None:
        """Give the resource back, and leave no file."""
        with contextlib.suppress(FileNotFoundError):  # somebody tidied /run; the lock is the descriptor, not the name
            os.unlink(self._name, dir_fd=self._folder)
        os.close(self.descriptor)

    def leave_to_worker(self) -> None:
        """Close our descriptor only: a worker that is stuck in the kernel keeps the lock for as long as it exists."""
        os.close(self.descriptor)


def whereabouts(pid: int) -> str:
    """Return the state of a process, and the kernel function that it waits in where the kernel tells us."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            state = file.read(512).rpartition(")")[2].split()[0]
        with open(f"/proc/{pid}/wchan", encoding="ascii", errors="replace") as file:
            function = file.read(64)
    except OSError as error:
        return "it is gone" if error.errno == errno.ENOENT else "its state is unknown"
    # Another uid's wchan reads 0 for who may not trace it, which is us.
    return f"state {state}, in kernel function {function}" if function not in ("", "0") else f"state {state}"


def _holder(note: str) -> str:
    pid, _, words = note.partition(" ")
    if not pid.isdigit():
        return "another session that has just begun"
    return f"{words} (process {pid}, {whereabouts(int(pid))})"


def _file_name(resource: str) -> str:
    """Return a name of bounded length; two resources with one name only wait for each other."""
    kind = resource.partition(":")[0]
    return f"{kind}-{binascii.crc32(resource.encode()):08x}"
