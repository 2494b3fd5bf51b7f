# SPDX-License-Identifier: BSD-2-Clause-Patent
"""SPDK's memory has no files: the engines' user owns the folder where they would be, and could share root's memory by them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daos_bindings.linux import hugepages
from daos_bindings.spdk import use

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts hugetlbfs where only the test sees it"),
    pytest.mark.skipif(not use.available(), reason="SPDK is not compiled in: PKG_CONFIG_PATH, then 'make build-ext' (docs/spdk.md)"),
]

PAGES = 32
START = """
import subprocess, sys
subprocess.run(["/usr/bin/mount", "-t", "hugetlbfs", "none", "/dev/hugepages"], check=True)
subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "none", "/run"], check=True)
from daos_bindings.spdk import environment
environment.NO_FILES = sys.argv[1]
environment.start([])
print(open("/proc/self/maps").read())
"""
"""Starts SPDK in mounts of its own, and tells what is in its memory."""


@pytest.fixture
def pages() -> Iterator[None]:
    """Some hugepages more, for as long as the test lasts."""
    if not hugepages.default_size_kib():
        pytest.skip("this kernel has no hugepages")
    path = hugepages.nr_path(0, hugepages.default_size_kib())
    before = int(Path(path).read_text())
    Path(path).write_text(str(before + PAGES))
    try:
        if int(Path(path).read_text()) < before + PAGES:
            pytest.skip(f"this machine has no {PAGES} hugepages to give")
        yield
    finally:
        Path(path).write_text(str(before))


def memory(arguments: str) -> str:
    command = ["/usr/bin/unshare", "--mount", sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{START}", arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("pages")
def test_its_memory_has_no_files_that_somebody_else_could_open() -> None:
    from daos_bindings.spdk import environment

    found = memory(environment.NO_FILES)
    assert "/memfd:" in found
    assert "/dev/hugepages/" not in found


@pytest.mark.usefixtures("pages")
def test_left_to_itself_it_has_some() -> None:
    """So the test above tests something."""
    assert "/dev/hugepages/spdk_pid" in memory("")
