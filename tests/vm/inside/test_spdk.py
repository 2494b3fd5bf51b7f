# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The real SPDK on controllers that vfio-pci has: the kernel and SPDK say the same, and no more privileges are needed than listed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from spdk_guest import CONTENT, Row, by_kernel, chosen, given, in_worker, read, write

from daos_bindings.spdk import locks, use

pytestmark = [
    pytest.mark.guest("iommu"),
    pytest.mark.skipif(not use.available(), reason="SPDK is not compiled in: PKG_CONFIG_PATH, then 'make build-ext' (docs/spdk.md)"),
]

CAPABILITIES = ("CAP_DAC_OVERRIDE", "CAP_IPC_LOCK")
"""Group nodes belong to the target user; memory for DMA is locked."""




def scan(addresses: Sequence[str]) -> object:
    from daos_bindings.spdk import operations

    return operations.scan(addresses)


def wipe(addresses: Sequence[str]) -> object:
    from daos_bindings.spdk import operations

    return [row.fault for row in operations.wipe(addresses)]


def test_spdk_says_what_the_kernel_says() -> None:
    functions = chosen()
    before = by_kernel(functions)
    with given(functions, "vfio-pci"):
        found = in_worker(lambda: scan([row.address for row in before]), *CAPABILITIES)
        assert msgspec.msgpack.decode(found, type=list[Row]) == before
        # What a dead engine leaves behind does not stop the next one.
        stale = Path(locks.FOLDER) / f"spdk_pci_lock_{before[0].address}"
        stale.write_text("1234")
        os.chown(stale, 4243, 4243)
        found = in_worker(lambda: scan([before[0].address]), *CAPABILITIES)
        assert msgspec.msgpack.decode(found, type=list[Row]) == before[:1]
        assert not [name for name in os.listdir(locks.FOLDER) if name.startswith("spdk_pci_lock")]
        # Without the one capability, nothing works, and nothing crashes: the group's node is the target user's.
        assert "could not take over" in str(msgspec.msgpack.decode(in_worker(lambda: refused([before[0].address]), "CAP_IPC_LOCK")))
    assert by_kernel(functions)[0].record is not None


def refused(addresses: Sequence[str]) -> str:
    from daos_pbin.faults import Fault

    try:
        return f"not refused: {scan(addresses)}"
    except Fault as fault:
        return str(fault)


def test_a_wipe_takes_the_first_4_kib_of_the_named_and_no_more() -> None:
    first, second = chosen()
    with given([first, second], "vfio-pci"):
        found = in_worker(lambda: wipe([str(first.address)]), *CAPABILITIES)
        assert msgspec.msgpack.decode(found) == [None]
    assert read(first) == [bytes(4096) + CONTENT[4096:]] * 2
    assert read(second) == [CONTENT] * 2
    for function in (first, second):
        write(function, bytes(len(CONTENT)))
