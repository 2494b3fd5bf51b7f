# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Filters, run by an interpreter of the test's own for every number there is: each list lets through what it says, and nothing else."""

from __future__ import annotations

import errno
import struct

import pytest

from daos_bindings._linux import lib
from daos_bindings.linux import landlock, seccomp
from daos_bindings.linux.landlock import Right
from daos_bindings.linux.seccomp import When
from daos_helper import calls, confinement, privileges

NUMBERS = (*range(1024), seccomp.X32 - 1, seccomp.X32, seccomp.X32 + 1, 0xFFFFFFFE, 0xFFFFFFFF)
WHOLE = 0xFFFFFFFF


def answer(code: bytes, number: int, arguments: tuple[int, ...] = (), architecture: int | None = None) -> int:
    """Run a filter as the kernel does; a jump out of it, or no end, is an error."""
    data = struct.pack("=IIQ6Q", number, lib.DAOS_SECCOMP_ARCH if architecture is None else architecture, 0, *(*arguments, *[0] * 6)[:6])
    program = list(seccomp.INSTRUCTION.iter_unpack(code))
    accumulator, at = 0, 0
    while True:
        operation, yes, no, value = program[at]
        at += 1
        if operation == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == seccomp.AND:
            accumulator &= value
        elif operation == seccomp.JUMP:
            at += value
        elif operation == seccomp.JUMP_IF_EQUAL:
            at += yes if accumulator == value else no
        elif operation == seccomp.JUMP_IF_AT_LEAST:
            at += yes if accumulator >= value else no
        else:
            assert operation == seccomp.RETURN
            return int(value)


@pytest.mark.parametrize("name", sorted(calls.LISTS))
def test_each_list_is_what_its_filter_does(name: str) -> None:
    code = confinement.filter_of(name).code
    plain = {seccomp.number(one) for one in calls.LISTS[name] if isinstance(one, str)} - {None}
    conditions = [one for one in calls.LISTS[name] if isinstance(one, When)]
    asked = {seccomp.number(one.call) for one in conditions} - plain
    never = {seccomp.number(one) for one in calls.NEVER} - {None}
    assert not never & (plain | asked)
    for number in NUMBERS:
        found = answer(code, number, (0x5A5A5A5A,) * 6)
        if number in never or seccomp.X32 <= number < WHOLE:
            assert found == seccomp.KILL, number
        elif number in plain:
            assert found == seccomp.ALLOW, number
        elif number == seccomp.number("clone3"):
            assert found == seccomp.ERRNO | errno.ENOSYS
        elif number not in asked:
            assert found == seccomp.ERRNO | errno.EPERM, number
    for one in conditions:
        number = seccomp.number(one.call)
        for value in one.values:
            if number is not None and value != seccomp.OWN_PID:
                arguments = [0x5A5A5A5A & ~one.mask | value if place == one.argument else WHOLE for place in range(6)]
                assert answer(code, number, tuple(arguments)) == seccomp.ALLOW, one


def test_calls_of_another_kind_end_the_process() -> None:
    code = confinement.filter_of("SPDK").code
    for architecture in (0x40000003, 0x40000028, 0xC000003E, 0xC00000B7):  # i386, arm, x86_64, aarch64
        if architecture != lib.DAOS_SECCOMP_ARCH:
            assert {answer(code, number, architecture=architecture) for number in NUMBERS} == {seccomp.KILL}


def test_arguments_are_looked_at() -> None:
    code = seccomp.assemble([When("openat", 2, 3, (0, 2)), When("openat", 2, 0x200000, (0x200000,)), When("kill", 0, WHOLE, (5,))]).code
    openat, kill = seccomp.number("openat") or 0, seccomp.number("kill") or 0
    for flags, expected in ((0, True), (1, False), (2, True), (3, False), (0x200001, True), (4, True)):
        assert (answer(code, openat, (0, 0, flags)) == seccomp.ALLOW) == expected, flags
    assert answer(code, kill, (5,)) == seccomp.ALLOW
    assert answer(code, kill, (6,)) == seccomp.REFUSE


def test_names_that_contradict_each_other_or_nobody_knows() -> None:
    with pytest.raises(ValueError, match="twice"):
        seccomp.assemble(["mount"], fatal=["mount"])
    with pytest.raises(ValueError, match="no_such_call"):
        seccomp.assemble(["no_such_call"])


def test_long_ways_are_jumped() -> None:
    many = [When("openat", 2, WHOLE, tuple(range(1000)))]
    code = seccomp.assemble([*many, "read", "close", "exit_group"]).code
    assert answer(code, seccomp.number("openat") or 0, (0, 0, 999)) == seccomp.ALLOW
    assert answer(code, seccomp.number("openat") or 0, (0, 0, 1000)) == seccomp.REFUSE
    assert answer(code, seccomp.number("exit_group") or 0) == seccomp.ALLOW
    with pytest.raises(ValueError, match="longer"):
        seccomp.assemble([When("openat", 2, WHOLE, tuple(range(5000)))])


@pytest.mark.parametrize(
    ("version", "bits"), [(0, 0), (1, 0x1FFF), (2, 0x3FFF), (3, 0x7FFF), (4, 0x7FFF), (5, 0xFFFF), (6, 0xFFFF), (7, 0xFFFF)]
)
def test_rights_of_each_landlock_abi(version: int, bits: int) -> None:
    """The masks of security/landlock/limits.h in the release that brought each."""
    assert landlock.rights(version) == bits


def test_only_files_and_folders_that_a_row_names_are_opened_up() -> None:
    """No row may execute what it may change, or write where programs and settings of the system are."""
    for row in privileges.TABLE:
        if row.paths is None:
            assert row.kind == "attach"
            continue
        for path in (*row.paths.write, *row.paths.change):
            assert not path.startswith(("/etc", "/usr", "/lib", "/bin", "/sbin", "/root", "/home", "/boot", "/var/lib", "/opt")), row.step
        assert set(row.paths.execute) <= set(privileges.LOADER)
        assert "/etc" not in row.paths.read
        assert "/" not in row.paths.read


def test_held_rights_make_nothing_but_folders() -> None:
    made = Right.MAKE_REG | Right.MAKE_SYM | Right.MAKE_SOCK | Right.MAKE_FIFO | Right.MAKE_BLOCK | Right.MAKE_CHAR
    assert not any(right & (made | Right.EXECUTE | Right.REMOVE_DIR | Right.REFER) for right in confinement.HELD.values())
