# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What was found of the storage that a configuration names: facts that a plan is made from.  Plain data, no machine needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daos_pbin.faults import Fault
    from daos_server.plan.host import HostFacts
    from daos_server.plan.nvme import Ssd


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """A mount point.

    :param kind: file system type; empty if nothing is mounted there.
    :param content: names in its root, sorted, a few at most; None if they cannot be read.
    :param size: bytes of the file system; 0 if not known.
    :param is_ours: of a kind that the helper mounts, and the account's; others the helper leaves alone.
    """

    kind: str = ""
    content: tuple[str, ...] | None = ()
    size: int = 0
    is_ours: bool = True


@dataclass(frozen=True, kw_only=True)
class ScmState:
    """What the helper says about one SCM mount point, and what is seen in it.

    :param formatted: something is there that a format without force would refuse to destroy.
    :param mountable: the device carries an ext4 file system that can be mounted.
    :param found: what was found, in words.
    :param device: canonical path of the device of a ``dcpm`` tier.
    :param fault: why it could not be looked at.
    """

    formatted: bool = False
    mounted: bool = False
    mountable: bool = False
    found: str = ""
    device: str = ""
    mount: Mounted = Mounted()
    fault: Fault | None = None

    @property
    def needs_format(self) -> bool:
        """Neither mounted nor mountable."""
        return not self.mounted and not self.mountable


@dataclass(frozen=True, kw_only=True)
class FileState:
    """A path that stands for an SSD.

    :param exists: a regular file that is ours, or (kdev) a block device.
    :param has_data: some of its blocks hold data.
    :param allocated: bytes of blocks that it has now.
    :param device: number of the file system of its folder.
    :param free: bytes free on that file system.
    :param problem: why it cannot be used, if something else is there.
    """

    exists: bool = False
    size: int = 0
    has_data: bool = False
    allocated: int = 0
    device: int = 0
    free: int = 0
    problem: Fault | None = None


@dataclass(frozen=True, kw_only=True)
class MetadataState:
    """The control metadata.

    :param needs_format: it is not there, or not complete.
    :param reason: why, in words.
    :param mounted: the device is mounted on its root now.
    :param formatted: the device, or the folder, holds something that a format destroys.
    :param mountable: the device carries ext4.
    :param found: what is on the device, in words.
    :param device: canonical path of the device; empty for a plain directory.
    """

    needs_format: bool = True
    reason: str = ""
    mounted: bool = False
    formatted: bool = False
    mountable: bool = False
    found: str = ""
    device: str = ""
    fault: Fault | None = None


@dataclass(frozen=True, kw_only=True)
class EngineState:
    """What was found of one engine's storage.

    :param files: by configured path, the devices of class ``file`` and ``kdev``.
    :param nvme_conf: content of its NVMe configuration now; None if there is none, or it cannot be reached.
    :param superblock: whether its superblock exists; None if its place is not mounted.
    :param buses: first and last PCI bus of its NUMA node; None if not known.
    """

    scm: ScmState = ScmState()
    files: Mapping[str, FileState] = field(default_factory=dict)
    nvme_conf: str | None = None
    superblock: bool | None = False
    buses: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Everything that a format, a reset or a scan looks at; ``engines`` in the order of the configuration.

    :param ssds: the SSDs and VMDs of this machine by address; none if the configuration names none.
    """

    host: HostFacts
    metadata: MetadataState = MetadataState()
    metadata_mount: Mounted = Mounted()
    engines: tuple[EngineState, ...] = ()
    ssds: Mapping[str, Ssd] = field(default_factory=dict)
