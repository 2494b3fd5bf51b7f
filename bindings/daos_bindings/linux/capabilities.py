# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Capabilities by name and number, and those of a process.  Reads only."""

from __future__ import annotations

import errno
from functools import cache

import msgspec

from daos_bindings.linux import kernelfiles
from daos_bindings.linux.kernelfiles import MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LAST = "/proc/sys/kernel/cap_last_cap"
HIGHEST = 63
"""Largest number that the kernel's interface has room for."""

# include/uapi/linux/capability.h, in its order from 0.
NAMES: dict[str, int] = {
    known: number
    for number, known in enumerate(
        (
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_DAC_READ_SEARCH",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETPCAP",
            "CAP_LINUX_IMMUTABLE",
            "CAP_NET_BIND_SERVICE",
            "CAP_NET_BROADCAST",
            "CAP_NET_ADMIN",
            "CAP_NET_RAW",
            "CAP_IPC_LOCK",
            "CAP_IPC_OWNER",
            "CAP_SYS_MODULE",
            "CAP_SYS_RAWIO",
            "CAP_SYS_CHROOT",
            "CAP_SYS_PTRACE",
            "CAP_SYS_PACCT",
            "CAP_SYS_ADMIN",
            "CAP_SYS_BOOT",
            "CAP_SYS_NICE",
            "CAP_SYS_RESOURCE",
            "CAP_SYS_TIME",
            "CAP_SYS_TTY_CONFIG",
            "CAP_MKNOD",
            "CAP_LEASE",
            "CAP_AUDIT_WRITE",
            "CAP_AUDIT_CONTROL",
            "CAP_SETFCAP",
            "CAP_MAC_OVERRIDE",
            "CAP_MAC_ADMIN",
            "CAP_SYSLOG",
            "CAP_WAKE_ALARM",
            "CAP_BLOCK_SUSPEND",
            "CAP_AUDIT_READ",
            "CAP_PERFMON",
            "CAP_BPF",
            "CAP_CHECKPOINT_RESTORE",
        )
    )
}
_BY_NUMBER = {number: known for known, number in NAMES.items()}


class ProcessPrivileges(msgspec.Struct, frozen=True):
    """What ``/proc/<pid>/status`` says about a process's privileges; sets are bit masks (``names`` makes them readable).

    :param uids: real, effective, saved and file system uid.
    :param gids: the same four of the group.
    :param no_new_privs: whether the process can gain nothing by executing.
    :param seccomp: 0 none, 1 strict, 2 filter.
    :param threads: how many threads the process has; the sets are the main one's.
    """

    pid: int
    name: str
    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    effective: int
    permitted: int
    inheritable: int
    bounding: int
    ambient: int
    no_new_privs: bool
    seccomp: int
    threads: int


def name(number: int) -> str:
    """Return the name of a capability; ``CAP_41`` for one that has none here."""
    return _BY_NUMBER.get(number, f"CAP_{number}")


def mask(names: Iterable[str]) -> int:
    """Return the bit mask of *names*.

    :raises KeyError: for a name that is not known.
    """
    result = 0
    for known in names:
        result |= 1 << NAMES[known]
    return result


def names(mask: int) -> tuple[str, ...]:
    """Return the names in a bit mask, by number."""
    return tuple(name(number) for number in range(mask.bit_length()) if mask >> number & 1)


@cache
def last_capability() -> int:
    """Return the largest number that the running kernel knows, asked once.

    :raises OSError: if neither /proc nor the kernel tells.
    """
    try:
        return kernelfiles.number(LAST)
    except FileNotFoundError:
        return _last_by_asking()


def _last_by_asking() -> int:
    """Ask for one after the other: the first one refused is one too many."""
    # The reading part of this module must not need the C extension.
    from daos_bindings.linux import syscalls

    for number in range(HIGHEST + 1):
        try:
            syscalls.bounding_has(number)
        except OSError as error:
            if error.errno != errno.EINVAL or number == 0:
                raise
            return number - 1
    return HIGHEST


def parse_status(text: str) -> ProcessPrivileges:
    """Parse the text of ``/proc/<pid>/status``.

    :raises MalformedError: if a wanted line is missing, twice there, or not as the kernel writes it.
    """
    lines: dict[str, str] = {}
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if colon and key in lines:
            raise MalformedError("status", f"{kernelfiles.printable(key)} is there twice")
        lines[key] = value.strip(" \t")
    try:
        return ProcessPrivileges(
            pid=_decimal(lines["Pid"]),
            name=lines["Name"],
            uids=_four(lines["Uid"]),
            gids=_four(lines["Gid"]),
            groups=tuple(_decimal(group) for group in lines["Groups"].split()),
            effective=_hex(lines["CapEff"]),
            permitted=_hex(lines["CapPrm"]),
            inheritable=_hex(lines["CapInh"]),
            bounding=_hex(lines["CapBnd"]),
            ambient=_hex(lines["CapAmb"]),
            no_new_privs=_decimal(lines["NoNewPrivs"]) != 0,
            seccomp=_decimal(lines.get("Seccomp", "0")),
            threads=_decimal(lines["Threads"]),
        )
    except KeyError as missing:
        raise MalformedError("status", f"no line {missing.args[0]}") from None


def _decimal(digits: str) -> int:
    return kernelfiles.decimal("status", digits)


def _four(value: str) -> tuple[int, int, int, int]:
    ids = [_decimal(digits) for digits in value.split()]
    if len(ids) != 4:
        raise MalformedError("status", f"not four ids: {kernelfiles.printable(value)}")
    return ids[0], ids[1], ids[2], ids[3]


def _hex(digits: str) -> int:
    if len(digits) != 16 or digits.strip("0123456789abcdef"):
        raise MalformedError("status", f"not a capability set: {kernelfiles.printable(digits)}")
    return int(digits, 16)


def read_status(pid: int | str = "self") -> ProcessPrivileges:
    """Read the privileges of the process *pid* (its main thread).

    :raises OSError: if there is no such process, or no /proc.
    :raises MalformedError: if the file is not as the kernel writes it.
    """
    return parse_status(kernelfiles.read(f"/proc/{pid}/status", limit=kernelfiles.CHUNK * 16).decode("utf-8", "surrogateescape"))
