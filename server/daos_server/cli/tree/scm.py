# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server scm ...``: persistent memory."""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.options import WrongUsageError, whole_number
from daos_server.cli.tree.branch import Branch, asked
from daos_server.cli.tree.common import DryRun, ForceUnasked, HelperLogFile, IgnoreConfig

branch = Branch("scm", "Prepare, scan and reset persistent memory.", "daos_server scm scan")

Socket = Annotated[
    str,
    typer.Option("--socket", metavar="ID", help="Only the memory of this CPU socket.", show_default=False),
]
SOCKET_MAX = 63
NAMESPACES_MAX = 4


@branch.command("prepare", "daos_server scm prepare --dry-run", "daos_server scm prepare --scm-ns-per-socket 2")
def prepare(
    context: typer.Context,
    *,
    socket: Socket = "",
    scm_ns_per_socket: Annotated[
        str, typer.Option("--scm-ns-per-socket", "-S", metavar="N", help="Namespaces to make on each socket, 1 to 4.")
    ] = "1",
    dry_run: DryRun = False,
    force: ForceUnasked = False,
    helper_log_file: HelperLogFile = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Make regions and namespaces of persistent memory: ask the firmware for regions, reboot, run it again.

    What is there already stays as it is. Running it again goes on from where the machine is.
    """
    from daos_server.cli.options_scm import ScmOptions
    from daos_server.cli.scm import prepare as make

    options = ScmOptions(
        socket=_socket(context, socket),
        per_socket=whole_number(context, "--scm-ns-per-socket", scm_ns_per_socket or "1", low=1, high=NAMESPACES_MAX),
        force=force,
        dry_run=dry_run,
        helper_log_file=helper_log_file,
        ignore_config=ignore_config,
    )
    _needs_consent(context, is_given=force or dry_run)
    make(asked(context), options)


@branch.command("reset", "daos_server scm reset --dry-run")
def reset(
    context: typer.Context,
    *,
    socket: Socket = "",
    dry_run: DryRun = False,
    force: ForceUnasked = False,
    helper_log_file: HelperLogFile = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Destroy all namespaces of persistent memory with their data; the firmware makes the regions anew at the next start."""
    from daos_server.cli.options_scm import ScmOptions
    from daos_server.cli.scm import reset as take_back

    options = ScmOptions(
        socket=_socket(context, socket), force=force, dry_run=dry_run, helper_log_file=helper_log_file, ignore_config=ignore_config
    )
    _needs_consent(context, is_given=force or dry_run)
    take_back(asked(context), options)


@branch.command("scan", "daos_server scm scan", "daos_server scm scan --socket 0 --json")
def scan(context: typer.Context, *, socket: Socket = "", helper_log_file: HelperLogFile = "", ignore_config: IgnoreConfig = False) -> None:
    """Show the persistent memory of this host: its namespaces, or, without any, its modules; and what comes next."""
    from daos_server.cli.options_scm import ScmOptions
    from daos_server.cli.scm import scan as look

    look(
        asked(context),
        ScmOptions(socket=_socket(context, socket), helper_log_file=helper_log_file, ignore_config=ignore_config),
    )


def _socket(context: typer.Context, text: str) -> int | None:
    return whole_number(context, "--socket", text, high=SOCKET_MAX) if text else None


def _needs_consent(context: typer.Context, *, is_given: bool) -> None:
    if asked(context).json and not is_given:
        raise WrongUsageError(context, "--json needs --force: there is nobody to be asked for consent")
