# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Where a machine is looked at, and what is asked of it: the two arguments of every check."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daos_bindings.linux.pci import Scan
    from daos_server.config.model import ServerConfig
    from daos_server.doctor.finding import Verdict
    from daos_server.installation import Installation
    from daos_server.plan.host import Derived
    from daos_server.plan.wanted import Wanted


def _release() -> str:
    return os.uname().release


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The tree that is read, which a test may make up.

    :param root: of the file system, without a slash at its end.
    :param release: of the kernel.
    """

    root: str = ""
    release: str = field(default_factory=_release)

    @property
    def proc(self) -> str:
        """Where the kernel tells of processes and of itself."""
        return f"{self.root}/proc"

    @property
    def sys(self) -> str:
        """Where the kernel tells of devices."""
        return f"{self.root}/sys"

    @property
    def etc(self) -> str:
        """Where the administrator sets things."""
        return f"{self.root}/etc"

    @property
    def lock_dir(self) -> str:
        """Where SPDK keeps a lock file of each controller: compiled into it."""
        return f"{self.root}/var/tmp"  # noqa: S108 (it is only looked at)

    @cached_property
    def pci(self) -> Scan:
        """The NVMe controllers and VMDs.

        :raises OSError: if they cannot be read.
        :raises MalformedError: likewise.
        """
        from daos_bindings.linux import pci

        return pci.scan(self.sys)


@dataclass(frozen=True)
class Setting:
    """What is asked of the machine.

    :param config: None if there is no configuration, or none that keeps every rule.
    :param derived: what the configuration comes to on this machine; None if that is not known.
    """

    installation: Installation
    config: ServerConfig | None = None
    derived: Derived | None = None

    @cached_property
    def wanted(self) -> Wanted | None:
        """The storage that is wanted; None if that is not known."""
        if self.config is None:
            return None
        from daos_server.plan.wanted import from_config

        nodes = self.derived.affinity.nodes if self.derived else (0,) * len(self.config.engines)
        return from_config(self.config, os.uname().nodename, os.path.realpath, nodes)

    @property
    def controllers(self) -> tuple[str, ...]:
        """Addresses of the configured NVMe SSDs, sorted, in DAOS' spelling."""
        return self.wanted.nvme_devices if self.wanted else ()

    @property
    def gravity(self) -> Verdict:
        """How bad it is if NVMe SSDs cannot be used: not at all if none is wanted; a warning if that is not known."""
        if self.wanted is None:
            return "warning"
        return "stops" if self.controllers else "ok"

    @cached_property
    def uid(self) -> int | None:
        """The user that engines run as; None if there is no such account."""
        from pwd import getpwnam

        try:
            return getpwnam(self.installation.account).pw_uid
        except KeyError:
            return None
