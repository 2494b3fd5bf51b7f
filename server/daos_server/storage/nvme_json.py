# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The engine's NVMe configuration (``daos_nvme.conf``): which devices it opens under which names, in SPDK's JSON.

A pure function: the order of keys and elements, and every number, are what engines read today.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from daos_bindings.linux.pci_address import parse as parse_pci

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daos_server.plan.wanted import Acceleration, Bdevs, Engine

Element = dict[str, object]

BLOCK_SIZE = 4096
"""Block size of a file that stands for an SSD."""
KERNEL_BLOCK_SIZE = 0
"""Block size of a kernel device: SPDK asks the device itself."""
ACCEL_OPTION_BITS = {"move": 1, "crc": 2}
HOTPLUG_PERIOD_US = 5_000_000
ALL_BUSES = (0, 255)

BDEV_OPTIONS: Mapping[str, object] = {"bdev_io_pool_size": 65536, "bdev_io_cache_size": 256}
NVME_OPTIONS: Mapping[str, object] = {
    "retry_count": 4,
    "timeout_us": 0,
    "nvme_adminq_poll_period_us": 100_000,
    "action_on_timeout": "none",
    "nvme_ioq_poll_period_us": 0,
}


def render(
    engine: Engine,
    *,
    hostname: str,
    enable_hotplug: bool = False,
    enable_vmd: bool = False,
    backing: Mapping[str, Sequence[str]] | None = None,
    buses: tuple[int, int] | None = None,
) -> str | None:
    """Return the whole file, without a newline at its end; None if the engine has no devices and needs no file.

    :param hostname: part of the devices' names.
    :param enable_vmd: VMD is in use on this host; it matters only if a tier has real SSDs.
    :param backing: addresses of the SSDs behind each VMD, by the VMD's address; a VMD that is not in it is kept as it is.
    :param buses: first and last PCI bus of the engine's NUMA node, for hotplug without VMD and without a configured range.
    :raises ValueError: if hotplug is on and no range of buses is known.
    """
    tiers = [tier for tier in engine.bdevs if tier.devices]
    if not tiers:
        return None
    vmd = enable_vmd and any(tier.storage_class == "nvme" for tier in tiers)
    subsystems = [
        _subsystem("bdev", [*_options(enable_hotplug=enable_hotplug), *_devices(tiers, hostname, (backing or {}) if vmd else {})])
    ]
    if vmd:
        subsystems.append(_subsystem("vmd", [_element({}, "enable_vmd")]))
    span = _span(tiers, buses, vmd=vmd) if enable_hotplug else None
    return json.dumps({"daos_data": {"config": _daos_data(engine, span)}, "subsystems": subsystems}, indent=2, ensure_ascii=False)


def _element(params: Mapping[str, object], method: str) -> Element:
    return {"params": dict(params), "method": method}


def _subsystem(name: str, config: list[Element]) -> Element:
    return {"subsystem": name, "config": config}


def _options(*, enable_hotplug: bool) -> list[Element]:
    hotplug = {"enable": enable_hotplug, "period_us": HOTPLUG_PERIOD_US if enable_hotplug else 0}
    return [
        _element(BDEV_OPTIONS, "bdev_set_options"),
        _element(NVME_OPTIONS, "bdev_nvme_set_options"),
        _element(hotplug, "bdev_nvme_set_hotplug"),
    ]


def _devices(tiers: Sequence[Bdevs], hostname: str, backing: Mapping[str, Sequence[str]]) -> list[Element]:
    return [
        _device(tier, name, f"{hostname}_{place}_{tier.tier}_{tier.role_bits}")
        for tier in tiers
        for place, name in enumerate(_names(tier, backing))
    ]


def _names(tier: Bdevs, backing: Mapping[str, Sequence[str]]) -> list[str]:
    if tier.storage_class != "nvme":
        return sorted(tier.devices)
    return sorted((address for device in tier.devices for address in backing.get(device, (device,))), key=_pci_order)


def _pci_order(address: str) -> tuple[object, ...]:
    parsed = parse_pci(address)
    return (1, address) if parsed is None else (0, parsed)


def _device(tier: Bdevs, device: str, suffix: str) -> Element:
    if tier.storage_class == "nvme":
        return _element({"trtype": "PCIe", "name": f"Nvme_{suffix}", "traddr": device}, "bdev_nvme_attach_controller")
    block_size = BLOCK_SIZE if tier.storage_class == "file" else KERNEL_BLOCK_SIZE
    return _element({"block_size": block_size, "name": f"AIO_{suffix}", "filename": device}, "bdev_aio_create")


def _span(tiers: Sequence[Bdevs], buses: tuple[int, int] | None, *, vmd: bool) -> tuple[int, int]:
    """Return the PCI buses whose hotplug events the engine takes: behind VMD all, else the configured ones, else its node's."""
    if vmd:
        return ALL_BUSES
    configured = tiers[0].busid_range
    if configured is not None and configured != (0, 0):
        return configured
    if buses is None:
        raise ValueError("hotplug needs the PCI buses of the engine's NUMA node")
    return buses


def _daos_data(engine: Engine, span: tuple[int, int] | None) -> list[Element]:
    found: list[Element] = []
    if span is not None:
        found.append(_element({"begin": span[0], "end": span[1]}, "hotplug_busid_range"))
    if engine.acceleration.engine != "none" and engine.acceleration.options:
        found.append(_element(_acceleration(engine.acceleration), "accel_props"))
    if engine.rpc_server.enable:
        found.append(_element({"enable": True, "sock_addr": engine.rpc_server.sock_addr}, "spdk_rpc_srv"))
    if engine.auto_faulty.enable:
        faulty = {"enable": True, "max_io_errs": engine.auto_faulty.max_io_errs, "max_csum_errs": engine.auto_faulty.max_csum_errs}
        found.append(_element(faulty, "auto_faulty"))
    return found


def _acceleration(wanted: Acceleration) -> Mapping[str, object]:
    return {"accel_engine": wanted.engine, "accel_opts": sum(ACCEL_OPTION_BITS[option] for option in wanted.options)}
