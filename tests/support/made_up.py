# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A made-up machine in a folder, and what a configuration asks of it: for hardware and faults that no test machine has."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from daos_server.config.load import load
from daos_server.doctor.finding import Finding
from daos_server.doctor.machine import Machine, Setting
from daos_server.installation import Installation
from daos_server.plan.host import HostFacts, NodePages, derive

ACCOUNT = "daemon"
"""Of a system account that every distribution has, in the place of the server's."""

ENGINE = """
  - targets: {targets}
    nr_xs_helpers: 0
    fabric_iface: eth{index}
    fabric_iface_port: {port}
    log_file: /tmp/engine.{index}.log
    pinned_numa_node: {index}
    storage:
      - class: ram
        scm_mount: /mnt/daos{index}
        scm_size: 4
      - class: nvme
        bdev_list: [{bdevs}]
"""


class Tree:
    """A folder that stands for the root of a file system."""

    def __init__(self, root: Path, release: str = "6.1.0-made-up") -> None:
        self.root = root
        self.release = release

    @property
    def machine(self) -> Machine:
        return Machine(root=str(self.root), release=self.release)

    def write(self, path: str, text: str = "") -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def folder(self, path: str) -> None:
        (self.root / path).mkdir(parents=True, exist_ok=True)

    def link(self, path: str, target: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).symlink_to(os.path.relpath(self.root / target, (self.root / path).parent))

    def pci(
        self,
        address: str,
        pci_class: str,
        *,
        driver: str = "",
        group: int = -1,
        ids: tuple[str, str] = ("0x144d", "0xa80a"),
        below: str = "",
    ) -> None:
        """Add a PCI function, with its driver and its IOMMU group, maybe below another one."""
        device = f"sys/devices/pci0000:00/{f'{below}/pci10000:00/' if below else ''}{address}"
        values = {"class": pci_class, "vendor": ids[0], "device": ids[1]}
        for name, value in (values | {"numa_node": "0", "driver_override": "(null)"}).items():
            self.write(f"{device}/{name}", f"{value}\n")
        self.link(f"sys/bus/pci/devices/{address}", device)
        if driver:
            self.folder(f"sys/bus/pci/drivers/{driver}")
            self.link(f"{device}/driver", f"sys/bus/pci/drivers/{driver}")
        if group >= 0:
            self.folder(f"sys/kernel/iommu_groups/{group}/devices")
            self.link(f"sys/kernel/iommu_groups/{group}/devices/{address}", device)
            self.link(f"{device}/iommu_group", f"sys/kernel/iommu_groups/{group}")


def installation() -> Installation:
    """An installation that is nowhere, of an account that is there."""
    return Installation(**{**vars(Installation.under("/nowhere")), "account": ACCOUNT, "worker_account": "bin"})


def setting(folder: Path, *bdevs: str, targets: int = 8, more: str = "", host: HostFacts | None = None) -> Setting:
    """Return what a configuration asks for that has one engine for each text of SSDs (``"0000:81:00.0", ...``)."""
    engines = "".join(
        ENGINE.format(targets=targets, index=index, port=31416 + 1000 * index, bdevs=each) for index, each in enumerate(bdevs)
    )
    head = "name: daos_server\naccess_points: [here]\nprovider: ofi+tcp\n"
    path = folder / "made_up.yml"
    path.write_text(f"{head}{more}\nengines:{engines if bdevs else ' []'}\n", encoding="utf-8")
    config = load(str(path)).config
    return Setting(installation(), config, derive(config, host or facts()))


def facts(*, nodes: int = 2, page_kib: int = 2048) -> HostFacts:
    """A machine with memory enough, and an IOMMU."""
    kib = 1 << 30
    pages = tuple(NodePages(node=node) for node in range(nodes))
    return HostFacts(total_kib=kib, available_kib=kib, page_kib=page_kib, nodes=pages, iommu=True, user=ACCOUNT)


def by_subject(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Return findings by their subjects, of which no two may be the same."""
    points = list(findings)
    found = {point.subject: point for point in points}
    assert len(found) == len(points), "two points have the same subject"
    return found


def complete(point: Finding) -> bool:
    """Tell whether a point that is not well says why that matters and what to do."""
    return point.verdict in ("ok", "unknown") or bool(point.why and point.advice)
