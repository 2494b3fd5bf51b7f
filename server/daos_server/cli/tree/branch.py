# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How commands are declared, and made into typer's when they are needed.

Declaring costs next to nothing, making a command's options 1 ms: so a run makes only those that its command line can mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, ParamSpec

import typer

from daos_server.cli.options import Invocation, WrongUsageError, with_globals

if TYPE_CHECKING:
    from collections.abc import Callable, Container

P = ParamSpec("P")

HELP = {"help_option_names": ["-h", "--help"]}
SETTINGS = {**HELP, "allow_extra_args": True}
"""Extra arguments are let through so that ``with_globals`` can refuse them in our words."""


class Leaf(NamedTuple):
    """One command as declared.

    :param register: adds it to a group under a name; with its options, or, where those cannot matter, without them.
    """

    name: str
    aliases: tuple[str, ...]
    register: Callable[[typer.Typer, str, bool], None]

    @property
    def names(self) -> tuple[str, ...]:
        """All that it answers to."""
        return (self.name, *self.aliases)


class Branch:
    """A group of commands, or the top of the tree.

    :param text: one line of help.
    :param example: a command line of the group.
    :param aliases: other names of it.
    """

    def __init__(self, name: str, text: str, example: str, *, aliases: tuple[str, ...] = ()) -> None:
        self.name = name
        self.aliases = aliases
        self.leaves: list[Leaf] = []
        self._text = text
        self._example = example

    def command(
        self, name: str, *examples: str, aliases: tuple[str, ...] = (), json: bool = True
    ) -> Callable[[Callable[P, None]], Callable[P, None]]:
        """Declare a function as a command that takes the global options and whose help ends with examples.

        :param json: whether it has an answer in JSON.
        """

        def declare(function: Callable[P, None]) -> Callable[P, None]:
            def register(group: typer.Typer, as_name: str, whole: bool) -> None:
                made = with_globals(function, json=json) if whole else _bare
                group.command(as_name, help=function.__doc__, epilog=_epilog(*examples), context_settings=SETTINGS, hidden=as_name != name)(
                    made
                )

            self.leaves.append(Leaf(name, aliases, register))
            return function

        return declare

    def group(self, words: Container[str] | None, *, is_top: bool = False) -> typer.Typer:
        """Return the group as typer's, with those commands complete that are among the words (None: all)."""
        group = typer.Typer(
            name=self.name,
            help=self._text,
            epilog=_epilog(self._example),
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            add_completion=is_top,
            context_settings=HELP,
            invoke_without_command=True,
        )
        group.callback()(with_globals(_needs_command))
        for leaf in self.leaves:
            for name in leaf.names:
                leaf.register(group, name, words is None or name in words)
        return group

    def add_to(self, top: typer.Typer, words: Container[str] | None) -> None:
        """Add the group to the tree under all its names; without commands where it is not among the words (None: all)."""
        for name in (self.name, *self.aliases):
            branch = self if words is None or name in words else Branch(self.name, self._text, self._example)
            top.add_typer(branch.group(words), name=name, hidden=name != self.name)


def _bare(context: typer.Context) -> None:
    """In place of a command that the command line does not name."""


def _epilog(*lines: str) -> str:
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def _needs_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        commands = getattr(context.command, "commands", {})
        names = [name for name, command in commands.items() if not command.hidden]
        raise WrongUsageError(context, f"a command is missing: {', '.join(names)}")


def asked(context: typer.Context) -> Invocation:
    """Return the invocation of a command that only tells."""
    return context.ensure_object(Invocation)


def at_work(context: typer.Context) -> Invocation:
    """Return the invocation of a command that looks around or does something: its log goes where it was asked to."""
    from daos_server.cli.logs import start_log
    from daos_server.cli.storage import interrupt_on_stop

    interrupt_on_stop()
    invocation = context.ensure_object(Invocation)
    start_log(invocation)
    return invocation
