# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Rules that look at several values of a configuration at once.

Each is a pure function from the configuration to the problems that it finds; none looks at the machine (memory, interfaces, names,
files are the planner's and the start's business).  ``PROBLEM_RULES`` and ``NOTICE_RULES`` are all of them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

from daos_pbin import codes
from daos_server.config.fields import quoted
from daos_server.config.model import EngineConfig, ServerConfig, StorageTier
from daos_server.config.problems import Notice, Problem, Where
from daos_server.config.scalars import whole_number

NAME_LIMIT = 15
PORT_LIMIT = 65535
HUGEPAGES_LIMIT = (1 << 31) - 1
SMALLEST_RAMDISK_GIB = 4
MOST_FAULT_LEVELS = 2
MOST_ROLE_TIERS = 3
LOG_MASK_LIMIT = 1023
SRX_VARIABLE = "FI_OFI_RXM_USE_SRX"

LOG_LEVELS = frozenset({"DEBUG", "DBUG", "INFO", "NOTE", "WARN", "ERROR", "ERR", "CRIT", "ALRT", "FATAL", "EMRG", "EMIT"})
SUBSYSTEMS = frozenset(
    {
        "ALL", "DAOS", "ARRAY", "KV", "COMMON", "TREE", "VOS", "CLIENT", "SERVER", "RDB", "RSVC", "POOL", "CONTAINER", "OBJECT",
        "PLACEMENT", "REBUILD", "MGMT", "BIO", "TESTS", "DFS", "DUNS", "DRPC", "SECURITY", "DTX", "DFUSE", "IL", "CSUM", "STACK",
        "MISC", "MEM", "SWIM", "FI", "TELEM", "CRT", "RPC", "BULK", "CORPC", "GRP", "LM", "HG", "EXTERNAL", "ST", "IV", "CTL",
    }
)
STREAMS = frozenset(
    {
        "ALL", "MD", "PL", "MGMT", "EPC", "DF", "REBUILD", "SEC", "CSUM", "GROUP_DEFAULT", "GROUP_METADATA_ONLY", "GROUP_METADATA",
        "ANY", "TRACE", "MEM", "NET", "IO", "TEST",
    }
)
_ALL = "ALL"
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(?P<port>.*))?", re.ASCII)
_ROLES = (("WAL", "wal"), ("Meta", "meta"), ("Data", "data"))


# The whole server


def server_name(config: ServerConfig) -> Iterator[Problem]:
    length = len(config.name.encode())
    if not 1 <= length <= NAME_LIMIT:
        yield Problem(("name",), f"{quoted(config.name)} has {length} bytes", f"use a name of 1 to {NAME_LIMIT}")


def needed_texts(config: ServerConfig) -> Iterator[Problem]:
    if not config.socket_dir:
        yield Problem(("socket_dir",), "is empty", "name a folder, or remove the key for /var/run/daos_server")


def ports(config: ServerConfig) -> Iterator[Problem]:
    if config.engines and not 1 <= config.port <= PORT_LIMIT:
        remedy = f"use a port from 1 to {PORT_LIMIT}, or remove the key for 10001"
        yield Problem(("port",), f"{config.port} is no port number", remedy, codes.SERVER_CONFIG_BAD_CONTROL_PORT)
    if not 0 <= config.telemetry_port <= PORT_LIMIT:
        remedy = f"use a port from 1 to {PORT_LIMIT}, or 0 for no metrics"
        yield Problem(("telemetry_port",), f"{config.telemetry_port} is no port number", remedy, codes.SERVER_CONFIG_BAD_TELEMETRY_PORT)


def access_points(config: ServerConfig) -> Iterator[Problem]:
    where: Where = ("access_points",)
    seen: set[str] = set()
    for index, given in enumerate(config.access_points):
        place: Where = (*where, index)
        found = _HOST.fullmatch(given)
        if not found or ":" in (found["port"] or ""):
            remedy = "write host, host:port or [IPv6]:port"
            yield Problem(place, f"{quoted(given)} is no host or host:port", remedy, codes.SERVER_CONFIG_BAD_ACCESS_POINTS)
            continue
        port = config.port if found["port"] is None else whole_number(found["port"])
        if found["port"] is not None and (port is None or not 1 <= port <= PORT_LIMIT):
            remedy = f"use a port from 1 to {PORT_LIMIT}, or none for that of this server"
            yield Problem(place, f"{quoted(given)} has no usable port", remedy, codes.SERVER_CONFIG_BAD_CONTROL_PORT)
            continue
        address = f"{found['host'].casefold()}:{port}"
        if address in seen:
            yield Problem(place, f"{address} is in the list twice", "keep it once", codes.SERVER_CONFIG_BAD_ACCESS_POINTS)
        seen.add(address)
    if not config.engines:
        return
    if not config.access_points:
        yield Problem(where, "is empty", "name one host of the management service, or three", codes.SERVER_CONFIG_BAD_ACCESS_POINTS)
    elif len(config.access_points) % 2 == 0:
        count = len(config.access_points)
        remedy = "add or remove one: a majority needs an odd number"
        yield Problem(where, f"has {count} hosts", remedy, codes.SERVER_CONFIG_EVEN_ACCESS_POINTS)


