# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The IOMMU, without which only root may drive an SSD: is it in use, and if not, who does not play along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.doctor import boot, reading
from daos_server.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.doctor.machine import Machine, Setting

SWITCHED_OFF = ("iommu=off", "intel_iommu=off", "amd_iommu=off")
TABLES = {"DMAR": "Intel VT-d", "IVRS": "AMD-Vi", "IORT": "ARM SMMU", "VIOT": "virtio-iommu"}
"""The ACPI tables by which firmware tells of an IOMMU."""
NAMES_IN_SETUP = {"GenuineIntel": "VT-d (Virtualization Technology for Directed I/O)", "AuthenticAMD": "IOMMU (AMD-Vi)"}
INTEL_ON = "intel_iommu=on iommu=pt"
LOOK = "see what the kernel says of it:\n  dmesg | grep -i -e iommu -e dmar -e amd-vi"
WHY = "engines run without root and drive their SSDs through VFIO, which an IOMMU keeps from touching other memory"


def check(machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield whether VFIO has an IOMMU, or why it has none; and whether the configuration does without VFIO."""
    units = reading.names(f"{machine.sys}/class/iommu")
    groups = reading.names(f"{machine.sys}/kernel/iommu_groups")
    if units and groups:
        yield Finding(subject="IOMMU", found=f"in use: {', '.join(units[:4])}; {len(groups)} groups", verdict="ok")
    else:
        found, advice = _cause(machine)
        yield Finding.of("IOMMU", found, right=False, why=WHY, advice=advice, bad=setting.gravity)
    if setting.config is not None:
        disabled = setting.config.disable_vfio
        advice = "remove disable_vfio from the configuration"
        yield Finding.of("disable_vfio", str(disabled).lower(), right=not disabled, why=WHY, advice=advice, bad=setting.gravity)


def _cause(machine: Machine) -> tuple[str, str]:
    """Return in words why there is none, and what to do about it."""
    arguments = boot.arguments(machine)
    for word in SWITCHED_OFF:
        if word in arguments:
            return f"switched off on the kernel command line ({word})", boot.removing(machine, word)
    listed = reading.names(f"{machine.sys}/firmware/acpi/tables")
    table = next((name for name in TABLES if name in listed), "")
    if table == "DMAR" and "intel_iommu=on" not in arguments:
        found = "on in the firmware (ACPI table DMAR), but the kernel was not told to use it"
        return found, boot.adding(machine, INTEL_ON)
    if table:
        found = f"on in the firmware ({TABLES[table]}, ACPI table {table}), yet the kernel does not use it"
        return found, LOOK
    return _not_offered(machine, listed)


def _not_offered(machine: Machine, listed: tuple[str, ...]) -> tuple[str, str]:
    vendor, virtual = _processor(machine)
    then = f"; then {boot.adding(machine, INTEL_ON)}" if vendor == "GenuineIntel" else ", then boot again"
    if virtual:
        advice = "give it one on its host: libvirt <iommu model='intel'/>, QEMU -device intel-iommu,intremap=on,caching-mode=on; in it, "
        return "none: this is a virtual machine without a virtual IOMMU", advice + boot.adding(machine, INTEL_ON)
    if not listed:
        return "none; whether the firmware has one is not known, as this kernel shows no ACPI tables", f"look for it in the setup{then}"
    name = NAMES_IN_SETUP.get(vendor, "the IOMMU")
    return "off in the firmware: no ACPI table (DMAR, IVRS) tells of one", f"switch on {name} in the firmware's setup{then}"


def _processor(machine: Machine) -> tuple[str, bool]:
    """Return the processor's vendor, and whether it is a virtual one."""
    vendor, virtual = "", False
    for line in reading.lines(f"{machine.proc}/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "vendor_id" and not vendor:
            vendor = value.strip()
        elif key.strip() == "flags":
            virtual = "hypervisor" in value.split()
            break
    return vendor, virtual
