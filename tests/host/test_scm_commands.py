# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server scm ...`` as installed: command line, launcher, helper and workers are real, libipmctl is a stand-in.

No machine of the tests has NVDIMMs, so there are no namespaces here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from installed import Installation
from pmem_session import OVERLAY, library, machine
from pmem_world import CAPACITY, Machine, modules, region

from daos_pbin import codes

pytestmark = pytest.mark.host

THEN = "Reboot this machine; then 'daos_server scm prepare' makes the namespaces."


@dataclass(frozen=True)
class Commands:
    """The installed command line, run as the account, with the stand-in in place of libipmctl."""

    installation: Installation
    played: Machine

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        account = [*self.installation.account.become, os.fspath(self.installation.server)]
        overlay = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", OVERLAY, "overlay", str(self.played.library), library()]
        words = [*overlay, *account, "scm", *arguments]
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def compiled() -> Iterator[Machine]:
    if any(Path("/sys/bus/nd/devices").glob("region*")):
        pytest.skip("this machine has NVDIMMs")
    with machine() as made:
        yield made


@pytest.fixture
def commands(compiled: Machine, installation: Installation) -> Iterator[Commands]:
    compiled.describe([*modules(0, 1)])
    yield Commands(installation, compiled)
    for path in Path(installation.layout.helper_state).iterdir():
        path.unlink()


def test_goals_are_stored_told_and_taken_back(commands: Commands) -> None:
    scanned = commands.run("scan")
    assert scanned.returncode == 0, scanned.stderr
    assert [line.split()[1] for line in scanned.stdout.splitlines()[2:]] == ["0", "0", "1", "1"]
    assert "There are modules and no regions" in scanned.stderr
    planned = commands.run("prepare", "--dry-run")
    assert (planned.returncode, commands.played.lines("goal")) == (0, []), planned.stderr
    assert "interleaved regions on 4 modules" in planned.stdout
    unasked = commands.run("prepare")
    assert (unasked.returncode, commands.played.lines("goal")) == (1, [])
    assert f"code = {codes.SERVER_CONSENT_MISSING} " in unasked.stderr
    stored = commands.run("prepare", "--force")
    assert stored.returncode == 0, stored.stderr
    assert stored.stdout.endswith(f"{THEN}\n")
    assert len(commands.played.lines("goal")) == 4
    again = commands.run("prepare", "--json", "--force")
    response = json.loads(again.stdout)["response"]
    assert (again.returncode, response["outcome"], response["reboot_required"]) == (0, "reboot-due", True)
    assert f"NOTICE: {THEN}" in commands.run("scan").stderr
    back = commands.run("reset", "-f")
    assert (back.returncode, commands.played.lines("goal")) == (0, []), back.stderr
    assert back.stdout.endswith("Persistent memory is reset: there are no regions, no namespaces and no goals.\n")


def test_a_region_of_the_wrong_kind_is_refused(commands: Commands) -> None:
    commands.played.describe([*modules(0, 1), region(0, 2 * CAPACITY), region(1, CAPACITY)])
    done = commands.run("prepare", "-f", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["response"]["state"], answer["response"]["socket"]) == (1, "PartialFreeCapacity", 1)
    assert f"code = {codes.SCM_BAD_REGION} " in answer["error"]
    assert commands.run("scan", "--socket", "0", "--json").returncode == 0


def test_no_modules(commands: Commands) -> None:
    commands.played.describe([])
    scanned = commands.run("scan")
    assert (scanned.returncode, scanned.stdout) == (0, "  No SCM modules found\n"), scanned.stderr
    for command in ("prepare", "reset"):
        done = commands.run(command, "-f")
        assert done.returncode == 1
        assert f"code = {codes.SCM_NO_PMEM} " in done.stderr
