# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Reading links without root: RDMA ports from a made-up sysfs, and a kernel that does not tell."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError
from sysfs_tree import Tree

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.network import links
from daos_server.network.interfaces import LOOPBACK
from daos_server.network.links import Attributes, Link, RdmaPort, Reader
from daos_server.network.ready import Changes


def test_ports_speed_and_parent_are_those_of_sysfs(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("class/net/lo/speed", "200000")
    tree.write("class/net/lo/parent", "ib0")
    states = (("mlx5_1", "1", "2: INIT"), ("mlx5_0", "2", "4: ACTIVE"), ("mlx5_0", "1", "9: RUBBISH"), ("mlx5_0", "x", "4"))
    for device, port, state in states:
        tree.write(f"class/net/lo/device/infiniband/{device}/ports/{port}/state", state)
    (found,) = (link for link in links.read(str(tmp_path)) if link.name == "lo")
    assert (found.net_class, found.mbps, found.parent) == (LOOPBACK, 200000, "ib0")
    assert found.ports == (
        RdmaPort(device="mlx5_0", port=1, state=0),
        RdmaPort(device="mlx5_0", port=2, state=4),
        RdmaPort(device="mlx5_1", port=1, state=2),
    )


@pytest.mark.parametrize("speed", ["-1", "4294967295", "fast"])
def test_no_speed_is_none(tmp_path: Path, speed: str) -> None:
    Tree(tmp_path).write("class/net/lo/speed", speed)
    assert [link.mbps for link in links.read(str(tmp_path)) if link.name == "lo"] == [0]


class Answers:
    """A kernel that answers as told."""

    def __init__(self, *answers: Exception | list[Attributes]) -> None:
        self._answers = iter(answers)

    def get_links(self) -> Iterable[Attributes]:
        """Return the next answer."""
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Message:
    """A message without what it should have, or with nonsense."""

    def __init__(self, value: object) -> None:
        self._value = value

    def get_attr(self, name: str) -> object:
        """Return the same for every attribute but the nested one."""
        return None if name == "IFLA_LINKINFO" else self._value

    def get(self, name: str) -> object:
        """Return the same for every field."""
        return self._value


@pytest.mark.parametrize("value", [None, b"x", [], 1.5])
def test_a_message_that_lacks_everything_is_a_link_that_nobody_can_use(tmp_path: Path, value: object) -> None:
    assert Reader(Answers([Message(value)]), str(tmp_path)).links() == (Link(name="", net_class=0, state="", enabled=False),)


def test_a_list_that_changed_while_it_was_made_is_asked_for_again(tmp_path: Path) -> None:
    interrupted = [NetlinkDumpInterrupted() for _ in range(links.TRIES)]
    assert Reader(Answers(*interrupted[:-1], []), str(tmp_path)).links() == ()
    with pytest.raises(Fault, match="came and went") as caught:
        Reader(Answers(*interrupted), str(tmp_path)).links()
    assert caught.value.code == codes.NETWORK_UNREADABLE


@pytest.mark.parametrize("error", [NetlinkError(1, "not permitted"), OSError(1, "not permitted")])
def test_a_kernel_that_refuses_is_a_fault(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(Fault, match="not permitted") as caught:
        Reader(Answers(error), str(tmp_path)).links()
    assert caught.value.code == codes.NETWORK_UNREADABLE


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Let the kernel refuse every new descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_socket_is_a_fault() -> None:
    Fault(codes.UNKNOWN)  # its words are read from a file, once
    with no_more_descriptors(), pytest.raises(Fault, match="Too many open files") as caught:
        Changes()
    assert caught.value.code == codes.NETWORK_UNREADABLE
