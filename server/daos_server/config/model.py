# SPDX-License-Identifier: BSD-2-Clause-Patent
# pydantic's base class brings an explicit Any into every model; none is written here.
# mypy: disable-error-code="explicit-any"
"""``daos_server.yml`` as typed, frozen objects: every key, its type, its range and its default.

Rules that look at one value are in ``fields.py``, rules that look at several in ``rules.py``.  Attributes are named as the keys are,
but for ``class``, which is ``storage_class`` here.
"""

from __future__ import annotations

import posixpath
from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from daos_server.config.fields import (
    ACCELERATION_OPTIONS,
    BDEV_CLASSES,
    EMULATED_CLASSES,
    SCM_CLASSES,
    AccelerationEngine,
    AccelerationOptions,
    Addresses,
    Byte,
    Class,
    Devices,
    Flag,
    Gibibytes,
    LogLevel,
    Natural,
    OptionalBusRange,
    Roles,
    Text,
    Texts,
    Whole,
    Wholes,
    to_items,
    to_section,
)

DATA_FOLDER = "daos_control"
NVME_CONF = "daos_nvme.conf"


class Section(BaseModel):
    """What all parts of the configuration share: frozen, no unknown keys, no conversions but those of ``fields.py``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TransportConfig(Section):
    """Certificates of the control network."""

    allow_insecure: Flag = Field(default=False, description="Do without certificates.")
    client_cert_dir: Text = Field(default="/etc/daos/certs/clients", description="Folder of the clients' certificates.")
    ca_cert: Text = Field(default="/etc/daos/certs/daosCA.crt", description="Certificate of the authority that signed all others.")
    cert: Text = Field(default="/etc/daos/certs/server.crt", description="This server's certificate.")
    key: Text = Field(default="/etc/daos/certs/server.key", description="This server's private key.")


class ControlMetadata(Section):
    """Where the control plane keeps its own data when SCM is RAM."""

    path: Text = Field(default="", description="Folder, or the mount point of device.")
    device: Text = Field(default="", description="Partition to be formatted with ext4 and mounted on path.")


class Acceleration(Section):
    """Data acceleration; no options given means all of them, and none at all without an engine."""

    engine: AccelerationEngine = Field(default="none", description="Who computes.")
    options: AccelerationOptions = Field(default=(), description="What is computed there; empty means all.")

    @property
    def effective_options(self) -> tuple[str, ...]:
        """The options in force, sorted."""
        if self.engine == "none":
            return ()
        return self.options or ACCELERATION_OPTIONS


class SpdkRpcServer(Section):
    """SPDK's own management socket in an engine."""

    enable: Flag = Field(default=False, description="Open the socket.")
    sock_addr: Text = Field(default="", description="Path of the socket.")


class BdevAutoFaulty(Section):
    """When an engine takes an SSD out of use by itself."""

    enable: Flag = Field(default=False, description="Do so.")
    max_io_errs: Natural = Field(default=0, description="I/O errors after which it does.")
    max_csum_errs: Natural = Field(default=0, description="Checksum errors after which it does.")


class StorageTier(Section):
    """One tier of an engine's storage: SCM (``dcpm``, ``ram``) or block devices (``nvme``, ``file``, ``kdev``)."""

    storage_class: Class = Field(default="", validation_alias="class", serialization_alias="class", description="What the tier is made of.")
    scm_mount: Text = Field(default="", description="Mount point of the SCM tier.")
    scm_size: Gibibytes = Field(default=0, description="GiB of RAM for class ram; 0 means computed.")
    scm_hugepages_disabled: Flag = Field(default=False, description="Mount the RAM disk without huge pages.")
    scm_list: Texts = Field(default=(), description="The PMem device of class dcpm.")
    bdev_list: Devices = Field(default=(), description="PCI addresses (nvme) or paths (file, kdev).")
    bdev_size: Gibibytes = Field(default=0, description="GiB of each file of class file.")
    bdev_number: Whole = Field(default=0, description="Accepted, not used.")
    bdev_busid_range: OptionalBusRange = Field(default=None, description="PCI buses whose hotplug events this engine takes.")
    bdev_roles: Roles = Field(default=(), description="What the tier keeps when metadata is on SSD.")

    @property
    def is_scm(self) -> bool:
        """Whether this is persistent memory or RAM."""
        return self.storage_class in SCM_CLASSES

    @property
    def is_bdev(self) -> bool:
        """Whether this is a tier of block devices, real or emulated."""
        return self.storage_class in BDEV_CLASSES

    @property
    def is_emulated(self) -> bool:
        """Whether files or kernel devices stand for SSDs."""
        return self.storage_class in EMULATED_CLASSES


Tiers = Annotated[
    tuple[Annotated[StorageTier, BeforeValidator(to_section)], ...],
    Field(strict=False),
    BeforeValidator(to_items),
]


