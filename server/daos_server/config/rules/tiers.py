# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Rules about the storage of one engine."""

from __future__ import annotations

from collections.abc import Iterator

from daos_bindings.linux.pci_address import parse as parse_pci
from daos_pbin import codes
from daos_server.config.fields import quoted
from daos_server.config.model import EngineConfig, ServerConfig, StorageTier
from daos_server.config.problems import Problem, Where
from daos_server.config.rules.parts import absolute, engines_of

SMALLEST_RAMDISK_GIB = 4
MOST_ROLE_TIERS = 3
_ROLES = (("WAL", "wal"), ("Meta", "meta"), ("Data", "data"))


def tier_order(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in engines_of(config):
        place: Where = (*where, "storage")
        scm = [index for index, tier in enumerate(engine.storage) if tier.is_scm]
        if not engine.storage:
            yield Problem(place, "has no tiers", "begin with a tier of class ram or dcpm")
        elif not scm:
            yield Problem(place, "has no SCM tier", "begin with a tier of class ram or dcpm", codes.SCM_CONFIG_TIER_MISSING)
        elif scm != [0]:
            message = f"has SCM in tiers {', '.join(str(index) for index in scm)}"
            yield Problem(place, message, "make the first tier, and no other, of class ram or dcpm")
        real = [index for index, tier in enumerate(engine.storage) if tier.is_bdev and not tier.is_emulated and tier.bdev_list]
        emulated = [index for index, tier in enumerate(engine.storage) if tier.is_emulated and tier.bdev_list]
        if real and emulated:
            message = f"tier {real[0]} has NVMe SSDs, tier {emulated[0]} stands in for some"
            yield Problem(place, message, "use nvme in all block device tiers, or in none", codes.BDEV_CONFIG_TIER_TYPE_MISMATCH)


def tiers(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in engines_of(config):
        for index, tier in enumerate(engine.storage):
            place: Where = (*where, "storage", index)
            if tier.is_scm:
                yield from _scm_tier(place, tier)
            elif tier.is_bdev:
                yield from _bdev_tier(place, tier)
            else:
                yield Problem((*place, "class"), "is not set", "use one of dcpm, ram, nvme, file, kdev")


def _scm_tier(where: Where, tier: StorageTier) -> Iterator[Problem]:
    if not tier.scm_mount:
        yield Problem((*where, "scm_mount"), "is not set", "set the mount point, such as /mnt/daos0")
    yield from absolute((*where, "scm_mount"), tier.scm_mount)
    if tier.storage_class == "dcpm":
        yield from _dcpm_tier(where, tier)
        return
    if tier.scm_list:
        yield Problem((*where, "scm_list"), "is set for class ram", "remove it, or use class dcpm")
    if 0 < tier.scm_size < SMALLEST_RAMDISK_GIB:
        message = f"is {tier.scm_size} GiB"
        remedy = f"use {SMALLEST_RAMDISK_GIB} or more, or remove it to have it computed"
        values = {"conf": f"{tier.scm_size}.0 GiB"}
        yield Problem((*where, "scm_size"), message, remedy, codes.SERVER_CONFIG_RAMDISK_UNDER_MIN_MEM, values)


def _dcpm_tier(where: Where, tier: StorageTier) -> Iterator[Problem]:
    if tier.scm_size:
        yield Problem((*where, "scm_size"), "is set for class dcpm, whose size is that of the device", "remove it, or use class ram")
    if tier.scm_hugepages_disabled:
        yield Problem((*where, "scm_hugepages_disabled"), "is set for class dcpm", "remove it, or use class ram")
    if len(tier.scm_list) != 1:
        remedy = "name one device, such as [/dev/pmem0]"
        yield Problem((*where, "scm_list"), f"has {len(tier.scm_list)} devices", remedy)
    for index, device in enumerate(tier.scm_list):
        yield from absolute((*where, "scm_list", index), device)


def _bdev_tier(where: Where, tier: StorageTier) -> Iterator[Problem]:
    place: Where = (*where, "bdev_list")
    if tier.storage_class == "nvme":
        if not tier.bdev_list:
            message = "has no PCI addresses, which class nvme needs"
            yield Problem(place, message, "name the SSDs, such as [0000:81:00.0], or use class file or kdev")
        elif wrong := next((device for device in tier.bdev_list if parse_pci(device) is None), ""):
            message = f"{quoted(wrong)} is not a PCI address, which class nvme needs"
            yield Problem(place, message, "write it as domain:bus:device.function, such as 0000:81:00.0, or use class file or kdev")
    elif not tier.bdev_list:
        yield Problem(place, f"is empty, and class {tier.storage_class} needs it", "name paths, such as [/var/daos/bdev0]")
    else:
        for device in tier.bdev_list:
            yield from absolute(place, device)
    if tier.storage_class == "file" and not tier.bdev_size:
        yield Problem((*where, "bdev_size"), "is not set, or 0, and class file needs it", "set the size of each file in GiB")


def roles(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in engines_of(config):
        found = engine.indexed_bdev_tiers
        place: Where = (*where, "storage")
        if engine.has_roles:
            yield from _assigned_roles(place, engine)
        elif len(found) > 1:
            message = f"has {len(found)} block device tiers without bdev_roles"
            remedy = "set bdev_roles on all of them, or keep one"
            yield Problem(place, message, remedy, codes.BDEV_CONFIG_MULTI_TIER_WITHOUT_ROLES)


def _assigned_roles(where: Where, engine: EngineConfig) -> Iterator[Problem]:
    found = engine.indexed_bdev_tiers
    bad = False
    for index, tier in found:
        place: Where = (*where, index, "bdev_roles")
        if not tier.bdev_roles:
            bad = True
            remedy = "set it on every block device tier, or on none"
            yield Problem(place, "is not set, and another tier has it", remedy, codes.BDEV_CONFIG_ROLES_MISSING)
        elif tier.bdev_roles == ("data", "wal"):
            bad = True
            remedy = "add meta, or put wal into a tier of its own"
            yield Problem(place, "has wal and data without meta", remedy, codes.BDEV_CONFIG_ROLES_WAL_DATA_NO_META)
    if engine.scm_tier and engine.scm_tier.storage_class == "dcpm":
        message = "has bdev_roles beside SCM of class dcpm"
        yield Problem(where, message, "use class ram, or remove bdev_roles", codes.BDEV_CONFIG_ROLES_WITH_DCPM)
    elif len(found) > MOST_ROLE_TIERS:
        message = f"has {len(found)} block device tiers with bdev_roles"
        yield Problem(where, message, f"use at most {MOST_ROLE_TIERS}", codes.BDEV_CONFIG_BAD_NR_TIERS_WITH_ROLES)
    elif not bad:
        for name, role in _ROLES:
            count = sum(role in tier.bdev_roles for _, tier in found)
            if count != 1:
                message = f"has {count} block device tiers of role {role}"
                values = {"got": count, "role": name}
                yield Problem(where, message, f"give {role} to exactly one", codes.BDEV_CONFIG_ROLES_BAD_NR, values)


def metadata_on_ssd(config: ServerConfig) -> Iterator[Problem]:
    """``control_metadata.path`` and roles go together; where some engines have roles, ``same_roles`` names the others."""
    path = config.control_metadata.path
    some_have_roles = any(engine.has_roles for engine in config.engines)
    for where, engine in engines_of(config):
        place: Where = (*where, "storage")
        if path and not some_have_roles:
            remedy = "set bdev_roles on the block device tiers, or remove control_metadata"
            message = "has no bdev_roles, and control_metadata.path is set"
            yield Problem(place, message, remedy, codes.BDEV_CONFIG_CONTROL_METADATA_NO_ROLES)
        elif engine.has_meta_role and not path:
            remedy = "set control_metadata.path to a folder that survives a reboot"
            message = "has bdev_roles, and control_metadata.path is not set"
            code = codes.BDEV_CONFIG_ROLES_NO_CONTROL_METADATA
            yield Problem(place, message, remedy, code, rests_on=(("control_metadata",),))
