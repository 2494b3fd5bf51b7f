# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Addresses: those that the access points have, and those that this host's interfaces have."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Address, IPv6Address

    from daos_server.config.model import ServerConfig

    Address = IPv4Address | IPv6Address


def of_interfaces() -> dict[str, frozenset[Address]]:
    """Return the addresses of every interface, by its name; an interface without any is left out.

    :raises OSError: if the kernel does not say.
    """
    from pyroute2 import IPRoute

    with IPRoute() as route:
        names = {int(link["index"]): str(dict(link["attrs"]).get("IFLA_IFNAME", "")) for link in route.get_links()}
        found: dict[str, set[Address]] = {}
        for each in route.get_addr():
            attributes = cast("Mapping[str, object]", dict(each["attrs"]))
            text = attributes.get("IFA_LOCAL") or attributes.get("IFA_ADDRESS")
            found.setdefault(names.get(int(each["index"]), ""), set()).add(ip_address(str(text)))
    return {name: frozenset(addresses) for name, addresses in found.items()}


def of_access_points(config: ServerConfig) -> dict[str, frozenset[Address]]:
    """Return the addresses that each access point's name stands for.

    :raises Fault: 705 for one that does not resolve.
    """
    return {point: _resolved(point) for point in config.access_point_addresses}


def _resolved(point: str) -> frozenset[Address]:
    host = point.rpartition(":")[0].strip("[]")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise Fault(codes.SERVER_CONFIG_BAD_ACCESS_POINTS, object=point, cause=cause) from error
    return frozenset(ip_address(str(address[0]).partition("%")[0]) for *_, address in found)


def is_any(wanted: Iterable[frozenset[Address]], local: Mapping[str, frozenset[Address]]) -> bool:
    """Return whether any of the wanted hosts is this one: by an address of an interface, or of the loopback network."""
    here = frozenset().union(*local.values())
    return any(address in here or address.is_loopback for addresses in wanted for address in addresses)
