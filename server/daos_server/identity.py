# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Who this process is: root becomes the account for good before it does any storage work, and proves that it did."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_bindings.linux import kernel
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

OLDEST_KERNEL = (5, 14)
"""The first Linux that has all that the helper builds on (``openat2``, the new mount calls, ``mount_setattr``)."""
OWN_STATUS = "/proc/self/status"


def become_account(uid: int, gid: int, name: str, home: str, *, helper_socket: str = "") -> None:
    """Make sure that this process is the account, giving root up for good if it has it.

    Root leaves with every capability gone and its bounding set cut to what the helper may ever need.  The account itself has
    nothing to give up (and may not cut its bounding set).  Afterwards the working directory is one that the account can reach.

    :param helper_socket: path of the socket behind which systemd starts the helper; where it is, nothing needs to be setuid.
    :raises Fault: 2302 if the kernel is too old, 2300 if this is any other user, 2301 if setuid programs are off for this
        process, 2307 if giving root up failed or did not hold.
    """
    check_kernel(kernel.release())
    user = os.getresuid()
    if user not in ((0, 0, 0), (uid, uid, uid)):
        raise Fault(codes.SERVER_USER_WRONG, user=user_name(user[1]), account=name)
    if not os.path.exists(helper_socket):
        check_setuid_works()
    if user == (0, 0, 0):
        _give_up_root(uid, gid)
        os.environ.update(HOME=home, USER=name, LOGNAME=name)
    _leave_unreachable_directory()


def check_kernel(release: str) -> None:
    """Refuse a kernel older than 5.14.

    :raises Fault: 2302.
    """
    try:
        recent = kernel.version(release) >= OLDEST_KERNEL
    except ValueError:
        recent = False
    if not recent:
        raise Fault(codes.SERVER_KERNEL_TOO_OLD, release=release)


def check_setuid_works() -> None:
    """Refuse to go on under no_new_privs, where the kernel ignores the helper's setuid bit without a word.

    :raises Fault: 2301.
    """
    if status_field("NoNewPrivs") == "1":
        raise Fault(codes.SERVER_NO_NEW_PRIVILEGES)


def status_field(name: str, status: str | Path = OWN_STATUS) -> str:
    """Return one field of /proc/PID/status, empty if the kernel does not have it."""
    with open(status, encoding="ascii", errors="replace") as lines:
        for line in lines:
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
    return ""


def user_name(uid: int) -> str:
    """Return the name of a user, or its number in words if it has none."""
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _give_up_root(uid: int, gid: int) -> None:
    from daos_bindings.linux.privileges import PrivilegeError, drop_to_account
    from daos_pbin.bounding import HELPER_BOUNDING

    try:
        drop_to_account(uid, gid, bounding=HELPER_BOUNDING)  # it tries to get everything back, and fails if it can
    except (PrivilegeError, ValueError) as error:
        raise Fault(codes.SERVER_PRIVILEGE_DROP_FAILED, reason=str(error)) from error


def _leave_unreachable_directory() -> None:
    """Go to / if the working directory cannot be entered by its path: what is started from here would fail over it."""
    try:
        os.chdir(os.getcwd())
    except OSError:
        os.chdir("/")
