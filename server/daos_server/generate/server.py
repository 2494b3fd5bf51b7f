# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The keys at the top of the file that come from options: access points and the port of the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from daos_server.generate.options import GenerateOptions

CONTROL_PORT = 10001
"""What ``port`` is without being set."""


def control_port(options: GenerateOptions) -> int:
    """Return the port of the control plane: that of the access points, which is 10001 for one that names none.

    What is no port number is left to the rules of the configuration, which name the entry.

    :raises Fault: 2343 if the access points have different ports.
    """
    found = {point: _port(point) for point in options.access_points}
    numbers = sorted(set(found.values()))
    if len(numbers) > 1:
        reason = f"the access points have different ports: {', '.join(map(str, numbers))} (without one it is {CONTROL_PORT})"
        remedy = "give all of --access-points the same port: a DAOS system has one for all its servers"
        raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=reason, remedy=remedy)
    return numbers[0] if numbers else CONTROL_PORT


def _port(point: str) -> int:
    """Return the port of ``host``, ``host:port`` or ``[IPv6]:port``."""
    given = point.rpartition("]")[2].partition(":")[2]
    return int(given) if given.isascii() and given.isdigit() and len(given) <= len("65535") else CONTROL_PORT


def check_texts(options: GenerateOptions) -> None:
    """Refuse texts that no configuration can hold.

    :raises Fault: 2343.
    """
    texts = {
        "--access-points": options.access_points,
        "--net-provider": (options.net_provider,),
        "--control-metadata-path": (options.control_metadata_path,),
    }
    for option, values in texts.items():
        for value in values:
            if not value.isprintable():
                reason = f"{option} has a character that cannot be printed"
                remedy = f"write {option} in plain letters"
                raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=reason, remedy=remedy)
    path = options.control_metadata_path
    if path and not path.startswith("/"):
        reason = f"--control-metadata-path {path} is not an absolute path"
        raise Fault(codes.CONFIG_GENERATE_OPTIONS_WRONG, reason=reason, remedy="write it from the root, such as /var/lib/daos")
