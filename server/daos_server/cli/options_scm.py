# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The options of the ``scm`` commands as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ScmOptions:
    """What ``scm prepare``, ``reset`` and ``scan`` were asked for; each has its share of these.

    :param socket: only the memory of this CPU socket; None for that of the configuration's engines, or all.
    :param per_socket: namespaces to make on each socket, 1 to 4.
    :param force: ask nothing.
    :param dry_run: show the plan, change nothing.
    :param ignore_config: take nothing from the configuration.
    :param helper_log_file: path of the helper's log; empty means none.
    """

    socket: int | None = None
    per_socket: int = 1
    force: bool = False
    dry_run: bool = False
    ignore_config: bool = False
    helper_log_file: str = ""
