# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The NVMe SSDs of this machine from sysfs, whichever driver has them, and which of them are in use.  Needs no root."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from daos_bindings.linux import kernelfiles
from daos_bindings.linux.kernelfiles import MalformedError
from daos_server.generate.facts import LeftOut, Ssd
from daos_server.hardware.attributes import numa_node

if TYPE_CHECKING:
    from collections.abc import Callable

PCI_DEVICES = "/sys/bus/pci/devices"
NVME_CLASS = "0x010802"
"""Mass storage, non-volatile memory, NVM Express."""
VMD_DOMAINS = 0x10000
"""The kernel numbers the PCI domains behind VMDs from here on; firmware's own domains are below."""
_ADDRESS = re.compile("[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}[.][0-7]", re.ASCII)
_CONTROLLER = re.compile("nvme[0-9]+", re.ASCII)
_NAMESPACE = re.compile("(?P<head>nvme[0-9]+)(?:c[0-9]+)?(?P<namespace>n[0-9]+)", re.ASCII)
"""With several paths to an SSD, each has its own name (nvme0c1n1) and the disk itself another (nvme0n1)."""


class Nvme(NamedTuple):
    """The SSDs that engines may have, and those that they may not."""

    ssds: tuple[Ssd, ...]
    left_out: tuple[LeftOut, ...]


def read_nvme(in_use: Callable[[str], str], directory: str = PCI_DEVICES) -> Nvme:
    """List the NVMe SSDs by address.

    One whose disk is in use is left out, and so are those behind the same VMD, which would be taken away with it.

    :param in_use: says of a disk, by the kernel's name, what it is used for; empty if for nothing.
    :raises OSError: if sysfs cannot be read.
    """
    found = tuple(_ssd(directory, address) for address in _nvme_addresses(directory))
    uses = {ssd.address: _use(f"{directory}/{ssd.address}", in_use) for ssd in found}
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


def _nvme_addresses(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:  # a machine without PCI
        return []
    return [name for name in names if _ADDRESS.fullmatch(name) and _class_of(f"{directory}/{name}") == NVME_CLASS]


def _class_of(device: str) -> str:
    try:
        return kernelfiles.text(f"{device}/class")
    except (FileNotFoundError, MalformedError):  # it was pulled out just now, or is none of ours
        return ""


def _ssd(directory: str, address: str) -> Ssd:
    path = os.path.realpath(f"{directory}/{address}")
    return Ssd(address=address, numa_node=numa_node(path) or 0, vmd=_vmd(path, address))


def _vmd(path: str, address: str) -> str:
    """Return the last function above the device that is in an ordinary domain, if the device itself is not."""
    if int(address.partition(":")[0], 16) < VMD_DOMAINS:
        return ""
    above = [part for part in path.split("/") if _ADDRESS.fullmatch(part) and int(part.partition(":")[0], 16) < VMD_DOMAINS]
    return above[-1] if above else ""


def _use(device: str, in_use: Callable[[str], str]) -> str:
    return next((f"its disk {disk} {use}" for disk in _disks(device) if (use := in_use(disk))), "")


def _disks(device: str) -> list[str]:
    """Return the names of the disks that the kernel's driver makes of a function; none with any other driver."""
    found = []
    for controller in _entries(f"{device}/nvme", _CONTROLLER):
        for name in _entries(f"{device}/nvme/{controller}", _NAMESPACE):
            parts = _NAMESPACE.fullmatch(name)
            found += [f"{parts['head']}{parts['namespace']}"] if parts else []
    return sorted(set(found))


def _entries(directory: str, pattern: re.Pattern[str]) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if pattern.fullmatch(name))
    except (FileNotFoundError, NotADirectoryError):
        return []
