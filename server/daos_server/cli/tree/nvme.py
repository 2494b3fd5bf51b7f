# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server nvme ...``: SSDs alone, without the rest of the storage."""

from __future__ import annotations

from typing import Annotated

import typer

from daos_server.cli.options import WrongUsageError, listed, whole_number
from daos_server.cli.tree.branch import Branch, asked
from daos_server.cli.tree.common import DryRun, HelperLogFile, IgnoreConfig, SkipPrep

branch = Branch("nvme", "Prepare, scan and reset NVMe SSDs.", "daos_server nvme scan")

AllowList = Annotated[
    str,
    typer.Argument(metavar="PCI-ALLOW-LIST", help="Addresses of SSDs, with commas between them; those of the configuration if left out."),
]
BlockList = Annotated[
    str, typer.Option("--pci-block-list", metavar="ADDRESSES", help="SSDs to leave alone, with commas between them.", show_default=False)
]
TargetUser = Annotated[str, typer.Option("--target-user", "-u", metavar="USER", help="Account that the SSDs are for.", show_default=False)]
DisableVfio = Annotated[bool, typer.Option("--disable-vfio", help="Use uio_pci_generic in place of vfio-pci.")]
All = Annotated[bool, typer.Option("--all", "-a", help="All SSDs of this host, not only those of the configuration.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Also SSDs that carry data; never one that is in use.")]


@branch.command("prepare", "daos_server nvme prepare --dry-run", "daos_server nvme prepare 0000:81:00.0,0000:82:00.0 --hugepages 4096")
def prepare(
    context: typer.Context,
    pci_allow_list: AllowList = "",
    *,
    pci_block_list: BlockList = "",
    hugepages: Annotated[str, typer.Option("--hugepages", "-p", metavar="N", help="Number of hugepages.", show_default=False)] = "",
    target_user: TargetUser = "",
    disable_vfio: DisableVfio = False,
    all_ssds: All = False,
    dry_run: DryRun = False,
    force: Force = False,
    helper_log_file: HelperLogFile = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Give SSDs to user space, so that engines can drive them."""
    from daos_server.cli.nvme import prepare as give
    from daos_server.cli.options_nvme import NvmeOptions

    options = NvmeOptions(
        pci_allow_list=_addresses(context, "PCI-ALLOW-LIST", pci_allow_list),
        pci_block_list=_addresses(context, "--pci-block-list", pci_block_list),
        hugepages=whole_number(context, "--hugepages", hugepages),
        target_user=target_user,
        disable_vfio=disable_vfio,
        ignore_config=ignore_config,
        helper_log_file=helper_log_file,
        dry_run=dry_run,
        force=force,
        all=all_ssds,
    )
    give(asked(context), options)


@branch.command("reset", "daos_server nvme reset --dry-run")
def reset(
    context: typer.Context,
    pci_allow_list: AllowList = "",
    *,
    pci_block_list: BlockList = "",
    target_user: TargetUser = "",
    disable_vfio: DisableVfio = False,
    all_ssds: All = False,
    dry_run: DryRun = False,
    force: Force = False,
    helper_log_file: HelperLogFile = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Give SSDs back to the drivers that they had."""
    from daos_server.cli.nvme import reset as give_back
    from daos_server.cli.options_nvme import NvmeOptions

    options = NvmeOptions(
        pci_allow_list=_addresses(context, "PCI-ALLOW-LIST", pci_allow_list),
        pci_block_list=_addresses(context, "--pci-block-list", pci_block_list),
        target_user=target_user,
        disable_vfio=disable_vfio,
        ignore_config=ignore_config,
        helper_log_file=helper_log_file,
        dry_run=dry_run,
        force=force,
        all=all_ssds,
    )
    give_back(asked(context), options)


@branch.command("scan", "daos_server nvme scan", "daos_server nvme scan --skip-prep --json")
def scan(
    context: typer.Context,
    *,
    disable_vmd: Annotated[bool, typer.Option("--disable-vmd", help="Leave VMD alone.")] = False,
    skip_prep: SkipPrep = False,
    helper_log_file: HelperLogFile = "",
    ignore_config: IgnoreConfig = False,
) -> None:
    """Show the SSDs of this host."""
    from daos_server.cli.nvme import scan as look
    from daos_server.cli.options_nvme import NvmeOptions

    options = NvmeOptions(disable_vmd=disable_vmd, skip_prep=skip_prep, helper_log_file=helper_log_file, ignore_config=ignore_config)
    look(asked(context), options)


def _addresses(context: typer.Context, option: str, text: str) -> tuple[str, ...]:
    """Return the PCI addresses of a list, as written; spaces separate them as well as commas do."""
    from daos_bindings.linux.pci_address import parse as parse_pci

    found = listed(text.replace(" ", ","))
    for each in found:
        if parse_pci(each) is None:
            raise WrongUsageError(context, f"{option}: {each!r} is no PCI address such as 0000:81:00.0")
    return found
