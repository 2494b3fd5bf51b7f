# SPDX-License-Identifier: BSD-2-Clause-Patent
"""NVMe controllers and VMDs of this machine, as sysfs shows their PCI functions.  Reads only, and opens no device.

Whatever is listed can be pulled out at any moment: a function that goes away while it is read is left out, a namespace that
does so is missing from its controller.  Controllers behind a VMD are seen only while the kernel's driver ``vmd`` has it.
"""

from __future__ import annotations

import os

import msgspec

from daos_bindings.linux import attributes, kernelfiles, nvme_controller, pci_address
from daos_bindings.linux.nvme_controller import NvmeController
from daos_bindings.linux.pci_address import PciAddress

SYSFS = "/sys"

# include/linux/pci_ids.h: base class, sub-class and programming interface.
CLASS_NVME = 0x0108
CLASS_BRIDGE = 0x0604
CLASS_RAID = 0x0104
NVME_IO_CONTROLLER = 0x010802
"""Class of a controller that serves namespaces; 0x010803 is an administrative one, which has none."""

VENDOR_INTEL = 0x8086
VMD_DEVICES = frozenset({0x201D, 0x28C0, 0x467F, 0x4C3D, 0x7D0B, 0x9A0B, 0xA77F, 0xAD0B, 0xB06F, 0xB07F, 0xB60B})
"""Device ids of Intel VMDs (drivers/pci/controller/vmd.c, vmd_ids, with 0xb07f of June 2025); SPDK drives the first two alone."""

class GroupMember(msgspec.Struct, frozen=True):
    """Another function in the same IOMMU group.

    :param address: as the kernel spells it.
    :param pci_class: 24 bits: base class, sub-class, programming interface.
    :param driver: empty for none.
    """

    address: str
    pci_class: int
    driver: str

    @property
    def blocks_vfio(self) -> bool:
        """Whether VFIO refuses the group because of it: a driver of the host's has it, and it is no bridge (whose drivers,
        such as pcieport, leave the group alone)."""
        return bool(self.driver) and self.driver not in VFIO_TOLERATES and self.pci_class >> 8 != CLASS_BRIDGE


VFIO_TOLERATES = frozenset({"vfio-pci", "pci-stub", "pcieport"})
"""Drivers that claim no DMA of their own (``driver_managed_dma`` in the kernel), beside which a group can be used."""


class PciFunction(msgspec.Struct, frozen=True):
    """A PCI function that is an NVMe controller, or a VMD.

    :param kernel: its address as the kernel spells it: the name of its folder in sysfs.
    :param address: its address as DAOS spells it.
    :param directory: the real path of that folder.
    :param driver: that has it now; empty for none.
    :param driver_override: the only driver that may have it; empty for any.
    :param numa_node: -1 if the firmware does not say.
    :param iommu_group: -1 if there is none: no IOMMU, or it is off.
    :param group_members: the other functions of that group.
    :param vmd: kernel's address of the VMD that it is behind; empty for none.
    :param controller: None unless the driver ``nvme`` has it.
    """

    kernel: str
    address: PciAddress
    directory: str
    vendor: int
    device: int
    pci_class: int
    driver: str
    driver_override: str
    numa_node: int
    iommu_group: int
    group_members: tuple[GroupMember, ...]
    vmd: str
    controller: NvmeController | None

    @property
    def is_vmd(self) -> bool:
        """Whether it is a VMD, and not a controller."""
        return self.pci_class >> 8 != CLASS_NVME

    @property
    def blocking(self) -> tuple[GroupMember, ...]:
        """The members of its IOMMU group because of which VFIO would refuse it."""
        return tuple(member for member in self.group_members if member.blocks_vfio)


class Scan(msgspec.Struct, frozen=True):
    """All NVMe controllers and VMDs, by address.

    :param controllers: functions of class 0x0108.
    :param vmds: volume management devices, whether or not a driver has them.
    """

    controllers: tuple[PciFunction, ...]
    vmds: tuple[PciFunction, ...]

    def find(self, text: str) -> PciFunction | None:
        """Return the controller or VMD of that address, in either spelling; DAOS' wins where they differ."""
        wanted = pci_address.parse(text)
        functions = self.controllers + self.vmds
        by_daos = (function for function in functions if function.address == wanted)
        by_kernel = (function for function in functions if function.kernel == text.lower())
        return next(by_daos, None) or next(by_kernel, None)

    def behind(self, vmd: PciFunction) -> tuple[PciFunction, ...]:
        """Return the controllers behind a VMD that can be seen now: none while a userspace driver has it."""
        return tuple(function for function in self.controllers if function.vmd == vmd.kernel)


