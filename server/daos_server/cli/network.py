# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The commands that show hardware: network scan, dump-topology.  Neither needs root, the helper or a configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_server.cli.output import emit, envelope, escape, note, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daos_server.cli.options import Invocation
    from daos_server.network.interfaces import FabricInterface, FabricScan
    from daos_server.network.links import Link

HOST = "localhost"
STDOUT = "stdout"
INDENT = "    "
UNKNOWN = "-"


def scan(invocation: Invocation, provider: str) -> None:
    """Print the fabric interfaces of this host.

    :param provider: those whose name begins so; ``all`` for every one; empty for the configured one, or all if none is.
    :raises Fault: 2333 if there is none, 2332 or 2334 if they cannot be listed; what loading raises for a file given with ``-o``.
    """
    from daos_server.network import links
    from daos_server.network.scan import scan as scan_fabric

    found = scan_fabric(provider or _configured_provider(invocation))
    for text in found.notes:
        note(f"NOTICE: {escape(text)}")
    if invocation.json:
        emit(envelope({str(_key(found)): {"HostFabric": _as_json(found), "HostSet": HOST}}))
    else:
        emit(_as_text(found.interfaces, links.read()))


def dump_topology(invocation: Invocation, output: str) -> None:
    """Print what hardware is on which NUMA node, or write it to a file.

    :param output: path of the file; ``stdout`` or empty for standard output.
    :raises Fault: 2335 if the file cannot be written.
    """
    from daos_server.cli.inform import CONFIG_UNUSED
    from daos_server.hardware import show, sysfs

    if invocation.config:
        note(CONFIG_UNUSED)
    topology = sysfs.read()
    text = envelope(show.as_json(topology)) if invocation.json else show.text(topology)
    to_file = output not in ("", STDOUT)
    if to_file:
        _write(output, text)
    if invocation.json or not to_file:
        emit(text)


def _configured_provider(invocation: Invocation) -> str:
    """Return the first provider of the configuration; empty if there is none, or none that can be loaded.

    :raises Fault: what loading raises, if the file was named on the command line.
    """
    from daos_pbin.faults import Fault
    from daos_server.cli.storage import config_path
    from daos_server.config.load import load

    path = config_path(invocation)
    try:
        configured = load(path).config.provider
    except Fault as fault:
        if invocation.config:
            raise
        if os.path.lexists(path):
            note(f"NOTICE: every provider is listed, as the configuration does not load: {escape(fault)}")
        return ""
    provider = configured.partition(",")[0].strip()
    if provider:
        note(f"NOTICE: only providers like {escape(provider)} of {escape(path)} are listed; '--provider all' lists every one")
    return provider


def _as_json(found: FabricScan) -> dict[str, object]:
    return {
        "Interfaces": [
            {
                "Provider": each.provider,
                "Device": each.device,
                "NumaNode": each.numa_node,
                "Priority": each.priority,
                "NetDevClass": each.net_class,
            }
            for each in found.interfaces
        ],
        "Providers": sorted({each.provider for each in found.interfaces}),
        "NumaCount": found.numa_count,
        "CoresPerNuma": found.cores_per_numa,
    }


def _key(found: FabricScan) -> int:
    """Return a number of 64 bits that two hosts share if they have the same interfaces."""
    from hashlib import blake2b
    from json import dumps

    return int.from_bytes(blake2b(dumps(_as_json(found)).encode(), digest_size=8).digest())


def _as_text(interfaces: Sequence[FabricInterface], links: Iterable[Link]) -> str:
    """Return the host's banner; for each NUMA node the interfaces by provider; and what is known of each interface."""
    parts = [_banner(HOST), ""]
    for node in sorted({each.numa_node for each in interfaces}):
        by_provider: dict[str, list[str]] = {}
        for each in interfaces:
            if each.numa_node == node:
                by_provider.setdefault(each.provider, []).append(each.device)
        rows = [(provider, ", ".join(devices)) for provider, devices in by_provider.items()]
        parts += [_indented(_banner(f"NUMA Socket {node}"), 1), "", _indented(table(("Provider", "Interfaces"), rows), 2), ""]
    by_name = {link.name: link for link in links}
    named = dict.fromkeys(each.device for each in interfaces)
    shown = [_link_row(by_name[name]) for name in named if name in by_name]
    parts.append(_indented(table(("Interface", "Class", "State", "Speed", "RDMA"), shown), 1))
    return "\n".join(parts) + "\n"


def _link_row(link: Link) -> tuple[str, ...]:
    from daos_server.network.interfaces import NET_CLASS_NAMES

    rdma = ", ".join(f"{port.device}:{port.port}" for port in link.ports)
    return (link.name, NET_CLASS_NAMES.get(link.net_class, str(link.net_class)), link.state or UNKNOWN, _speed(link.mbps), rdma or UNKNOWN)


def _speed(mbps: int) -> str:
    if not mbps:
        return UNKNOWN
    return f"{mbps / 1000:g} Gbit/s" if mbps >= 1000 else f"{mbps} Mbit/s"


def _banner(title: str) -> str:
    line = "-" * len(title)
    return f"{line}\n{title}\n{line}"


def _indented(text: str, levels: int) -> str:
    return "\n".join(f"{INDENT * levels}{line}" for line in text.removesuffix("\n").split("\n"))


def _write(path: str, text: str) -> None:
    from daos_pbin import codes
    from daos_pbin.faults import Fault

    # Root may be asked to write into a folder of others: no link is followed, and no FIFO waited for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        with open(os.open(path, flags, 0o666), "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if os.path.islink(path):
            cause = "it is a symbolic link"
        raise Fault(codes.SERVER_OUTPUT_UNWRITABLE, object=escape(path), path=escape(path), cause=cause) from error
