# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The real SPDK on controllers that uio_pci_generic has, where there is no IOMMU: it reads page tables, and so needs CAP_SYS_ADMIN."""

from __future__ import annotations

import msgspec
import pytest
from spdk_guest import CONTENT, Row, by_kernel, chosen, given, in_worker, read, write

from daos_bindings.spdk import use

pytestmark = [
    pytest.mark.guest("uio"),
    pytest.mark.skipif(not use.available(), reason="SPDK is not compiled in: PKG_CONFIG_PATH, then 'make build-ext' (docs/spdk.md)"),
]

CAPABILITIES = ("CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN")


def test_scan_and_wipe_without_an_iommu() -> None:
    functions = chosen()
    before = by_kernel(functions)
    addresses = [row.address for row in before]

    def scan() -> object:
        from daos_bindings.spdk import operations

        return operations.scan(addresses)

    def wipe() -> object:
        from daos_bindings.spdk import operations

        return [row.fault for row in operations.wipe(addresses)]

    with given(functions, "uio_pci_generic"):
        assert msgspec.msgpack.decode(in_worker(scan, *CAPABILITIES), type=list[Row]) == before
        assert msgspec.msgpack.decode(in_worker(wipe, *CAPABILITIES)) == [None, None]
        unseen = msgspec.msgpack.decode(in_worker(scan, "CAP_DAC_OVERRIDE"), type=list[dict[str, object]])
        assert [row["record"] for row in unseen] == [None, None]
    for function in functions:
        assert read(function) == [bytes(4096) + CONTENT[4096:]] * 2
        write(function, bytes(len(CONTENT)))
