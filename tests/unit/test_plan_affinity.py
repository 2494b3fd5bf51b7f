# SPDX-License-Identifier: BSD-2-Clause-Patent
"""On which NUMA node engines run: section by section what the reference does, and what must hold for every configuration."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_server.config.model import EngineConfig, ServerConfig
from daos_server.plan.affinity import affinity

QUICK = settings(derandomize=True, deadline=None)
INTERFACES = {"ib0": 0, "ib1": 1, "eth0": None}


def config(*engines: EngineConfig, fabric_iface: str = "") -> ServerConfig:
    return ServerConfig.model_validate({"engines": engines, "fabric_iface": fabric_iface})


def engine(interface: str = "", *, pin: int | None = None, first_core: int = 0) -> EngineConfig:
    values = {"targets": 8, "fabric_iface": interface, "first_core": first_core}
    return EngineConfig.model_validate(values if pin is None else values | {"pinned_numa_node": pin})


def test_an_engine_is_on_the_node_of_its_interface() -> None:
    found = affinity(config(engine("ib1"), engine("ib0")), INTERFACES)
    assert [(placed.index, placed.node, placed.pin) for placed in found.engines] == [(0, 1, 1), (1, 0, 0)]
    assert found.nodes == (1, 0)
    assert found.arithmetic[0] == "engine 0: NUMA node 1, that of its interface ib1"
    assert found.notices == ()


def test_the_servers_interface_and_the_first_of_several_count() -> None:
    assert affinity(config(engine(), fabric_iface="ib1"), INTERFACES).nodes == (1,)
    assert affinity(config(engine("ib1, ib0")), INTERFACES).nodes == (1,)


def test_a_pin_wins_and_a_mismatch_is_told() -> None:
    found = affinity(config(engine("ib0", pin=1)), INTERFACES)
    assert [(placed.node, placed.pin) for placed in found.engines] == [(1, 1)]
    (notice,) = found.notices
    assert "pinned_numa_node is 1" in notice
    assert "ib0 is on NUMA node 0" in notice
    assert affinity(config(engine("ib0", pin=0)), INTERFACES).notices == ()


def test_a_pinned_engine_needs_no_interface() -> None:
    found = affinity(config(engine("nowhere", pin=1), engine("eth0", pin=0)), INTERFACES)
    assert (found.nodes, found.notices) == ((1, 0), ())


@pytest.mark.parametrize("interface", ["eth0", "ib0"])
def test_a_single_engine_on_node_0_is_not_pinned(interface: str) -> None:
    found = affinity(config(engine(interface)), INTERFACES)
    assert [(placed.node, placed.pin) for placed in found.engines] == [(0, None)]
    assert "the cores of all nodes" in found.arithmetic[0]


def test_a_single_engine_elsewhere_and_two_on_node_0_are_pinned() -> None:
    assert affinity(config(engine("ib1")), INTERFACES).engines[0].pin == 1
    assert [placed.pin for placed in affinity(config(engine("ib0"), engine("eth0")), INTERFACES).engines] == [0, 0]
    assert affinity(config(engine("ib0", pin=0)), INTERFACES).engines[0].pin == 0


def test_an_unknown_interface_means_node_0_and_is_told() -> None:
    found = affinity(config(engine("ib7"), engine()), INTERFACES)
    assert found.nodes == (0, 0)
    assert ["no interface ib7" in found.notices[0], "none is configured" in found.notices[1]] == [True, True]


def test_one_first_core_unpins_all_engines() -> None:
    found = affinity(config(engine("ib1", pin=1), engine("ib1"), engine("ib0", first_core=22)), INTERFACES)
    assert [(placed.node, placed.pin) for placed in found.engines] == [(0, None)] * 3
    assert found.arithmetic == (
        "engine 2 has first_core 22: engines take their cores by number, and their memory is on NUMA node 0",
    )
    assert found.notices == ("engine 0: pinned_numa_node 1 is not used, because engine 2 has first_core 22",)


def test_no_engines() -> None:
    assert affinity(config(), INTERFACES).engines == ()


ENGINES = st.builds(
    engine,
    st.sampled_from(["ib0", "ib1", "eth0", "ib7", "", "ib0,ib1"]),
    pin=st.none() | st.integers(0, 3),
    first_core=st.sampled_from([0, 0, 0, 4]),
)


@QUICK
@given(st.lists(ENGINES, max_size=8))
def test_every_engine_is_placed_once_and_a_pin_is_its_node(engines: list[EngineConfig]) -> None:
    found = affinity(config(*engines), INTERFACES)
    by_core = any(each.first_core for each in engines)
    assert [placed.index for placed in found.engines] == list(range(len(engines)))
    for placed, each in zip(found.engines, engines, strict=True):
        assert placed.pin in (None, placed.node)
        assert (placed.pin is None) == (by_core or (len(engines) == 1 and each.pinned_numa_node is None and placed.node == 0))
        if each.pinned_numa_node is not None and not by_core:
            assert placed.pin == each.pinned_numa_node
    assert len(found.arithmetic) == (1 if by_core else len(engines))
    assert affinity(config(*engines), dict(reversed(INTERFACES.items()))) == found
