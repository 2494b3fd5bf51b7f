# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server network ...``"""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.tree.branch import Branch, at_work
from daos_server.cli.tree.common import IgnoreConfig

branch = Branch("network", "Look at the network interfaces of this host.", "daos_server network scan")

ALL_PROVIDERS = "all"


@branch.command("scan", "daos_server network scan", "daos_server network scan --provider all --json")
def scan(
    context: typer.Context,
    *,
    provider: Annotated[
        str,
        typer.Option(
            "--provider", "-p", metavar="NAME", help="Fabric provider, or all; that of the configuration if left out.", show_default=False
        ),
    ] = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Show the interfaces that engines can use, by NUMA node and provider."""
    from daos_server.cli.network import scan as scan_fabric

    scan_fabric(at_work(context), provider or (ALL_PROVIDERS if ignore_config else ""))
