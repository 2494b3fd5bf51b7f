# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One run of the command line: from the arguments to the exit code."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Protocol, cast

import typer
from typer.main import get_command

from daos_server.cli.app import tree
from daos_server.cli.options import Invocation
from daos_server.cli.output import OutputGoneError, abandon, emit, emit_rest, envelope, error_lines, escape_lines, note

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daos_pbin.faults import Fault
    from daos_server.installation import Installation

PROGRAM = "daos_server"
EXIT_FAILED = 1
GLOBAL_FLAGS = frozenset("bjJh")
"""Options of one letter that every command takes and that have no value: they can be written as one word, -o as its last."""
COMPLETION = "_DAOS_SERVER_COMPLETE"
"""Set by the shell's completion script when it asks what could stand at the cursor."""


def run(arguments: Sequence[str], installation: Installation | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed or wrongly used."""
    _never_fail_to_encode()
    try:
        code = _run(arguments, installation)
        emit_rest()
    except OutputGoneError as gone:
        abandon(1)
        if gone.reason:
            note(f"ERROR: the result could not be written to standard output: {gone.reason}")
        return EXIT_FAILED
    return code


def _run(arguments: Sequence[str], installation: Installation | None) -> int:
    from daos_pbin.faults import Fault

    invocation = Invocation(installed=installation)
    try:
        # All options of all commands take 30 ms to make; a completion asks for any of them, a command line for its own.
        command = get_command(tree(None if COMPLETION in os.environ else arguments))
        take_values_as_given(cast("HasParameters", command))
        ended = command.main(list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=invocation)
    except typer.TyperException as wrong:
        return _wrong_usage(wrong, wants_json=invocation.json or _asks_for_json(arguments))
    except Fault as fault:
        return report_fault(fault, wants_json=invocation.json)
    except SystemExit as stop:  # completion scripts end this way, and a reader of the help text that went away
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED
    except OutputGoneError:
        raise
    except Exception as error:
        if isinstance(error, OSError):
            emit_rest()  # raises if it is standard output that takes no more of typer's help
        return _defect(error, wants_json=invocation.json)
    if ended:  # typer answers an interrupt with a code of its own
        return _stopped(wants_json=invocation.json)
    return invocation.exit_code


class AsGiven:
    """In place of typer's conversion of a value."""

    def coerce(self, value: object, param: object, ctx: object) -> object:
        """Return the value."""
        return value


class HasParameters(Protocol):
    """What a typer command is to ``take_values_as_given``."""

    def get_params(self, ctx: typer.Context, /) -> Iterable[object]:
        """Return the command's parameters, its help option included."""


def take_values_as_given(command: HasParameters) -> None:
    """Keep typer from importing pydantic (0.15 s) to make texts of texts and flags of flags: we have no other options.

    It would also print the type of every argument, which is text.  A typer that knows no such attributes does without them.
    """
    theirs = command.get_params

    def get_params(context: typer.Context) -> Iterable[object]:
        parameters = theirs(context)
        for parameter in parameters:
            vars(parameter).update(_runtime_param=AsGiven(), display_type_rich=lambda ctx: "")
        return parameters

    vars(command)["get_params"] = get_params
    for below in getattr(command, "commands", {}).values():
        take_values_as_given(below)


def report_fault(fault: Fault, *, wants_json: bool) -> int:
    """Say what went wrong, and return the exit code."""
    note("\n".join(error_lines(fault)))
    if wants_json:
        emit(envelope(None, str(fault)))
    return EXIT_FAILED


def _defect(error: Exception, *, wants_json: bool) -> int:
    """Report what nobody foresaw: with all that helps to find it."""
    from traceback import format_exception

    note(escape_lines("".join(format_exception(error))))
    note("ERROR: this is a defect of daos_server; please report it with the lines above")
    if wants_json:
        emit(envelope(None, f"defect: {type(error).__name__}: {error}"))
    return EXIT_FAILED


def _stopped(*, wants_json: bool) -> int:
    text = "stopped before anything was done"
    note(f"NOTICE: {text}")
    if wants_json:
        emit(envelope(None, text))
    return EXIT_FAILED


def _wrong_usage(wrong: typer.TyperException, *, wants_json: bool) -> int:
    text = escape_lines(_words(wrong))
    context = getattr(wrong, "ctx", None)
    command = PROGRAM if context is None else context.command_path
    note(f"ERROR: {command}: {text}\nERROR: see '{command} --help' for what it takes and an example")
    if wants_json:
        emit(envelope(None, f"{command}: {text}"))
    return EXIT_FAILED


def _words(wrong: typer.TyperException) -> str:
    if type(wrong).__name__ != "NoSuchOption":
        return wrong.format_message()
    near = getattr(wrong, "possibilities", None)
    hint = f"; is {' or '.join(sorted(near))} meant?" if near else ""
    return f"there is no option {getattr(wrong, 'option_name', '')}{hint}"


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether JSON was asked for on a command line that could not be parsed."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            return False
        letters, names_file, path = argument.removeprefix("-").partition("o")
        cluster = argument.startswith("-") and GLOBAL_FLAGS.issuperset(letters)
        if argument == "--json" or (cluster and "j" in letters):
            return True
        if argument == "--config" or (cluster and names_file and not path):
            next(rest, None)
    return False


def _never_fail_to_encode() -> None:
    """Write a character that the terminal's encoding lacks as an escape: an error message must not fail to be printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
