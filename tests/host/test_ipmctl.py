# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The real libipmctl on a machine without persistent memory: 'there is none', 'not root' and 'not installed' are three answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from pmem_world import Process

from daos_bindings.ipmctl import library, memory, raw, recordings
from daos_pbin import codes
from daos_pbin.faults import Fault

pytestmark = pytest.mark.host

NFIT = Path("/sys/firmware/acpi/tables/NFIT")
CONFIGURATION = Path("/usr/share/ipmctl/ipmctl.conf")
NOBODY = 65534


@pytest.fixture(autouse=True)
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if NFIT.exists():
        pytest.skip("this machine has NVDIMMs")
    try:
        Process().ask(version)
    except Fault as fault:
        if fault.code != codes.SCM_LIBRARY_MISSING:
            raise
        pytest.skip(f"{fault.description}: install libipmctl5")
    monkeypatch.setattr(recordings, "FOLDER", str(tmp_path / "pbr"))


def version() -> str:
    return library.check_version(raw.load())


def test_its_version_is_one_that_works() -> None:
    assert int(Process().ask(version)[:2]) in library.MAJORS


def test_there_are_no_modules_regions_or_goals() -> None:
    before = CONFIGURATION.stat() if CONFIGURATION.exists() else None
    assert Process().ask(memory.modules) == ()
    assert Process().ask(memory.regions) == ()
    assert Process().ask(memory.goals) == ()
    after = CONFIGURATION.stat() if CONFIGURATION.exists() else None
    assert (before and before.st_mtime_ns) == (after and after.st_mtime_ns)


@pytest.mark.parametrize("call", [memory.modules, memory.regions, memory.goals])
def test_to_others_than_root_it_does_not_say_that_there_are_none(call: object) -> None:
    assert callable(call)
    with pytest.raises(Fault) as caught:
        Process(uid=NOBODY).ask(call)
    assert caught.value.code == codes.SCM_LIBRARY_NOT_ALLOWED


@pytest.mark.parametrize("call", [memory.create_goal, memory.delete_goals])
def test_a_goal_for_a_module_that_is_not_there_never_reaches_it(call: object) -> None:
    assert callable(call)
    with pytest.raises(Fault) as caught:
        Process().ask(call, ("8089-a2-1748-00000001",))
    assert caught.value.code == codes.SCM_MODULE_UNKNOWN
