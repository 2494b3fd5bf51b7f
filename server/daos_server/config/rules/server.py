# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Rules about the server as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

from daos_pbin import codes
from daos_server.config.fault_domain import flaw_of
from daos_server.config.fields import quoted
from daos_server.config.model import ServerConfig
from daos_server.config.problems import Problem, Where
from daos_server.config.rules.parts import PORT_LIMIT, absolute
from daos_server.config.scalars import whole_number

NAME_LIMIT = 15
HUGEPAGES_LIMIT = (1 << 31) - 1
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(?P<port>.*))?", re.ASCII)


def server_name(config: ServerConfig) -> Iterator[Problem]:
    length = len(config.name.encode())
    if not 1 <= length <= NAME_LIMIT:
        yield Problem(("name",), f"{quoted(config.name)} has {length} bytes", f"use a name of 1 to {NAME_LIMIT} bytes")


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
    if config.fault_path and (flaw := flaw_of(config.fault_path)):
        yield Problem(where, flaw.message, flaw.remedy, flaw.code)


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
        yield from absolute(("control_metadata", key), value)
