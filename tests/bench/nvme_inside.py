# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs in a guest, as root: how long twelve controllers take to change their driver and to be scanned, by us and without us.

Prints one line of JSON.  The helper is started, and has done some work, before any clock runs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from daos_bindings.linux import pci
from daos_bindings.linux.pci import PciFunction
from daos_pbin.nvme_messages import BdevBind, BdevRestore, BdevScan
from daos_pbin.plain import PlainSession

ROUNDS = 3
PCI = Path("/sys/bus/pci")
PATIENCE_S = 60.0


def wait_for_all() -> None:
    """Wait until the kernel's driver has every controller, and shows its namespaces."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(one.controller is not None and one.controller.namespaces for one in pci.scan().controllers):
        if time.monotonic() > deadline:
            sys.exit("not all controllers came back to the driver nvme")
        os.sched_yield()


def write_bare(functions: tuple[PciFunction, ...], override: str, wanted: str) -> None:
    """Give controllers another driver by writing to sysfs, one after the other, and check nothing but the outcome."""
    for one in functions:
        folder = PCI / "devices" / one.kernel
        (folder / "driver" / "unbind").write_text(one.kernel)
        (folder / "driver_override").write_text(override)
        (PCI / "drivers_probe").write_text(one.kernel)
    if any(one.driver != wanted for one in pci.scan().controllers):
        sys.exit(f"not all controllers have {wanted}")


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(helper: str) -> dict[str, float]:
    """Take every figure a few times, and return the medians, in seconds."""
    functions = pci.scan().controllers
    addresses = tuple(str(one.address) for one in functions)
    taken: dict[str, list[float]] = {}

    def take(key: str, work: Callable[[], object]) -> None:
        taken.setdefault(key, []).append(seconds(work))

    with PlainSession(helper) as session:
        session.call(BdevScan(health=False))
        for _ in range(ROUNDS):
            wait_for_all()
            take("nvme_scan_12_s", lambda: session.call(BdevScan()))
            take("nvme_cli_list_12_s", lambda: subprocess.run(["/usr/sbin/nvme", "list", "-o", "json"], check=True, capture_output=True))
            take("sysfs_bind_12_s", lambda: write_bare(functions, "vfio-pci", "vfio-pci"))
            take("sysfs_reset_12_s", lambda: write_bare(functions, "\n", "nvme"))
            wait_for_all()
            take("nvme_prepare_12_s", lambda: session.call(BdevBind(devices=addresses)))
            take("nvme_reset_12_s", lambda: session.call(BdevRestore()))
    return {key: statistics.median(times) for key, times in taken.items()}


if __name__ == "__main__":
    subprocess.run(["/sbin/modprobe", "vfio-pci"], check=True)
    print(json.dumps(measure(sys.argv[1])))