class EngineConfig(Section):
    """One I/O engine."""

    targets: Whole = Field(default=0, description="Service threads, each with its share of the storage.")
    nr_xs_helpers: Whole = Field(default=0, description="Helper threads.")
    first_core: Whole = Field(default=0, description="First core to use; not together with pinned_numa_node.")
    pinned_numa_node: Natural | None = Field(default=None, description="NUMA node whose cores and memory to use.")
    log_mask: Text = Field(default="", description="Log level, or levels by subsystem.")
    log_file: Text = Field(default="", description="Log file of this engine.")
    modules: Text = Field(default="", description="Modules to load.")
    env_vars: Texts = Field(default=(), description="Environment of the engine, as KEY=VALUE.")
    env_pass_through: Texts = Field(default=(), description="Variables taken over from the server's environment.")
    provider: Text = Field(default="", description="Fabric provider; empty means that of the server.")
    fabric_iface: Text = Field(default="", description="Fabric interface.")
    fabric_iface_port: Whole = Field(default=0, description="First port on the fabric interface.")
    bypass_health_chk: Flag | None = Field(default=None, description="Skip the health check of SSDs.")
    secondary_provider_endpoints: Wholes = Field(default=(), description="Endpoints of each secondary provider.")
    crt_ctx_share_addr: Natural = Field(default=0, description="Share network contexts.")
    crt_timeout: Natural = Field(default=0, description="Seconds after which an RPC fails; 0 means the engine's default.")
    disable_srx: Flag = Field(default=False, description="Do without shared receive contexts.")
    fabric_auth_key: Text = Field(default="", description="Authorization key of the fabric.")
    storage: Tiers = Field(
        default=(), description="Storage tiers; the first is SCM."
    )
    acceleration: Annotated[Acceleration, BeforeValidator(to_section)] = Field(default=Acceleration(), description="Data acceleration.")
    spdk_rpc_server: Annotated[SpdkRpcServer, BeforeValidator(to_section)] = Field(default=SpdkRpcServer(), description="SPDK's socket.")
    bdev_auto_faulty: Annotated[BdevAutoFaulty | None, BeforeValidator(to_section)] = Field(
        default=None, description="Automatic eviction of SSDs; unset means the engine's default."
    )

    @property
    def scm_tier(self) -> StorageTier | None:
        """The first SCM tier; a valid configuration has exactly one."""
        return next((tier for tier in self.storage if tier.is_scm), None)

    @property
    def bdev_tiers(self) -> tuple[StorageTier, ...]:
        """The tiers of block devices, in order."""
        return tuple(tier for tier in self.storage if tier.is_bdev)

    @property
    def indexed_bdev_tiers(self) -> tuple[tuple[int, StorageTier], ...]:
        """The tiers of block devices with their place in the whole list, which is their tier number in the engine's files."""
        return tuple((index, tier) for index, tier in enumerate(self.storage) if tier.is_bdev)

    @property
    def has_roles(self) -> bool:
        """Whether any tier has a role."""
        return any(tier.bdev_roles for tier in self.bdev_tiers)

    @property
    def has_meta_role(self) -> bool:
        """Whether metadata is on SSD."""
        return any("meta" in tier.bdev_roles for tier in self.bdev_tiers)

    @property
    def bdev_count(self) -> int:
        """How many block devices all tiers have."""
        return sum(len(tier.bdev_list) for tier in self.bdev_tiers)

    @property
    def environment(self) -> dict[str, str]:
        """``env_vars`` as used: the first of equal names counts, those without a value are left out."""
        found: dict[str, str] = {}
        for entry in self.env_vars:
            name, _, value = entry.partition("=")
            if name and value:
                found.setdefault(name, value)
        return found


Engines = Annotated[
    tuple[Annotated[EngineConfig, BeforeValidator(to_section)], ...],
    Field(strict=False),
    BeforeValidator(to_items),
]


