# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The folder that everything is collected in: new, mode 0700, everything in it new as well; and the archive beside it."""

from __future__ import annotations

import os
import shutil
import tarfile
from contextlib import contextmanager, suppress
from itertools import chain
from typing import IO, TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MODE_FOLDER = 0o700
MODE_FILE = 0o600
FILE_LIMIT = 1 << 30
"""Most bytes of one file: enough for a log, too little to fill a disk with."""
CUT = b"\n(cut here: the rest was left out)\n"


class Folder:
    """A folder made by this process.

    :param path: absolute; nothing may be there, not even a link, and its parent must exist.
    :raises Fault: 2366 if it cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            os.mkdir(path, MODE_FOLDER)
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise unusable(path, error) from error
        found = os.fstat(self._fd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o777 != MODE_FOLDER:
            os.close(self._fd)
            raise Fault(codes.SUPPORT_FOLDER_UNUSABLE, path=path, reason="somebody replaced it as soon as it was made")

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._fd)

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        """Open a new file of this name, in subfolders that the name has and that are made.

        :raises OSError: if it cannot be made.
        """
        *folders, last = name.split("/")
        here = os.dup(self._fd)
        try:
            for part in folders:
                below = _subfolder(here, part)
                os.close(here)
                here = below
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(last, flags, MODE_FILE, dir_fd=here)
        finally:
            os.close(here)
        with open(descriptor, "wb") as made:
            yield made

    def write(self, name: str, lines: Iterable[bytes]) -> None:
        """Write lines into a new file, at most ``FILE_LIMIT`` bytes of them; none is made if there is not even a first line to be had.

        :raises OSError: if that fails.
        """
        left = FILE_LIMIT
        rest = iter(lines)
        first = next(rest, b"")
        with self.file(name) as file:
            for line in chain((first,), rest):
                left -= len(line)
                if left < 0:
                    file.write(CUT)
                    return
                file.write(line)

    def archive(self) -> str:
        """Make ``<folder>.tar.gz``, mode 0600, remove the folder, and return the archive's path.

        :raises Fault: 2366 if it cannot be made; the folder stays then.
        """
        path = f"{self.path}.tar.gz"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE_FILE)
            with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
                archive.add(self.path, arcname=os.path.basename(self.path))
        except OSError as error:
            raise unusable(path, error) from error
        shutil.rmtree(self.path)
        return path


def _subfolder(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, MODE_FOLDER, dir_fd=parent)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def unusable(path: str, error: OSError) -> Fault:
    """Return the fault for a place that cannot be written to."""
    return Fault(codes.SUPPORT_FOLDER_UNUSABLE, path=path, reason=os.strerror(error.errno or 0))
