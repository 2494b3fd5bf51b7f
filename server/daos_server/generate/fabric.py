# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which interfaces the engines may use, and on which ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.generate.options import ANY_PROVIDER, NET_CLASSES
from daos_server.network.interfaces import ETHERNET, INFINIBAND, NET_CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daos_server.generate.nodes import ByProvider
    from daos_server.generate.options import GenerateOptions
    from daos_server.network.interfaces import FabricInterface

FIRST_PORT = 31416
PORT_STEP = 1000
HIGHEST_PORT = 65535
_NUMBERS = {"ethernet": ETHERNET, "infiniband": INFINIBAND}


def usable(found: Sequence[FabricInterface], options: GenerateOptions) -> ByProvider:
    """Return the interfaces of the wanted class and provider: of each provider, best first, the first on each NUMA node.

    :raises Fault: 2343 if the class is not known, 2340 if there is no such interface.
    """
    if options.net_class not in _NUMBERS:
        reason = f"network class {options.net_class!r} is not known"
        raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=reason, remedy=f"use --net-class with {' or '.join(NET_CLASSES)}")
    right_class = [each for each in found if each.net_class == _NUMBERS[options.net_class]]
    wanted = "" if options.net_provider == ANY_PROVIDER else options.net_provider
    chosen = [each for each in right_class if wanted in ("", each.provider)]
    if not right_class:
        raise _wrong_class(found, options)
    if not chosen:
        providers = sorted({each.provider for each in right_class})
        reason = f"provider {wanted!r} has no interface of class {options.net_class}; found: {_interfaces_text(right_class)}"
        raise Fault(
            codes.CONFIG_GENERATE_NO_FABRIC,
            reason=reason,
            remedy=f"leave --net-provider out, or use it with {' or '.join(providers)}",
        )
    by_provider: dict[str, dict[int, FabricInterface]] = {}
    for interface in sorted(chosen, key=lambda each: each.priority):
        by_provider.setdefault(interface.provider, {}).setdefault(interface.numa_node, interface)
    return by_provider


def _wrong_class(found: Sequence[FabricInterface], options: GenerateOptions) -> Fault:
    others = [name for name in NET_CLASSES if any(each.net_class == _NUMBERS[name] for each in found)]
    reason = f"there is no interface of class {options.net_class}; found: {_interfaces_text(found) or 'none but the loopback interface'}"
    remedy = (
        f"use --net-class {others[0]} (-c {others[0]})"
        if others
        else "fit or enable a network card ('ip link' lists what the kernel has, 'daos_server network scan' what DAOS could use)"
    )
    return Fault(codes.CONFIG_GENERATE_NO_FABRIC, reason=reason, remedy=remedy)


def _interfaces_text(found: Sequence[FabricInterface]) -> str:
    providers: dict[str, list[str]] = {}
    for each in found:
        kind = NET_CLASS_NAMES.get(each.net_class, f"class {each.net_class}")
        providers.setdefault(f"{each.device} ({kind}, NUMA node {each.numa_node})", []).append(each.provider)
    return "; ".join(f"{interface} with {', '.join(names)}" for interface, names in providers.items())


def ports(options: GenerateOptions, engines: int) -> tuple[int, ...]:
    """Return the first fabric port of each engine: as given, else 31416, 32416 and so on.

    :raises Fault: 2343 if there are fewer than engines, or one is no port.
    """
    given = options.fabric_ports
    if given and len(given) < engines:
        reason = f"--fabric-ports has {len(given)} ports for {engines} engines"
        raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=reason, remedy=f"give {engines} ports, or none to have them computed")
    found = given[:engines] or tuple(FIRST_PORT + PORT_STEP * index for index in range(engines))
    for port in found:
        if not 1 <= port <= HIGHEST_PORT:
            remedy = f"use --fabric-ports with {engines} ports from 1 to {HIGHEST_PORT}"
            raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=f"{port} is no port number", remedy=remedy)
    return found
