# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The options that every command takes, before or after its name."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ParamSpec, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from daos_server.installation import Installation

P = ParamSpec("P")


@dataclass
class Invocation:
    """One run of the command line: the global options, from wherever they stood, and the installation.

    :param installed: None stands for the packaged system's.
    """

    installed: Installation | None = None
    allow_proxy: bool = False
    config: str = ""
    debug: bool = False
    json: bool = False
    json_logging: bool = False
    syslog: bool = False
    exit_code: int = 0

    @property
    def installation(self) -> Installation:
        """The installation, made when first needed: a command such as ``version`` never imports it."""
        if self.installed is None:
            from daos_server.installation import Installation

            self.installed = Installation()
        return self.installed

    def take(self, given: dict[str, object]) -> None:
        """Add what one level of the command line was given; an option once on stays on, the innermost path wins."""
        for name, value in given.items():
            if value:
                setattr(self, name, value)


class WrongUsageError(typer.TyperException):
    """A command line that cannot be what was meant; exit code 2."""

    exit_code = 2

    def __init__(self, context: typer.Context, message: str) -> None:
        super().__init__(message)
        self.ctx = context


_GLOBAL = {
    "config": (
        Annotated[str, typer.Option("--config", "-o", metavar="PATH", help="Server configuration file.", show_default=False)],
        "",
    ),
    "json": (Annotated[bool, typer.Option("--json", "-j", help="Print one JSON object on standard output.")], False),
    "debug": (Annotated[bool, typer.Option("--debug", "-b", help="Log every detail on standard error.")], False),
    "json_logging": (Annotated[bool, typer.Option("--json-logging", "-J", help="Write log lines as JSON.")], False),
    "syslog": (Annotated[bool, typer.Option("--syslog", help="Send the log to syslog as well.")], False),
    "allow_proxy": (Annotated[bool, typer.Option("--allow-proxy", help="Keep proxy settings of the environment.")], False),
}
_PARAMETERS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    for name, (annotation, default) in _GLOBAL.items()
]


def with_globals(command: Callable[P, None]) -> Callable[P, None]:
    """Give a command, or the callback of a group, the global options; they are added to the context's `Invocation`.

    The command's first parameter is the typer context; its own options follow.
    """
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def with_global_options(*positional: P.args, **arguments: P.kwargs) -> None:
        context = cast("typer.Context", arguments["context"])  # it is that type's unnamed base
        given = {name: arguments.pop(name) for name in _GLOBAL}
        context.ensure_object(Invocation).take(given)
        if context.invoked_subcommand is None and context.args:
            raise WrongUsageError(context, f"it takes no argument {' '.join(map(repr, context.args))}")
        command(*positional, **arguments)

    parameters = [*own.parameters.values(), *_PARAMETERS]
    vars(with_global_options)["__signature__"] = own.replace(parameters=parameters)
    with_global_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_global_options
