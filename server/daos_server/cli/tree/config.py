# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server config ...``, for short ``cfg``."""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.options import WrongUsageError, listed, whole_number
from daos_server.cli.tree.branch import Branch, asked, at_work
from daos_server.cli.tree.common import PORT_MAX, HelperLogFile, SkipPrep

branch = Branch("config", "Check, show and generate configurations.", "daos_server config check", aliases=("cfg",))

File = Annotated[str, typer.Argument(metavar="FILE", help="Configuration file; that of --config if left out.")]


@branch.command("check", "daos_server config check ./daos_server.yml", "daos_server config check --host --json")
def check(
    context: typer.Context,
    file: File = "",
    *,
    host: Annotated[bool, typer.Option("--host", help="Also hold it against the hardware of this host.")] = False,
) -> None:
    """Check a configuration and report everything that is wrong with it, by line, with the remedy.

    Ends with 1 if anything is.
    """
    from daos_server.cli.config import check as check_file

    check_file(asked(context), file, host)


@branch.command("show", "daos_server config show", "daos_server config show ./daos_server.yml --json")
def show(context: typer.Context, file: File = "") -> None:
    """Show the configuration in force: every key, its value, and where that comes from."""
    from daos_server.cli.config import show as show_file

    show_file(asked(context), file)


@branch.command("schema", "daos_server config schema")
def schema(context: typer.Context) -> None:
    """Print the JSON Schema of the configuration, with which editors complete and check it."""
    from daos_server.cli.config import schema as show_schema

    show_schema(asked(context))


@branch.command(
    "generate",
    "daos_server config generate -c ethernet -t",
    "daos_server config generate --access-points host1,host2,host3 --num-engines 2",
    aliases=("gen",),
    json=False,
)
def generate(
    context: typer.Context,
    *,
    access_points: Annotated[
        str, typer.Option("--access-points", "-a", metavar="HOSTS", help="Hosts of the management service, with commas between them.")
    ] = "localhost",
    num_engines: Annotated[
        str, typer.Option("--num-engines", "-e", metavar="N", help="Engines; one for each NUMA node if left out.", show_default=False)
    ] = "",
    scm_only: Annotated[bool, typer.Option("--scm-only", "-s", help="Leave the SSDs out.")] = False,
    net_class: Annotated[
        str, typer.Option("--net-class", "-c", metavar="CLASS", help="Network interfaces to use: ethernet or infiniband.")
    ] = "infiniband",
    net_provider: Annotated[
        str, typer.Option("--net-provider", "-p", metavar="NAME", help="Fabric provider; all means whichever is best.", show_default=False)
    ] = "",
    use_tmpfs_scm: Annotated[bool, typer.Option("--use-tmpfs-scm", "-t", help="Use RAM in place of persistent memory.")] = False,
    control_metadata_path: Annotated[
        str,
        typer.Option(
            "--control-metadata-path", "-m", metavar="FOLDER", help="Keep metadata on SSDs, and the server's own here.", show_default=False
        ),
    ] = "",
    fabric_ports: Annotated[
        str,
        typer.Option("--fabric-ports", "-f", metavar="PORTS", help="Port of each engine, with commas between them.", show_default=False),
    ] = "",
    skip_prep: SkipPrep = False,
    helper_log_file: HelperLogFile = "",
) -> None:
    """Print a configuration that makes the best of this host, with a comment on why each value was chosen."""
    from daos_server.cli.generate import generate as make
    from daos_server.generate.options import NET_CLASSES, GenerateOptions

    if net_class not in NET_CLASSES:
        raise WrongUsageError(context, f"--net-class is {' or '.join(NET_CLASSES)}, not {net_class!r}")
    options = GenerateOptions(
        access_points=listed(access_points),
        num_engines=whole_number(context, "--num-engines", num_engines),
        scm_only=scm_only,
        net_class=net_class,
        net_provider=net_provider,
        use_tmpfs_scm=use_tmpfs_scm,
        control_metadata_path=control_metadata_path,
        fabric_ports=tuple(whole_number(context, "--fabric-ports", each, low=1, high=PORT_MAX) for each in listed(fabric_ports)),
        skip_prep=skip_prep,
        helper_log_file=helper_log_file,
    )
    make(at_work(context), options)
