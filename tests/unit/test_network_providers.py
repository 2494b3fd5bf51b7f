# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Names and priorities of providers, and whether an interface is ready: pure."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from daos_server.network import providers
from daos_server.network.interfaces import ETHERNET, INFINIBAND, LOOPBACK
from daos_server.network.links import Link, RdmaPort
from daos_server.network.states import Readiness, problem, readiness


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("tcp", "ofi+tcp"),
        ("verbs;ofi_rxm", "ofi+verbs;ofi_rxm"),
        ("udp;ofi_rxd", "ofi+udp;ofi+ofi_rxd"),
        (" tcp ; ofi_rxm ", "ofi+tcp;ofi_rxm"),
        ("ofi_rxm", "ofi_rxm"),
        ("", ""),
        ("verbs;", ""),
        (";", ""),
    ],
)
def test_libfabric_names(theirs: str, ours: str) -> None:
    assert providers.from_libfabric(theirs) == ours


@pytest.mark.parametrize(("ours", "theirs"), [("ofi+verbs;ofi_rxm", "verbs;ofi_rxm"), ("tcp", "tcp"), ("", "")])
def test_names_for_libfabric(ours: str, theirs: str) -> None:
    assert providers.to_libfabric(ours) == theirs


@pytest.mark.parametrize(
    ("transport", "offered"),
    [
        ("tcp", {"ucx+tcp": 25}),
        ("rc_mlx5", {"ucx+rc_x": 0, "ucx+rc": 0}),
        ("rc_verbs", {"ucx+rc_v": 0, "ucx+rc": 0}),
        ("ud_mlx5", {"ucx+ud_x": 0, "ucx+ud": 0}),
        ("dc_mlx5", {"ucx+dc_x": 0, "ucx+dc": 0}),
        ("cm_verbs_two", {"ucx+cm_v_two": 0}),
        ("rdmacm", {"ucx+rdmacm": 0}),
        ("self_other", {"ucx+self_other": 0}),
    ],
)
def test_ucx_transports_and_priorities(transport: str, offered: dict[str, int]) -> None:
    assert providers.from_ucx(transport) == {**offered, "ucx+all": 99}


def link(name: str = "x0", net_class: int = ETHERNET, state: str = "up", parent: str = "", ports: tuple[int, ...] = ()) -> Link:
    rdma = tuple(RdmaPort(device="mlx5_0", port=number, state=state) for number, state in enumerate(ports, 1))
    return Link(name=name, net_class=net_class, state=state, enabled=True, parent=parent, ports=rdma)


def of(*links: Link) -> Readiness:
    return readiness(links[0], {each.name: each for each in links})


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("up", Readiness.READY),
        ("down", Readiness.DOWN),
        ("lowerlayerdown", Readiness.DOWN),
        ("notpresent", Readiness.DOWN),
        ("testing", Readiness.WAIT),
        ("dormant", Readiness.WAIT),
        ("unknown", Readiness.UNKNOWN),
        ("", Readiness.UNKNOWN),
        ("rubbish", Readiness.UNKNOWN),
    ],
)
def test_readiness_of_an_ethernet_interface(state: str, expected: Readiness) -> None:
    assert of(link(state=state)) is expected


@pytest.mark.parametrize(
    ("state", "expected"), [("unknown", Readiness.READY), ("up", Readiness.READY), ("down", Readiness.DOWN), ("dormant", Readiness.WAIT)]
)
def test_readiness_of_loopback(state: str, expected: Readiness) -> None:
    assert of(link(state=state, net_class=LOOPBACK)) is expected


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ((4,), Readiness.READY),
        ((1,), Readiness.DOWN),
        ((2,), Readiness.WAIT),
        ((3,), Readiness.WAIT),
        ((0,), Readiness.UNKNOWN),
        ((5,), Readiness.UNKNOWN),
        ((), Readiness.UNKNOWN),
        ((1, 4), Readiness.READY),
        ((4, 2), Readiness.WAIT),
        ((1, 3), Readiness.WAIT),
        ((0, 1), Readiness.DOWN),
        ((0, 4), Readiness.READY),
    ],
)
def test_readiness_of_infiniband_is_that_of_its_ports(ports: tuple[int, ...], expected: Readiness) -> None:
    assert of(link(net_class=INFINIBAND, state="up", ports=ports)) is expected


def test_the_order_of_ports_makes_no_difference() -> None:
    for ports in combinations_with_replacement(range(6), 3):
        found = {of(link(net_class=INFINIBAND, ports=order)) for order in (ports, ports[::-1])}
        assert len(found) == 1


def test_a_child_of_infiniband_goes_by_its_parent() -> None:
    parent = link("ib0", INFINIBAND, ports=(2,))
    assert of(link("ib0.8001", INFINIBAND, parent="ib0"), parent) is Readiness.WAIT
    assert of(link("ib0.8001", INFINIBAND, parent="gone", ports=(4,)), parent) is Readiness.READY
    circle = link("a", INFINIBAND, parent="b", ports=(4,)), link("b", INFINIBAND, parent="a", ports=(4,))
    assert of(*circle) is Readiness.READY


@pytest.mark.parametrize(
    ("of_link", "why", "remedy"),
    [
        (Link(name="x0", net_class=ETHERNET, state="down", enabled=False), "switched off", "ip link set x0 up"),
        (link(state="down"), "no link", "cable"),
        (link(state="notpresent"), "not there", "dmesg"),
        (link(state="lowerlayerdown"), "below it", "ip link show x0"),
        (link(state="unknown"), "state unknown", "ip link show x0"),
        (link(state=""), "state none", "ip link show x0"),
        (link(net_class=INFINIBAND, ports=(1,)), "ports are down", "ibstat"),
    ],
)
def test_every_problem_has_a_remedy(of_link: Link, why: str, remedy: str) -> None:
    found = problem(of_link, {of_link.name: of_link})
    assert why in found[0]
    assert remedy in found[1]
