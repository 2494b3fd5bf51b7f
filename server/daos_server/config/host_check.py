# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A valid configuration held against this host: names, devices, interfaces, memory, certificates.

Looks, and changes nothing; a fault domain callback is run, because nothing else tells whether it works.
"""

from __future__ import annotations

import os
import posixpath
import socket
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pwd import getpwnam
from typing import TYPE_CHECKING, NamedTuple

from daos_bindings.linux import block, kernelfiles, mounts
from daos_bindings.linux.kernelfiles import printable
from daos_bindings.linux.pci_address import parse as parse_pci
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.certificates import certificate_problems
from daos_server.config.fault_domain import fault_domain
from daos_server.config.keys import default_at
from daos_server.config.problems import Notice, Problem, Where
from daos_server.config.rules.parts import engines_of

if TYPE_CHECKING:
    from daos_server.config.model import ServerConfig, StorageTier
    from daos_server.plan.host import HostFacts

SYSFS = "/sys"
USES_SHOWN = 3
RESOLVE_S = 10.0
"""Seconds that all access points together may take to resolve."""
_PLACES: dict[int, Where] = {
    codes.SERVER_VFIO_DISABLED: ("disable_vfio",),
    codes.SERVER_CONFIG_NR_HUGEPAGES_OUT_OF_RANGE: ("nr_hugepages",),
    codes.SERVER_CONFIG_HUGEPAGES_DISABLED_WITH_BDEVS: ("disable_hugepages",),
}
"""Where to look for what the planning found wrong; elsewhere it is about all engines."""
_BELOW_ENGINE: dict[int, Where] = {
    codes.SCM_RAMDISK_LOW_MEM: ("storage", 0, "scm_size"),
    codes.SERVER_CONFIG_RAMDISK_OVER_MAX_MEM: ("storage", 0, "scm_size"),
}


class HostCheck(NamedTuple):
    """What a host has to say about a configuration."""

    problems: tuple[Problem, ...]
    notices: tuple[Notice, ...]


def check_host(config: ServerConfig, *, folder: str, account: str, callback: bool = True, sysfs: str = SYSFS) -> HostCheck:
    """Return everything that keeps this host from running the configuration.

    :param folder: the folder that a fault domain callback must lie below.
    :param account: name of the user that the server will run as.
    :param callback: whether to run a fault domain callback.
    :param sysfs: where devices and interfaces are looked up.
    """
    problems = [
        *(_fault_domain(config, folder) if callback or not config.fault_cb else ()),
        *missing_things(config, sysfs),
        *(unwritable(config) if _is_this_process(account) else ()),
    ]
    notices: list[Notice] = []
    try:
        from daos_server.storage.host_facts import read_host

        facts = read_host(account, sysfs)
    except Fault as fault:
        problems.append(_from_fault((), fault))
    else:
        problems += unfit_hardware(config, facts, sysfs)
        planned = _planned(config, facts)
        problems += planned.problems
        notices += planned.notices
    return HostCheck(tuple(problems), tuple(notices))


def missing_things(config: ServerConfig, sysfs: str = SYSFS) -> Iterator[Problem]:
    """Yield what a configuration names and this host has not, or not so that it can be used: hosts, folders, devices, certificates."""
    yield from _unresolved(config)
    yield from _folders(config)
    yield from _devices(config, sysfs)
    yield from certificate_problems(config.transport_config)


def _from_fault(where: Where, fault: Fault) -> Problem:
    about = f" ({fault.object})" if fault.object and fault.object not in fault.description else ""
    return Problem(where, f"{fault.description}{about}{f': {fault.cause}' if fault.cause else ''}", fault.resolution, fault.code)


def _mismatch(where: Where, reason: str, remedy: str) -> Problem:
    return Problem(where, reason, remedy, codes.SERVER_CONFIG_HOST_MISMATCH, {"reason": reason})


def _fault_domain(config: ServerConfig, folder: str) -> Iterator[Problem]:
    try:
        fault_domain(config, folder=folder)
    except Fault as fault:
        yield _from_fault(("fault_cb",) if config.fault_cb else ("fault_path",), fault)


# Names


def _unresolved(config: ServerConfig) -> Iterator[Problem]:
    """A name service that hangs must not hang us: whoever has not answered in time is left behind."""
    reasons: dict[int, str] = {}

    def resolve(index: int, host: str) -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            reasons[index] = ""
        except (OSError, UnicodeError) as error:
            reasons[index] = getattr(error, "strerror", "") or str(error)

    hosts = [address.rpartition(":")[0].strip("[]") for address in config.access_point_addresses]
    threads = [threading.Thread(target=resolve, args=each, daemon=True) for each in enumerate(hosts)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + RESOLVE_S
    for index, thread in enumerate(threads):
        thread.join(max(0.0, end - time.monotonic()))
        if reason := reasons.get(index, f"no answer within {RESOLVE_S:g} s"):
            remedy = "correct the name, or make it known to DNS or /etc/hosts ('getent hosts NAME')"
            yield Problem(("access_points", index), f"{hosts[index]}: {reason}", remedy, codes.SERVER_CONFIG_BAD_ACCESS_POINTS)


# Folders and devices


def _folders(config: ServerConfig) -> Iterator[Problem]:
    # The default one is made by the service's unit each time it starts.
    if config.socket_dir != default_at(("socket_dir",)):
        yield from _missing_folder(("socket_dir",), config.socket_dir)
    logs: list[tuple[Where, str]] = [
        (("control_log_file",), config.control_log_file),
        (("helper_log_file",), config.helper_log_file),
        *(((*where, "log_file"), engine.log_file) for where, engine in engines_of(config)),
    ]
    for where, path in logs:
        if path:
            yield from _missing_folder(where, posixpath.dirname(path) or ".")
    for where, tier in _tiers(config):
        if tier.storage_class == "file":
            for folder in sorted({posixpath.dirname(path) for path in tier.bdev_list}):
                yield from _missing_folder((*where, "bdev_list"), folder)


def _missing_folder(where: Where, path: str) -> Iterator[Problem]:
    if not os.path.isdir(path):
        yield _mismatch(where, f"the folder {path!a} does not exist", "make it, owned by the account of the server, or correct the path")


def _is_this_process(account: str) -> bool:
    try:
        return getpwnam(account).pw_uid == os.geteuid()
    except KeyError:
        return False


def unwritable(config: ServerConfig) -> Iterator[Problem]:
    """Yield the files that this process, which is the server's account, is to write and may not: logs, and files in place of SSDs."""
    files: list[tuple[Where, str]] = [
        (("control_log_file",), config.control_log_file),
        *(((*where, "log_file"), engine.log_file) for where, engine in engines_of(config)),
        *(((*where, "bdev_list"), path) for where, tier in _tiers(config) if tier.storage_class == "file" for path in tier.bdev_list),
    ]
    for where, path in files:
        folder = posixpath.dirname(path) or "."
        if path and os.path.isdir(folder) and not os.access(path, os.W_OK) and (os.path.lexists(path) or not os.access(folder, os.W_OK)):
            remedy = f"let it ('namei -l {path}' shows owners and modes), or correct the path"
            yield _mismatch(where, f"the account of the server may not write {path!a}", remedy)


