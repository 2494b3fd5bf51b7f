# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Names of fabric providers, between DAOS and the libraries; and their priorities, of which the lower is the better."""

from __future__ import annotations

OFI, UCX = "ofi+", "ucx+"
CXI = "ofi+cxi"
UTILITY = "ofi_rxm"
"""A layer over a provider: the one part of a name that DAOS writes as libfabric does."""
ALL = "all"

UCX_TCP = "ucx+tcp"
UCX_ALL = "ucx+all"
TCP_PRIORITY = 25
"""Of TCP under UCX: behind every transport of an InfiniBand card."""
CATCHALL_PRIORITY = 99
GENERIC = ("rc", "ud", "dc")
"""Transports of UCX that come in variants, of which the plain name chooses one."""


def from_libfabric(name: str) -> str:
    """Return DAOS' name: ``verbs;ofi_rxm`` is ``ofi+verbs;ofi_rxm``.  Empty if a part of it is."""
    parts = [part.strip() for part in name.split(";")]
    if not all(parts):
        return ""
    return ";".join(part if part == UTILITY else f"{OFI}{part}" for part in parts)


def to_libfabric(provider: str) -> str:
    """Return libfabric's name of a provider that has DAOS' or its own."""
    return provider.removeprefix(OFI)


def from_ucx(transport: str) -> dict[str, int]:
    """Return DAOS' names of a transport, each with its priority: ``rc_mlx5`` is ``ucx+rc_x``, ``ucx+rc`` and ``ucx+all``."""
    name = _ucx_name(transport)
    priority = TCP_PRIORITY if name == UCX_TCP else 0
    found = {name: priority}
    base, variant, _ = transport.partition("_")
    if variant and base in GENERIC:
        found[f"{UCX}{base}"] = priority
    return {**found, UCX_ALL: CATCHALL_PRIORITY}


def _ucx_name(transport: str) -> str:
    base, *rest = transport.split("_")
    if rest and rest[0] == "verbs":
        rest[0] = "v"
    elif rest and rest[0].startswith("mlx"):
        rest[0] = "x"
    return UCX + "_".join([base, *rest])
