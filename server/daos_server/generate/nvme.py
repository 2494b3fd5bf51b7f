# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The NVMe SSDs of this machine from sysfs, whichever driver has them, and which of them are in use.  Needs no root."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from daos_bindings.linux import pci
from daos_server.generate.facts import LeftOut, Ssd
from daos_server.hardware.attributes import numa_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from daos_bindings.linux.pci import PciFunction


class Nvme(NamedTuple):
    """The SSDs that engines may have, and those that they may not."""

    ssds: tuple[Ssd, ...]
    left_out: tuple[LeftOut, ...]


def read_nvme(in_use: Callable[[str], str], sysfs: str = pci.SYSFS) -> Nvme:
    """List the NVMe SSDs by address.

    One whose disk is in use is left out, and so are those behind the same VMD, which would be taken away with it.

    :param in_use: says of a disk, by the kernel's name, what it is used for; empty if for nothing.
    :raises OSError: if sysfs cannot be read.
    :raises MalformedError: if it is not as the kernel writes it: no such machine gets a configuration, since none could use it.
    """
    functions = {each.kernel: each for each in pci.scan(sysfs).controllers if each.pci_class == pci.NVME_IO_CONTROLLER}
    found = tuple(_ssd(functions[address]) for address in sorted(functions))
    uses = {ssd.address: _use(functions[ssd.address], in_use) for ssd in found}
    taken_vmds = {ssd.vmd: ssd.address for ssd in found if ssd.vmd and uses[ssd.address]}
    free: list[Ssd] = []
    left_out: list[LeftOut] = []
    for ssd in found:
        why = uses[ssd.address]
        if not why and ssd.vmd in taken_vmds:
            why = f"it is behind the VMD {ssd.vmd}, as is {taken_vmds[ssd.vmd]}, which is in use"
        if why:
            left_out.append(LeftOut(device=ssd.address, why=why, exclude=ssd.entry))
        else:
            free.append(ssd)
    return Nvme(tuple(free), tuple(left_out))


def _ssd(function: PciFunction) -> Ssd:
    # A function behind a VMD may name no node, the VMD does.
    return Ssd(address=function.kernel, numa_node=numa_node(function.directory) or 0, vmd=function.vmd)


def _use(function: PciFunction, in_use: Callable[[str], str]) -> str:
    namespaces = () if function.controller is None else function.controller.namespaces
    disks = sorted({namespace.name for namespace in namespaces})
    return next((f"its disk {disk} {use}" for disk in disks if (use := in_use(disk))), "")
