# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the end of a helper process means, as a fault.

The launcher ends with a code of its own when it refuses to start the helper, and explains itself in one line on standard
error; every other end is that of a session.
"""

from __future__ import annotations

import os

from daos_pbin import codes
from daos_pbin.faults import Fault

CAUSE_LIMIT = 1000
"""Longest part, in characters, of the helper's standard error that becomes a fault's cause: its end."""

LAUNCHER_EXITS = {
    70: (codes.PRIVILEGED_HELPER_NOT_PRIVILEGED, "it is not owned by root, or its set-user-ID bit is missing"),
    71: (codes.PRIVILEGED_HELPER_NOT_PRIVILEGED, "it lies on a file system that is mounted nosuid"),
    72: (codes.PRIVILEGED_HELPER_NOT_PRIVILEGED, "this process was started with no_new_privs"),
    73: (codes.HELPER_CALLER_REFUSED, "the caller is neither root nor the account"),
    74: (codes.HELPER_START_FAILED, "a resource limit is too low and cannot be raised"),
    75: (codes.HELPER_START_FAILED, "the file that names the account or the worker's account is missing or wrong"),
    76: (codes.HELPER_START_FAILED, "the interpreter or the start file is not safe to run as root"),
    77: (codes.HELPER_START_FAILED, "the system refused one of the launcher's calls"),
    78: (codes.HELPER_START_FAILED, "the caller is not in the initial user namespace"),
}
"""The launcher's exit codes: the fault that each becomes, and what it says where the launcher's own line is missing."""


def fault_of_ending(program: str, status: int | None, errors: str) -> Fault:
    """Return the fault for a helper that has ended.

    :param status: its wait status; None if somebody else collected it.
    :param errors: what it wrote to standard error.
    """
    if status is not None and os.WIFEXITED(status) and (known := LAUNCHER_EXITS.get(os.WEXITSTATUS(status))):
        return _launcher_fault(program, *known, errors[-CAUSE_LIMIT:])
    return Fault(codes.HELPER_SESSION_CLOSED, reason=_ending(status), object=program, cause=errors[-CAUSE_LIMIT:])


def session_closed(program: str, reason: str) -> Fault:
    """Return fault 2012 for a session that ends for another reason than the helper's end."""
    return Fault(codes.HELPER_SESSION_CLOSED, reason=reason, object=program)


def _launcher_fault(program: str, code: int, meaning: str, errors: str) -> Fault:
    if code == codes.HELPER_CALLER_REFUSED:
        return Fault(code, uid=os.getuid(), object=program, cause=errors or meaning)
    if code == codes.HELPER_START_FAILED:
        return Fault(code, helper=program, reason=meaning, object=program, cause=errors)
    return Fault(code, helper=program, object=program, cause=errors or meaning)


def _ending(status: int | None) -> str:
    if status is None:
        return "the helper ended"
    if os.WIFSIGNALED(status):
        return f"the helper was killed by {signal_name(os.WTERMSIG(status))}"
    return f"the helper ended with exit code {os.WEXITSTATUS(status)}"


def signal_name(number: int) -> str:
    """Return a signal's name, such as ``SIGSEGV``, or its number in words if it has none."""
    from signal import Signals

    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
