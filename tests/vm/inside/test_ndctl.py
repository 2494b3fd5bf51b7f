# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The real ndctl on emulated NVDIMMs: our decoder, our argument vectors, and plans carried out with them, as uid 0 without capabilities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from nvdimms import DEVICES, clear, listing, ndctl
from pmem_facts import BOOT, module
from vmlab.spec import IOMMU

from daos_bindings.ndctl import commands
from daos_pbin.pmem import Region, Remembered
from daos_pbin.pmem_plan import CreateNamespace, Decision, DestroyNamespace, Found, check_prepared, prepare, reset
from daos_pbin.pmem_state import State, assess

pytestmark = pytest.mark.guest("iommu")

def remove(name: str) -> None:
    ndctl(commands.disable(name), name)
    ndctl(commands.destroy(name), name)


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    """Regions with labels and nothing on them, before and after: at boot each holds one namespace and has no labels."""
    clear()
    yield
    clear()


def played(remembered: Remembered | None = None) -> Found:
    """Return the facts with libipmctl's part made from the kernel's: here one NVDIMM is the whole of a socket."""
    there = listing()
    regions = [
        Region(number, one.iset_id, "AppDirect", one.size, one.available_size, "Healthy") for number, one in enumerate(there.regions)
    ]
    modules = tuple(module(socket, number) for socket in range(len(regions)) for number in (0, 1))
    return Found(modules, tuple(regions), (), there.regions, there.namespaces, BOOT, (), remembered or Remembered())


def carry_out(decision: Decision, limit: int | None = None) -> None:
    """Do the steps that are ndctl's, at most so many."""
    assert decision.fault is None
    for step in [one for one in decision.steps if isinstance(one, CreateNamespace | DestroyNamespace)][:limit]:
        if isinstance(step, CreateNamespace):
            ndctl(commands.create(step.region, step.size, uuid4()), step.region.dev)
        else:
            remove(step.dev)


def test_the_listing_is_what_the_kernel_says() -> None:
    found = listing()
    # The kernel numbers regions as it finds them, in another order at every boot.
    assert sorted((one.numa_node, one.size) for one in found.regions) == sorted((one.node, one.size) for one in IOMMU.nvdimms)
    assert found.namespaces == ()
    for one in found.regions:
        folder = DEVICES / one.dev
        assert one.iset_id == int((folder / "set_cookie").read_text(), 0)
        assert one.available_size == int((folder / "available_size").read_text())
        assert one.align == int((folder / "align").read_text(), 0)
        assert (one.type, one.persistence_domain) == ("pmem", (folder / "persistence_domain").read_text().strip())


@pytest.mark.parametrize("count", [1, 2, 4])
def test_prepared_reset_and_prepared_again(count: int) -> None:
    nodes = {int(region.dev.removeprefix("region")): region.numa_node for region in listing().regions}
    for _ in range(2):
        assert assess(played().regions).state is State.FREE_CAPACITY
        carry_out(prepare(played(), count))
        after = played()
        assert check_prepared(after, count) is None
        assert prepare(after, count).steps == ()
        assert len(after.namespaces) == count * len(after.regions)
        for one in after.namespaces:
            assert (one.mode, one.enabled, one.numa_node) == ("fsdax", True, nodes[one.region])
            assert Path("/dev", one.blockdev).is_block_device()
            assert int(Path("/sys/class/block", one.blockdev, "size").read_text()) * 512 == one.size
        carry_out(reset(after))


@pytest.mark.parametrize("done", [1, 2, 3])
def test_filling_goes_on_where_it_ended(done: int) -> None:
    first = prepare(played(), 2)
    carry_out(first, done)
    record = Remembered({}, {0: 2, 1: 2})
    carry_out(prepare(played(record), 2))
    assert check_prepared(played(), 2) is None


def test_one_socket_only() -> None:
    carry_out(prepare(played(), 1, socket=1))
    assert [one.dev for one in listing().namespaces] == [f"namespace1.{listing().namespaces[0].dev.partition('.')[2]}"]
    carry_out(prepare(played()))
    carry_out(reset(played(), 0))
    assert {one.region for one in listing().namespaces} == {1}


def test_a_namespace_that_is_off_is_still_there() -> None:
    carry_out(prepare(played(), 1, socket=0))
    name = listing().namespaces[0].dev
    ndctl(commands.disable(name), name)
    (found,) = listing().namespaces
    assert (found.dev, found.enabled, found.blockdev) == (name, False, "")
    fault = check_prepared(played(), 1, 0)
    assert fault is not None
    assert "switched off" in fault.description


def test_what_ndctl_says_is_in_the_fault() -> None:
    carry_out(prepare(played(), 1, socket=0))
    region = listing().regions[0]
    with pytest.raises(Exception, match=re.escape("No space left on device")):
        ndctl(commands.create(region, 2 << 20, uuid4()), region.dev)
