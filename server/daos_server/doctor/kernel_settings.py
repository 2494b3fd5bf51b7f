# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Settings of the running kernel: transparent huge pages and the sysctls that engines need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux import kernelfiles
from daos_server.doctor import boot, reading
from daos_server.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.doctor.machine import Machine, Setting

FLOORS = {
    "vm.max_map_count": (1_000_000, "an engine maps its memory in many pieces: at this many mappings its allocations fail"),
    "net.core.rmem_max": (1_048_576, "smaller receive buffers lose messages of the fabric under load"),
    "net.core.rmem_default": (1_048_576, "smaller receive buffers lose messages of the fabric under load"),
}
SYSCTL_FILE = "/etc/sysctl.d/60-daos.conf"


def sysctls(machine: Machine, _: Setting) -> Iterator[Finding]:
    """Yield whether each sysctl is at or above its floor."""
    for name, (floor, why) in FLOORS.items():
        value = reading.text(f"{machine.proc}/sys/{name.replace('.', '/')}")
        if value is None:
            yield Finding(subject=name, found="this kernel, or this network namespace, does not show it", verdict="unknown")
            continue
        number = kernelfiles.decimal(name, value)
        yield Finding.of(
            name,
            f"{number}" if number >= floor else f"{number}, below {floor}",
            right=number >= floor,
            why=why,
            advice=f"  echo '{name} = {floor}' >> {SYSCTL_FILE} && sysctl --system",
            bad="warning",
        )


def transparent_hugepages(machine: Machine, _: Setting) -> Iterator[Finding]:
    """Yield whether the kernel makes huge pages of ordinary memory by itself."""
    text = reading.text(f"{machine.sys}/kernel/mm/transparent_hugepage/enabled")
    if text is None:
        yield Finding(subject="transparent huge pages", found="this kernel has none", verdict="ok")
        return
    chosen = text[text.find("[") + 1 : text.find("]")]
    words = {"always": "always", "madvise": "only for programs that ask", "never": "never"}
    if chosen not in words:
        raise kernelfiles.MalformedError("transparent_hugepage/enabled", f"no known choice: {kernelfiles.printable(text)}")
    yield Finding.of(
        "transparent huge pages",
        words[chosen],
        right=chosen != "always",
        why="the kernel's own huge pages break up the memory that hugepages are made of, and stall engines; later DAOS versions"
        " refuse to start with them",
        advice=f"now:\n  echo never > /sys/kernel/mm/transparent_hugepage/enabled\nand for good: "
        f"{boot.adding(machine, 'transparent_hugepage=never')}",
        bad="warning",
    )
