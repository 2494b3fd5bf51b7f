# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The options of the ``nvme`` commands as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NvmeOptions:
    """What ``nvme prepare``, ``reset`` and ``scan`` were asked for; each has its share of these.

    :param pci_allow_list: PCI addresses to work on, as written; empty means those of the configuration.
    :param pci_block_list: PCI addresses to leave alone, as written; empty means those of the configuration.
    :param hugepages: number of hugepages; 0 means that of the configuration, or 1024.
    :param target_user: name of the account that the SSDs are for; empty means the caller.
    :param disable_vfio: use uio_pci_generic in place of vfio-pci.
    :param disable_vmd: leave VMD alone.
    :param skip_prep: scan what is there, preparing nothing.
    :param ignore_config: take nothing from the configuration.
    :param helper_log_file: path of the helper's log; empty means none.
    :param dry_run: show the plan, change nothing.
    :param force: also what has a signature on it; never what is mounted or held.
    :param all: all SSDs of the host, not only those that the configuration names.
    """

    pci_allow_list: tuple[str, ...] = ()
    pci_block_list: tuple[str, ...] = ()
    hugepages: int = 0
    target_user: str = ""
    disable_vfio: bool = False
    disable_vmd: bool = False
    skip_prep: bool = False
    ignore_config: bool = False
    helper_log_file: str = ""
    dry_run: bool = False
    force: bool = False
    all: bool = False
