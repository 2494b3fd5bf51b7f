# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Network interfaces as the kernel tells them over netlink, and the RDMA devices on them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.hardware import attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SYSFS = "/sys"
IFF_UP = 1
TRIES = 5
"""How often a list is asked for anew when interfaces come and go while the kernel makes it."""
SPEED_LIMIT = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RdmaPort:
    """A port of an RDMA device.

    :param device: such as ``mlx5_0``.
    :param port: from 1.
    :param state: the InfiniBand number: 1 down, 2 initialised, 3 armed, 4 active, 5 active deferred; 0 if not known.
    """

    device: str
    port: int
    state: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A network interface.

    :param net_class: the kernel's ARPHRD number.
    :param state: the operational state, in lower case, such as ``up`` or ``lowerlayerdown``.
    :param enabled: whether the administrator has switched it on.
    :param kind: of a virtual one, such as ``vlan``, ``bond`` or ``veth``; empty for hardware.
    :param mbps: speed in Mbit/s; 0 if it has none or does not say.
    :param parent: the interface that an InfiniBand child belongs to; else empty.
    :param ports: of the RDMA devices that it belongs to.
    """

    name: str
    net_class: int
    state: str
    enabled: bool
    kind: str = ""
    mbps: int = 0
    parent: str = ""
    ports: tuple[RdmaPort, ...] = ()


class Attributes(Protocol):
    """What pyroute2 makes of a netlink message, or of an attribute with attributes inside."""

    def get_attr(self, name: str) -> object:
        """Return the attribute of that name, or None."""

    def get(self, name: str) -> object:
        """Return the field of the message's head of that name, or None."""


class Route(Protocol):
    """What is used of pyroute2's socket."""

    def get_links(self) -> Iterable[Attributes]:
        """Return a message about each interface."""


class Reader:
    """Reads the interfaces, as often as wanted, over one socket."""

    def __init__(self, route: Route, sysfs: str) -> None:
        self._route = route
        self._sysfs = sysfs

    def links(self) -> tuple[Link, ...]:
        """Return every interface of this network namespace, by name.

        :raises Fault: 2334 if the kernel does not tell.
        """
        for _ in range(TRIES):
            try:
                found = [self._link(message) for message in self._route.get_links()]
            except NetlinkDumpInterrupted:
                continue
            except (NetlinkError, OSError) as error:
                raise _unreadable(error) from error
            return tuple(sorted(found, key=lambda link: link.name))
        raise Fault(codes.NETWORK_UNREADABLE, reason=f"interfaces came and went each of {TRIES} times that it was asked")

    def _link(self, message: Attributes) -> Link:
        name = _text(message, "IFLA_IFNAME")
        folder = f"{self._sysfs}/class/net/{name}"
        info = cast("Attributes | None", message.get_attr("IFLA_LINKINFO"))
        return Link(
            name=name,
            net_class=_number(message, "ifi_type"),
            state=_text(message, "IFLA_OPERSTATE").lower(),
            enabled=bool(_number(message, "flags") & IFF_UP),
            kind="" if info is None else _text(info, "IFLA_INFO_KIND"),
            mbps=speed if (speed := attributes.number(f"{folder}/speed")) <= SPEED_LIMIT else 0,
            parent=attributes.text(f"{folder}/parent"),
            ports=tuple(_ports(f"{folder}/device/infiniband")),
        )


@contextmanager
def reader(sysfs: str = SYSFS) -> Iterator[Reader]:
    """Open what is needed to read the interfaces.

    :param sysfs: where sysfs is mounted, for this process's network namespace.
    :raises Fault: 2334 if the kernel gives no netlink socket.
    """
    try:
        route = IPRoute()
    except (NetlinkError, OSError) as error:
        raise _unreadable(error) from error
    with route:
        yield Reader(route, sysfs)


def read(sysfs: str = SYSFS) -> tuple[Link, ...]:
    """Return every interface of this network namespace, by name.

    :raises Fault: 2334 if the kernel does not tell.
    """
    with reader(sysfs) as opened:
        return opened.links()


def _ports(folder: str) -> Iterator[RdmaPort]:
    for device in attributes.entries(folder):
        for port in attributes.entries(f"{folder}/{device}/ports"):
            if port.isascii() and port.isdigit():
                # "4: ACTIVE"
                number = attributes.text(f"{folder}/{device}/ports/{port}/state").partition(":")[0]
                yield RdmaPort(device=device, port=int(port), state=int(number) if number in tuple("12345") else 0)


def _text(message: Attributes, name: str) -> str:
    """Return a text that the kernel sent; empty if it did not."""
    value = message.get_attr(name)
    return value if isinstance(value, str) else ""


def _number(message: Attributes, name: str) -> int:
    value = message.get(name)
    return value if isinstance(value, int) else 0


def _unreadable(error: Exception) -> Fault:
    return Fault(codes.NETWORK_UNREADABLE, reason=str(error) or type(error).__name__)
