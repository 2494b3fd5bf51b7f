# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The two accounts, by number: each is the owner of an empty file made at install, so that no name service is asked."""

from __future__ import annotations

import os
import stat

USERS = "/etc/passwd"
USERS_LIMIT = 1 << 20
"""Characters of it that are read."""


class Identity:
    """A uid and gid."""

    def __init__(self, uid: int, gid: int) -> None:
        self.uid = uid
        self.gid = gid

    @classmethod
    def owner_of(cls, path: str) -> Identity:
        """Return who owns the file.

        :raises PermissionError: if the file could be anybody's: not regular, not mode 0000, or root's.
        """
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) or found.st_uid == 0 or found.st_gid == 0:
            raise PermissionError(1, "it must be an empty file of the account's, mode 0000", path)
        return cls(found.st_uid, found.st_gid)


def listed_uid(name: str, path: str = USERS) -> int | None:
    """Return the uid that root's file lists for a name, or None: for a message to people, never for a decision.

    A name that only a name service knows is not found: none is asked here.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(USERS_LIMIT).splitlines()
    except OSError:
        return None
    fields = next((line.split(":") for line in lines if line.startswith(f"{name}:")), [])
    return int(fields[2]) if len(fields) == 7 and fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= 10 else None
