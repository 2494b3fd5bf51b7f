# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a configuration asks for in storage, and nothing else of it: the first half of the facts that a plan is made from."""

from __future__ import annotations

import hashlib
import os.path
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daos_server.config.model import EngineConfig, ServerConfig, StorageTier

DATA_FOLDER = "daos_control"
"""The folder of the control plane's data, below ``control_metadata.path``."""
ROLE_BITS = {"data": 1, "meta": 2, "wal": 4}
KINDS: dict[str, Literal["nvme", "file", "kdev"]] = {"nvme": "nvme", "file": "file", "kdev": "kdev"}
"""Classes of bdev tiers.  Loading a configuration knows no others; what does not come from there may."""


@dataclass(frozen=True, kw_only=True)
class Scm:
    """The SCM tier of an engine.

    :param size_gib: size of a ``ram`` tier in GiB; 0 means as large as memory allows.
    :param device: the block device of a ``dcpm`` tier as configured; empty for ``ram``.
    """

    storage_class: Literal["ram", "dcpm"]
    mount: str
    size_gib: int = 0
    disable_hugepages: bool = False
    device: str = ""
    tier: int = 0


@dataclass(frozen=True, kw_only=True)
class Bdevs:
    """One bdev tier of an engine.

    :param tier: index among all the tiers of the engine, SCM included.
    :param devices: in the order of the engine's configuration file: sorted.
    :param size_gib: size of each file of class ``file``.
    :param busid_range: first and last PCI bus for hotplug; None if not configured.
    """

    tier: int
    storage_class: Literal["nvme", "file", "kdev"]
    devices: tuple[str, ...]
    size_gib: int = 0
    roles: frozenset[str] = frozenset()
    busid_range: tuple[int, int] | None = None

    @property
    def role_bits(self) -> int:
        """The roles as the number that the engine reads in device names: data 1, meta 2, wal 4."""
        return sum(ROLE_BITS[role] for role in self.roles)


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """Who computes moves and checksums: ``engine`` is none, spdk or dml; empty counts as set, as the engine takes it."""

    engine: str = "none"
    options: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class RpcServer:
    """SPDK's own RPC server in the engine."""

    enable: bool = False
    sock_addr: str = ""


@dataclass(frozen=True, kw_only=True)
class AutoFaulty:
    """When the engine takes an SSD out of use by itself."""

    enable: bool = False
    max_io_errs: int = 0
    max_csum_errs: int = 0


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The storage of one engine.

    :param scm: None if the engine has no SCM tier.
    :param numa_node: the node that its memory comes from (``affinity.py``).
    :param metadata_dir: its folder in the control metadata; empty without control metadata.
    :param nvme_conf: where its NVMe configuration goes; empty if it has no bdevs.
    """

    index: int
    targets: int
    scm: Scm | None
    bdevs: tuple[Bdevs, ...] = ()
    numa_node: int = 0
    metadata_dir: str = ""
    nvme_conf: str = ""
    acceleration: Acceleration = Acceleration()
    rpc_server: RpcServer = RpcServer()
    auto_faulty: AutoFaulty = AutoFaulty()

    @property
    def has_bdevs(self) -> bool:
        """Whether any bdev tier names a device."""
        return any(tier.devices for tier in self.bdevs)

    @property
    def has_meta_role(self) -> bool:
        """Whether its metadata lives on an SSD (MD-on-SSD)."""
        return any("meta" in tier.roles for tier in self.bdevs)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The storage of one host.

    :param hostname: as the engines use it in device names.
    :param metadata_root: ``control_metadata.path``; empty if there is none.
    :param metadata_device: ``control_metadata.device``; empty for a plain directory.
    :param data_path: ``<metadata_root>/daos_control``; empty without control metadata.
    :param nr_hugepages: total for all engines; 0 means as many as they need.
    :param system_ram_reserved: GiB that no engine may use.
    :param bdev_exclude: PCI addresses of SSDs that are never touched.
    """

    hostname: str
    engines: tuple[Engine, ...] = ()
    metadata_root: str = ""
    metadata_device: str = ""
    data_path: str = ""
    nr_hugepages: int = 0
    disable_hugepages: bool = False
    system_ram_reserved: int = 16
    enable_hotplug: bool = False
    enable_vmd: bool = True
    disable_vfio: bool = False
    bdev_exclude: tuple[str, ...] = ()

    @property
    def has_bdevs(self) -> bool:
        """Whether any engine names a bdev."""
        return any(engine.has_bdevs for engine in self.engines)

    @property
    def has_emulated(self) -> bool:
        """Whether files or kernel devices stand for SSDs anywhere."""
        return any(tier.storage_class != "nvme" and tier.devices for engine in self.engines for tier in engine.bdevs)

    @property
    def nvme_devices(self) -> tuple[str, ...]:
        """PCI addresses of all real NVMe SSDs, sorted."""
        return tuple(
            sorted(device for engine in self.engines for tier in engine.bdevs if tier.storage_class == "nvme" for device in tier.devices)
        )

    def digest(self) -> str:
        """Return a fingerprint of everything here: equal if and only if the same storage is wanted.

        NUMA nodes are left out: they come from the machine, and an interface that is gone must not make an interrupted format
        another one.
        """
        anywhere = replace(self, engines=tuple(replace(engine, numa_node=0) for engine in self.engines))
        return hashlib.sha256(_canonical(anywhere).encode()).hexdigest()