def scan(sysfs: str = SYSFS) -> Scan:
    """Read every NVMe controller and VMD.

    :raises OSError: if sysfs cannot be read; a machine without PCI has none, and that is no error.
    :raises MalformedError: if an attribute is not as the kernel writes it.
    """
    found = [read_function(name, sysfs) for name in attributes.entries(f"{sysfs}/bus/pci/devices")]
    functions = sorted((function for function in found if function is not None), key=lambda function: function.address)
    return Scan(
        tuple(function for function in functions if not function.is_vmd),
        tuple(function for function in functions if function.is_vmd),
    )


def read_function(kernel: str, sysfs: str = SYSFS) -> PciFunction | None:
    """Read one function; None if it is neither an NVMe controller nor a VMD, or is not there (any more).

    :param kernel: its address in the kernel's spelling; anything else is not there.
    """
    address = pci_address.parse_kernel(kernel)
    if address is None:
        return None
    try:
        devices = f"{sysfs}/bus/pci/devices"
        pci_class = attributes.hexadecimal(f"{devices}/{kernel}/class")
        if pci_class >> 8 not in {CLASS_NVME, CLASS_RAID}:
            return None
        directory = os.path.normpath(f"{devices}/{os.readlink(f'{devices}/{kernel}')}")
        vendor, device = attributes.hexadecimal(f"{directory}/vendor"), attributes.hexadecimal(f"{directory}/device")
        if pci_class >> 8 == CLASS_RAID and not (vendor == VENDOR_INTEL and device in VMD_DEVICES):
            return None
        return _function(kernel, address, directory, (pci_class, vendor, device))
    except OSError as error:
        if error.errno in attributes.GONE:
            return None
        raise


def _function(kernel: str, address: PciAddress, directory: str, ids: tuple[int, int, int]) -> PciFunction:
    pci_class, vendor, device = ids
    vmd = _vmd_above(directory)
    endpoint = pci_address.parse_kernel(vmd)
    group = attributes.link(f"{directory}/iommu_group")
    function = PciFunction(
        kernel=kernel,
        address=address if endpoint is None else address.behind(endpoint),
        directory=directory,
        vendor=vendor,
        device=device,
        pci_class=pci_class,
        driver=attributes.link(f"{directory}/driver"),
        driver_override=read_override(directory),
        numa_node=_numa_node(directory),
        iommu_group=kernelfiles.decimal(f"{directory}/iommu_group", group) if group else -1,
        group_members=_group_members(directory, kernel) if group else (),
        vmd=vmd,
        controller=nvme_controller.read(directory),
    )
    os.stat(f"{directory}/class")  # what was optional above may be missing only because all of it went away
    return function


def read_override(directory: str) -> str:
    """Return the driver that the function in that folder of sysfs is reserved for; empty for none."""
    override = kernelfiles.text(f"{directory}/driver_override")
    return "" if override == "(null)" else override


def _numa_node(directory: str) -> int:
    path = f"{directory}/numa_node"
    node = attributes.optional(path) or "-1"  # a kernel without NUMA has no such file
    return -1 if node == "-1" else kernelfiles.decimal(path, node)


def _vmd_above(directory: str) -> str:
    """Return the address of the VMD in the path of a function: the device on which a second PCI hierarchy begins."""
    below = ""
    for part in reversed(directory.split("/")):
        if below.startswith("pci") and pci_address.parse_kernel(part) is not None:
            return part
        below = part
    return ""


def _group_members(directory: str, kernel: str) -> tuple[GroupMember, ...]:
    members = f"{directory}/iommu_group/devices"
    found = (_group_member(f"{members}/{name}", name) for name in attributes.entries(members) if name != kernel)
    return tuple(member for member in found if member is not None)


def _group_member(directory: str, name: str) -> GroupMember | None:
    try:
        return GroupMember(name, attributes.hexadecimal(f"{directory}/class"), attributes.link(f"{directory}/driver"))
    except OSError as error:
        if error.errno in attributes.GONE:
            return None
        raise
