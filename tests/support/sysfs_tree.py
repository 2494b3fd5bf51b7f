# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A made-up sysfs, for hardware that no test machine has."""

from __future__ import annotations

import os
from pathlib import Path

from daos_server.hardware import sysfs
from daos_server.hardware.topology import Topology


class Tree:
    """A sysfs in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("devices/virtual/net", "class/net", "class/infiniband", "class/cxi", "block", "bus/pci/devices"):
            (root / folder).mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        """Make an attribute."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="ascii")

    def link(self, path: str, target: str) -> None:
        """Make a relative link, as the kernel's are."""
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(self.root / target, link.parent))

    def cpus(self, node: int, threads: dict[int, str]) -> None:
        """Add CPUs, each with its thread siblings, to a node."""
        self.write(f"devices/system/node/node{node}/cpulist", ",".join(map(str, sorted(threads))))
        for cpu, siblings in threads.items():
            self.write(f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", siblings)

    def function(self, path: str, node: str = "", speed: str = "", lanes: str = "", last_bus: str = "") -> str:
        """Add a PCI function and return its folder."""
        folder = f"devices/{path}"
        (self.root / folder).mkdir(parents=True)
        self.link(f"bus/pci/devices/{os.path.basename(path)}", folder)
        facts = {"numa_node": node, "current_link_speed": speed, "current_link_width": lanes, "subordinate_bus_number": last_bus}
        for name, value in facts.items():
            if value:
                self.write(f"{folder}/{name}", value)
        return folder

    def device(self, subsystem: str, name: str, parent: str) -> str:
        """Add a device of a class below its hardware."""
        folder = f"{parent}/{subsystem}/{name}"
        (self.root / folder).mkdir(parents=True)
        self.link(f"{folder}/device", parent)
        self.link(f"block/{name}" if subsystem == "block" else f"class/{subsystem}/{name}", folder)
        return folder

    def virtual(self, name: str, *lower: str, parent: str = "") -> None:
        """Add a network interface without hardware."""
        folder = f"devices/virtual/net/{name}"
        (self.root / folder).mkdir()
        self.link(f"class/net/{name}", folder)
        for below in lower:
            self.link(f"{folder}/lower_{below}", f"class/net/{below}")
        if parent:
            self.write(f"{folder}/parent", parent)

    def read(self) -> Topology:
        """Return the topology of it."""
        return sysfs.read(str(self.root))
