# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One engine of a generated configuration, and its keys with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daos_server.generate.write import Key, Section
from daos_server.plan.wanted import Bdevs, Engine, Scm

if TYPE_CHECKING:
    from daos_server.generate.memory import Ramdisk
    from daos_server.generate.storage import NodeStorage
    from daos_server.generate.threads import Threads
    from daos_server.network.interfaces import FabricInterface


@dataclass(frozen=True, kw_only=True, slots=True)
class EnginePlan:
    """Everything about one engine but the size of its RAM disk, which depends on all of them.

    :param tiers: ``bdev_list`` of each tier of SSDs.
    :param roles: of each tier, in the same order; empty without metadata on SSD.
    :param spared: SSDs of its node that it does not get, so that all engines have the same number.
    :param port_given: whether the port came from an option.
    """

    index: int
    interface: FabricInterface
    storage: NodeStorage
    tiers: tuple[tuple[str, ...], ...]
    roles: tuple[tuple[str, ...], ...]
    spared: tuple[str, ...]
    threads: Threads
    port: int
    port_given: bool

    @property
    def node(self) -> int:
        """NUMA node that it runs on."""
        return self.interface.numa_node

    @property
    def mount(self) -> str:
        """Mount point of its SCM, named after the NUMA node."""
        return f"/mnt/daos{self.node}"

    def as_wanted(self) -> Engine:
        """Return it as the planning functions take it."""
        roles = self.roles or ((),) * len(self.tiers)
        bdevs = tuple(
            Bdevs(tier=place, storage_class="nvme", devices=devices, roles=frozenset(kept))
            for place, (devices, kept) in enumerate(zip(self.tiers, roles, strict=True), start=1)
        )
        scm = Scm(storage_class="dcpm" if self.storage.pmem else "ram", mount=self.mount)
        return Engine(index=self.index, targets=self.threads.targets, scm=scm, bdevs=bdevs, numa_node=self.node)


def section(engine: EnginePlan, ram: Ramdisk | None) -> Section:
    """Return the keys of an engine.

    :param ram: its RAM disk; None if it has persistent memory.
    """
    interface = engine.interface
    why_port = "as given with --fabric-ports" if engine.port_given else "31416, and 1000 more for each engine before it"
    return Section(
        (
            Key("targets", engine.threads.targets, f"engine {engine.index}, service threads: {engine.threads.why_targets}"),
            Key("nr_xs_helpers", engine.threads.helpers, f"helper threads: {engine.threads.why_helpers}"),
            Key("pinned_numa_node", engine.node, f"the NUMA node of {interface.device} and of this engine's storage"),
            Key("log_file", f"/tmp/daos_engine.{engine.index}.log", "the usual place; /tmp may be lost at a reboot"),  # noqa: S108 - no file is made here
            Key("fabric_iface", interface.device, f"the best interface for {interface.provider} on NUMA node {engine.node}"),
            Key("fabric_iface_port", engine.port, f"first port of this engine on the fabric: {why_port}"),
            Key("storage", (_scm(engine, ram), *_bdevs(engine)), "first SCM" + (", then the SSDs" if engine.tiers else "; no SSDs")),
        )
    )


def _scm(engine: EnginePlan, ram: Ramdisk | None) -> Section:
    mount = Key("scm_mount", engine.mount, "named after the NUMA node, so no two engines share it")
    if ram is not None:
        return Section(
            (
                Key("class", "ram", "RAM in place of persistent memory, as asked with --use-tmpfs-scm"),
                mount,
                Key("scm_size", ram.size_gib, f"in GiB. {ram.why}"),
            )
        )
    device, *others = engine.storage.pmem
    why = f"the first namespace on NUMA node {engine.node}" + (f"; not used: {', '.join(others)}" if others else "")
    return Section((Key("class", "dcpm", "persistent memory was found on this NUMA node"), mount, Key("scm_list", (device,), why)))


def _bdevs(engine: EnginePlan) -> list[Section]:
    found = []
    for place, devices in enumerate(engine.tiers):
        keys = [Key("class", "nvme", "NVMe SSDs, used through their PCI addresses"), Key("bdev_list", devices, _why_devices(engine, place))]
        if engine.roles:
            roles = engine.roles[place]
            keys.append(Key("bdev_roles", roles, f"metadata is on SSD: tier {place + 1} of {len(engine.tiers)} keeps {', '.join(roles)}"))
        found.append(Section(tuple(keys)))
    return found


def _why_devices(engine: EnginePlan, place: int) -> str:
    share = {(1, 0): "all", (2, 0): "the first", (2, 1): "the other"}[(len(engine.tiers), place)]
    why = f"{share} SSDs of NUMA node {engine.node}"
    if any(ssd.vmd for ssd in engine.storage.ssds):
        why += ", behind a VMD where the address is that of one"
    if engine.spared and place == len(engine.tiers) - 1:
        why += f", without {', '.join(engine.spared)}: other engines have fewer, and all need the same number"
    return why
