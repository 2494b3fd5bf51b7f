# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Roles of SSD tiers as the generator gives them; what it gives passes the rules of the configuration."""

from __future__ import annotations

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.model import ServerConfig
from daos_server.config.rules import problems_of
from daos_server.plan.roles import assign

ALL = ("data", "meta", "wal")


@pytest.mark.parametrize(
    ("tiers", "roles"),
    [(1, (ALL,)), (2, (("wal",), ("data", "meta"))), (3, (("wal",), ("meta",), ("data",)))],
)
def test_roles_by_number_of_tiers(tiers: int, roles: tuple[tuple[str, ...], ...]) -> None:
    found = assign("ram", [()] * tiers)
    assert found.tiers == roles
    (line,) = found.arithmetic
    assert line.startswith(f"{tiers} tier")
    assert all(role in line for role in ALL)


def test_roles_that_are_there_are_kept() -> None:
    assert assign("ram", [("wal",), ("meta", "data")]).tiers == (("wal",), ("data", "meta"))


@pytest.mark.parametrize("scm_class", ["ram", "dcpm"])
def test_without_ssds_there_is_nothing_to_do(scm_class: str) -> None:
    assert assign(scm_class, []).tiers == ()


@pytest.mark.parametrize(
    ("scm_class", "given", "code"),
    [
        ("dcpm", [()], codes.BDEV_CONFIG_ROLES_WITH_DCPM),
        ("ram", [("wal",), ()], codes.BDEV_CONFIG_ROLES_MISSING),
        ("ram", [()] * 4, codes.BDEV_CONFIG_BAD_NR_TIERS_WITH_ROLES),
    ],
)
def test_what_cannot_have_roles(scm_class: str, given: list[tuple[str, ...]], code: int) -> None:
    with pytest.raises(Fault) as caught:
        assign(scm_class, given)
    assert caught.value.code == code


@pytest.mark.parametrize("tiers", [1, 2, 3])
def test_given_roles_pass_the_rules(tiers: int) -> None:
    roles = assign("ram", [()] * tiers).tiers
    scm = {"class": "ram", "scm_mount": "/mnt/daos"}
    bdevs = [{"class": "nvme", "bdev_list": [f"0000:8{tier}:00.0"], "bdev_roles": roles[tier]} for tier in range(tiers)]
    engine = {"targets": 4, "fabric_iface": "ib0", "fabric_iface_port": 31416, "storage": [scm, *bdevs]}
    config = ServerConfig.model_validate({"provider": "ofi+tcp", "engines": [engine], "control_metadata": {"path": "/var/daos"}})
    assert [problem.text("file") for problem in problems_of(config)] == []
