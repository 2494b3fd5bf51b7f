# SPDX-License-Identifier: BSD-2-Clause-Patent
"""seccomp: which system calls a process may still make, once it has confined itself.

A filter is a small program for the kernel (classic BPF) that is shown the number and the arguments of each call, and answers what to do.
It is assembled here, from names: no library is needed, and no file that root would have to trust.  What is not named is refused with
EPERM; what is named as fatal ends the process with SIGSYS.  Both are logged by the kernel.

Only calls of this machine's own kind get any further: 32-bit ones, and those of x32, end the process.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from daos_bindings._linux import lib

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Instruction = tuple[int, int, int, int]

# include/uapi/linux/seccomp.h
ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
"""SECCOMP_RET_KILL_PROCESS: all threads, and what they are waited for tells SIGSYS."""
ERRNO: Final = 0x00050000
REFUSE: Final = ERRNO | errno.EPERM
NOT_HERE: Final = ERRNO | errno.ENOSYS
"""As a kernel without the call: libc then uses an older one."""

# include/uapi/linux/bpf_common.h; where things are in struct seccomp_data
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, JUMP, AND, RETURN = 0x20, 0x15, 0x35, 0x05, 0x54, 0x06
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
LOW_HALF: Final = 0
"""Offset of the low 32 bits of an argument: both architectures are little-endian."""

X32: Final = 0x40000000
SKIPPED: Final = 0xFFFFFFFF
"""The number of a call that a debugger took away; the kernel does nothing for it."""
NEAR: Final = 255
"""Instructions that a conditional jump can skip."""
LONGEST: Final = 4096
"""BPF_MAXINSNS"""
INSTRUCTION: Final = struct.Struct("=HBBI")
OWN_PID: Final = -1
"""Among the values of a ``When``: the pid of the process that loads the filter."""
ABSENT: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


class When(NamedTuple):
    """A call that may be made only if some bits of an argument have one of these values.

    :param call: its name.  The same call may be there several times: one that fits is enough.
    :param argument: 0 to 5; its low 32 bits are looked at.
    :param mask: the bits that count.
    :param values: what they may be; or ``OWN_PID``.
    """

    call: str
    argument: int
    mask: int
    values: tuple[int, ...]


class Filter(msgspec.Struct, frozen=True):
    """A filter, ready but for the pid of who loads it.

    :param code: the program.
    :param own_pid_at: offsets of instructions that compare with that pid.
    """

    code: bytes
    own_pid_at: tuple[int, ...] = ()


def available() -> bool:
    """Tell whether the kernel has filters, and can end a process by one."""
    found = int(lib.daos_seccomp_available())
    if found < 0 and -found not in ABSENT:
        raise OSError(-found, os.strerror(-found), "seccomp")
    return found >= 0


def number(call: str) -> int | None:
    """Return the number of a call; None if this architecture does not have it.

    :raises ValueError: for a name that the build did not know.
    """
    found = int(lib.daos_call_number(call.encode()))
    if found == -errno.EINVAL:
        raise ValueError(f"{call} is not in the list of _build_linux.py")
    return found if found >= 0 else None


def assemble(allowed: Iterable[str | When], *, fatal: Iterable[str] = (), not_here: Iterable[str] = ()) -> Filter:
    """Make a filter.

    :param allowed: calls that may be made; a plain name allows it with any arguments.
    :param fatal: calls that end the process.
    :param not_here: calls that fail as if the kernel did not have them.
    :raises ValueError: for an unknown name, or one that is in two of these.
    """
    plain, conditions = _sorted_out(allowed)
    actions: dict[int, Sequence[Instruction | When]] = {}
    for names, action in ((plain, ALLOW), (frozenset(fatal), KILL), (frozenset(not_here), NOT_HERE)):
        for name in names:
            _put(actions, name, (_return(action),))
    for name, whens in conditions.items():
        _put(actions, name, whens)
    body, patches = _joined(_tree(_intervals(actions)))
    head: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_IF_EQUAL, 1, 0, int(lib.DAOS_SECCOMP_ARCH)),
        _return(KILL),
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_IF_EQUAL, 0, 1, SKIPPED),
        _return(REFUSE),
        (JUMP_IF_AT_LEAST, 0, 1, X32),
        _return(KILL),
    ]
    code = b"".join(INSTRUCTION.pack(*one) for one in (*head, *body))
    if len(code) > LONGEST * INSTRUCTION.size:
        raise ValueError("a filter that is longer than the kernel takes")
    return Filter(code, tuple((len(head) + at) * INSTRUCTION.size for at in patches))


def load(filter_: Filter) -> None:
    """Confine the calling thread, and what it executes and starts, for good.  Needs no_new_privs, or CAP_SYS_ADMIN.

    :raises OSError: if the kernel refuses.
    """
    code = bytearray(filter_.code)
    for at in filter_.own_pid_at:
        operation, yes, no, _ = INSTRUCTION.unpack_from(code, at)
        INSTRUCTION.pack_into(code, at, operation, yes, no, os.getpid())
    rc = int(lib.daos_seccomp_load(bytes(code), len(code) // INSTRUCTION.size))
    if rc < 0:
        raise OSError(-rc, os.strerror(-rc), "seccomp")


def _sorted_out(allowed: Iterable[str | When]) -> tuple[frozenset[str], dict[str, tuple[When, ...]]]:
    plain: set[str] = set()
    conditions: dict[str, tuple[When, ...]] = {}
    for one in allowed:
        if isinstance(one, str):
            plain.add(one)
        else:
            conditions[one.call] = (*conditions.get(one.call, ()), one)
    return frozenset(plain), {name: whens for name, whens in conditions.items() if name not in plain}


def _put(actions: dict[int, Sequence[Instruction | When]], name: str, action: Sequence[Instruction | When]) -> None:
    found = number(name)
    if found is None:
        return
    if found in actions:
        raise ValueError(f"{name} is in a filter twice")
    actions[found] = action


def _return(action: int) -> Instruction:
    return RETURN, 0, 0, action


class _Piece(NamedTuple):
    """Instructions that end with a return on every way, and which of them compare with the own pid."""

    code: tuple[Instruction, ...]
    patches: tuple[int, ...] = ()


def _intervals(actions: dict[int, Sequence[Instruction | When]]) -> list[tuple[int, _Piece]]:
    """Return where each stretch of numbers begins that are treated alike, from 0 on."""
    found: list[tuple[int, _Piece]] = [(0, _Piece((_return(REFUSE),)))]

    def add(start: int, piece: _Piece) -> None:
        if found[-1][0] == start:
            found[-1] = (start, piece)
        elif found[-1][1] != piece:
            found.append((start, piece))

    for call in sorted(actions):
        add(call, _piece(actions[call]))
        if call + 1 not in actions:
            add(call + 1, _Piece((_return(REFUSE),)))
    return found


def _piece(action: Sequence[Instruction | When]) -> _Piece:
    code: list[Instruction] = []
    patches: list[int] = []
    for one in action:
        if not isinstance(one, When):
            code.append(one)
            continue
        code += [(LOAD, 0, 0, ARGUMENTS_AT + 8 * one.argument + LOW_HALF), (AND, 0, 0, one.mask)]
        for value in one.values:
            if value == OWN_PID:
                patches.append(len(code))
            code += [(JUMP_IF_EQUAL, 0, 1, max(value, 0)), _return(ALLOW)]
    if isinstance(action[-1], When):
        code.append(_return(REFUSE))
    return _Piece(tuple(code), tuple(patches))


def _tree(stretches: Sequence[tuple[int, _Piece]]) -> list[_Piece]:
    """Find the stretch of a number by halves: the kernel runs a filter for every number there is when it takes it."""
    if len(stretches) == 1:
        return [stretches[0][1]]
    middle = len(stretches) // 2
    low, high = _tree(stretches[:middle]), _tree(stretches[middle:])
    length = sum(len(piece.code) for piece in low)
    start = stretches[middle][0]
    if length <= NEAR:
        jump = _Piece(((JUMP_IF_AT_LEAST, length, 0, start),))
    else:
        jump = _Piece(((JUMP_IF_AT_LEAST, 0, 1, start), (JUMP, 0, 0, length)))
    return [jump, *low, *high]


def _joined(pieces: Iterable[_Piece]) -> tuple[list[Instruction], list[int]]:
    code: list[Instruction] = []
    patches: list[int] = []
    for piece in pieces:
        patches += (len(code) + at for at in piece.patches)
        code += piece.code
    return code, patches
