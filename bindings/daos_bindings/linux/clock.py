# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether the system's clock is kept right, as the kernel knows it (adjtimex(2)).  Reads only."""

from __future__ import annotations

import msgspec

from daos_bindings._linux import ffi, lib

STA_UNSYNC = 0x0040
"""include/uapi/linux/timex.h: nobody has set the clock right for a while, or ever."""
TIME_ERROR = 5
"""The state of a clock that is not synchronised, for whatever reason."""


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """The clock.

    :param synchronised: a time service keeps it right.
    :param max_error_us: how far off it may be, in microseconds, as that service knows it.
    """

    synchronised: bool
    max_error_us: int


def read() -> Clock:
    """Ask the kernel; anybody may.

    :raises OSError: if a system call filter forbids it.
    """
    found = ffi.new("struct daos_clock *")
    if (rc := int(lib.daos_read_clock(found))) < 0:
        raise OSError(-rc, "adjtimex")
    return interpret(state=int(found.state), status=int(found.status), max_error_us=int(found.max_error_us))


def interpret(*, state: int, status: int, max_error_us: int) -> Clock:
    """Make sense of the kernel's answer."""
    return Clock(synchronised=state != TIME_ERROR and not status & STA_UNSYNC, max_error_us=max_error_us)
