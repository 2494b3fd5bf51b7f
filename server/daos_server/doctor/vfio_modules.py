# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The two kernel modules that give an SSD to an engine: loaded, built in, at least there to be loaded, or missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux import modules
from daos_server.doctor import boot, reading
from daos_server.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.doctor.machine import Machine, Setting

MODULES = {
    "vfio_pci": "it is the driver that SSDs are bound to for an engine",
    "vfio_iommu_type1": "without it VFIO cannot set up DMA: SSDs are bound, and engines fail to open them",
}
BOOT_FILE = "/etc/modules-load.d/daos.conf"


def check(machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield the state of each module."""
    for name, why in MODULES.items():
        found, advice = _state(machine, name)
        yield Finding.of(f"module {name}", found, right=not advice, why=why, advice=advice, bad=setting.gravity)


def _state(machine: Machine, name: str) -> tuple[str, str]:
    """Return where a module is, in words, and what to do about it."""
    presence = modules.presence(name, root=machine.root or "/", release=machine.release)
    if presence == "loaded":
        return "loaded", ""
    if presence == "builtin":
        return "built into the kernel", ""
    if presence == "missing":
        install = "install the rest of this kernel's modules (EL: kernel-modules; Ubuntu: linux-modules-extra), or another kernel"
        return f"missing: neither in this kernel nor in /lib/modules/{machine.release}", install
    if reading.text(f"{machine.proc}/sys/kernel/modules_disabled") == "1":
        when = f"load it at boot, before modules are locked (kernel.modules_disabled is 1):\n  echo {name} >> {BOOT_FILE} && reboot"
        return "not loaded, and no module can be loaded any more", when
    if "nomodule" in boot.arguments(machine):
        return "not loaded, and modules are off on the kernel command line (nomodule)", boot.removing(machine, "nomodule")
    return "not loaded", f"  modprobe {name} && echo {name} >> {BOOT_FILE}"
