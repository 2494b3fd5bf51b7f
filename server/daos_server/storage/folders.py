# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The folders of the control metadata: made, and cleared of old content, by the server's account on descriptors.

Removing never follows a link, never leaves the file system, and stops at any mount before the first file is removed.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.wanted import is_within
from daos_server.storage.filesystems import check_metadata_file_system, mount_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODE = 0o755
DEPTH_LIMIT = 64
"""Deepest content that is removed; what an engine leaves is a few levels deep."""

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_root(path: str) -> bool | None:
    """Make the directory of control metadata that has no device, and the folders above it that are missing.

    :returns: True if it was made, False if it was there and is ours, None if only root could do it.
    :raises Fault: 1001 for a network file system and for a nosuid mount that is not ours; 2114 if it cannot be made.
    """
    check_metadata_file_system(path)
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return _make_path(path)
    except PermissionError:
        return None
    except OSError as error:
        raise unusable(path, error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=path, path=path, reason="it is not a directory")
    return False if found.st_uid == os.geteuid() else None


def _make_path(path: str) -> bool | None:
    missing = [path]
    while not os.path.lexists(parent := os.path.dirname(missing[-1])) and parent != missing[-1]:
        missing.append(parent)
    try:
        for directory in reversed(missing):
            os.mkdir(directory, MODE)
            os.chmod(directory, MODE)
    except PermissionError:
        return None
    except OSError as error:
        raise unusable(path, error) from error
    return True


def make_folders(root: str, data_path: str, engines: Sequence[int], *, force: bool = False) -> None:
    """Make ``data_path`` anew, empty but for one folder per engine, all mode 0755 and ours.

    Run again after a kill at any point, it ends with the same result.

    :param root: canonical path of the metadata root, which must belong to the account.
    :param data_path: a folder directly in the root.
    :param force: remove files too; without it only empty folders are, so that no plan that is out of date costs a superblock.
    :raises Fault: 2104 if it is not, 2105 if the root is not ours or something foreign is in the way, 101 for files without force,
        2114 for any other error.
    """
    name = os.path.basename(data_path)
    if not is_within(data_path, root) or os.path.dirname(data_path) != root:
        raise Fault(codes.STORAGE_PATH_INVALID, object=data_path, path=data_path, reason=f"it is not a folder of {root}")
    try:
        with _open_ours(root) as root_fd:
            _make_folder(root_fd, name)
            with _open_ours(name, dir_fd=root_fd, path=data_path, within=root_fd) as data_fd:
                _check_content(data_fd, data_path, mount_id(root_fd), DEPTH_LIMIT, force=force)
                _remove_content(data_fd, data_path, mount_id(root_fd), DEPTH_LIMIT)
                for index in engines:
                    _make_folder(data_fd, f"engine{index}")
                os.fsync(data_fd)
            os.fsync(root_fd)
    except OSError as error:
        raise unusable(data_path, error) from error


def ensure_folder(path: str) -> None:
    """Make one folder of ours, mode 0755, if it is missing; its parent must be ours.

    :raises Fault: 2105 or 2114, as ``make_folders``.
    """
    try:
        with _open_ours(os.path.dirname(path)) as parent:
            _make_folder(parent, os.path.basename(path))
            with _open_ours(os.path.basename(path), dir_fd=parent, path=path):
                return
    except OSError as error:
        raise unusable(path, error) from error


def _make_folder(parent: int, name: str) -> None:
    try:
        os.mkdir(name, MODE, dir_fd=parent)
    except FileExistsError:
        return
    descriptor = os.open(name, DIRECTORY, dir_fd=parent)
    try:
        os.fchmod(descriptor, MODE)
    finally:
        os.close(descriptor)


@contextmanager
def _open_ours(name: str, *, dir_fd: int | None = None, path: str = "", within: int | None = None) -> Iterator[int]:
    path = path or name
    try:
        descriptor = os.open(name, DIRECTORY, dir_fd=dir_fd)
    except NotADirectoryError as error:
        raise _unsafe(path, "it is not a directory, or a symbolic link") from error
    try:
        owner = os.fstat(descriptor).st_uid
        if owner != os.geteuid():
            raise _unsafe(path, f"it belongs to uid {owner}, not to the server's account (uid {os.geteuid()})")
        if within is not None and mount_id(descriptor) != mount_id(within):
            raise _unsafe(path, "another file system is mounted on it")
        yield descriptor
    finally:
        os.close(descriptor)


def _check_content(folder: int, path: str, mount: int, depth: int, *, force: bool) -> None:
    """Refuse content that must not be removed, before anything is.

    :raises Fault: 2105 for a mount in it, 101 for a file without force, 2114 if it is nested too deeply.
    """
    if depth == 0:
        reason = f"it has more than {DEPTH_LIMIT} levels of folders, which nothing of ours makes"
        raise Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=path, path=path, reason=reason)
    for name in os.listdir(folder):
        inside = os.path.join(path, name)
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            if mount_id(descriptor) != mount:
                raise _unsafe(inside, "something is mounted on it: unmount it first")
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
        if is_folder:
            with _opened(folder, name) as below:
                _check_content(below, inside, mount, depth - 1, force=force)
        elif not force:
            raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=inside, cause=f"{inside} is there")


def _remove_content(folder: int, path: str, mount: int, depth: int) -> None:
    for name in os.listdir(folder):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=folder)
            continue
        inside = os.path.join(path, name)
        with _opened(folder, name) as below:
            # Asked again: the check before was of another moment.
            if mount_id(below) != mount or depth == 0:
                raise _unsafe(inside, "it changed while it was being cleared")
            _remove_content(below, inside, mount, depth - 1)
        os.rmdir(name, dir_fd=folder)


@contextmanager
def _opened(folder: int, name: str) -> Iterator[int]:
    descriptor = os.open(name, DIRECTORY, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unsafe(path: str, reason: str) -> Fault:
    return Fault(codes.STORAGE_PATH_UNSAFE, object=path, path=path, reason=reason)


def unusable(path: str, error: OSError) -> Fault:
    """Return fault 2114 for a folder."""
    return Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=path, path=path, reason=os.strerror(error.errno or 0))
