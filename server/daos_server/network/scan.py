# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which fabric interfaces this host has, and with which providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux.kernelfiles import printable
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.hardware import sysfs as hardware
from daos_server.network import links, providers, sources
from daos_server.network.interfaces import LOOPBACK, FabricInterface, FabricScan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daos_server.hardware.topology import Topology
    from daos_server.network.sources import Fabric, Sources

Site = tuple[int, str]
"""Where hardware is: NUMA node and PCI address."""


def scan(provider: str = "", *, sysfs: str = hardware.SYSFS) -> FabricScan:
    """Return every pair of an interface and a provider that can use it, loopback left out.

    :param provider: those whose name begins so, such as ``ofi+tcp``; empty or ``all`` for every one.
    :param sysfs: where sysfs is mounted, for this process's network namespace.
    :raises Fault: 2333 if there is none, 2332 if that may be a library's failing, 2334 if the kernel does not tell.
    """
    wanted = "" if provider.lower() == providers.ALL else provider
    gathered = sources.gather(wanted, sysfs)
    topology = hardware.read(sysfs)
    classes = {link.name: link.net_class for link in links.read(sysfs)}
    known = [fabric for fabric in gathered.fabrics.values() if _place(fabric, topology, classes)]
    found = _interfaces(known, wanted)
    if not found:
        raise gathered.faults[0] if gathered.faults else _nothing(wanted, gathered)
    return FabricScan(
        interfaces=found,
        numa_count=len(topology.nodes),
        cores_per_numa=topology.cores_per_node,
        notes=tuple(_notes(wanted, gathered)),
    )


def _place(fabric: Fabric, topology: Topology, classes: dict[str, int]) -> bool:
    """Add network interfaces, class and NUMA node to a fabric device; False if the topology has no such device."""
    sites = {device.name: (node.id, device.address) for node in topology.nodes for device in node.pci_devices}
    virtual = {device.name: sites.get(device.backing) for device in topology.virtual_devices}
    if fabric.device in virtual:
        fabric.interfaces, site = (fabric.device,), virtual[fabric.device]
    elif fabric.device in sites:
        site = sites[fabric.device]
        fabric.interfaces = _interfaces_at(fabric.device, site, topology)
    else:
        return False
    if fabric.interfaces:
        fabric.net_class = classes.get(fabric.interfaces[0], 0)
    if site is not None and fabric.net_class != LOOPBACK:
        fabric.numa_node = site[0]
    return True


def _interfaces_at(name: str, site: Site, topology: Topology) -> tuple[str, ...]:
    """Return a device if it is a network interface itself; else the interfaces of the same PCI function, and those on them."""
    there = {
        device.name
        for node in topology.nodes
        for device in node.pci_devices
        if (node.id, device.address) == site and device.kind == "network"
    }
    if name in there:
        return (name,)
    on_them = {device.name for device in topology.virtual_devices if device.backing in there}
    return tuple(sorted(there | on_them))


def _interfaces(fabrics: Iterable[Fabric], wanted: str) -> tuple[FabricInterface, ...]:
    """Return the pairs; where two fabric devices make the same one, the better priority counts."""
    found: dict[tuple[str, str], FabricInterface] = {}
    for fabric in fabrics:
        if fabric.net_class == LOOPBACK:
            continue
        for device in fabric.interfaces or (fabric.device,):
            for provider, priority in fabric.offered.items():
                other = found.get((device, provider))
                if provider.startswith(wanted) and (other is None or priority < other.priority):
                    found[device, provider] = FabricInterface(
                        provider=provider, device=device, numa_node=fabric.numa_node, priority=priority, net_class=fabric.net_class
                    )
    return tuple(sorted(found.values(), key=lambda each: (each.priority, each.device, each.provider)))


def _notes(wanted: str, gathered: Sources) -> Iterable[str]:
    """Say what could not be looked at.  Hardly anybody has UCX: that it is missing matters only to who asks for it."""
    yield from map(str, gathered.faults)
    if "libfabric" in gathered.missing:
        yield "libfabric is not installed: its providers (ofi+...) are not in the list"
    if "ucx" in gathered.missing and wanted.startswith(providers.UCX):
        yield "UCX is not installed: its providers (ucx+...) are not in the list"


def _nothing(wanted: str, gathered: Sources) -> Fault:
    names = {"libfabric": "libfabric", "ucx": "UCX"}
    missing = " and ".join(names[library] for library in gathered.missing)
    asked = 1 if wanted.startswith((providers.OFI, providers.UCX)) else 2
    if len(gathered.missing) == asked:
        reason = f"{missing}, which would know, {'is' if asked == 1 else 'are'} not installed"
        remedy = "install libfabric (Debian: libfabric1, Fedora: libfabric), or UCX if the provider is one of its (ucx+...)"
    elif wanted:
        reason = f"no interface has a provider whose name begins with {printable(wanted)}"
        remedy = "see which providers there are with '--provider all', correct the name"
    else:
        reason = "the fabric libraries know no device that the kernel has"
        remedy = "check that a network card is there and has its driver ('ip link show', 'lspci -k')"
    return Fault(codes.NETWORK_NOTHING_FOUND, object=printable(wanted), reason=reason, remedy=remedy)
