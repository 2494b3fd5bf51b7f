# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The system as such: kernel, interpreter, SELinux, clock."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from daos_bindings.linux import clock as kernel_clock
from daos_server.doctor import reading
from daos_server.doctor.finding import Finding
from daos_server.doctor.helper_interpreter import OLDEST_PYTHON
from daos_server.doctor.process import kernel_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daos_bindings.linux.clock import Clock
    from daos_server.doctor.machine import Machine, Setting


def kernel(machine: Machine, _: Setting) -> Iterator[Finding]:
    """Yield whether the kernel is recent enough."""
    yield kernel_version(machine.release)


def interpreter(_: Machine, __: Setting, version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """Yield what runs this program; the helper's interpreter may be another one."""
    yield Finding.of(
        "interpreter",
        f"Python {'.'.join(map(str, version))}, {sys.executable}",
        right=version >= OLDEST_PYTHON,
        why="this program uses what older ones do not have",
        advice=f"install Python {'.'.join(map(str, OLDEST_PYTHON))} or later, then daos_server again",
    )


def selinux(machine: Machine, _: Setting) -> Iterator[Finding]:
    """Yield whether SELinux may refuse what engines and helper do."""
    mode = reading.text(f"{machine.sys}/fs/selinux/enforce")
    yield Finding.of(
        "SELinux",
        {None: "off", "0": "permissive", "1": "enforcing"}.get(mode, "in an unknown mode"),
        right=mode in (None, "0"),
        why="there is no policy for DAOS: files in /dev/hugepages, /dev/vfio and below the mount points may be refused in spite of right"
        " owners and modes",
        advice="if something is refused that should not be, see what was, and make a module of it:\n"
        "  ausearch -m avc -ts recent\n"
        "  ausearch -m avc -ts recent | audit2allow -M daos_local && semodule -i daos_local.pp",
        bad="warning",
    )


def clock(_: Machine, __: Setting, read: Callable[[], Clock] = kernel_clock.read) -> Iterator[Finding]:
    """Yield whether the kernel's clock is kept right by somebody."""
    now = read()
    yield Finding.of(
        "clock",
        f"synchronised, off by at most {now.max_error_us / 1000:.1f} ms" if now.synchronised else "not synchronised",
        right=now.synchronised,
        why="engines order what they write by their clocks: one that is a second off cannot work with the others",
        advice="start the time service, and look after a minute:\n  timedatectl set-ntp true\n  timedatectl",
        bad="warning",
    )
