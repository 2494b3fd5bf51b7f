# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the caller of ``config generate`` wants, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NetClass = Literal["ethernet", "infiniband"]
NET_CLASSES: tuple[NetClass, ...] = ("ethernet", "infiniband")
ANY_PROVIDER = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateOptions:
    """The options of ``config generate``, by their long names.

    :param access_points: hosts of the management service, each ``host`` or ``host:port``.
    :param num_engines: engines wanted; 0 means one for each NUMA node.
    :param scm_only: leave the SSDs out.
    :param net_class: kind of the network interfaces to use.
    :param net_provider: fabric provider, such as ``ofi+tcp``; empty or ``all`` means whichever is best.
    :param use_tmpfs_scm: RAM in place of persistent memory.
    :param control_metadata_path: folder for the control plane's data, which puts the engines' metadata on SSDs; empty means neither.
    :param fabric_ports: first port of each engine on its interface; empty means computed.
    :param skip_prep: accepted: nothing is prepared here anyway.
    :param helper_log_file: accepted: the helper is not used here, so there is nothing to log.
    """

    access_points: tuple[str, ...] = ("localhost",)
    num_engines: int = 0
    scm_only: bool = False
    net_class: NetClass = "infiniband"
    net_provider: str = ""
    use_tmpfs_scm: bool = False
    control_metadata_path: str = ""
    fabric_ports: tuple[int, ...] = ()
    skip_prep: bool = False
    helper_log_file: str = ""
