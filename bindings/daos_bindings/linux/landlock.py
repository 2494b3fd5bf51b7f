# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Landlock: what a process may still reach by name, below folders or descriptors, once it has confined itself.

Three system calls.  A ruleset refuses everything that this kernel's Landlock knows how to refuse, but for what is allowed by name;
what an older one does not know stays as it was.  Which is which, by ABI (include/uapi/linux/landlock.h, security/landlock):

====  ======  =====================================================================================
ABI   Linux   adds
====  ======  =====================================================================================
1     5.13    opening, executing, making and removing files and folders; linking between folders is refused always
2     5.19    linking and renaming between folders can be allowed (nobody here may)
3     6.2     truncating
4     6.7     TCP: bind and connect
5     6.10    ioctl on devices that are opened from then on
6     6.12    abstract unix sockets of others, and signals to others
7     6.15    refusals are logged after an execve as well
====  ======  =====================================================================================

Never refused, by any: stat, chmod, chown, setxattr, utimes, access, chdir, and whatever was opened before.
"""

from __future__ import annotations

import errno
import os
import stat
from enum import IntFlag
from typing import TYPE_CHECKING, Final

from daos_bindings._linux import lib

if TYPE_CHECKING:
    from collections.abc import Iterable


class Right(IntFlag):
    """What may be done with files and folders (``LANDLOCK_ACCESS_FS_*``)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


FIRST: Final = Right((1 << 13) - 1)
"""The rights of ABI 1."""
ADDED: Final = {2: Right.REFER, 3: Right.TRUNCATE, 5: Right.IOCTL_DEV}
"""By the ABI that brought them."""
OF_FILES: Final = Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
"""Those that a rule about something else than a folder may have; the kernel refuses others there."""
NET_ABI: Final = 4
NET_TCP: Final = 0b11
"""``LANDLOCK_ACCESS_NET_BIND_TCP`` and ``_CONNECT_TCP``."""
SCOPE_ABI: Final = 6
SCOPES: Final = 0b11
"""``LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`` and ``_SIGNAL``."""
LOG_ABI: Final = 7
LOG_NEW_EXEC_ON: Final = 1 << 1
"""``LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON``: log refusals of what is executed later, too."""
ABSENT: Final = frozenset({errno.ENOSYS, errno.EOPNOTSUPP})
"""The kernel was built without it, or booted without it."""


def abi() -> int:
    """Return the version that the kernel speaks; 0 if it has no Landlock, or root did not switch it on at boot."""
    version = int(lib.daos_landlock_version())
    if version < 0 and -version not in ABSENT:
        raise OSError(-version, os.strerror(-version), "landlock_create_ruleset")
    return max(version, 0)


def rights(version: int) -> Right:
    """Return the rights that an ABI knows."""
    known = FIRST if version > 0 else Right(0)
    for since, right in ADDED.items():
        if version >= since:
            known |= right
    return known


def restrict(version: int, by_path: Iterable[tuple[str, Right]], by_descriptor: Iterable[tuple[int, Right]]) -> None:
    """Confine the calling thread, and what it executes and starts, for good.  Needs no_new_privs.

    :param version: of ``abi``, at least 1.
    :param by_path: what may be done with files and below folders; one that does not exist, or cannot be reached, allows nothing.
    :param by_descriptor: the same, where an open descriptor is.
    :raises OSError: if the kernel refuses: the thread is not confined then.
    """
    known = rights(version)
    net = NET_TCP if version >= NET_ABI else 0
    scopes = SCOPES if version >= SCOPE_ABI else 0
    ruleset = _checked(int(lib.daos_landlock_ruleset(int(known), net, scopes)), "landlock_create_ruleset")
    try:
        for path, wanted in by_path:
            _allow_path(ruleset, path, wanted & known)
        for descriptor, wanted in by_descriptor:
            _allow(ruleset, descriptor, wanted & known)
        flags = LOG_NEW_EXEC_ON if version >= LOG_ABI else 0
        _checked(int(lib.daos_landlock_restrict(ruleset, flags)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow_path(ruleset: int, path: str, wanted: Right) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what cannot be reached now cannot be reached later
    try:
        _allow(ruleset, place, wanted)
    finally:
        os.close(place)


def _allow(ruleset: int, place: int, wanted: Right) -> None:
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        wanted &= OF_FILES
    if wanted:
        _checked(int(lib.daos_landlock_allow(ruleset, place, int(wanted))), "landlock_add_rule")


def _checked(rc: int, what: str) -> int:
    if rc < 0:
        raise OSError(-rc, os.strerror(-rc), what)
    return rc
