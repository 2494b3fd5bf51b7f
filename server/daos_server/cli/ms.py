# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``ms ...``: as far as it goes without a management service: whether this host is one that would have a replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli.output import escape, note

if TYPE_CHECKING:
    from daos_server.cli.options import Invocation

VERBS = {"status": "show the state of", "recover": "recover", "restore": "restore"}
MEANWHILE = "there is no replica of ours to work on; one that the existing control plane made is left to its own daos_server"
IGNORE_CONFIG_UNUSED = "NOTICE: --ignore-config has no effect here: the configuration says which hosts have replicas"


def replica(invocation: Invocation, command: str, *, ignore_config: bool) -> None:
    """Check configuration and host for one of the ``ms`` commands, and end with the fault that says what is not done.

    :raises Fault: those of loading a configuration; 705 if an access point does not resolve; 2362 if this host is none of them;
        otherwise 2361.
    """
    from daos_server.cli.storage import config_path
    from daos_server.config.load import load
    from daos_server.start import addresses

    if ignore_config:
        note(IGNORE_CONFIG_UNUSED)
    loaded = load(config_path(invocation))
    for notice in loaded.notices:
        note(f"NOTICE: {escape(notice)}")
    points = addresses.of_access_points(loaded.config)
    if not addresses.is_any(points.values(), addresses.of_interfaces()):
        shown = (f"{name} ({', '.join(sorted(map(str, found)))})" for name, found in points.items())
        raise Fault(codes.SERVER_NOT_REPLICA, object=loaded.path, points=", ".join(shown))
    raise Fault(codes.SERVER_COMMAND_NOT_BUILT, what=f"{VERBS[command]} the management service", instead=MEANWHILE)