def _devices(config: ServerConfig, sysfs: str) -> Iterator[Problem]:
    device = config.control_metadata.device
    if device:
        yield from _no_block_device(("control_metadata", "device"), device, own=config.control_metadata.path)
    for where, tier in _tiers(config):
        if tier.storage_class == "kdev":
            for path in tier.bdev_list:
                yield from _no_block_device((*where, "bdev_list"), path)
        elif tier.storage_class == "nvme":
            yield from _no_ssds((*where, "bdev_list"), tier, sysfs)
        elif tier.storage_class == "dcpm":
            for path in tier.scm_list:
                for problem in _no_block_device((*where, "scm_list"), path, own=tier.scm_mount):
                    missing = Fault(codes.SCM_FORMAT_MISSING_DEVICE, device=path, cause=problem.message)
                    yield problem if os.path.exists(path) else _from_fault(problem.where, missing)


def _no_block_device(where: Where, path: str, *, own: str = "") -> Iterator[Problem]:
    """Yield that a path is no block device, or one that is in use.

    :param own: where the configuration has it mounted, which is no use by others.
    """
    try:
        kind = os.stat(path).st_mode
    except OSError as error:
        yield _mismatch(where, f"{path!a}: {error.strerror}", "correct the path; 'lsblk -p' lists the devices of this host")
        return
    if not stat.S_ISBLK(kind):
        yield _mismatch(where, f"{path!a} is not a block device", "name one ('lsblk -p'), or use class file for files")
    elif uses := _uses(path, own):
        more = f" and {len(uses) - USES_SHOWN} more" if len(uses) > USES_SHOWN else ""
        reason = f"{path!a} is in use: {', '.join(uses[:USES_SHOWN])}{more}"
        yield _mismatch(where, reason, "name another device: this one is refused, even with --force")


