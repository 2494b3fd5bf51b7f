# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The options of ``start`` as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StartOptions:
    """What ``start`` was given; all but the last three go before the configuration.

    :param port: of the control plane; 0 means not given.
    :param storage: SCM mount point of engine 0; empty means not given, and so on.
    :param targets: of every engine; 0 means not given.
    :param helpers: helper threads of every engine; None means not given, since none is a number that can be wanted.
    :param first_core: of every engine; 0 means not given.
    :param group: name of the DAOS system.
    """

    port: int = 0
    storage: str = ""
    modules: str = ""
    targets: int = 0
    helpers: int | None = None
    first_core: int = 0
    group: str = ""
    socket_dir: str = ""
    insecure: bool = False
    recreate_superblocks: bool = False
    auto_format: bool = False
    ignore_config: bool = False
