# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server ms ...``: the management service of the system."""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.options import WrongUsageError
from daos_server.cli.tree.branch import Branch, asked
from daos_server.cli.tree.common import ForceUnasked, IgnoreConfig

branch = Branch("ms", "Look at and repair this host's replica of the management service.", "daos_server ms status")


@branch.command("status", "daos_server ms status", json=False)
def status(context: typer.Context, *, ignore_config: IgnoreConfig = False) -> None:
    """Show the state of the local replica.

    This version checks configuration and host, and ends there.
    """
    from daos_server.cli.ms import replica

    replica(asked(context), "status", ignore_config=ignore_config)


@branch.command("recover", "daos_server ms recover", json=False)
def recover(context: typer.Context, *, force: ForceUnasked = False, ignore_config: IgnoreConfig = False) -> None:
    """Recover the service from the local replica.

    This version checks configuration and host, and ends there.
    """
    from daos_server.cli.ms import replica

    replica(asked(context), "recover", ignore_config=ignore_config)


@branch.command("restore", "daos_server ms restore --path /var/lib/daos/backup", json=False)
def restore(
    context: typer.Context,
    *,
    path: Annotated[str, typer.Option("--path", "-p", metavar="PATH", help="Snapshot to restore (required).", show_default=False)] = "",
    force: ForceUnasked = False,
    ignore_config: IgnoreConfig = False,
) -> None:
    """Restore the local replica from a snapshot.

    This version checks configuration and host, and ends there.
    """
    from daos_server.cli.ms import replica

    if not path:
        raise WrongUsageError(context, "--path is missing: the snapshot to restore")
    replica(asked(context), "restore", ignore_config=ignore_config)
