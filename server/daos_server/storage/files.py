# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Files that stand for SSDs (class ``file``): looked at, and made, by the server's account on descriptors.

A file that a kill left half allocated holds no data and is simply made again, so there is no temporary name to forget.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.facts import FileState
from daos_server.plan.units import GIB, bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int], None]
    """Called with bytes done and bytes in all; may raise to stop the work, which is then undone."""

BLOCK = 4096
"""Sizes are whole multiples of this many bytes."""
MODE = 0o600
CHUNK = GIB
"""Bytes allocated at a time: between two of them progress is shown and a stop is obeyed."""

READ_CHUNK = 1 << 20
READ_LIMIT = GIB
"""Bytes of zeros that are read in search of data; a file that has more of them written counts as holding data."""

UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)

KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def file_size(gib: int) -> int:
    """Return the size in bytes of a file of so many GiB, rounded down to whole blocks."""
    return gib * GIB // BLOCK * BLOCK


def inspect(path: str) -> FileState:
    """Look at a path that is, or will be, such a file; what is wrong with it is in ``problem``.  Changes nothing."""
    try:
        with _parent(path) as (folder, name):
            status = os.fstatvfs(folder)
            free = status.f_bavail * status.f_frsize
            device = os.fstat(folder).st_dev
            try:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                _check_writable(folder, path)
                return FileState(device=device, free=free)
            _check_usable(found, path)
            descriptor = _open_existing(folder, name, path, os.O_RDONLY)
            try:
                has_data = holds_data(descriptor)
            finally:
                os.close(descriptor)
    except Fault as fault:
        return FileState(problem=fault)
    except OSError as error:
        return FileState(problem=_failure(path, error))
    return FileState(exists=True, size=found.st_size, has_data=has_data, device=device, free=free, allocated=found.st_blocks * 512)


def create(path: str, size: int, *, force: bool, progress: Progress | None = None) -> bool:
    """Make the file, its blocks allocated, mode 0600; what stays on an error is as it was before, or nothing.

    :param path: absolute.
    :param size: bytes, above 0; rounded down to whole blocks.
    :param force: destroy the data that an existing file holds.
    :returns: False if a file of that size without data was there already.
    :raises Fault: 101 for a file with data without force; 302 if it cannot be made; 2104, 2110, 2114 for a path that cannot be one.
    """
    size -= size % BLOCK
    if size <= 0:
        raise Fault(codes.BDEV_FORMAT_FAILURE, object=path, dev=path, err="a file of this class needs a size above 0")
    try:
        with _parent(path) as (folder, name):
            return _create_at(folder, name, path, size, force=force, progress=progress or (lambda _done, _total: None))
    except OSError as error:
        raise _failure(path, error) from error


def _create_at(folder: int, name: str, path: str, size: int, *, force: bool, progress: Progress) -> bool:
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, MODE, dir_fd=folder)
    except FileExistsError:
        descriptor = _open_existing(folder, name, path, os.O_RDWR)
        try:
            return _reuse(descriptor, folder, name, path, size, force=force, progress=progress)
        finally:
            os.close(descriptor)
    try:
        _fill(descriptor, size, progress)
    except BaseException:
        _remove(descriptor, folder, name)
        raise
    finally:
        os.close(descriptor)
    return True


def _reuse(descriptor: int, folder: int, name: str, path: str, size: int, *, force: bool, progress: Progress) -> bool:
    found = os.fstat(descriptor)
    has_data = holds_data(descriptor)
    if has_data and not force:
        raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=path, cause=f"the file holds data ({bytes_text(found.st_size)})")
    if not has_data and found.st_size == size:
        os.fchmod(descriptor, MODE)
        return False
    _check_room(descriptor, path, size - found.st_blocks * 512)
    try:
        os.ftruncate(descriptor, 0)
        _fill(descriptor, size, progress)
    except BaseException:
        if has_data:
            _remove(descriptor, folder, name)
        else:
            os.ftruncate(descriptor, found.st_size)
        raise
    return True


def _fill(descriptor: int, size: int, progress: Progress) -> None:
    progress(0, size)
    try:
        for offset in range(0, size, CHUNK):
            length = min(CHUNK, size - offset)
            allocate(descriptor, offset, length)
            progress(offset + length, size)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        os.ftruncate(descriptor, size)
        progress(size, size)
    os.fchmod(descriptor, MODE)
    os.fsync(descriptor)


