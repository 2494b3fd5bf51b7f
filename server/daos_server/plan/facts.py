# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What was found on the machine: the second half of the facts that a plan is made from.  Plain data, no machine needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daos_pbin.faults import Fault


@dataclass(frozen=True, kw_only=True)
class NodePages:
    """Hugepages of the default size on one NUMA node."""

    node: int
    total: int
    free: int


@dataclass(frozen=True, kw_only=True)
class HugepageFile:
    """A hugepage file that an SPDK process made."""

    name: str
    pid: int
    alive: bool
    size: int


@dataclass(frozen=True, kw_only=True)
class Host:
    """Memory of the machine.

    :param page_kib: size of a default hugepage in KiB; 0 if the kernel has none.
    :param nodes: every NUMA node that has memory, with its hugepages.
    :param files: hugepage files of SPDK processes, dead or alive.
    :param hugetlbfs_is_ours: whether the server's account owns the hugetlbfs root; None if none is mounted.
    """

    total_kib: int
    available_kib: int
    page_kib: int
    nodes: tuple[NodePages, ...]
    files: tuple[HugepageFile, ...] = ()
    hugetlbfs_is_ours: bool | None = None

    @property
    def pages(self) -> dict[int, int]:
        """Hugepages that each node has."""
        return {node.node: node.total for node in self.nodes}

    @property
    def stale_files(self) -> tuple[HugepageFile, ...]:
        """The files whose process is gone."""
        return tuple(file for file in self.files if not file.alive)


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
    """Everything that a format, a reset or a scan looks at; ``engines`` in the order of the configuration."""

    host: Host
    metadata: MetadataState = MetadataState()
    metadata_mount: Mounted = Mounted()
    engines: tuple[EngineState, ...] = ()
