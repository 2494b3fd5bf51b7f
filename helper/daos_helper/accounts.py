# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The two accounts, by number: each is the owner of an empty file made at install, so that no name service is asked."""

from __future__ import annotations

import os
import stat


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