class Fabric(NamedTuple):
    """An engine's network settings in force: its own, else the server's."""

    provider: str
    interface: str
    port: int
    bypass_health_chk: bool | None
    secondary_endpoints: tuple[int, ...]
    crt_ctx_share_addr: int
    crt_timeout: int
    disable_srx: bool
    auth_key: str

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of its interfaces, one for each provider; the first counts for class and NUMA node."""
        return tuple(name.strip() for name in self.interface.split(","))


class ServerConfig(Section):
    """The whole of ``daos_server.yml``."""

    name: Text = Field(default="daos_server", description="Name of the DAOS system.")
    access_points: Texts = Field(default=("localhost:10001",), description="Hosts of the management service, an odd number.")
    port: Whole = Field(default=10001, description="Port of the control plane.")
    transport_config: Annotated[TransportConfig, BeforeValidator(to_section)] = Field(
        default=TransportConfig(), description="Certificates of the control network."
    )
    provider: Text = Field(default="", description="Fabric provider of all engines.")
    fabric_iface: Text = Field(default="", description="Fabric interface of engines that name none.")
    fabric_iface_port: Whole = Field(default=0, description="Fabric port of engines that name none.")
    bypass_health_chk: Flag | None = Field(default=None, description="Accepted, not used; set it in the engines.")
    secondary_provider_endpoints: Wholes = Field(default=(), description="Endpoints of each secondary provider.")
    crt_ctx_share_addr: Natural = Field(default=0, description="Share network contexts.")
    crt_timeout: Natural = Field(default=0, description="Seconds after which an RPC fails; 0 means the engine's default.")
    disable_srx: Flag = Field(default=False, description="Do without shared receive contexts.")
    fabric_auth_key: Text = Field(default="", description="Authorization key of the fabric.")
    socket_dir: Text = Field(default="/var/run/daos_server", description="Folder of the server's sockets.")
    engines: Engines = Field(
        default=(), description="I/O engines; none means that the server only looks at the hardware."
    )
    bdev_exclude: Addresses = Field(default=(), description="NVMe SSDs never to be touched.")
    disable_vfio: Flag = Field(default=False, description="Do without VFIO; needs a server run by root.")
    disable_vmd: Flag | None = Field(default=None, description="Do without VMD.")
    enable_vmd: Flag | None = Field(default=None, description="Old form of disable_vmd, the other way round.")
    enable_hotplug: Flag = Field(default=False, description="Take SSDs that are plugged in later.")
    nr_hugepages: Whole = Field(default=0, description="Huge pages for all engines together; 0 means computed.")
    system_ram_reserved: Whole = Field(default=16, description="GiB of RAM left to the system.")
    disable_hugepages: Flag = Field(default=False, description="Do without huge pages; only without block devices.")
    control_log_mask: LogLevel = Field(default="INFO", description="Log level of the server.")
    control_log_file: Text = Field(default="", description="Log file of the server; empty means standard output.")
    control_log_json: Flag = Field(default=False, description="Log as JSON.")
    helper_log_file: Text = Field(default="", description="Log file of the privileged helper.")
    firmware_helper_log_file: Text = Field(default="", description="Log file of the firmware helper.")
    fault_path: Text = Field(default="", description="Fault domain of this host, such as /rack1/host7; empty means /<hostname>.")
    fault_cb: Text = Field(default="", description="Program that prints the fault domain.")
    telemetry_port: Whole = Field(default=0, description="Port of the metrics; 0 means none.")
    core_dump_filter: Byte = Field(default=0x13, description="Bits of what a core dump holds; 0 leaves the system's setting.")
    client_env_vars: Texts = Field(default=(), description="Environment of the clients, as KEY=VALUE.")
    control_metadata: Annotated[ControlMetadata, BeforeValidator(to_section)] = Field(
        default=ControlMetadata(), description="Where the control plane keeps its data when metadata is on SSD."
    )
    hyperthreads: Flag = Field(default=False, description="Accepted, not used.")
    recreate_superblocks: Flag = Field(default=False, description="Accepted, not used.")

    @property
    def access_point_addresses(self) -> tuple[str, ...]:
        """The access points as host:port; those without a port, and this host if the file names none, have the server's port."""
        points = self.access_points if "access_points" in self.model_fields_set else ("localhost",)
        return tuple(point if ":" in point.rpartition("]")[2] else f"{point}:{self.port}" for point in points)

    @property
    def vmd_disabled(self) -> bool:
        """Whether VMD is off, by either key."""
        if self.enable_vmd is not None:
            return not self.enable_vmd
        return bool(self.disable_vmd)

    @property
    def data_path(self) -> str | None:
        """Folder of the control plane's data, or None without ``control_metadata.path``."""
        path = self.control_metadata.path
        return posixpath.join(path, DATA_FOLDER) if path else None

    def engine_metadata_dir(self, index: int) -> str | None:
        """Return the folder of one engine below ``data_path``, or None without one."""
        return posixpath.join(self.data_path, f"engine{index}") if self.data_path else None

    def nvme_conf_path(self, index: int) -> str | None:
        """Return where the NVMe settings of one engine belong; None if it has no block devices."""
        engine = self.engines[index]
        if not engine.bdev_tiers:
            return None
        folder = self.engine_metadata_dir(index) if engine.has_meta_role else None
        if folder is None and engine.scm_tier:
            folder = engine.scm_tier.scm_mount
        return posixpath.join(folder, NVME_CONF) if folder else None

    def fabric(self, index: int) -> Fabric:
        """Return the network settings in force for one engine."""
        engine = self.engines[index]
        provider = engine.provider or self.provider
        return Fabric(
            provider,
            engine.fabric_iface or self.fabric_iface,
            engine.fabric_iface_port or self.fabric_iface_port,
            engine.bypass_health_chk,
            engine.secondary_provider_endpoints or self.secondary_provider_endpoints or (1,) * provider.count(","),
            engine.crt_ctx_share_addr or self.crt_ctx_share_addr,
            engine.crt_timeout or self.crt_timeout,
            engine.disable_srx or self.disable_srx,
            engine.fabric_auth_key or self.fabric_auth_key,
        )
