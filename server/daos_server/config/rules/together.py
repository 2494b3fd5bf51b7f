# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Rules about what engines must share, and must not."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from daos_pbin import codes
from daos_server.config.fields import quoted
from daos_server.config.model import ServerConfig
from daos_server.config.problems import Problem, Where
from daos_server.config.rules.parts import pair


def shared_receive(config: ServerConfig) -> Iterator[Problem]:
    """Clients are told one setting for the whole server."""
    for index in range(1, len(config.engines)):
        if config.fabric(index).disable_srx != config.fabric(0).disable_srx:
            where: Where = ("engines", index, "disable_srx")
            remedy = "set it at the top of the file, for all engines"
            yield Problem(where, "differs from that of engine 0", remedy, rests_on=(("engines", 0, "disable_srx"), ("disable_srx",)))


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
                yield Problem(("engines", index, *path), message, "give each engine its own", code, pair(index, seen[key]))


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
                    yield Problem((*where, "scm_list"), message, "give each engine its own", code, pair(index, other))
            for device in tier.bdev_list if tier.is_bdev else ():
                first = seen_bdev.setdefault(device, (index, place))
                if first != (index, place):
                    message = f"{device} is in tier {first[1]} of engine {first[0]} as well"
                    same = first[0] == index
                    code = codes.SERVER_CONFIG_INVALID if same else codes.SERVER_CONFIG_OVERLAPPING_BDEV_DEVICE_LIST
                    yield Problem((*where, "bdev_list"), message, "keep it in one tier", code, pair(index, first[0]))


def equal_engines(config: ServerConfig) -> Iterator[Problem]:
    """What all engines must have in common with engine 0."""
    for index, engine in enumerate(config.engines[1:], 1):
        first, where = config.engines[0], ("engines", index)
        for key, count, wanted, code in (
            ("targets", engine.targets, first.targets, codes.SERVER_CONFIG_TARGET_COUNT_MISMATCH),
            ("nr_xs_helpers", engine.nr_xs_helpers, first.nr_xs_helpers, codes.SERVER_CONFIG_HELPER_STREAM_COUNT_MISMATCH),
        ):
            if count != wanted:
                values = {**pair(index, 0), "count": count, "seen_count": wanted}
                message, remedy = f"is {count}, and engine 0 has {wanted}", "use one number in all engines"
                yield Problem((*where, key), message, remedy, code, values, rests_on=(("engines", 0, key),))
        mine, other = engine.scm_tier, first.scm_tier
        if mine and other and mine.storage_class != other.storage_class:
            message = f"is {mine.storage_class}, and engine 0 has {other.storage_class}"
            place: Where = (*where, "storage", engine.storage.index(mine), "class")
            yield Problem(place, message, "use one class in all engines", codes.SERVER_CONFIG_SCM_DIFF_CLASS, pair(index, 0))


def _fabric_key(config: ServerConfig, index: int) -> str:
    fabric = config.fabric(index)
    return f"{fabric.provider} {fabric.interface} {fabric.port}" if fabric.interface and fabric.port else ""
