# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the bindings make of libipmctl's answers, played by a stand-in that is compiled against the real header."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pmem_world import (
    BAD_REQUEST,
    CAPACITY,
    ERROR,
    LOCKED,
    NOT_INTERLEAVED,
    OTHER,
    Machine,
    Process,
    build,
    module,
    modules,
    region,
    uid,
)

from daos_bindings.ipmctl import firmware, memory, raw, recordings
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import FirmwareInfo, Goal, Module, Region

pytestmark = pytest.mark.unit

TWO = [*modules(0, 1), region(0, 2 * CAPACITY), region(1, 0)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return build(tmp_path_factory.mktemp("ipmctl"))


@pytest.fixture
def machine(compiled: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(recordings, "FOLDER", str(tmp_path / "pbr"))
    compiled.describe(TWO)
    return compiled


def test_modules_in_the_order_of_their_places(machine: Machine) -> None:
    machine.describe([*reversed(modules(0, 1)), module(1, 2, health=4)])
    found = machine.ask(memory.modules)
    assert [one.uid for one in found] == [uid(0, 0), uid(0, 1), uid(1, 0), uid(1, 1), uid(1, 2)]
    assert found[3] == Module(uid(1, 1), 1, 0, 1, 0, 34, CAPACITY, "NMA1XXD128GPS", "01.02.00.5446", "Healthy")
    assert (found[4].health, found[4].controller_id) == ("Fatal failure", 1)


@pytest.mark.parametrize(("number", "word"), [*memory.HEALTH.items(), (99, "Unknown")])
def test_health_of_a_module(machine: Machine, number: int, word: str) -> None:
    machine.describe([module(0, 0, health=number)])
    assert machine.ask(memory.modules)[0].health == word


def test_regions(machine: Machine) -> None:
    assert machine.ask(memory.regions) == (
        Region(0, 1000, "AppDirect", 2 * CAPACITY, 2 * CAPACITY, "Healthy"),
        Region(1, 1001, "AppDirect", 2 * CAPACITY, 0, "Healthy"),
    )


@pytest.mark.parametrize(
    ("kind", "health", "expected"),
    [
        (NOT_INTERLEAVED, 1, ("AppDirectNotInterleaved", "Healthy")),
        (OTHER, 1, ("Unknown", "Healthy")),
        (3, 1, ("Unknown", "Healthy")),
        (1, ERROR, ("AppDirect", "Error")),
        (1, LOCKED, ("AppDirect", "Locked")),
        (1, 77, ("AppDirect", "Unknown")),
    ],
)
def test_type_and_health_of_a_region(machine: Machine, kind: int, health: int, expected: tuple[str, str]) -> None:
    machine.describe([*modules(0), region(0, 5, kind=kind, health=health)])
    found = machine.ask(memory.regions)[0]
    assert (found.type, found.health) == expected


def test_an_iset_id_that_no_signed_number_holds(machine: Machine) -> None:
    machine.describe([*modules(0), region(0, 0, iset=2**64 - 5)])
    assert machine.ask(memory.regions)[0].iset_id == 2**64 - 5


def test_a_machine_without_modules_has_nothing(machine: Machine) -> None:
    machine.describe([])
    assert (machine.ask(memory.modules), machine.ask(memory.regions), machine.ask(memory.goals)) == ((), (), ())
    machine.describe(["in nvm_get_number_of_devices fail 322"])
    assert machine.ask(memory.modules) == ()


def test_goals_are_made_told_deleted_and_applied(machine: Machine) -> None:
    machine.describe(modules(0, 1))
    both = (uid(1, 0), uid(1, 1))
    machine.ask(memory.create_goal, both)
    assert machine.ask(memory.goals) == tuple(Goal(one, 1, "new") for one in both)
    with pytest.raises(Fault, match="nvm_create_config_goal"):
        machine.ask(memory.create_goal, both)
    machine.ask(memory.delete_goals, (*both, uid(0, 0)))
    assert machine.ask(memory.goals) == ()
    machine.ask(memory.create_goal, both)
    machine.reboot(refuse=BAD_REQUEST)
    assert {goal.status for goal in machine.ask(memory.goals)} == {"bad-request"}
    machine.ask(memory.delete_goals, both)
    machine.ask(memory.create_goal, both)
    machine.reboot()
    assert machine.ask(memory.goals) == ()
    assert [one.socket_id for one in machine.ask(memory.regions)] == [1]


@pytest.mark.parametrize("call", [memory.create_goal, memory.delete_goals])
def test_a_goal_is_for_modules_that_there_are(machine: Machine, call: object) -> None:
    assert callable(call)
    with pytest.raises(Fault, match="no-such") as caught:
        machine.ask(call, ("no-such",))
    assert caught.value.code == codes.SCM_MODULE_UNKNOWN
    with pytest.raises(ValueError, match="all of them"):
        machine.ask(call, ())


@pytest.mark.parametrize("version", ["02.00.00.3809", "02.00.00.3814", "02.00.00.3816", "01.00.00.9999", "04.00.00.0001"])
def test_versions_that_do_not_work_are_refused_before_anything_is_asked(machine: Machine, version: str) -> None:
    machine.describe([f"version {version}", "in nvm_get_number_of_devices crash"])
    with pytest.raises(Fault, match=re.escape(version)) as caught:
        machine.ask(memory.modules)
    assert caught.value.code == codes.BAD_VERSION_SOFTWARE_DEPENDENCY


@pytest.mark.parametrize("version", ["02.00.00.3885", "03.00.00.0468-1", "03.00.00.0538"])
def test_versions_that_work(machine: Machine, version: str) -> None:
    machine.describe([f"version {version}"])
    assert machine.ask(memory.modules) == ()


@pytest.mark.parametrize("version", ["3", "03.00.00.04681", "garbage"])
def test_a_version_that_is_none(machine: Machine, version: str) -> None:
    machine.describe([f"version {version}"])
    with pytest.raises(Fault) as caught:
        machine.ask(memory.modules)
    assert caught.value.code == codes.SCM_DATA_MALFORMED


CALLS = {
    "nvm_get_version": memory.modules,
    "nvm_get_number_of_devices": memory.modules,
    "nvm_get_devices": memory.modules,
    "nvm_get_device_status": memory.modules,
    "nvm_get_number_of_regions_ex": memory.regions,
    "nvm_get_regions_ex": memory.regions,
    "nvm_get_config_goal": memory.goals,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_is_named(machine: Machine, name: str) -> None:
    machine.describe([*TWO, f"in {name} fail 274"])
    with pytest.raises(Fault, match=rf"{name}: a module did not answer in time \(code 274\)") as caught:
        machine.ask(CALLS[name])
    assert caught.value.code == codes.SCM_LIBRARY_FAILED


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_wants_root_is_not_an_empty_machine(machine: Machine, name: str) -> None:
    machine.describe([*TWO, f"in {name} fail {raw.INVALID_PERMISSIONS}"])
    with pytest.raises(Fault, match=name) as caught:
        machine.ask(CALLS[name])
    assert caught.value.code == codes.SCM_LIBRARY_NOT_ALLOWED


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("nvm_get_device_status", "nvm_get_number_of_regions_ex")])
def test_garbage_is_one_fault(machine: Machine, name: str) -> None:
    machine.describe([*TWO, f"in {name} garbage"])
    with pytest.raises(Fault) as caught:
        machine.ask(CALLS[name])
    assert caught.value.code == codes.SCM_DATA_MALFORMED


@pytest.mark.parametrize(
    "lines",
    [
        [module(0, 0), module(0, 0)],
        [module(200, 0)],
        [*modules(0), region(0, 2 * CAPACITY + 1)],
        [*modules(0), region(0, 0, capacity=0)],
        [*modules(0), region(-1, 0)],
    ],
    ids=["one UID twice", "no such socket", "more free than there is", "a region of nothing", "a socket below 0"],
)
def test_what_cannot_be_true_is_one_fault(machine: Machine, lines: list[str]) -> None:
    machine.describe(lines)
    with pytest.raises(Fault) as caught:
        machine.ask(lambda: (memory.modules(), memory.regions()))
    assert caught.value.code == codes.SCM_DATA_MALFORMED


@pytest.mark.parametrize("name", CALLS)
def test_a_crash_costs_one_process(machine: Machine, name: str) -> None:
    machine.describe([*TWO, f"in {name} crash"])
    with pytest.raises(ChildProcessError, match="SIGSEGV"):
        machine.ask(CALLS[name])


def test_a_hang_ends_at_the_deadline(machine: Machine) -> None:
    machine.describe([*TWO, "in nvm_get_devices hang"])
    with pytest.raises(TimeoutError):
        Process(str(machine.library), deadline_s=1).ask(memory.modules)


def test_a_megabyte_of_noise_changes_nothing(machine: Machine) -> None:
    machine.describe([*TWO, "in nvm_get_devices noise"])
    assert len(machine.ask(memory.modules)) == 4


def test_firmware_is_told_and_given(machine: Machine, tmp_path: Path) -> None:
    first = uid(0, 0)
    assert machine.ask(firmware.query, first) == FirmwareInfo("01.02.00.5446", "", 655360, "Success")
    image = tmp_path / "image.bin"
    image.write_text("firmware 01.02.00.9999", encoding="ascii")
    machine.ask(firmware.update, first, str(image))
    assert machine.ask(firmware.query, first) == FirmwareInfo("01.02.00.5446", "01.02.00.9999", 655360, "Staged")
    with pytest.raises(Fault, match="code 132"):
        machine.ask(firmware.update, first, str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="4095"):
        machine.ask(firmware.update, first, "/" + "x" * 4095)
    machine.describe([*TWO, "in nvm_get_device_fw_image_info garbage"])
    with pytest.raises(Fault, match="no end"):
        machine.ask(firmware.query, first)


def some(*rows: tuple[str, str, str]) -> tuple[Module, ...]:
    return tuple(Module(one, 0, 0, 0, 0, 17, 1, model, revision) for one, model, revision in rows)


def test_modules_are_chosen_as_asked() -> None:
    all_of_them = some(("a", "NMA1", "01"), ("b", "NMA1", "02"), ("c", "NMB1", "02"))
    assert [one.uid for one in firmware.chosen(all_of_them, strict=True)] == ["a", "b", "c"]
    assert [one.uid for one in firmware.chosen(all_of_them, ("c", "a"), strict=True)] == ["a", "c"]
    assert [one.uid for one in firmware.chosen(all_of_them, model="nma1", revision="02", strict=True)] == ["b"]
    assert firmware.chosen(all_of_them, ("z",), strict=False) == ()
    assert firmware.chosen(all_of_them, model="NMA", strict=False) == ()


@pytest.mark.parametrize(
    ("modules", "uids", "model", "strict", "code"),
    [
        ((), (), "", False, codes.SCM_NO_PMEM),
        (some(("a", "m", "r")), ("a", "a"), "", False, codes.SCM_DUPLICATES_IN_DEVICE_LIST),
        (some(("a", "m", "r")), ("a", "z"), "", True, codes.SCM_MODULE_UNKNOWN),
        (some(("a", "m", "r")), (), "other", True, codes.SCM_NO_DEVICES_MATCH_FILTER),
    ],
)
def test_a_choice_that_makes_no_sense(modules: tuple[Module, ...], uids: tuple[str, ...], model: str, strict: bool, code: int) -> None:
    with pytest.raises(Fault) as caught:
        firmware.chosen(modules, uids, model, strict=strict)
    assert caught.value.code == code


def test_a_library_that_is_missing_is_not_an_empty_machine(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"cannot be loaded: .*libipmctl\.so\.9") as caught:
        Process(str(tmp_path / "libipmctl.so.9")).ask(memory.modules)
    assert caught.value.code == codes.SCM_LIBRARY_MISSING


@pytest.mark.skipif(os.geteuid() != 0, reason="a folder of root's")
def test_recordings_of_others_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pbr"
    recordings.check(str(folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    recordings.check(str(folder))
    (folder / "pbr_ctx.tmp").touch()
    refused(folder, "recording")
    (folder / "pbr_ctx.tmp").unlink()
    folder.chmod(0o777)
    refused(folder, "only root can write")
    folder.chmod(0o700)
    os.chown(folder, 65534, 65534)
    refused(folder, "belongs to root")
    folder.rmdir()
    folder.symlink_to("/root")
    refused(folder, "belongs to root")
    folder.unlink()
    tmp_path.chmod(0o777)
    refused(folder, "sticky")
    tmp_path.chmod(0o1777)
    recordings.check(str(folder))


def refused(folder: Path, reason: str) -> None:
    with pytest.raises(Fault, match=reason) as caught:
        recordings.check(str(folder))
    assert caught.value.code == codes.STORAGE_PATH_UNSAFE
