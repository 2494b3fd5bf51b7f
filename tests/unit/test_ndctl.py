# SPDX-License-Identifier: BSD-2-Clause-Patent
"""ndctl's JSON, as it was printed by version 76 in a guest, with all its oddities; and its argument vectors."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_bindings.ndctl import commands
from daos_bindings.ndctl.listing import LIMIT, Listing, decode
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import KernelRegion, Namespace

pytestmark = pytest.mark.unit

SEED = (
    '{"dev":"namespace0.2","mode":"raw","size":0,"uuid":"00000000-0000-0000-0000-000000000000","sector_size":512,"state":"disabled",'
    '"numa_node":0,"target_node":0}'
)
FSDAX = (
    '{"dev":"namespace0.1","mode":"fsdax","map":"dev","size":65011712,"uuid":"d35ac32b-16c9-411d-871c-7ab10877f037",'
    '"raw_uuid":"95f39723-ac4c-4807-8815-c4f09426f7ae","sector_size":512,"align":2097152,"blockdev":"pmem0.1","numa_node":0,"target_node":0}'
)
OFF = (
    '{"dev":"namespace0.0","mode":"raw","size":67108864,"uuid":"3c64e40d-2f40-447d-9e46-b84fd3e279c7","sector_size":512,'
    '"state":"disabled","numa_node":0,"target_node":0}'
)
REGION0 = (
    '{"dev":"region0","size":134217728,"align":16777216,"available_size":0,"max_available_extent":0,"type":"pmem","numa_node":0,'
    f'"target_node":0,"iset_id":10248187106440278,"persistence_domain":"memory_controller","namespaces":[{SEED},{FSDAX},{OFF}]}}'
)
REGION1 = (
    '{"dev":"region1","size":134217728,"align":16777216,"available_size":134217728,"max_available_extent":134217728,"type":"pmem",'
    '"numa_node":1,"target_node":1,"persistence_domain":"memory_controller"}'
)
BOTH = Listing(
    (
        KernelRegion("region0", 134217728, 0, 16777216, 10248187106440278, 0, "pmem", "memory_controller"),
        KernelRegion("region1", 134217728, 134217728, 16777216, 0, 1, "pmem", "memory_controller"),
    ),
    (
        Namespace("namespace0.0", 67108864, "raw", "3c64e40d-2f40-447d-9e46-b84fd3e279c7", "", 0, enabled=False),
        Namespace(
            "namespace0.1",
            65011712,
            "fsdax",
            "d35ac32b-16c9-411d-871c-7ab10877f037",
            "pmem0.1",
            0,
            raw_uuid="95f39723-ac4c-4807-8815-c4f09426f7ae",
        ),
    ),
)
LABEL = UUID("95f39723-ac4c-4807-8815-c4f09426f7ae")


@pytest.mark.parametrize(
    "text",
    [
        f'{{"regions":[{REGION1},{REGION0}]}}',
        f"[{REGION1},{REGION0}]",
        f'[{{"provider":"ACPI.NFIT","dev":"ndbus0","regions":[{REGION1},{REGION0}]}}]',
        f'[{{"provider":"a","dev":"ndbus0","regions":[{REGION1}]}},{{"provider":"b","dev":"ndbus1","regions":[{REGION0}]}}]',
    ],
    ids=["an object", "an array", "one bus", "two buses"],
)
def test_regions_and_their_namespaces(text: str) -> None:
    assert decode(text.encode()) == BOTH


def test_one_region_is_an_object() -> None:
    assert [one.dev for one in decode(REGION1.encode()).regions] == ["region1"]


@pytest.mark.parametrize("text", ["", "\n", "[\n]\n", '{"regions":[]}'])
def test_a_machine_without_any(text: str) -> None:
    assert decode(text.encode()) == Listing()


@pytest.mark.parametrize(("printed", "meant"), [(-5, 2**64 - 5), (-(2**63), 2**63), (2**63 - 1, 2**63 - 1)])
def test_an_interleave_set_that_overflows_is_what_it_was(printed: int, meant: int) -> None:
    text = REGION1.replace('"persistence_domain"', f'"iset_id":{printed},"persistence_domain"')
    assert decode(text.encode()).regions[0].iset_id == meant


def with_(text: str, **values: object) -> str:
    return json.dumps({**json.loads(text), **values})


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "null",
        "7",
        '"region0"',
        "{}",
        '[{"provider":"x"}]',
        REGION0 + REGION0,
        "[" * 100_000,
        with_(REGION1, dev="region../x"),
        with_(REGION1, dev=7),
        with_(REGION1, size=-1),
        with_(REGION1, size="134217728"),
        with_(REGION1, size=1.5),
        with_(REGION1, available_size=134217729),
        with_(REGION1, iset_id=2**64),
        with_(REGION1, iset_id=-(2**63) - 1),
        with_(REGION1, type="x" * 65),
        with_(REGION1, numa_node=4096),
        f"[{REGION0},{REGION0}]",
        f"[{with_(REGION0, dev='region7')}]",
        with_(REGION0, namespaces=[json.loads(FSDAX), json.loads(FSDAX)]),
        with_(REGION0, namespaces=[json.loads(with_(FSDAX, blockdev="../sda"))]),
        with_(REGION0, namespaces=[json.loads(with_(FSDAX, blockdev="sda"))]),
        with_(REGION0, namespaces=[json.loads(with_(FSDAX, dev="namespace0.1; rm"))]),
        with_(REGION0, namespaces=[json.loads(with_(FSDAX, dev="x"))]),
        with_(REGION0, namespaces=[json.loads(with_(FSDAX, uuid="\x1b[2J"))]),
        " " * (LIMIT + 1),
    ],
)
def test_what_cannot_be_true_is_one_fault(text: str) -> None:
    with pytest.raises(Fault) as caught:
        decode(text.encode())
    assert caught.value.code == codes.SCM_DATA_MALFORMED
    assert str(caught.value).isprintable()


TOKENS = st.sampled_from(
    [b"{", b"}", b"[", b"]", b":", b",", b'"regions"', b'"dev"', b'"region0"', b'"size"', b"-1", b"1e9", b"null", b"\xff"]
)


@settings(max_examples=60)
@given(st.lists(TOKENS, max_size=14).map(b"".join))
def test_whatever_comes_is_a_listing_or_the_fault(data: bytes) -> None:
    try:
        made: object = decode(data)
    except Fault as fault:
        made = fault.code
    assert isinstance(made, Listing) or made == codes.SCM_DATA_MALFORMED


def test_argument_vectors() -> None:
    assert commands.LIST == ("/usr/bin/ndctl", "list", "-R", "-N", "-i", "-v")
    region = BOTH.regions[1]
    words = ("create-namespace", "--region", "region1", "--size", "67108864", "--uuid", str(LABEL))
    assert commands.create(region, 67108864, LABEL) == ("/usr/bin/ndctl", *words)
    assert commands.disable("namespace0.1") == ("/usr/bin/ndctl", "disable-namespace", "namespace0.1")
    assert commands.destroy("namespace0.1") == ("/usr/bin/ndctl", "destroy-namespace", "namespace0.1")


@pytest.mark.parametrize("size", [0, -2097152, 2097151, 2097153])
def test_a_size_that_is_not_aligned_never_reaches_ndctl(size: int) -> None:
    with pytest.raises(ValueError, match="2097152"):
        commands.create(BOTH.regions[1], size, LABEL)


@pytest.mark.parametrize("name", ["all", "-f", "namespace0.0\n", "namespace0", "", "namespace0.0 namespace1.0"])
def test_only_one_namespace_is_ever_named(name: str) -> None:
    for command in (commands.disable, commands.destroy):
        with pytest.raises(ValueError, match="not the name"):
            command(name)


@pytest.mark.parametrize(("status", "words"), [(237, "ended with status 237"), (-9, "was ended by signal 9")])
def test_a_failure_is_told_with_what_it_printed(status: int, words: str) -> None:
    command = commands.create(BOTH.regions[1], 2097152, LABEL)
    commands.check(command, "region1", 0, "disabled 1 namespace\n")
    with pytest.raises(Fault, match=words) as caught:
        commands.check(command, "region1", status, "  Error: x\x1b\n\nfailed to create namespace: No space left on device\n")
    assert caught.value.code == codes.SCM_NDCTL_FAILED
    assert caught.value.cause == "  Error: x\\x1b; failed to create namespace: No space left on device"


def test_a_machine_without_ndctl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "NDCTL", "/usr/bin/no-such-ndctl")
    with pytest.raises(Fault) as caught:
        commands.require()
    assert caught.value.code == codes.MISSING_SOFTWARE_DEPENDENCY
