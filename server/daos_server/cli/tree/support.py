# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server support ...``"""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.tree.branch import Branch, at_work
from daos_server.cli.tree.common import IgnoreConfig

branch = Branch("support", "Collect what support asks for.", "daos_server support collect-log --archive")


@branch.command("collect-log", "daos_server support collect-log --archive", "daos_server support collect-log -D 2026-01-31 -S 08:00:00 -z")
def collect_log(
    context: typer.Context,
    *,
    stop_on_error: Annotated[bool, typer.Option("--stop-on-error", "-s", help="End at the first thing that cannot be collected.")] = False,
    target_folder: Annotated[
        str,
        typer.Option(
            "--target-folder",
            "-t",
            metavar="FOLDER",
            help="New folder for it; one in $TMPDIR with the time in its name if left out.",
            show_default=False,
        ),
    ] = "",
    archive: Annotated[bool, typer.Option("--archive", "-z", help="Make <folder>.tar.gz of it and remove the folder.")] = False,
    extra_logs_dir: Annotated[
        str, typer.Option("--extra-logs-dir", "-c", metavar="FOLDER", help="Collect the files of this folder too.", show_default=False)
    ] = "",
    start_date: Annotated[
        str, typer.Option("--start-date", "-D", metavar="DATE", help="First day of log lines, as YYYY-MM-DD or MM-DD.", show_default=False)
    ] = "",
    end_date: Annotated[
        str, typer.Option("--end-date", "-F", metavar="DATE", help="Last day of log lines, as YYYY-MM-DD or MM-DD.", show_default=False)
    ] = "",
    log_start_time: Annotated[
        str,
        typer.Option(
            "--log-start-time",
            "-S",
            metavar="TIME",
            help="First time of log lines, as HH:MM:SS: on the first day, or every day.",
            show_default=False,
        ),
    ] = "",
    log_end_time: Annotated[
        str,
        typer.Option(
            "--log-end-time",
            "-E",
            metavar="TIME",
            help="Last time of log lines, as HH:MM:SS: on the last day, or every day.",
            show_default=False,
        ),
    ] = "",
    log_type: Annotated[
        str,
        typer.Option(
            "--log-type",
            "-e",
            metavar="TYPES",
            help="Only these logs: admin (the helper's), control, server (the engines').",
            show_default=False,
        ),
    ] = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Collect logs, configuration and the state of this host in one folder.

    What cannot be collected is named and counted; the rest is collected. Environment variables and keys that may be secrets are left out.
    """
    from daos_server.cli.support import collect, options_of

    options = options_of(
        context,
        stop_on_error=stop_on_error,
        target_folder=target_folder,
        archive=archive,
        extra_logs_dir=extra_logs_dir,
        days=(start_date, end_date),
        times=(log_start_time, log_end_time),
        log_type=log_type,
        ignore_config=ignore_config,
    )
    collect(at_work(context), options)