def provider(config: ServerConfig) -> Iterator[Problem]:
    if "," in config.provider:
        yield Problem(("provider",), f"{quoted(config.provider)} names more than one provider", "keep one here")
    elif config.engines and not config.provider:
        remedy = 'set it, such as ofi+tcp'
        yield Problem(("provider",), "is not set", remedy, codes.SERVER_CONFIG_BAD_PROVIDER)


def fault_domain(config: ServerConfig) -> Iterator[Problem]:
    where: Where = ("fault_path",)
    if config.fault_path and config.fault_cb:
        yield Problem(where, "is set, and so is fault_cb", "remove one of the two", codes.SERVER_CONFIG_BOTH_FAULT_PATH_AND_CB)
    path = config.fault_path.strip()
    if not config.fault_path:
        return
    levels = path.split("/")
    if levels[0] or len(levels) < 2 or not all(level.strip() for level in levels[1:]):
        remedy = "write it as /rack/host: a slash before each level, no empty level, none after the last"
        yield Problem(where, f"{quoted(path)} is no fault domain", remedy, codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID)
    elif len(levels) - 1 > MOST_FAULT_LEVELS:
        message = f"{quoted(path)} has {len(levels) - 1} levels"
        remedy = f"use at most {MOST_FAULT_LEVELS}, such as /rack1/host7"
        yield Problem(where, message, remedy, codes.SERVER_CONFIG_FAULT_DOMAIN_TOO_MANY_LAYERS)


def hugepages(config: ServerConfig) -> Iterator[Problem]:
    count = config.nr_hugepages
    if config.engines and not 0 <= count <= HUGEPAGES_LIMIT:
        remedy = f"use 0 (computed) to {HUGEPAGES_LIMIT}"
        code = codes.SERVER_CONFIG_NR_HUGEPAGES_OUT_OF_RANGE
        yield Problem(("nr_hugepages",), f"{count} is out of range", remedy, code, {"count": count})
    if config.disable_hugepages and any(engine.bdev_count for engine in config.engines):
        remedy = "remove it, or remove the bdev tiers"
        message = "is true, and block devices, which need huge pages, are configured"
        yield Problem(("disable_hugepages",), message, remedy, codes.SERVER_CONFIG_HUGEPAGES_DISABLED_WITH_BDEVS)


def vmd(config: ServerConfig) -> Iterator[Problem]:
    if config.enable_vmd is not None and config.disable_vmd is not None:
        yield Problem(("enable_vmd",), "is set, and so is disable_vmd", "remove enable_vmd", codes.SERVER_CONFIG_VMD_SETTING_DUPLICATE)


def system_ram(config: ServerConfig) -> Iterator[Problem]:
    if config.system_ram_reserved <= 0:
        remedy = "use 1 or more GiB, or remove the key for 16"
        yield Problem(("system_ram_reserved",), f"is {config.system_ram_reserved}", remedy, codes.SERVER_CONFIG_SYS_RSVD_ZERO)


def control_metadata(config: ServerConfig) -> Iterator[Problem]:
    path, device = config.control_metadata.path, config.control_metadata.device
    if device and not path:
        remedy = "set path to where the device shall be mounted"
        yield Problem(("control_metadata", "device"), "is set without a path", remedy, codes.SERVER_CONFIG_CONTROL_METADATA_NO_PATH)
    for key, value in (("path", path), ("device", device)):
        yield from _absolute(("control_metadata", key), value)


def shared_receive(config: ServerConfig) -> Iterator[Problem]:
    """Clients are told one setting for the whole server."""
    for index in range(1, len(config.engines)):
        if config.fabric(index).disable_srx != config.fabric(0).disable_srx:
            where: Where = ("engines", index, "disable_srx")
            remedy = "set it at the top of the file, for all engines"
            yield Problem(where, "differs from that of engine 0", remedy, rests_on=(("engines", 0, "disable_srx"), ("disable_srx",)))


# One engine


