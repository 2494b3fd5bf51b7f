# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_nvme.conf`` on disk: read, and replaced whole."""

from __future__ import annotations

import os
import stat

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.storage.durable import remove_temporary, write_atomically_at

MODE = 0o644
SIZE_LIMIT = 4 << 20


def read(path: str) -> str | None:
    """Return the content; None if there is no such file, or it cannot be read, or is not a file of ours."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != MODE:
            return None
        content = file.read(SIZE_LIMIT + 1)
    try:
        return content.decode() if len(content) <= SIZE_LIMIT else None
    except UnicodeDecodeError:
        return None


def write(path: str, content: str) -> bool:
    """Put the content in place, whole or not at all; the folder must be ours.

    :returns: False if exactly this was there already.
    :raises Fault: 2105 if the folder is not ours, 2110 if the file cannot be written.
    """
    directory, name = os.path.split(path)
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=directory, path=directory, reason=os.strerror(error.errno or 0)) from error
    try:
        owner = os.fstat(folder).st_uid
        if owner != os.geteuid():
            reason = f"it belongs to uid {owner}, not to the server's account (uid {os.geteuid()})"
            raise Fault(codes.STORAGE_PATH_UNSAFE, object=directory, path=directory, reason=reason)
        if read(path) == content:
            remove_temporary(folder, name)
            return False
        write_atomically_at(folder, name, content.encode(), mode=MODE)
    except OSError as error:
        raise Fault(codes.STORAGE_FILE_UNUSABLE, object=path, path=path, reason=os.strerror(error.errno or 0)) from error
    finally:
        os.close(folder)
    return True
