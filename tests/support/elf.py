# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reads the headers of a 64-bit little-endian ELF program, and names what a setuid program of ours should have and it has not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ET_DYN = 3
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 3, 0x6474E551, 0x6474E552
EXECUTE, WRITE = 1, 2
DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_RPATH, DT_TEXTREL, DT_RUNPATH, DT_FLAGS, DT_FLAGS_1 = 1, 5, 6, 15, 22, 29, 30, 0x6FFFFFFB
DF_TEXTREL, DF_BIND_NOW, DF_1_NOW, DF_1_PIE = 4, 8, 1, 0x08000000
ENTRY = 24
"""Size of a symbol."""

LIBRARIES = {"libc.so.6", "ld-linux-aarch64.so.1"}
WORDS_OF_C_START = {"__cxa_finalize", "__gmon_start__", "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__libc_start_main"}
CALLS = {
    "__errno_location", "__memcpy_chk", "__stack_chk_fail", "_exit", "chdir", "clock_gettime", "close", "execve", "fcntl", "fstat",
    "fstat64", "getegid", "geteuid", "getgid", "getgroups", "getpid", "getppid", "getresgid", "getresuid", "getrlimit", "getrlimit64",
    "getsid", "getsockopt", "getuid", "lstat", "lstat64", "memcmp", "memcpy", "memset", "open", "open64", "personality", "prctl", "read",
    "setgroups", "setitimer", "setresgid", "setresuid", "setrlimit", "setrlimit64", "setsid", "sigemptyset", "signal", "sigprocmask",
    "statvfs", "statvfs64", "strerrorname_np", "strlen", "syscall", "umask", "writev",
}  # fmt: skip
"""All that the launcher may ask of libc: system calls, and four functions that only touch memory which they are given."""


@dataclass(frozen=True)
class Segment:
    """A program header."""

    kind: int
    flags: int
    offset: int
    address: int
    size: int


class Program:
    """The headers of a program file.

    :raises ValueError: if it is none of 64 bits, little-endian.
    """

    def __init__(self, path: Path) -> None:
        self.bytes = path.read_bytes()
        if self.bytes[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit little-endian program")
        (self.kind,) = struct.unpack_from("<H", self.bytes, 16)
        (table,) = struct.unpack_from("<Q", self.bytes, 32)
        size, count = struct.unpack_from("<HH", self.bytes, 54)
        self.segments = [self._segment(table + number * size) for number in range(count)]
        self.dynamic = [entry for segment in self.of(PT_DYNAMIC) for entry in self._dynamic(segment)]

    def _segment(self, at: int) -> Segment:
        kind, flags, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", self.bytes, at)
        return Segment(kind, flags, offset, address, size)

    def _dynamic(self, segment: Segment) -> Iterator[tuple[int, int]]:
        for tag, value in struct.iter_unpack("<QQ", self.bytes[segment.offset : segment.offset + segment.size]):
            if tag == 0:
                return
            yield tag, value

    def of(self, kind: int) -> list[Segment]:
        """Return the segments of a kind."""
        return [segment for segment in self.segments if segment.kind == kind]

    def values(self, tag: int) -> list[int]:
        """Return the values of a dynamic tag."""
        return [value for found, value in self.dynamic if found == tag]

    def flag(self, tag: int, flag: int) -> bool:
        """Tell whether a flag is set in a dynamic tag."""
        return any(value & flag for value in self.values(tag))

    def _at(self, address: int) -> int:
        """Return where in the file an address comes from."""
        (load,) = (one for one in self.of(PT_LOAD) if one.address <= address < one.address + one.size)
        return address - load.address + load.offset

    def _text(self, offset: int) -> str:
        start = self._at(self.values(DT_STRTAB)[0]) + offset
        return self.bytes[start : self.bytes.index(b"\0", start)].decode("ascii")

    @property
    def needed(self) -> set[str]:
        """The libraries that it is linked with."""
        return {self._text(offset) for offset in self.values(DT_NEEDED)}

    @property
    def imported(self) -> set[str]:
        """The functions that it takes from them: of the symbols, which end where the strings begin, those without a place."""
        if not self.dynamic:
            return set()
        start, end = (self._at(self.values(tag)[0]) for tag in (DT_SYMTAB, DT_STRTAB))
        symbols = struct.iter_unpack("<IBBHQQ", self.bytes[start : start + (end - start) // ENTRY * ENTRY])
        return {self._text(name) for name, _, _, section, _, _ in symbols if name and section == 0}


def weaknesses(path: Path) -> list[str]:
    """Return what is wrong with the launcher's program file, in words; empty if nothing is."""
    program = Program(path)
    strange = program.imported - CALLS - WORDS_OF_C_START
    faults = {
        "not position-independent": program.kind != ET_DYN or not program.flag(DT_FLAGS_1, DF_1_PIE),
        "static": not program.of(PT_INTERP),
        "a stack that can be executed": [one.flags & EXECUTE for one in program.of(PT_GNU_STACK)] != [0],
        "memory that can be both written and executed": any(one.flags & WRITE and one.flags & EXECUTE for one in program.of(PT_LOAD)),
        "no part that becomes read-only": len(program.of(PT_GNU_RELRO)) != 1,
        "functions bound when they are first called": not (program.flag(DT_FLAGS, DF_BIND_NOW) and program.flag(DT_FLAGS_1, DF_1_NOW)),
        "code that is changed when it is loaded": bool(program.values(DT_TEXTREL)) or program.flag(DT_FLAGS, DF_TEXTREL),
        "a library path of its own": bool(program.values(DT_RPATH) + program.values(DT_RUNPATH)),
        f"libraries {sorted(program.needed - LIBRARIES)}": not program.needed <= LIBRARIES,
        f"functions {sorted(strange)}": bool(strange),
        "no guard of the stack": "__stack_chk_fail" not in program.imported,
        "no fortified functions": "__memcpy_chk" not in program.imported,
        "headers that can be executed": any(one.offset == 0 for one in program.of(PT_LOAD) if one.flags & EXECUTE),
    }
    return [what for what, wrong in faults.items() if wrong]
