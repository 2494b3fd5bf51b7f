# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Who knows fabric devices and their providers: libfabric, sysfs (Slingshot), UCX.  A library that is missing is passed over."""

from __future__ import annotations

from dataclasses import dataclass, field

from daos_bindings.fabric.ask import FabricDevice, Library, ask
from daos_pbin.faults import Fault
from daos_server.hardware import attributes
from daos_server.network import providers


@dataclass
class Fabric:
    """A fabric device while it is put together.

    :param device: the name that the kernel has for it.
    :param offered: priority by provider.
    :param interfaces: the network interfaces on it.
    """

    device: str
    offered: dict[str, int] = field(default_factory=dict)
    interfaces: tuple[str, ...] = ()
    net_class: int = 0
    numa_node: int = 0

    def offer(self, provider: str, priority: int) -> None:
        """Add a provider; of two priorities the better counts."""
        self.offered[provider] = min(priority, self.offered.get(provider, priority))


@dataclass
class Sources:
    """What all of them said.

    :param fabrics: by the name that the source has for the device.
    :param missing: the libraries that are not installed.
    :param faults: of libraries that failed.
    """

    fabrics: dict[str, Fabric] = field(default_factory=dict)
    missing: list[Library] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def offer(self, name: str, device: str, provider: str, priority: int) -> None:
        """Add a provider of a device."""
        self.fabrics.setdefault(name, Fabric(device)).offer(provider, priority)

    def ask(self, library: Library, provider: str) -> tuple[FabricDevice, ...]:
        """Return what a library sees; nothing if it cannot tell, which is kept."""
        try:
            found = ask(library, provider)
        except Fault as fault:
            self.faults.append(fault)
            return ()
        if found is None:
            self.missing.append(library)
        return found or ()


def gather(provider: str, sysfs: str) -> Sources:
    """Ask all that can know the provider, or everything if it is empty."""
    found = Sources()
    if not provider.startswith(providers.UCX):
        for device in found.ask("libfabric", providers.to_libfabric(provider)):
            if name := providers.from_libfabric(device.provider):
                found.offer(device.device, device.device, name, device.place)
    if provider in ("", providers.CXI):
        for entry in attributes.entries(f"{sysfs}/class/cxi"):
            found.offer(entry, entry, providers.CXI, 0)
    if not provider.startswith(providers.OFI):
        for device in found.ask("ucx", ""):
            offered = providers.from_ucx(device.provider)
            if not provider or provider in offered:
                for name, priority in offered.items():
                    # UCX names the port as well: mlx5_0:1.
                    found.offer(device.device, device.device.partition(":")[0], name, priority)
    return found
