# SPDX-License-Identifier: BSD-2-Clause-Patent
"""For tests of SPDK inside a guest: controllers given to a userspace driver, hugepages, and workers with few privileges."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
from vmlab.waiting import until

from daos_bindings.linux import hugepages, pci, privileges
from daos_bindings.linux.pci import PciFunction
from daos_bindings.nvme import admin, kernel
from daos_pbin.nvme import ControllerRecord

PCI = Path("/sys/bus/pci")
PAGE_KIB = 2048
PAGES = 64
CONTENT = b"\xa5" * 16384
TARGET_USER = 4243
"""Whoever the group nodes and the hugepages belong to: nobody that a worker is."""


class Row(msgspec.Struct, frozen=True):
    """What a controller says, whichever way it is asked."""

    address: str
    numa_node: int
    record: ControllerRecord | None


def chosen() -> list[PciFunction]:
    """Return the first two controllers of the guest, which are on different nodes if there are two."""
    found = pci.scan().controllers
    return [next(one for one in found if one.numa_node == node) for node in (0, 1)]


def by_kernel(functions: list[PciFunction]) -> list[Row]:
    """Read controllers by way of the kernel."""
    rows = []
    for function in functions:
        assert function.controller is not None
        with admin.opened(function.controller) as handle:
            rows.append(Row(str(function.address), function.numa_node, kernel.decode(kernel.fetch(handle))))
    return rows


def give(function: PciFunction, driver: str) -> None:
    """Give a controller to a driver."""
    folder = PCI / "devices" / function.kernel
    (folder / "driver" / "unbind").write_text(function.kernel)
    (folder / "driver_override").write_text(driver)
    (PCI / "drivers_probe").write_text(function.kernel)
    (folder / "driver_override").write_text("\n")
    assert (folder / "driver").resolve().name == driver


def is_whole(function: PciFunction) -> bool:
    """Return whether the kernel is done with starting a controller again, which it does in the background."""
    found = pci.read_function(function.kernel)
    return found is not None and found.controller is not None and found.controller.state == "live" and len(found.controller.namespaces) == 2


def paths(function: PciFunction) -> list[str]:
    """Return the block devices of a controller that the kernel has."""
    (found,) = [one for one in pci.scan().controllers if one.kernel == function.kernel]
    assert found.controller is not None
    return [space.path for space in found.controller.namespaces]


def write(function: PciFunction, content: bytes) -> None:
    """Write to the beginning of each of its namespaces, down to the medium."""
    for path in paths(function):
        with open(path, "r+b") as device:
            device.write(content)
            device.flush()
            os.fsync(device.fileno())


def read(function: PciFunction) -> list[bytes]:
    """Read the beginning of each of its namespaces."""
    found = []
    for path in paths(function):
        with open(path, "rb") as device:
            found.append(device.read(len(CONTENT)))
    return found


@contextmanager
def given(functions: list[PciFunction], driver: str) -> Iterator[None]:
    """Give controllers to a userspace driver for a while, with everything that SPDK needs; their contents are known before."""
    subprocess.run(["/sbin/modprobe", "-a", driver, *(["vfio_iommu_type1"] if driver == "vfio-pci" else [])], check=True)
    files = [Path(hugepages.nr_path(node, PAGE_KIB)) for node in (0, 1)]
    os.makedirs(hugepages.DIRECTORY, exist_ok=True)
    subprocess.run(["/bin/mount", "-t", "hugetlbfs", "-o", f"uid={TARGET_USER}", "none", hugepages.DIRECTORY], check=True)
    try:
        for file in files:
            file.write_text(str(PAGES))
        for function in functions:
            write(function, CONTENT)
            give(function, driver)
        for node in Path("/dev/vfio").glob("[0-9]*"):
            os.chown(node, TARGET_USER, TARGET_USER)
        yield
    finally:
        for function in functions:
            give(function, "nvme")
        for function in functions:
            until(partial(is_whole, function), f"{function.kernel} is back")
        for file in files:
            file.write_text("0")
        subprocess.run(["/bin/umount", hugepages.DIRECTORY], check=True)


def in_worker(work: Callable[[], object], *capabilities: str) -> bytes:
    """Do something as uid 0 with those capabilities alone, in a process of its own; return what it returns, as msgpack."""
    answer, answer_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            privileges.become(0, 0, capabilities=capabilities)
            os.write(answer_end, msgspec.msgpack.encode(work(), enc_hook=str))
        finally:
            os._exit(0)
    os.close(answer_end)
    with os.fdopen(answer, "rb") as file:
        found = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return found
