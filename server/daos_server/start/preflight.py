# SPDX-License-Identifier: BSD-2-Clause-Patent
"""All that a start does before it would change the machine, in the order of the reference.

No other service; provider, access points and folders; fabric interfaces ready; fabric scan; what is
derived from hardware; fault domain; one class of networks.  Nothing here changes anything.  What is wrong
does not keep the rest from being looked at: an administrator repairs all of it at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.fault_domain import fault_domain
from daos_server.network.interfaces import NET_CLASS_NAMES
from daos_server.plan.host import derive
from daos_server.start import addresses, alone
from daos_server.storage.host_facts import read_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daos_server.config.load import LoadedConfig
    from daos_server.config.model import ServerConfig
    from daos_server.network.interfaces import FabricScan
    from daos_server.plan.host import Derived

READY_DEADLINE_S = 120
"""How long interfaces may take to come up after a boot."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a start would go on with.

    :param derived: hugepages, RAM disks, NUMA nodes, access to SSDs.
    :param faults: all that is in the way of a start, of what is derived as well.
    """

    loaded: LoadedConfig
    derived: Derived
    faults: tuple[Fault, ...]


def check(loaded: LoadedConfig, say: Callable[[str], None], *, folder: str) -> Ready:
    """Check everything that a start needs, on behalf of this process's user.

    :param loaded: the configuration, options already in it.
    :param say: told of each thing that was found right, before the next one is looked at.
    :param folder: the folder that a fault domain callback must lie below: the installation's, as for ``config check --host``.
    :raises Fault: 2360 beside a service.
    """
    config = loaded.config
    say(f"configuration: {loaded.path}, {len(config.engines)} engine(s)")
    alone.refuse_if_running()
    faults = list(settings_faults(config, loaded.path))
    faults += _faults_of(lambda: _say_access_points(config, say))
    # Beside something that is wrong already, nobody waits for what may be right in a minute.
    faults += interface_faults(config, loaded.path, say, deadline_s=0 if faults else READY_DEADLINE_S)
    if config.provider:
        faults += _faults_of(lambda: check_net_class(config, scan_fabric(config, say)))
    derived = derive(config, read_host())
    faults += _faults_of(lambda: say(f"fault domain: {fault_domain(config, folder=folder)}"))
    return Ready(loaded=loaded, derived=derived, faults=(*faults, *derived.faults))


def _faults_of(look: Callable[[], None]) -> list[Fault]:
    try:
        look()
    except Fault as fault:
        return [fault]
    return []


def _say_access_points(config: ServerConfig, say: Callable[[str], None]) -> None:
    points = addresses.of_access_points(config)
    say(f"access points: {', '.join(f'{name} ({_listed(found)})' for name, found in points.items())}")


def settings_faults(config: ServerConfig, path: str) -> Iterator[Fault]:
    """Yield what is wrong of all that a configuration may lack as long as nothing is started.

    Fault 707 without a provider; 2364 if the socket folder is missing, or, without engines, the place of the control metadata.
    """
    if not config.provider:
        yield Fault(codes.SERVER_CONFIG_BAD_PROVIDER, object=path)
    if not config.engines and not config.control_metadata.path:
        reason = "without engines, there is no place for the data of the management service"
        yield _impossible(path, reason, "set 'control_metadata: path:'")
    if not os.path.isdir(config.socket_dir):
        reason = f"the folder of the sockets, {config.socket_dir}, does not exist"
        yield _impossible(path, reason, f"make it ('install -d -o daos_server -g daos_server {config.socket_dir}') or set 'socket_dir'")


def interfaces_of(config: ServerConfig) -> tuple[str, ...]:
    """Return the fabric interfaces of all engines, in their order, each once."""
    names = (name for index in range(len(config.engines)) for name in config.fabric(index).interfaces)
    return tuple(dict.fromkeys(name for name in names if name))


def interface_faults(config: ServerConfig, path: str, say: Callable[[str], None], *, deadline_s: float) -> list[Fault]:
    """Wait until every fabric interface is up, see that it has an address, and return what is wrong.

    Faults from the wait for one that is down or does not come up; 2364 for each without an address.

    :param deadline_s: seconds to wait for those that may come up by themselves.
    """
    from daos_server.network.ready import wait_ready

    names = interfaces_of(config)
    if not names:
        return []
    faults = _faults_of(lambda: wait_ready(names, deadline_s))
    have = addresses.of_interfaces()
    for name in names:
        if name in _network_interfaces() and not have.get(name):
            reason = f"the fabric interface {name} has no network address"
            remedy = f"give it one ('ip address add ADDRESS/BITS dev {name}', or by the host's network settings)"
            faults.append(_impossible(path, reason, remedy))
    if not faults:
        say(f"fabric interfaces: {', '.join(f'{name} ({_listed(have.get(name, frozenset()))})' for name in names)}, ready")
    return faults


def scan_fabric(config: ServerConfig, say: Callable[[str], None]) -> FabricScan:
    """Look at the fabric with the providers of the configuration.

    :raises Fault: from the scan.
    """
    from daos_server.network.scan import scan

    found = scan(config.provider)
    for text in found.notes:
        say(f"fabric: {text}")
    offered = dict.fromkeys(f"{each.device} ({each.provider})" for each in found.interfaces)
    say(f"fabric: {', '.join(offered) or 'no interface found'}; {found.numa_count} NUMA node(s)")
    return found


def check_net_class(config: ServerConfig, scan: FabricScan) -> None:
    """See that the interfaces of all engines are of one class.

    :raises Fault: 613 for the first engine whose interface is of another class than that of engine 0.
    """
    classes = {each.device: each.net_class for each in scan.interfaces}
    names = [config.fabric(index).interfaces[0] for index in range(len(config.engines))]
    known = [(index, name, classes[name]) for index, name in enumerate(names) if name in classes]
    for index, name, net_class in known:
        primary = known[0][2]
        if net_class != primary:
            values = {"net_class": _class_name(net_class), "primary_class": _class_name(primary)}
            raise Fault(codes.SERVER_CONFIG_INVALID_NET_DEV_CLASS, idx=index, iface=name, **values)


def _class_name(net_class: int) -> str:
    return NET_CLASS_NAMES.get(net_class, str(net_class))


def _network_interfaces() -> list[str]:
    """Return those that can have an address; a fabric device of another kind has its own ways."""
    return os.listdir("/sys/class/net")


def _impossible(path: str, reason: str, remedy: str) -> Fault:
    return Fault(codes.SERVER_START_IMPOSSIBLE, path=path, reason=reason, remedy=remedy)


def _listed(found: frozenset[addresses.Address]) -> str:
    return ", ".join(sorted(map(str, found))) or "no address"
