# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the reading part of the bindings costs to import: its own modules, and nothing else beyond msgspec."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

READING = ("mounts", "block", "hugepages", "memory", "numa", "kernel", "capabilities", "pci", "pci_address", "inuse", "modules")

PROGRAM = """
import json, sys
import msgspec
before = set(sys.modules)
for name in sys.argv[1:]:
    __import__(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def modules_after(*names: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        check=True,
        capture_output=True,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    return set(json.loads(done.stdout))


def test_reading_modules_bring_only_our_own() -> None:
    found = modules_after(*(f"daos_bindings.linux.{name}" for name in READING))
    assert "daos_bindings.linux.mounts" in found
    foreign = {name for name in found if name.partition(".")[0] not in {"daos_bindings", "daos_pbin"}}
    assert foreign <= {"functools", "collections", "errno"}
    assert not {name for name in found if name.startswith("daos_bindings._")}


@pytest.mark.parametrize("name", ["syscalls", "privileges"])
def test_only_probing_brings_libblkid(name: str) -> None:
    found = modules_after(f"daos_bindings.linux.{name}")
    assert "daos_bindings._linux" in found
    assert "daos_bindings._blkid" not in found
    assert "daos_bindings._blkid" in modules_after("daos_bindings.linux.signatures")