def _uses(path: str, own: str) -> list[str]:
    """Return what has hold of a block device, in words; nothing if it cannot be seen."""
    try:
        number = os.stat(path).st_rdev
        identity = block.by_number(os.major(number), os.minor(number))
        found = () if identity is None else block.usage(identity, block.UsageTable(mounts.read()))
    except (OSError, ValueError):
        return []
    words = {"mount": "is mounted on", "swap": "is swapped on", "holder": "is held by", "loop": "is the file of"}
    others = (use for use in found if use.kind in words and not (use.kind == "mount" and use.detail == own))
    return [printable(f"{use.device} {words[use.kind]} {use.detail}".rstrip()) for use in others]


def _no_ssds(where: Where, tier: StorageTier, sysfs: str) -> Iterator[Problem]:
    def present(text: str) -> bool:
        address = parse_pci(text)
        return address is not None and os.path.exists(f"{sysfs}/bus/pci/devices/{address.vmd_endpoint or address}")

    if missing := [text for text in tier.bdev_list if not present(text)]:
        yield _from_fault(where, Fault(codes.BDEV_NOT_FOUND, variant="ssd", addresses=", ".join(missing)))


def _tiers(config: ServerConfig) -> Iterator[tuple[Where, StorageTier]]:
    for where, engine in engines_of(config):
        for index, tier in enumerate(engine.storage):
            yield (*where, "storage", index), tier


# Hardware


def unfit_hardware(config: ServerConfig, facts: HostFacts, sysfs: str = SYSFS) -> Iterator[Problem]:
    """Yield NUMA nodes and fabric interfaces that a host has not, and interfaces of another class than the first engine's."""
    known = ", ".join(sorted(facts.interfaces)) or "none at all"
    first = ""
    for index, (where, engine) in enumerate(engines_of(config)):
        node = engine.pinned_numa_node
        if node is not None and node not in facts.node_numbers:
            nodes = ", ".join(map(str, facts.node_numbers))
            yield _mismatch((*where, "pinned_numa_node"), f"{node} is no NUMA node of this host", f"use one of {nodes}")
        names = config.fabric(index).interfaces
        for name in names:
            if name not in facts.interfaces:
                yield _mismatch((*where, "fabric_iface"), f"{name!a} is no interface of this host", f"use one of {known}")
        kind = _net_class(names[0], sysfs)
        first = first or kind
        if kind and kind != first:
            fault = Fault(
                codes.SERVER_CONFIG_INVALID_NET_DEV_CLASS, idx=index, iface=names[0], net_class=kind, primary_class=first
            )
            yield _from_fault((*where, "fabric_iface"), fault)


def _net_class(name: str, sysfs: str) -> str:
    """Return the class of a network interface; empty for one that is none, or not there."""
    from daos_server.network.interfaces import NET_CLASS_NAMES

    try:
        number = kernelfiles.number(f"{sysfs}/class/net/{name}/type")
    except (OSError, ValueError, kernelfiles.MalformedError):
        return ""
    return NET_CLASS_NAMES.get(number, str(number))


def _planned(config: ServerConfig, facts: HostFacts) -> HostCheck:
    from daos_server.plan.host import derive

    # An interface that this host has not is a problem of its own: that it has no NUMA node either is not told.
    named: dict[str, int | None] = {name: None for index in range(len(config.engines)) for name in config.fabric(index).interfaces}
    derived = derive(config, replace(facts, interfaces={**named, **facts.interfaces}))
    unknown = any(engine.pinned_numa_node not in (None, *facts.node_numbers) for engine in config.engines)
    faults = [fault for fault in derived.faults if not (unknown and fault.code == codes.HUGEPAGES_NODE_MISSING)]
    problems = (_from_fault(_place(fault), fault) for fault in faults)
    return HostCheck(tuple(problems), tuple(Notice(("engines",), text) for text in derived.notices))


def _place(fault: Fault) -> Where:
    engine, _, index = fault.object.partition(" ")
    if engine == "engine" and index.isdecimal():
        return ("engines", int(index), *_BELOW_ENGINE.get(fault.code, ()))
    return _PLACES.get(fault.code, ("engines",))
