# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A topology as text for people and as the JSON object that tools know."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from daos_bindings.linux.kernelfiles import printable
from daos_server.hardware import pci
from daos_server.hardware.topology import BlockDevice, PciBus, PciDevice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from daos_server.hardware.topology import DeviceKind, NumaNode, Topology, VirtualDevice

NOTHING = "No topology information available\n"
KINDS: dict[DeviceKind, tuple[int, str]] = {
    "unknown": (0, "unknown device type"),
    "network": (1, "network interface"),
    "fabric": (2, "OFI domain"),
    "block": (3, "block device"),
}
DISK, PMEM = "Disk", "NVDIMM"
UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def text(topology: Topology | None) -> str:
    """Return the topology as indented lines, with a newline at the end of each."""
    if topology is None:
        return NOTHING
    lines = [line for node in topology.nodes for line in _node_lines(node)]
    if topology.virtual_devices:
        lines.append("Virtual Devices")
    hardware = _by_name(topology)
    for device in topology.virtual_devices:
        lines.append(f"  {printable(device.name)} ({KINDS[device.kind][1]})")
        if device.backing in hardware:
            lines.append(f"    backed by: {_pci_text(hardware[device.backing])}")
    return "".join(f"{line}\n" for line in lines)


def as_json(topology: Topology) -> dict[str, object]:
    """Return the topology as the object that is printed with ``--json``; a list that would be empty is null, as tools know it."""
    hardware = _by_name(topology)
    return {
        "numa_nodes": {str(node.id): _node_json(node) for node in topology.nodes},
        "virtual_devices": [_virtual_json(device, hardware) for device in topology.virtual_devices] or None,
    }


def decimal_bytes(size: int) -> str:
    """Return a size as text in decimal units: one decimal below 10, none from 10 on, such as ``1.6 TB`` or ``512 GB``."""
    if size < 10:
        return f"{size} B"
    unit = min(len(str(size)) - 1, 3 * (len(UNITS) - 1)) // 3
    scale = 10 ** (3 * unit)
    tenths = (size * 20 + scale) // (2 * scale)
    return f"{tenths / 10:.{1 if tenths < 100 else 0}f} {UNITS[unit]}"


def ranges(numbers: Iterable[int]) -> str:
    """Return ascending numbers as ranges, such as ``0-7,16``."""
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _node_lines(node: NumaNode) -> Iterator[str]:
    yield f"NUMA Node {node.id}"
    yield f"  CPU cores: {ranges(node.cores)}"
    yield "  PCI buses:"
    for bus in node.buses:
        yield f"    {_bus_text(bus)}"
        for address, devices in _by_address(_on_bus(node.pci_devices, bus)):
            yield f"      {address}"
            yield from (f"        {_pci_text(device)}" for device in devices)
    others = [device for device in node.block_devices if not device.pci_address]
    if others:
        yield "  Non-PCI block devices:"
        yield from (f"    {printable(device.name)} ({decimal_bytes(device.size) + ' ' if device.size else ''}{PMEM})" for device in others)


def _bus_text(bus: PciBus) -> str:
    last = f"{bus.low:02x}" if bus.low == bus.high else f"[{bus.low:02x}-{bus.high:02x}]"
    return f"{bus.domain:04x}:{last}"


def _pci_text(device: PciDevice) -> str:
    size = f"{decimal_bytes(device.size)} " if device.kind == "block" else ""
    speed = f" @ {device.link_gbps:.2f} GB/s" if device.link_gbps else ""
    return f"{device.address} {printable(device.name)} ({size}{KINDS[device.kind][1]}){speed}"


def _on_bus(devices: Iterable[PciDevice], bus: PciBus) -> list[PciDevice]:
    return [each for each in devices if (key := pci.sort_key(each.address)) and key[0] == bus.domain and bus.low <= key[1] <= bus.high]


def _by_address(devices: Iterable[PciDevice]) -> list[tuple[str, list[PciDevice]]]:
    ordered = sorted(devices, key=lambda device: pci.sort_key(device.address))
    return [(address, list(group)) for address, group in groupby(ordered, lambda device: device.address)]


def _by_name(topology: Topology) -> dict[str, PciDevice]:
    return {device.name: device for node in topology.nodes for device in node.pci_devices}


def _node_json(node: NumaNode) -> dict[str, object]:
    disks = {device.name: device for device in node.pci_devices if device.kind == "block"}
    return {
        "id": node.id,
        "cores": [{"id": core} for core in node.cores] or None,
        "pci_buses": [_bus_json(bus, node.pci_devices) for bus in node.buses] or None,
        "pci_devices": _devices_json(node.pci_devices),
        "block_devices": [_block_json(device, disks) for device in node.block_devices] or None,
    }


def _bus_json(bus: PciBus, devices: Sequence[PciDevice]) -> dict[str, object]:
    low, high = ({"domain": bus.domain, "bus": number, "device": 0, "function": 0} for number in (bus.low, bus.high))
    return {"low_address": low, "high_address": high, "pci_devices": _devices_json(_on_bus(devices, bus))}


def _devices_json(devices: Iterable[PciDevice]) -> dict[str, object]:
    return {address: [_pci_json(device) for device in group] for address, group in _by_address(devices)}


def _pci_json(device: PciDevice) -> dict[str, object]:
    names = ("domain", "bus", "device", "function")
    address = dict(zip(names, pci.sort_key(device.address), strict=True))
    found: dict[str, object] = {"name": device.name, "type": KINDS[device.kind][0], "pci_address": address}
    return {**found, "link_speed": device.link_gbps} if device.link_gbps else found


def _block_json(device: BlockDevice, disks: dict[str, PciDevice]) -> dict[str, object]:
    found: dict[str, object] = {"type": DISK if device.pci_address else PMEM, "name": device.name}
    if device.size:
        found["size"] = device.size
    if device.name in disks:
        found["backing_device"] = _pci_json(disks[device.name])
    return found


def _virtual_json(device: VirtualDevice, hardware: dict[str, PciDevice]) -> dict[str, object]:
    backing = hardware.get(device.backing)
    return {
        "name": device.name,
        "type": KINDS[device.kind][0],
        "backing_device": None if backing is None else _pci_json(backing),
    }
