# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The commands that stand alone: version, explain, doctor, dump-topology, start."""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.options import whole_number
from daos_server.cli.tree.branch import Branch, asked, at_work
from daos_server.cli.tree.common import PORT_MAX, IgnoreConfig

branch = Branch("", "Prepare, scan and format the storage that DAOS engines run on.", "daos_server storage format --dry-run")


@branch.command("version", "daos_server version --json")
def version(context: typer.Context) -> None:
    """Print the version."""
    from daos_server.cli.inform import version as show_version

    show_version(asked(context))


@branch.command("explain", "daos_server explain 101", "daos_server explain StorageAlreadyFormatted")
def explain(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Number or name of a fault; all are listed if left out.")] = "",
) -> None:
    """Explain a fault code: what it means, how it comes about, what to do."""
    from daos_server.cli.inform import explain as show_explanation

    show_explanation(asked(context), code)


@branch.command("doctor", "daos_server doctor", "daos_server doctor --json")
def doctor(context: typer.Context) -> None:
    """Check everything on this host that could keep an engine from running, and say how to repair it.

    Needs no root, no helper and no DAOS hardware, and works while a service runs. Ends with 1 if anything would stop an engine.
    """
    from daos_server.cli.doctor import doctor as examine

    examine(at_work(context))


@branch.command("dump-topology", "daos_server dump-topology", "daos_server dump-topology --json -o topology.json")
def dump_topology(
    context: typer.Context,
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write to this file; stdout means standard output.", show_default=False)
    ] = "stdout",
) -> None:
    """Show the NUMA nodes of this host with their cores, PCI buses and devices."""
    from daos_server.cli.network import dump_topology as dump

    dump(at_work(context), output)


@branch.command("start", "daos_server start -o /etc/daos/daos_server.yml", json=False)
def start(
    context: typer.Context,
    *,
    port: Annotated[str, typer.Option("--port", "-p", metavar="PORT", help="Port of the control plane.", show_default=False)] = "",
    storage: Annotated[
        str, typer.Option("--storage", "-s", metavar="PATH", help="SCM mount point of engine 0 (deprecated).", show_default=False)
    ] = "",
    modules: Annotated[str, typer.Option("--modules", "-m", metavar="LIST", help="Modules that engines load.", show_default=False)] = "",
    targets: Annotated[str, typer.Option("--targets", "-t", metavar="N", help="Targets of every engine.", show_default=False)] = "",
    xshelpernr: Annotated[
        str, typer.Option("--xshelpernr", "-x", metavar="N", help="Helper threads of every engine.", show_default=False)
    ] = "",
    firstcore: Annotated[str, typer.Option("--firstcore", "-f", metavar="N", help="First core of every engine.", show_default=False)] = "",
    group: Annotated[str, typer.Option("--group", "-g", metavar="NAME", help="Name of the DAOS system.", show_default=False)] = "",
    socket_dir: Annotated[
        str, typer.Option("--socket_dir", "-d", metavar="FOLDER", help="Folder of the server's sockets.", show_default=False)
    ] = "",
    insecure: Annotated[bool, typer.Option("--insecure", "-i", help="Do without certificates.")] = False,
    recreate_superblocks: Annotated[bool, typer.Option("--recreate-superblocks", help="Accepted, not used (deprecated).")] = False,
    auto_format: Annotated[bool, typer.Option("--auto-format", help="Format storage that needs it, without being asked.")] = False,
    ignore_config: IgnoreConfig = False,
) -> None:
    """Check all that a start needs, and show what is derived from configuration and hardware.

    This version ends there: it starts no engines. Options given here go before the configuration, for every engine; zero means not given
    for --port, --targets and --firstcore.
    """
    from daos_server.cli.start import start as begin
    from daos_server.start.options import StartOptions

    options = StartOptions(
        port=whole_number(context, "--port", port, high=PORT_MAX),
        storage=storage,
        modules=modules,
        targets=whole_number(context, "--targets", targets),
        helpers=whole_number(context, "--xshelpernr", xshelpernr) if xshelpernr else None,
        first_core=whole_number(context, "--firstcore", firstcore),
        group=group,
        socket_dir=socket_dir,
        insecure=insecure,
        recreate_superblocks=recreate_superblocks,
        auto_format=auto_format,
        ignore_config=ignore_config,
    )
    begin(asked(context), options)
