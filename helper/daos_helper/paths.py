# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Paths from the caller: their grammar, and descriptors for them that no symbolic link has led anywhere else."""

from __future__ import annotations

import errno
import os
import stat

from daos_bindings.linux.syscalls import RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from daos_pbin import codes
from daos_pbin.faults import Fault

NO_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
COMPONENT_LIMIT = 255
"""Bytes of one path component (NAME_MAX)."""
PATH_LIMIT = 4095
"""Bytes of a path without its NUL (PATH_MAX - 1)."""


def components(path: str) -> tuple[str, ...]:
    """Split a canonical absolute path.

    :raises Fault: 2104 if it is not absolute and canonical: no empty, ``.`` or ``..`` component, no trailing slash, no
        control character, nothing over the kernel's limits.
    """
    if not path.startswith("/"):
        raise Fault(codes.STORAGE_PATH_INVALID, path=path, reason="it is not absolute")
    if path == "/":
        raise Fault(codes.STORAGE_PATH_INVALID, path=path, reason="the root directory is never a target")
    if len(path.encode()) > PATH_LIMIT:
        raise Fault(codes.STORAGE_PATH_INVALID, path=path[:80] + "...", reason=f"it is longer than {PATH_LIMIT} bytes")
    parts = tuple(path[1:].split("/"))
    for part in parts:
        if part in ("", ".", ".."):
            raise Fault(codes.STORAGE_PATH_INVALID, path=path, reason="it is not canonical (//, . , .. or a trailing slash)")
        if len(part.encode()) > COMPONENT_LIMIT:
            raise Fault(codes.STORAGE_PATH_INVALID, path=path, reason=f"a component is longer than {COMPONENT_LIMIT} bytes")
        if not part.isprintable():
            raise Fault(codes.STORAGE_PATH_INVALID, path=ascii(path), reason="it has a character that cannot be printed")
    return parts


def split(path: str) -> tuple[str, str]:
    """Return the parent path and the last component of a path that ``components`` accepted."""
    parent, _, name = path.rpartition("/")
    return parent or "/", name


def open_path(path: str, flags: int) -> int:
    """Open a path of which no component is a symbolic link.

    :raises Fault: 2105 if one is; 2113 for any other error but a missing file.
    :raises FileNotFoundError: if it is not there.
    """
    try:
        return openat2(-100, path, flags, resolve=NO_LINKS)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Fault(codes.STORAGE_PATH_UNSAFE, path=path, reason="a component of it is a symbolic link") from error
        if error.errno == errno.ENOTDIR:
            raise Fault(codes.STORAGE_PATH_UNSAFE, path=path, reason="it, or a component of it, is not a directory") from error
        raise Fault(codes.STORAGE_SYSTEM_CALL_FAILED, object=path, cause=os.strerror(error.errno or 0), call="open", what=path) from error


def open_directory(path: str) -> int:
    """Open a directory for identity and as a mount point (O_PATH); errors as ``open_path``."""
    return open_path(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)


def belongs_to_root(descriptor: int) -> bool:
    """Tell whether only root can rename or replace what is in the directory."""
    found = os.fstat(descriptor)
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
