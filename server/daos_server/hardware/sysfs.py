# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The topology of a machine, read from sysfs alone."""

from __future__ import annotations

from daos_bindings.linux import numa
from daos_bindings.linux.kernelfiles import MalformedError
from daos_server.hardware import attributes, devices, pci
from daos_server.hardware.topology import BlockDevice, NumaNode, PciBus, PciDevice, Topology

SYSFS = "/sys"
CPU_LIMIT = 65536
Hardware = PciDevice | BlockDevice


def read(sysfs: str = SYSFS) -> Topology:
    """Read the machine's topology.  What sysfs does not tell is left out; a device that names no NUMA node, or none
    that is online, is on node 0.

    :param sysfs: where sysfs is mounted.
    """
    cores = _cores(sysfs)
    buses: dict[int, list[PciBus]] = {}
    for on_node, bus in pci.host_bridges(sysfs):
        buses.setdefault(on_node if on_node in cores else 0, []).append(bus)
    hardware: dict[int, list[Hardware]] = {}
    for on_node, device in [*devices.network_devices(sysfs), *devices.block_devices(sysfs)]:
        hardware.setdefault(on_node if on_node in cores else 0, []).append(device)
    pci_devices = [device for found in hardware.values() for device in found if isinstance(device, PciDevice)]
    interfaces = {device.name for device in pci_devices if device.kind == "network"}
    return Topology(
        nodes=tuple(
            NumaNode(
                id=node,
                cores=cores.get(node, ()),
                buses=tuple(buses.get(node, ())),
                pci_devices=_pci_devices(hardware.get(node, [])),
                block_devices=_block_devices(hardware.get(node, [])),
            )
            for node in sorted({*cores, *buses, *hardware})
        ),
        virtual_devices=tuple(devices.virtual_devices(sysfs, interfaces)),
    )


def _pci_devices(hardware: list[Hardware]) -> tuple[PciDevice, ...]:
    found = [device for device in hardware if isinstance(device, PciDevice)]
    return tuple(sorted(found, key=lambda device: pci.sort_key(device.address)))


def _block_devices(hardware: list[Hardware]) -> tuple[BlockDevice, ...]:
    found = []
    for device in hardware:
        if isinstance(device, BlockDevice):
            found.append(device)
        elif device.kind == "block":
            found.append(BlockDevice(name=device.name, size=device.size, pci_address=device.address))
    return tuple(found)


def _cores(sysfs: str) -> dict[int, tuple[int, ...]]:
    """Return the cores of each online node, each by its first thread; one node 0 on a kernel without NUMA."""
    nodes = f"{sysfs}/devices/system/node"
    online = _numbers(f"{nodes}/online", numa.HIGHEST)
    if not online:
        return {0: _first_threads(sysfs, _numbers(f"{sysfs}/devices/system/cpu/online", CPU_LIMIT))}
    return {node: _first_threads(sysfs, _numbers(f"{nodes}/node{node}/cpulist", CPU_LIMIT)) for node in online}


def _first_threads(sysfs: str, cpus: tuple[int, ...]) -> tuple[int, ...]:
    found = set()
    for cpu in cpus:
        siblings = _numbers(f"{sysfs}/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", CPU_LIMIT)
        found.add(siblings[0] if siblings else cpu)
    return tuple(sorted(found))


def _numbers(path: str, highest: int) -> tuple[int, ...]:
    try:
        return numa.parse_list(attributes.text(path), highest=highest)
    except MalformedError:
        return ()
