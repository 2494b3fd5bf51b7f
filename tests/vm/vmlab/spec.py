# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What hardware a guest has."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
NODES = (0, 1)
"""NUMA nodes of every guest; each has one processor."""
NVDIMM_ALIGNMENT = 16 * MIB
"""A region of another size cannot be cut into namespaces."""


@dataclass(frozen=True)
class Controller:
    """One NVMe controller.

    :param serial: its serial number, by which tests find it: the order of ``nvme0``, ``nvme1`` differs from boot to boot.
    :param node: NUMA node that it is attached to.
    :param namespaces: size of each in bytes, from namespace 1 on.
    :param hotplug: can be unplugged and plugged while the guest runs.  Its namespaces then sit behind a subsystem, as those of a
        dual-ported drive do, and the kernel shows them by way of its multipath code.
    :param port_of: position of an earlier one that can be unplugged: this is the second port of that drive, with the same serial number
        and the same namespaces; it has none of its own.
    """

    serial: str
    node: int = 0
    namespaces: tuple[int, ...] = (64 * MIB, 32 * MIB)
    hotplug: bool = False
    port_of: int | None = None


@dataclass(frozen=True)
class Nvdimm:
    """One persistent memory module, with a label area besides its bytes.

    :param size: usable bytes, a multiple of 16 MiB.
    :param node: NUMA node that it belongs to.
    :raises ValueError: if the size is not such a multiple.
    """

    size: int = 128 * MIB
    node: int = 0

    def __post_init__(self) -> None:
        if self.size <= 0 or self.size % NVDIMM_ALIGNMENT:
            raise ValueError(f"an NVDIMM of {self.size} bytes: its size must be a multiple of {NVDIMM_ALIGNMENT}")


@dataclass(frozen=True)
class Spec:
    """One kind of guest.

    :param name: what tests call it.
    :param iommu: whether it has one; vfio-pci needs it, and uio_pci_generic works only without.
    :param node_mib: memory of each NUMA node, in MiB.
    :param modules: kernel modules loaded before anything runs, in addition to those that the guest itself lives on.
    :param boot_options: further words of the kernel's command line.
    :param manager: what process 1 becomes; nothing is the lab's own, which starts no service and ends with the tests.
    """

    name: str
    controllers: tuple[Controller, ...] = ()
    nvdimms: tuple[Nvdimm, ...] = ()
    iommu: bool = False
    node_mib: int = 1024
    modules: tuple[str, ...] = ("nvme", "nfit", "nd_pmem", "dax_pmem", "device_dax", "loop", "ext4", "crc32c_generic")
    boot_options: tuple[str, ...] = ()
    manager: str = ""


IOMMU = Spec(
    "iommu",
    controllers=tuple(Controller(f"LABIOMMU{number:04d}", node=number % 2) for number in range(12)),
    nvdimms=(Nvdimm(node=0), Nvdimm(node=1)),
    iommu=True,
)
UIO = Spec("uio", controllers=(Controller("LABUIO0000", node=0), Controller("LABUIO0001", node=1)))
UNWANTED = ("systemd-tmpfiles-setup", "systemd-timesyncd", "systemd-random-seed", "systemd-binfmt", "lvm2-monitor", "blk-availability")
"""Services of the host's that only take time here, or would tidy up its /tmp, if only in the guest's view."""
SYSTEMD = Spec(
    "systemd",
    modules=("loop", "ext4", "crc32c_generic"),
    boot_options=(
        *("systemd.unit=sysinit.target", "systemd.hostname=daos-lab", "fstab=no"),
        *(f"systemd.mask={name}.service" for name in UNWANTED),
    ),
    manager="/lib/systemd/systemd",
)
FLAVOURS = {spec.name: spec for spec in (IOMMU, UIO, SYSTEMD)}
