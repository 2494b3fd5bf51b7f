# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server storage ...``: what the configuration names, as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.options import WrongUsageError
from daos_server.cli.tree.branch import Branch, asked
from daos_server.cli.tree.common import DryRun

branch = Branch("storage", "Prepare, scan, format and reset the storage of this host.", "daos_server storage scan")

Force = Annotated[bool, typer.Option("--force", "-f", help="Destroy what is there. Nothing is asked.")]


@branch.command("prepare", "daos_server storage prepare --dry-run", "daos_server storage prepare --scm-only")
def prepare(
    context: typer.Context,
    *,
    scm_only: Annotated[bool, typer.Option("--scm-only", "-s", help="Only persistent memory.")] = False,
    nvme_only: Annotated[bool, typer.Option("--nvme-only", help="Only hugepages and SSDs.")] = False,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Make the configured devices of persistent memory; give engines their hugepages, by NUMA node, and their SSDs.

    A node that has more than it needs keeps them. Running it again does nothing new.
    """
    from daos_server.cli.storage import work

    if scm_only and nvme_only:
        raise WrongUsageError(context, "--scm-only and --nvme-only leave nothing to do: give one of them")
    work(asked(context), "prepare", dry_run=dry_run, force=force, only="scm" if scm_only else "nvme" if nvme_only else "")


@branch.command("scan", "daos_server storage scan", "daos_server -o ./daos_server.yml storage scan --json")
def scan(context: typer.Context, *, dry_run: DryRun = False, force: Force = False) -> None:
    """Show the state of the configured storage: formatted, mounted, or what is in the way.

    Changes nothing; --dry-run and --force are accepted and make no difference.
    """
    from daos_server.cli.storage import work

    work(asked(context), "scan", dry_run=dry_run, force=force)


@branch.command("format", "daos_server storage format --dry-run", "daos_server storage format --force --json")
def format_storage(context: typer.Context, *, dry_run: DryRun = False, force: Force = False) -> None:
    """Format and mount the configured storage, and write what the engines start from.

    Without --force, whatever already carries data is refused and named. Interrupted work is continued by running it again.
    """
    from daos_server.cli.storage import work

    work(asked(context), "format", dry_run=dry_run, force=force)


@branch.command("reset", "daos_server storage reset --dry-run")
def reset(context: typer.Context, *, dry_run: DryRun = False, force: Force = False) -> None:
    """Give back to the operating system what prepare took."""
    from daos_server.cli.storage import work

    work(asked(context), "reset", dry_run=dry_run, force=force)
