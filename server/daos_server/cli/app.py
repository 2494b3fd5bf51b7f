# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The tree of commands, put together from its groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.cli.tree import config, helper, ms, network, nvme, scm, storage, support, top

if TYPE_CHECKING:
    from collections.abc import Container

    import typer

BRANCHES = (storage.branch, nvme.branch, scm.branch, network.branch, config.branch, helper.branch, ms.branch, support.branch)


def tree(words: Container[str] | None = None) -> typer.Typer:
    """Return the command line as typer's.

    :param words: all that stands on the command line; a command that is not among them is only listed, without its options.  None
        makes the whole tree.
    """
    app = top.branch.group(words, is_top=True)
    for branch in BRANCHES:
        branch.add_to(app, words)
    return app