def thread_counts(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in _engines(config):
        if engine.targets == 0:
            yield Problem((*where, "targets"), "is not set, or 0", "give the number of service threads, such as 16")
        for key, value in (("targets", engine.targets), ("nr_xs_helpers", engine.nr_xs_helpers), ("first_core", engine.first_core)):
            if value < 0:
                yield Problem((*where, key), f"{value} is negative", "use 0 or more" if key != "targets" else "use 1 or more")
        if engine.first_core > 0 and engine.pinned_numa_node is not None:
            yield Problem((*where, "first_core"), "is set, and so is pinned_numa_node", "remove one of the two")


def engine_fabric(config: ServerConfig) -> Iterator[Problem]:
    for index, (where, _) in enumerate(_engines(config)):
        fabric = config.fabric(index)
        # Without a provider anywhere, fault 707 has said so already.
        if not fabric.interface:
            remedy = 'set it ("ip link" lists those of this host)'
            yield Problem((*where, "fabric_iface"), "is not set", remedy, rests_on=(("fabric_iface",),))
        elif fabric.provider and len(_items(fabric.provider)) != len(_items(fabric.interface)):
            message = f"{quoted(fabric.interface)} and provider {quoted(fabric.provider)} have different numbers of entries"
            yield Problem((*where, "fabric_iface"), message, "name one interface per provider")
        if not 1 <= fabric.port <= PORT_LIMIT:
            message = f"{fabric.port} is no port number" if fabric.port else "is not set"
            remedy = f"use a port from 1 to {PORT_LIMIT}, such as 31416"
            yield Problem((*where, "fabric_iface_port"), message, remedy, rests_on=(("fabric_iface_port",),))
        for place, value in enumerate(fabric.secondary_endpoints):
            if value < 1:
                yield Problem((*where, "secondary_provider_endpoints", place), f"{value} is less than 1", "use 1 or more")


def environment(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in _engines(config):
        yield from _log_mask((*where, "log_mask"), engine.log_mask)
        for index, entry in enumerate(engine.env_vars):
            name, _, value = entry.partition("=")
            place: Where = (*where, "env_vars", index)
            if name == "DD_SUBSYS":
                yield from _words(place, value, SUBSYSTEMS, "subsystem")
            elif name == "DD_MASK":
                yield from _words(place, value, STREAMS, "debug stream")
        for index, name in enumerate(engine.env_pass_through):
            if name == SRX_VARIABLE:
                yield Problem((*where, "env_pass_through", index), f"{SRX_VARIABLE} cannot be taken over", "remove it; use disable_srx")


def _log_mask(where: Where, mask: str) -> Iterator[Problem]:
    if not mask:
        return
    if len(mask) > LOG_MASK_LIMIT or not re.fullmatch("[a-zA-Z,=_]+", mask):
        message = f"{quoted(mask)} is no log mask"
        yield Problem(where, message, f"use letters, underscores, commas and = only, {LOG_MASK_LIMIT} characters at most")
        return
    for place, token in enumerate(mask.split(",")):
        subsystem, equals, level = token.rpartition("=")
        if (level.upper() not in LOG_LEVELS) or (not equals and place):
            remedy = "write a level first, then SUBSYSTEM=LEVEL, with levels of " + ", ".join(sorted(LOG_LEVELS))
            yield Problem(where, f"{quoted(token)} is no log level", remedy)
        elif equals and (subsystem.upper() not in SUBSYSTEMS or subsystem.upper() == _ALL):
            yield Problem(where, f"{quoted(subsystem)} is no subsystem of its own", "use one of " + ", ".join(sorted(SUBSYSTEMS - {_ALL})))


def _words(where: Where, text: str, known: frozenset[str], what: str) -> Iterator[Problem]:
    words = text.upper().split(",") if text else []
    for word in words:
        if word not in known:
            yield Problem(where, f"{quoted(word)} is no {what}", "use some of " + ", ".join(sorted(known)))
    if _ALL in words and len(words) > 1:
        yield Problem(where, "has ALL beside others", "keep ALL alone, or remove it")


# Storage of one engine


def tier_order(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in _engines(config):
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
    for where, engine in _engines(config):
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
    yield from _absolute((*where, "scm_mount"), tier.scm_mount)
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
        yield from _absolute((*where, "scm_list", index), device)


def _bdev_tier(where: Where, tier: StorageTier) -> Iterator[Problem]:
    place: Where = (*where, "bdev_list")
    if tier.storage_class == "nvme":
        if not tier.bdev_list or any("/" in device or ":" not in device for device in tier.bdev_list):
            message = "has no PCI addresses, which class nvme needs"
            yield Problem(place, message, "name the SSDs, such as [0000:81:00.0], or use class file or kdev")
    elif not tier.bdev_list:
        yield Problem(place, f"is empty, and class {tier.storage_class} needs it", "name paths, such as [/var/daos/bdev0]")
    else:
        for device in tier.bdev_list:
            yield from _absolute(place, device)
    if tier.storage_class == "file" and not tier.bdev_size:
        yield Problem((*where, "bdev_size"), "is not set, or 0, and class file needs it", "set the size of each file in GiB")


def roles(config: ServerConfig) -> Iterator[Problem]:
    for where, engine in _engines(config):
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
    for where, engine in _engines(config):
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


# All engines against each other


def same_roles(config: ServerConfig) -> Iterator[Problem]:
    """The reference never says so, and its engines then disagree about where metadata is."""
    with_roles = [index for index, engine in enumerate(config.engines) if engine.has_roles]
    if not with_roles:
        return
    for index, engine in enumerate(config.engines):
        if not engine.has_roles:
            message = f"has no bdev_roles, and engine {with_roles[0]} has"
            remedy = "set bdev_roles on all engines, or on none"
            yield Problem(("engines", index, "storage"), message, remedy, codes.SERVER_CONFIG_ENGINE_BDEV_ROLES_MISMATCH)


def unique_values(config: ServerConfig) -> Iterator[Problem]:
    """What two engines must not share; each is reported at the later engine, naming the first that had it."""
    fabrics = [_fabric_key(config, index) for index in range(len(config.engines))]
    logs = [posixpath.normpath(engine.log_file) if engine.log_file else "" for engine in config.engines]
    mounts = [posixpath.normpath(tier.scm_mount) if (tier := engine.scm_tier) and tier.scm_mount else "" for engine in config.engines]
    for keys, code, path, what in (
        (fabrics, codes.SERVER_CONFIG_DUPLICATE_FABRIC, ("fabric_iface",), "provider, interface and port"),
        (logs, codes.SERVER_CONFIG_DUPLICATE_LOG_FILE, ("log_file",), "log file"),
        (mounts, codes.SERVER_CONFIG_DUPLICATE_SCM_MOUNT, ("storage", 0, "scm_mount"), "mount point"),
    ):
        seen: dict[str, int] = {}
        for index, key in enumerate(keys):
            if key and seen.setdefault(key, index) != index:
                message = f"{quoted(key)} is the {what} of engine {seen[key]} as well"
                yield Problem(("engines", index, *path), message, "give each engine its own", code, _pair(index, seen[key]))


def unique_devices(config: ServerConfig) -> Iterator[Problem]:
    """A device belongs to one tier of one engine."""
    seen_scm: dict[str, int] = {}
    seen_bdev: dict[str, tuple[int, int]] = {}
    for index, engine in enumerate(config.engines):
        for place, tier in enumerate(engine.storage):
            where: Where = ("engines", index, "storage", place)
            for device in tier.scm_list if tier.is_scm else ():
                other = seen_scm.setdefault(posixpath.normpath(device), index)
                if other != index:
                    message = f"{device} is in the list of engine {other} as well"
                    code = codes.SERVER_CONFIG_DUPLICATE_SCM_DEVICE_LIST
                    yield Problem((*where, "scm_list"), message, "give each engine its own", code, _pair(index, other))
            for device in tier.bdev_list if tier.is_bdev else ():
                first = seen_bdev.setdefault(device, (index, place))
                if first != (index, place):
                    message = f"{device} is in tier {first[1]} of engine {first[0]} as well"
                    same = first[0] == index
                    code = codes.SERVER_CONFIG_INVALID if same else codes.SERVER_CONFIG_OVERLAPPING_BDEV_DEVICE_LIST
                    yield Problem((*where, "bdev_list"), message, "keep it in one tier", code, _pair(index, first[0]))


def equal_engines(config: ServerConfig) -> Iterator[Problem]:
    """What all engines must have in common with engine 0."""
    for index, engine in enumerate(config.engines[1:], 1):
        first, where = config.engines[0], ("engines", index)
        for key, count, wanted, code in (
            ("targets", engine.targets, first.targets, codes.SERVER_CONFIG_TARGET_COUNT_MISMATCH),
            ("nr_xs_helpers", engine.nr_xs_helpers, first.nr_xs_helpers, codes.SERVER_CONFIG_HELPER_STREAM_COUNT_MISMATCH),
        ):
            if count != wanted:
                values = {**_pair(index, 0), "count": count, "seen_count": wanted}
                message, remedy = f"is {count}, and engine 0 has {wanted}", "use one number in all engines"
                yield Problem((*where, key), message, remedy, code, values, rests_on=(("engines", 0, key),))
        mine, other = engine.scm_tier, first.scm_tier
        if mine and other and mine.storage_class != other.storage_class:
            message = f"is {mine.storage_class}, and engine 0 has {other.storage_class}"
            place: Where = (*where, "storage", engine.storage.index(mine), "class")
            yield Problem(place, message, "use one class in all engines", codes.SERVER_CONFIG_SCM_DIFF_CLASS, _pair(index, 0))


# Notices


def single_access_point(config: ServerConfig) -> Iterator[Notice]:
    if config.engines and len(config.access_points) == 1:
        yield Notice(("access_points",), "has one host: when that is down, the system has no management service")


def device_counts(config: ServerConfig) -> Iterator[Notice]:
    for index, engine in enumerate(config.engines[1:], 1):
        wanted = config.engines[0].bdev_count
        if engine.bdev_count != wanted:
            message = f"has {engine.bdev_count} block devices, and engine 0 has {wanted}: the smaller engine limits pools"
            yield Notice(("engines", index, "storage"), message)


def unused_tier_keys(config: ServerConfig) -> Iterator[Notice]:
    for where, engine in _engines(config):
        for index, tier in enumerate(engine.storage):
            foreign = "bdev_" if tier.is_scm else "scm_" if tier.is_bdev else ""
            for key in sorted(tier.model_fields_set):
                if foreign and key.startswith(foreign):
                    yield Notice((*where, "storage", index, key), f"has no meaning for class {tier.storage_class}")
                elif key == "bdev_size" and tier.storage_class in ("nvme", "kdev"):
                    message = f"has no meaning for class {tier.storage_class}: its devices have a size"
                    yield Notice((*where, "storage", index, key), message)


def missing_log_files(config: ServerConfig) -> Iterator[Notice]:
    for where, engine in _engines(config):
        if not engine.log_file:
            yield Notice((*where, "log_file"), "is not set: this engine's messages go to the server's log")


def empty_variables(config: ServerConfig) -> Iterator[Notice]:
    lists: list[tuple[Where, tuple[str, ...]]] = [(("client_env_vars",), config.client_env_vars)]
    lists += [((*where, "env_vars"), engine.env_vars) for where, engine in _engines(config)]
    for where, entries in lists:
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            name, _, value = entry.partition("=")
            if not (name and value):
                yield Notice((*where, index), f"{quoted(entry)} is not KEY=VALUE and is left out")
            elif name in seen:
                yield Notice((*where, index), f"{name} is in the list twice; the first counts")
            seen.add(name)


def _engines(config: ServerConfig) -> Iterator[tuple[Where, EngineConfig]]:
    for index, engine in enumerate(config.engines):
        yield ("engines", index), engine


def _items(text: str) -> list[str]:
    return [item for item in text.split(",") if item.strip()]


def _pair(current: int, seen: int) -> dict[str, object]:
    return {"current": current, "seen": seen}


def _fabric_key(config: ServerConfig, index: int) -> str:
    fabric = config.fabric(index)
    return f"{fabric.provider} {fabric.interface} {fabric.port}" if fabric.interface and fabric.port else ""


def _absolute(where: Where, path: str) -> Iterator[Problem]:
    if path and not path.startswith("/"):
        yield Problem(where, f"{quoted(path)} is not an absolute path", "write it from the root, beginning with a slash")


PROBLEM_RULES: tuple[Callable[[ServerConfig], Iterator[Problem]], ...] = (
    server_name,
    needed_texts,
    ports,
    access_points,
    provider,
    fault_domain,
    hugepages,
    vmd,
    system_ram,
    control_metadata,
    shared_receive,
    thread_counts,
    engine_fabric,
    environment,
    tier_order,
    tiers,
    roles,
    metadata_on_ssd,
    same_roles,
    unique_values,
    unique_devices,
    equal_engines,
)
NOTICE_RULES: tuple[Callable[[ServerConfig], Iterator[Notice]], ...] = (
    single_access_point,
    device_counts,
    unused_tier_keys,
    missing_log_files,
    empty_variables,
)


def problems_of(config: ServerConfig) -> Iterator[Problem]:
    """Yield everything that the rules refuse."""
    return (problem for rule in PROBLEM_RULES for problem in rule(config))


def notices_of(config: ServerConfig) -> Iterator[Notice]:
    """Yield everything that the rules find worth telling."""
    return (notice for rule in NOTICE_RULES for notice in rule(config))