def allocate(descriptor: int, offset: int, length: int) -> None:
    """Allocate blocks with fallocate(2): the C library's ``posix_fallocate`` would write them one by one where it is not supported.

    :raises OSError: ``EOPNOTSUPP`` where the file system cannot.
    """
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    while call(descriptor, 0, offset, length) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def holds_data(descriptor: int) -> bool:
    """Tell whether any byte of the file is not zero.

    Only blocks that the file system calls data are read.  They may be blank all the same: somebody's reading of an allocated
    block makes it data in the eyes of most file systems.
    """
    left = READ_LIMIT
    end = 0
    while (begin := _seek(descriptor, end, os.SEEK_DATA)) is not None:
        end = _seek(descriptor, begin, os.SEEK_HOLE) or begin
        while begin < end:
            part = os.pread(descriptor, min(READ_CHUNK, end - begin), begin)
            if not part:
                return False
            if part.count(0) != len(part):
                return True
            begin += len(part)
            left -= len(part)
            if left <= 0:
                return True
    return False


def _seek(descriptor: int, offset: int, whence: int) -> int | None:
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


@contextmanager
def _parent(path: str) -> Iterator[tuple[int, str]]:
    """Open the folder of an absolute path; links in the folder's path are followed, as the account that we are."""
    name = os.path.basename(path)
    if not path.startswith("/"):
        raise Fault(codes.STORAGE_PATH_INVALID, path=path, reason="it is not absolute", object=path)
    if name in ("", ".", ".."):
        raise Fault(codes.STORAGE_PATH_INVALID, path=path, reason="it names no file", object=path)
    directory = os.path.dirname(path)
    try:
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _bad_folder(directory, os.strerror(error.errno or 0)) from error
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)


def _bad_folder(directory: str, reason: str) -> Fault:
    return Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=directory, path=directory, reason=reason)


def _check_writable(folder: int, path: str) -> None:
    # A descriptor has no access(2) of its own before Linux 5.8's faccessat2, and Python asks by path: the one in /proc is it.
    if not os.access(f"/proc/self/fd/{folder}", os.W_OK | os.X_OK, effective_ids=True):
        raise _bad_folder(os.path.dirname(path), "the server's account may not make files in it")


def _open_existing(folder: int, name: str, path: str, access: int) -> int:
    # Without O_CREAT (protected_regular and protected_fifos apply to it), and never waiting for the other end of a FIFO.
    try:
        descriptor = os.open(name, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        # An open may fail for what it is; looking at it says what that is.
        _check_usable(os.stat(name, dir_fd=folder, follow_symlinks=False), path)
        raise _failure(path, error) from error
    try:
        _check_usable(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_usable(found: os.stat_result, path: str) -> None:
    reason = _unusable(found)
    if reason:
        raise Fault(codes.STORAGE_FILE_UNUSABLE, object=path, path=path, reason=reason)


def _unusable(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return f"it is {KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not a file"
    if found.st_uid != os.geteuid():
        return f"it belongs to uid {found.st_uid}, not to the server's account (uid {os.geteuid()})"
    if found.st_nlink != 1:
        return f"it has {found.st_nlink} names (hard links)"
    return ""


def _check_room(descriptor: int, path: str, more: int) -> None:
    status = os.fstatvfs(descriptor)
    free = status.f_bavail * status.f_frsize
    if more > free:
        raise no_room(path, more, free)


def no_room(path: str, more: int, free: int) -> Fault:
    """Return fault 302 for a file that does not fit."""
    return Fault(
        codes.BDEV_FORMAT_FAILURE,
        object=path,
        dev=path,
        err=f"{bytes_text(max(more, 0))} more are needed, and the file system has {bytes_text(max(free, 0))} free",
    )


def _remove(descriptor: int, folder: int, name: str) -> None:
    """Remove the name, if it still is our file's."""
    ours = os.fstat(descriptor)
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
        os.unlink(name, dir_fd=folder)


def _failure(path: str, error: OSError) -> Fault:
    return Fault(codes.BDEV_FORMAT_FAILURE, object=path, dev=path, err=os.strerror(error.errno or 0))
