# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What each tier of SSDs keeps when metadata is on SSD: the roles wal, meta and data, for who generates a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

BY_TIERS = {
    1: (("data", "meta", "wal"),),
    2: (("wal",), ("data", "meta")),
    3: (("wal",), ("meta",), ("data",)),
}
"""Number of bdev tiers: the roles of each, sorted, in the order of the tiers."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The roles of each bdev tier of an engine, in the order of the tiers; none without bdev tiers."""

    tiers: tuple[tuple[str, ...], ...]
    arithmetic: tuple[str, ...]


def assign(scm_class: str, given: Sequence[Sequence[str]]) -> Roles:
    """Give roles to the bdev tiers of an engine whose metadata is on SSD; those that have them already keep them.

    :param scm_class: ``ram`` or ``dcpm``.
    :param given: the roles that each tier of real SSDs has now, in the order of the tiers; empty for none.
    :raises Fault: 312 with SCM of class dcpm, 314 if some tiers have roles and others have not, 316 with more than three tiers.
    """
    if not given:
        return Roles(tiers=(), arithmetic=("no tier of SSDs: there are no roles to give",))
    if scm_class == "dcpm":
        raise Fault(codes.BDEV_CONFIG_ROLES_WITH_DCPM, cause="metadata is on SSD, and persistent memory needs none there")
    if all(given):
        return Roles(tiers=tuple(tuple(sorted(roles)) for roles in given), arithmetic=("every tier of SSDs has its roles already",))
    if any(given):
        raise Fault(codes.BDEV_CONFIG_ROLES_MISSING)
    if len(given) not in BY_TIERS:
        raise Fault(codes.BDEV_CONFIG_BAD_NR_TIERS_WITH_ROLES, cause=f"it has {len(given)}")
    tiers = BY_TIERS[len(given)]
    shares = "; ".join(f"{' and '.join(roles)} on the {place}" for place, roles in zip(("first", "second", "third"), tiers, strict=False))
    return Roles(tiers=tiers, arithmetic=(f"{len(given)} tier(s) of SSDs: {shares}",))
