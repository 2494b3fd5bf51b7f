# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server scm ...``: persistent memory."""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.options import WrongUsageError, whole_number
from daos_server.cli.tree.branch import Branch, asked
from daos_server.cli.tree.common import HelperLogFile, IgnoreConfig

branch = Branch("scm", "Prepare, scan and reset persistent memory.", "daos_server scm scan")

Socket = Annotated[
    str,
    typer.Option("--socket", metavar="ID", help="Only the memory of this CPU socket.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Do it without asking.")]
NAMESPACES_MAX = 4
MEANWHILE = "use ipmctl and ndctl; namespaces made with them can be named in scm_list and formatted with 'daos_server storage format'"


@branch.command("prepare", "daos_server scm prepare --scm-ns-per-socket 2")
def prepare(
    context: typer.Context,
    *,
    socket: Socket = "",
    scm_ns_per_socket: Annotated[
        str, typer.Option("--scm-ns-per-socket", "-S", metavar="N", help="Namespaces to make on each socket, 1 to 4.")
    ] = "1",
    force: Force = False,
    helper_log_file: HelperLogFile = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Make regions and namespaces of persistent memory; takes a reboot in between.

    Not part of this version, which only checks the options.
    """
    whole_number(context, "--scm-ns-per-socket", scm_ns_per_socket, low=1, high=NAMESPACES_MAX)
    _not_built(context, "prepare", socket, needs_consent=not force)


@branch.command("reset", "daos_server scm reset")
def reset(
    context: typer.Context,
    *,
    socket: Socket = "",
    force: Force = False,
    helper_log_file: HelperLogFile = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Remove regions and namespaces of persistent memory; takes a reboot.

    Not part of this version, which only checks the options.
    """
    _not_built(context, "reset", socket, needs_consent=not force)


@branch.command("scan", "daos_server scm scan")
def scan(context: typer.Context, *, socket: Socket = "", helper_log_file: HelperLogFile = "", ignore_config: IgnoreConfig = False) -> None:
    """Show the persistent memory of this host.

    Not part of this version, which only checks the options.
    """
    _not_built(context, "scan", socket, needs_consent=False)


def _not_built(context: typer.Context, command: str, socket: str, *, needs_consent: bool) -> None:
    from daos_pbin import codes
    from daos_pbin.faults import Fault

    whole_number(context, "--socket", socket)
    if needs_consent and asked(context).json:
        raise WrongUsageError(context, "--json needs --force: there is nobody to be asked for consent")
    raise Fault(codes.SERVER_COMMAND_NOT_BUILT, what=f"{command} persistent memory", instead=MEANWHILE)
