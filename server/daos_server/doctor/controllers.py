# SPDX-License-Identifier: BSD-2-Clause-Patent
"""NVMe SSDs: are the configured ones there, what are they bound to, and does the system itself use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux import inuse, mounts, pci_address
from daos_bindings.linux.block import UsageTable
from daos_server.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daos_bindings.linux.pci import PciFunction
    from daos_server.doctor.machine import Machine, Setting

SHOWN = 8
LACKING = "an engine that lacks one of its SSDs does not start"


def looked_at(machine: Machine, setting: Setting) -> tuple[PciFunction, ...]:
    """Return the controllers and VMDs to talk about that are there: the configured ones; all if that is not known."""
    if setting.wanted is None:
        return machine.pci.controllers + machine.pci.vmds
    return tuple(function for address in setting.controllers if (function := machine.pci.find(address)))


def uses(machine: Machine, function: PciFunction) -> tuple[str, ...]:
    """Return in words what the system uses a controller, or what is behind a VMD, for now."""
    return tuple(map(str, inuse.of_function(function, machine.pci, UsageTable(mounts.read()))))


def check(machine: Machine, setting: Setting, used: Callable[[Machine, PciFunction], tuple[str, ...]] = uses) -> Iterator[Finding]:
    """Yield what is known of each controller.

    :param used: what the system uses one for, in words.
    """
    present = looked_at(machine, setting)
    missing = [address for address in setting.controllers if machine.pci.find(address) is None]
    if not present and setting.wanted is None:
        yield Finding(
            subject="NVMe SSDs",
            found="none on this machine",
            verdict="warning",
            why="engines need SSDs, unless the configuration names files or other block devices (class file, kdev) or memory alone",
            advice="if there are some, the firmware may hide them in a RAID mode:\n  lspci -D | grep -i -e nvme -e raid",
        )
    elif not setting.controllers and setting.wanted is not None:
        yield Finding(subject="NVMe SSDs", found="none configured", verdict="ok")
    for address in missing:
        yield _missing(machine, address)
    for function in present:
        yield _function(machine, setting, function, used(machine, function))


def _missing(machine: Machine, address: str) -> Finding:
    parsed = pci_address.parse(address)
    behind = machine.pci.find(parsed.vmd_endpoint) if parsed and parsed.vmd_endpoint else None
    if behind is not None and behind.driver != "vmd":
        found = f"behind VMD {behind.address} ({behind.driver or 'no driver'}), whose SSDs the kernel does not see now"
        return Finding(subject=f"SSD {address}", found=found, verdict="unknown")
    here = [str(function.address) for function in machine.pci.controllers]
    names = ", ".join(here[:SHOWN]) + (f" and {len(here) - SHOWN} more" if len(here) > SHOWN else "")
    return Finding(
        subject=f"SSD {address}",
        found="configured, but not on the PCI bus",
        verdict="stops",
        why=LACKING,
        advice=f"correct bdev_list in the configuration (NVMe controllers here: {names or 'none'}), or look for the SSD:\n"
        "  echo 1 > /sys/bus/pci/rescan && lspci -D | grep -i nvme",
    )


def _function(machine: Machine, setting: Setting, function: PciFunction, used: tuple[str, ...]) -> Finding:
    subject = f"{'VMD' if function.is_vmd else 'SSD'} {function.address}"
    if used:
        return Finding.of(
            subject,
            f"in use by the system: {'; '.join(used)}",
            right=setting.wanted is None,
            why=f"it is never taken away from what uses it, and {LACKING}",
            advice="release what is named, if its data may go; else take the SSD out of bdev_list in the configuration",
        )
    if function.driver == "vmd":
        return _vmd(machine, function, subject)
    return Finding.of(
        subject,
        f"bound to {function.driver}" if function.driver else "bound to no driver",
        right=bool(function.driver),
        why="neither the system nor an engine sees it, as after an interrupted change of drivers",
        advice=f"  echo > {function.directory}/driver_override && echo {function.kernel} > /sys/bus/pci/drivers_probe",
        bad="warning",
    )


def _vmd(machine: Machine, vmd: PciFunction, subject: str) -> Finding:
    """Return what is behind a VMD that the kernel's driver has, and so sees behind."""
    behind = machine.pci.behind(vmd)
    words = ", ".join(str(function.address) for function in behind)
    return Finding.of(
        subject,
        f"with {words}" if behind else "without any SSD",
        right=bool(behind),
        why=LACKING,
        advice="take it out of the configuration, or switch VMD off for its slots in the firmware's setup",
        bad="warning",
    )
