# SPDX-License-Identifier: BSD-2-Clause-Patent
"""IOMMU groups: VFIO gives away a whole group or nothing, so what else is in it matters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_server.doctor import ownership, reading
from daos_server.doctor.controllers import looked_at
from daos_server.doctor.finding import Finding
from daos_server.doctor.iommu import LOOK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_bindings.linux.pci import PciFunction
    from daos_server.doctor.machine import Machine, Setting

OTHERS = 0o007
"""Permission bits of everybody."""


def check(machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield for each controller whether its group can be given to an engine; nothing if there are no groups at all."""
    if not reading.names(f"{machine.sys}/kernel/iommu_groups"):
        return
    functions = looked_at(machine, setting)
    given = frozenset(function.kernel for function in functions)
    for function in functions:
        if function.vmd:
            continue  # it goes with its VMD
        yield _group(setting, function, given)


def nodes(machine: Machine, _: Setting) -> Iterator[Finding]:
    """Yield whether the nodes of the groups are open to everybody, as the scripts of other programs leave them."""
    folder = f"{machine.root}/dev/vfio"
    found = {f"{folder}/{name}": os.lstat(f"{folder}/{name}") for name in reading.names(folder) if name.isascii() and name.isdigit()}
    wide = {path: info for path, info in found.items() if info.st_mode & OTHERS}
    yield Finding.of(
        "nodes of IOMMU groups",
        ", ".join(f"{path} has mode {ownership.mode_text(info)}" for path, info in wide.items()) or (f"{len(found)}, open to nobody else"),
        right=not wide,
        why="any user of this machine may drive the SSDs in these groups, past all permissions of files",
        advice=f"  chmod 0600 {' '.join(wide)}",
        bad="warning",
    )


def _group(setting: Setting, function: PciFunction, given: frozenset[str]) -> Finding:
    subject = f"IOMMU group of {function.address}"
    if function.iommu_group < 0:
        why = "VFIO takes only devices that an IOMMU watches over"
        return Finding.of(subject, "in none", right=False, why=why, advice=LOOK, bad=setting.gravity)
    # Another SSD for engines is taken from its driver as well.
    holding = [member for member in function.blocking if member.address not in given]
    words = ", ".join(f"{member.address} ({member.driver or 'no driver'})" for member in function.group_members)
    return Finding.of(
        subject,
        f"group {function.iommu_group}, {f'with {words}' if words else 'alone'}",
        right=not holding,
        why=f"not viable: VFIO refuses the group while a driver of the system has {', '.join(member.address for member in holding)}",
        advice="put the SSD into a slot with a group of its own, or, if the system can do without them, take away the drivers:\n"
        + "\n".join(f"  echo {member.address} > /sys/bus/pci/devices/{member.address}/driver/unbind" for member in holding),
        bad=setting.gravity,
    )
