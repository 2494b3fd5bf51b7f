# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The demonstration works twice in a row, and after a kill at any point, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from daos_install.layout import SOURCE
from installed import Installation

from daos_bindings.linux import hugepages, mounts

FOLDER = Path("/var/tmp/daos-demo")  # noqa: S108 - the demonstration's own
STOPS = ("2. A configuration", "[1/", "[3/6]", "5. A second", "DESTROYS", "6. Reset")
"""What it has printed when it is killed."""


def outside() -> tuple[object, ...]:
    """Return what the demonstration could leave on this machine."""
    loops = subprocess.run(["/usr/sbin/losetup", "--list", "--output", "BACK-FILE"], check=True, capture_output=True, text=True).stdout
    pages = tuple((node.node, node.total) for node in hugepages.read_nodes(hugepages.default_size_kib()))
    places = ("/mnt", "/var/lib/daos", str(FOLDER))
    mounted = [mount.mount_point for mount in mounts.read() if mount.mount_point.startswith(places)]
    return mounted, str(FOLDER) in loops, pages, FOLDER.exists(), sorted(os.listdir("/mnt")), sorted(os.listdir("/var/lib"))


@pytest.fixture
def command(installation: Installation) -> list[str]:
    layout = installation.layout
    places = ["--prefix", layout.prefix, "--sysconfdir", layout.sysconfdir, "--localstatedir", layout.localstatedir]
    return [sys.executable, "-B", "-u", str(SOURCE / "packaging" / "demo.py"), *places]


def test_twice_in_a_row(command: list[str]) -> None:
    before = outside()
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        assert "exit status 1, as it should" in done.stdout
        assert "daos_helper  sys_admin" in done.stdout, "what the processes were allowed to do"
        assert outside() == before


@pytest.mark.parametrize("stop", STOPS)
def test_after_a_kill(command: list[str], stop: str) -> None:
    before = outside()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        seen = any(stop in line for line in output)
        process.kill()
    process.wait()
    assert seen, f"it never printed {stop!r}"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert outside() == before


def test_only_as_root(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, user=54321, group=54321, extra_groups=[], cwd="/")
    assert done.returncode == 1
    assert "root" in done.stderr


def test_folder_of_somebody_else_is_refused(command: list[str]) -> None:
    FOLDER.mkdir()
    os.chown(FOLDER, 54321, 54321)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert str(FOLDER) in done.stderr
    finally:
        FOLDER.rmdir()
