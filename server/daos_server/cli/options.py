# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The options that every command takes, before or after its name."""

from __future__ import annotations

import functools
import inspect
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ParamSpec, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from daos_server.installation import Installation

P = ParamSpec("P")

INT_MAX = 2**31 - 1
DIGITS = 10
"""Of the largest number that any option takes."""


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
    """A command line that cannot be what was meant."""

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
_LONG_CONFIG = Annotated[str, typer.Option("--config", metavar="PATH", help="Server configuration file.", show_default=False)]
"""For the command whose own ``-o`` is something else."""

PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "rsync_proxy", "socks_proxy", "grpc_proxy")
"""Removed, in either case, unless ``--allow-proxy`` is given: they would send the control traffic of a cluster elsewhere."""


def scrub_proxies(environment: MutableMapping[str, str]) -> None:
    """Remove every proxy variable, in lower and upper case."""
    for name in [name for name in environment if name.lower() in PROXY_VARIABLES]:
        del environment[name]


def with_globals(command: Callable[P, None], *, json: bool = True) -> Callable[P, None]:
    """Give a command, or the callback of a group, the global options; they are added to the context's `Invocation`.

    The command's first parameter is the typer context; its own options follow.

    :param json: whether the command has an answer in JSON; one that has none refuses ``--json``.
    """
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def with_global_options(*positional: P.args, **arguments: P.kwargs) -> None:
        context = cast("typer.Context", arguments["context"])  # it is that type's unnamed base
        given = {name: arguments.pop(name) for name in _GLOBAL}
        invocation = context.ensure_object(Invocation)
        invocation.take(given)
        if context.invoked_subcommand is None:
            if context.args:
                raise WrongUsageError(context, f"it takes no argument {' '.join(map(repr, context.args))}")
            if invocation.json and not json:
                raise WrongUsageError(context, "this subcommand does not support JSON output: leave --json out")
            if not invocation.allow_proxy:
                scrub_proxies(os.environ)
        command(*positional, **arguments)

    parameters = [*own.parameters.values(), *_PARAMETERS]
    if any("-o" in declared for declared in map(_declared, own.parameters.values())):
        parameters = [each.replace(annotation=_LONG_CONFIG) if each.name == "config" else each for each in parameters]
    vars(with_global_options)["__signature__"] = own.replace(parameters=parameters)
    with_global_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_global_options


def _declared(parameter: inspect.Parameter) -> tuple[str, ...]:
    """Return an option as a user writes it, such as ``--output`` and ``-o``."""
    for described in getattr(parameter.annotation, "__metadata__", ()):
        return tuple(getattr(described, "param_decls", None) or ())
    return ()


def whole_number(context: typer.Context, option: str, text: str, *, low: int = 0, high: int = INT_MAX) -> int:
    """Return the number that an option was given, or 0 if it was left out: 0 stands for "not set" everywhere.

    :param text: the option's value; empty if it was left out.
    :raises WrongUsageError: if it is no whole number from ``low`` to ``high``.
    """
    if not text:
        return 0
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS else None
    if number is None or not low <= number <= high:
        if high == INT_MAX and text.isascii() and text.isdigit():
            raise WrongUsageError(context, f"{option} takes a whole number that some machine could have, not {text!r}")
        upper = f"from {low} to {high}" if high < INT_MAX else f"{low} or more"
        raise WrongUsageError(context, f"{option} takes a whole number, {upper}, not {text!r}")
    return number


def listed(text: str) -> tuple[str, ...]:
    """Return the parts of a list written with commas, spaces around them removed, empty ones left out."""
    return tuple(part for each in text.split(",") if (part := each.strip()))
