# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The tree of commands: names, options and help texts.  What a command does is imported when it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

from daos_server.cli.options import Invocation, WrongUsageError, with_globals

P = ParamSpec("P")

SETTINGS = {"help_option_names": ["-h", "--help"], "allow_extra_args": True}
"""Extra arguments are let through so that ``with_globals`` can refuse them in our words."""


def _group(name: str | None = None, text: str = "", example: str = "", *, completion: bool = False) -> typer.Typer:
    return typer.Typer(
        name=name,
        help=text,
        epilog=_example(example),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=completion,
        context_settings={"help_option_names": ["-h", "--help"]},
        invoke_without_command=True,
    )


def _example(*lines: str) -> str:
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


app = _group(
    text="Prepare, scan and format the storage that DAOS engines run on.",
    example="daos_server storage format --dry-run",
    completion=True,
)
storage = _group(
    "storage",
    "Prepare, scan, format and reset the storage of this host.",
    "daos_server storage scan",
)
helper = _group("helper", "Look after the privileged helper.", "daos_server helper check")
app.add_typer(storage)
app.add_typer(helper)

DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Show the plan and what it is based on; change nothing.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Destroy what is there. Nothing is asked.")]


def _needs_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        raise WrongUsageError(context, f"a command is missing: {', '.join(_names(context))}")


def _command(group: typer.Typer, name: str, *examples: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Register a function as a command that takes the global options and whose help ends with examples."""

    def register(function: Callable[P, None]) -> Callable[P, None]:
        return group.command(name, epilog=_example(*examples), context_settings=SETTINGS)(with_globals(function))

    return register


def _names(context: typer.Context) -> list[str]:
    return list(getattr(context.command, "commands", ()))


def _invocation(context: typer.Context) -> Invocation:
    return context.ensure_object(Invocation)


@app.callback()
@with_globals
def _top(context: typer.Context) -> None:
    _needs_command(context)


@storage.callback()
@with_globals
def _storage(context: typer.Context) -> None:
    _needs_command(context)


@helper.callback()
@with_globals
def _helper(context: typer.Context) -> None:
    _needs_command(context)


@_command(storage, "prepare", "daos_server storage prepare --dry-run")
def prepare(context: typer.Context, *, dry_run: DryRun = False, force: Force = False) -> None:
    """Give every NUMA node the hugepages that the configured engines need.

    A node that has more than it needs keeps them. Running it again does nothing new.
    """
    from daos_server.cli.storage import work

    work(_invocation(context), "prepare", dry_run=dry_run, force=force)


@_command(storage, "scan", "daos_server storage scan", "daos_server -o ./daos_server.yml storage scan --json")
def scan(context: typer.Context, *, dry_run: DryRun = False, force: Force = False) -> None:
    """Show the state of the configured storage: formatted, mounted, or what is in the way.

    Changes nothing; --dry-run and --force are accepted and make no difference.
    """
    from daos_server.cli.storage import work

    work(_invocation(context), "scan", dry_run=dry_run, force=force)


@_command(storage, "format", "daos_server storage format --dry-run", "daos_server storage format --force --json")
def format_storage(context: typer.Context, *, dry_run: DryRun = False, force: Force = False) -> None:
    """Format and mount the configured storage, and write what the engines start from.

    Without --force, whatever already carries data is refused and named. Interrupted work is continued by running it again.
    """
    from daos_server.cli.storage import work

    work(_invocation(context), "format", dry_run=dry_run, force=force)


@_command(storage, "reset", "daos_server storage reset --dry-run")
def reset(context: typer.Context, *, dry_run: DryRun = False, force: Force = False) -> None:
    """Give back to the operating system what prepare took."""
    from daos_server.cli.storage import work

    work(_invocation(context), "reset", dry_run=dry_run, force=force)


@_command(helper, "check", "daos_server helper check", "daos_server helper check --json")
def check(context: typer.Context) -> None:
    """Say whether the privileged helper can do its work, point by point, and what to do where it cannot.

    Needs no working helper and no particular user; what the caller may not see is reported as unknown.
    """
    from daos_server.cli.inform import helper_check

    helper_check(_invocation(context))


@_command(app, "version", "daos_server version --json")
def version(context: typer.Context) -> None:
    """Print the version."""
    from daos_server.cli.inform import version as show_version

    show_version(_invocation(context))


@_command(app, "explain", "daos_server explain 101", "daos_server explain StorageAlreadyFormatted")
def explain(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="[CODE]", help="Number or name of a fault; all are listed if left out.")] = "",
) -> None:
    """Explain a fault code: what it means, how it comes about, what to do."""
    from daos_server.cli.inform import explain as show_explanation

    show_explanation(_invocation(context), code)
