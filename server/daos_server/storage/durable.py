# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Files that are there whole or not at all, whenever the power fails."""

from __future__ import annotations

import os

TEMPORARY_SUFFIX = ".new"
"""The temporary file has one fixed name, so that one left by a kill is found and replaced by the next run."""


def write_atomically(directory: str, name: str, content: bytes, *, mode: int) -> None:
    """Replace a file: written beside it, synced, renamed over it, and the folder synced.

    :param mode: permission bits of the new file, whatever the umask.
    :raises OSError: if any step fails; the temporary file is then removed and the old file is as it was.
    """
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        write_atomically_at(folder, name, content, mode=mode)
    finally:
        os.close(folder)


def write_atomically_at(folder: int, name: str, content: bytes, *, mode: int) -> None:
    """As ``write_atomically``, in a folder that is open."""
    temporary = name + TEMPORARY_SUFFIX
    remove_temporary(folder, name)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        remove_temporary(folder, name)
        raise
    os.fsync(folder)


def remove_temporary(folder: int, name: str) -> None:
    """Remove the temporary file of a file, if a kill left one."""
    try:
        os.unlink(name + TEMPORARY_SUFFIX, dir_fd=folder)
    except FileNotFoundError:
        return