def _canonical(value: object) -> str:
    """Return a text of the value that does not depend on the order of sets."""
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(_canonical(item) for item in value)) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join(_canonical(item) for item in value) + ")"
    if hasattr(value, "__dataclass_fields__"):
        fields = ",".join(f"{name}={_canonical(getattr(value, name))}" for name in value.__dataclass_fields__)
        return f"{type(value).__name__}({fields})"
    return repr(value)


def is_within(path: str, root: str) -> bool:
    """Tell whether a path is below a root by its components (``/a/bc`` is not below ``/a/b``); neither may hold ``..``."""
    child, parent = PurePosixPath(path), PurePosixPath(root)
    return ".." not in child.parts and ".." not in parent.parts and child != parent and child.is_relative_to(parent)


def from_config(config: ServerConfig, hostname: str, canonical: Callable[[str], str], nodes: Sequence[int]) -> Wanted:
    """Take what concerns storage out of a configuration.  Numbers below 0, which validation refuses, count as 0.

    :param hostname: of this host, as the engines use it in device names.
    :param canonical: makes a path absolute and free of symbolic links (``os.path.realpath``); kept out of here because it
        asks the machine.  Paths of class ``file`` and ``kdev`` are kept as they are written: the engine opens them so.
    :param nodes: NUMA node of each engine (``affinity.py``).
    :raises Fault: 301 for a bdev tier of a class that nobody knows.
    """
    root = config.control_metadata.path
    return Wanted(
        hostname=hostname,
        engines=tuple(_engine(config, index, canonical, node) for index, node in enumerate(nodes)),
        metadata_root=canonical(root) if root else "",
        metadata_device=config.control_metadata.device,
        data_path=f"{canonical(root).rstrip('/')}/{DATA_FOLDER}" if root else "",
        nr_hugepages=max(config.nr_hugepages, 0),
        disable_hugepages=config.disable_hugepages,
        system_ram_reserved=max(config.system_ram_reserved, 0),
        enable_hotplug=config.enable_hotplug,
        enable_vmd=not config.vmd_disabled,
        disable_vfio=config.disable_vfio,
        bdev_exclude=config.bdev_exclude,
    )


def _engine(config: ServerConfig, index: int, canonical: Callable[[str], str], node: int) -> Engine:
    engine = config.engines[index]
    folder = config.engine_metadata_dir(index)
    conf = config.nvme_conf_path(index) if any(tier.bdev_list for tier in engine.bdev_tiers) else None
    faulty = engine.bdev_auto_faulty
    return Engine(
        index=index,
        targets=max(engine.targets, 0),
        scm=_scm(engine, canonical),
        bdevs=tuple(_bdevs(tier, place) for place, tier in engine.indexed_bdev_tiers if tier.bdev_list),
        numa_node=node,
        metadata_dir=canonical(folder) if folder else "",
        nvme_conf=f"{canonical(os.path.dirname(conf)).rstrip('/')}/{os.path.basename(conf)}" if conf else "",
        acceleration=Acceleration(engine=engine.acceleration.engine, options=frozenset(engine.acceleration.effective_options)),
        rpc_server=RpcServer(enable=engine.spdk_rpc_server.enable, sock_addr=engine.spdk_rpc_server.sock_addr),
        auto_faulty=AutoFaulty(enable=faulty.enable, max_io_errs=faulty.max_io_errs, max_csum_errs=faulty.max_csum_errs)
        if faulty
        else AutoFaulty(),
    )


def _scm(engine: EngineConfig, canonical: Callable[[str], str]) -> Scm | None:
    tier = engine.scm_tier
    if tier is None:
        return None
    return Scm(
        storage_class="dcpm" if tier.storage_class == "dcpm" else "ram",
        mount=canonical(tier.scm_mount) if tier.scm_mount else "",
        size_gib=tier.scm_size,
        disable_hugepages=tier.scm_hugepages_disabled,
        device=tier.scm_list[0] if tier.scm_list else "",
        tier=engine.storage.index(tier),
    )


def _bdevs(tier: StorageTier, place: int) -> Bdevs:
    found = tier.bdev_busid_range
    kind = KINDS.get(tier.storage_class)
    if kind is None:
        raise Fault(codes.BDEV_FORMAT_UNKNOWN_CLASS, object=f"tier {place}", device_class=tier.storage_class)
    return Bdevs(
        tier=place,
        storage_class=kind,
        devices=tier.bdev_list,
        size_gib=tier.bdev_size,
        roles=frozenset(tier.bdev_roles),
        busid_range=(found.begin, found.end) if found else None,
    )
