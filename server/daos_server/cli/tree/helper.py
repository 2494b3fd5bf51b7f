# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server helper ...``"""

from __future__ import annotations

import typer

from daos_server.cli.tree.branch import Branch, asked

branch = Branch("helper", "Look after the privileged helper.", "daos_server helper check")


@branch.command("check", "daos_server helper check", "daos_server helper check --json")
def check(context: typer.Context) -> None:
    """Say whether the privileged helper can do its work, point by point, and what to do where it cannot.

    Needs no working helper and no particular user; what the caller may not see is reported as unknown.
    """
    from daos_server.cli.inform import helper_check

    helper_check(asked(context))


@branch.command("policy", "daos_server helper policy", "daos_server helper policy --json")
def policy(context: typer.Context) -> None:
    """Show root's policy for the helper as it is in force, and which of it comes from the file.

    The helper itself is asked; root and the account may.
    """
    from daos_server.cli.policy import policy as show

    show(asked(context))
