# SPDX-License-Identifier: BSD-2-Clause-Patent
"""All checks, in the order in which they are shown.  One that fails becomes a finding, and the others go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from daos_bindings.linux.kernelfiles import printable
from daos_server import helper_check
from daos_server.doctor import (
    accounts,
    configuration,
    controllers,
    hugepage_files,
    hugepages,
    iommu,
    kernel_settings,
    memlock,
    names,
    ports,
    spdk_locks,
    system,
    vfio_groups,
    vfio_modules,
)
from daos_server.doctor.finding import AS_ROOT, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daos_server.doctor.machine import Machine, Setting


class Check(NamedTuple):
    """One check; ``subject`` names it if it fails itself."""

    subject: str
    look: Callable[[Machine, Setting], Iterator[Finding]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Findings under one title."""

    title: str
    findings: tuple[Finding, ...]

    def as_json(self) -> list[dict[str, str]]:
        """Return the findings as the values that ``--json`` prints, each with its group."""
        return [{"group": self.title, **point.as_json()} for point in self.findings]


CHECKS: dict[str, tuple[Check, ...]] = {
    "Configuration": (
        Check("plan for this machine", configuration.plan),
        Check("what it names", names.check),
        Check("control metadata", configuration.metadata),
    ),
    "System": (
        Check("kernel", system.kernel),
        Check("interpreter", system.interpreter),
        Check("SELinux", system.selinux),
        Check("clock", system.clock),
        Check("sysctls", kernel_settings.sysctls),
    ),
    "Memory": (
        Check("hugepages", hugepages.check),
        Check("hugepage files", hugepage_files.check),
        Check("transparent huge pages", kernel_settings.transparent_hugepages),
    ),
    "NVMe": (
        Check("IOMMU", iommu.check),
        Check("VFIO modules", vfio_modules.check),
        Check("NVMe SSDs", controllers.check),
        Check("IOMMU groups", vfio_groups.check),
        Check("nodes of IOMMU groups", vfio_groups.nodes),
        Check("SPDK lock files", spdk_locks.check),
    ),
    "Network": (Check("TCP ports", ports.check),),
    "Accounts": (
        Check("accounts", lambda _, setting: accounts.accounts(setting.installation)),
        Check("groups", accounts.groups),
    ),
    "This launch": (
        Check("memlock", memlock.check),
        Check("what is handed down", lambda _, setting: helper_check.surroundings(setting.installation)),
    ),
    "Helper": (Check("helper", lambda _, setting: helper_check.program(setting.installation)),),
}


def examine(machine: Machine, setting: Setting, of_configuration: Finding) -> Iterator[Group]:
    """Yield every group as soon as it has been looked at.

    :param of_configuration: what came of loading the configuration; it stands first.
    """
    first: tuple[Finding, ...] = (of_configuration,)
    for title, checks in CHECKS.items():
        yield Group(title=title, findings=first + tuple(point for check in checks for point in safely(check, machine, setting)))
        first = ()


def safely(check: Check, machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield the findings of a check; if it fails, what it had found until then and that it failed."""
    try:
        yield from check.look(machine, setting)
    except PermissionError as error:
        found = f"could not be checked: {error.filename or 'a file'} may not be read by this user"
        yield Finding(subject=check.subject, found=found, verdict="unknown", advice=AS_ROOT)
    except Exception as error:
        found = f"could not be checked: {type(error).__name__}: {printable(str(error))}"
        yield Finding(subject=check.subject, found=found, verdict="unknown", why="the other checks are not affected")
