# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The methods about persistent memory of the installed helper, called by the account: libipmctl is a stand-in, ndctl is real.

No machine of the tests has NVDIMMs, so the kernel has no region here: with namespaces the methods are tested in ``tests/vm``; what no
ndctl does when it is told to is in ``test_pmem_namespaces.py``.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from installed import Installation
from pmem_session import command as session_command
from pmem_session import fault_of, library, machine, session
from pmem_world import (
    BAD_REQUEST,
    CAPACITY,
    ERROR,
    INTERLEAVED,
    NEW,
    NOT_INTERLEAVED,
    OTHER,
    Machine,
    modules,
    region,
    uid,
)

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.plain import PlainSession
from daos_pbin.pmem import Remembered, encode
from daos_pbin.pmem_messages import ScmFirmwareQuery, ScmFirmwareUpdate, ScmPrepare, ScmPrepareResult, ScmScan, ScmScanResult
from daos_pbin.pmem_state import State

pytestmark = pytest.mark.host

EARLIER = "11111111-2222-3333-4444-555555555555"
WHOLE = 2 * CAPACITY


@pytest.fixture(scope="module")
def compiled() -> Iterator[Machine]:
    if Path("/sys/bus/nd/devices").exists() and any(Path("/sys/bus/nd/devices").glob("region*")):
        pytest.skip("this machine has NVDIMMs")
    with machine() as made:
        yield made


@pytest.fixture
def played(compiled: Machine, installation: Installation) -> Iterator[Machine]:
    """The played machine; nothing is on record about it before and afterwards."""
    compiled.describe([])
    yield compiled
    for path in Path(installation.layout.helper_state).iterdir():
        path.unlink()


@pytest.fixture
def helper(installation: Installation, played: Machine) -> Iterator[PlainSession]:
    with session(installation, played) as made:
        yield made


@pytest.fixture
def policy(installation: Installation) -> Iterator[Path]:
    path = Path(installation.layout.policy_file)
    yield path
    path.unlink(missing_ok=True)


def record(installation: Installation) -> Path:
    return Path(installation.layout.helper_state) / "pmem"


def code_of(answer: ScmPrepareResult) -> int:
    return answer.fault.code if answer.fault else 0


def states(answer: ScmPrepareResult) -> tuple[int, str, bool]:
    return answer.state, answer.outcome, answer.reboot_required


def actions(answer: ScmPrepareResult) -> list[tuple[str, bool]]:
    return [(step.action, step.done) for step in answer.steps]


REGIONS: dict[State, tuple[int, int, int]] = {
    State.FREE_CAPACITY: (WHOLE, INTERLEAVED, 1),
    State.NO_FREE_CAPACITY: (0, INTERLEAVED, 1),
    State.NOT_INTERLEAVED: (WHOLE, NOT_INTERLEAVED, 1),
    State.NOT_HEALTHY: (WHOLE, INTERLEAVED, ERROR),
    State.PARTIAL_FREE_CAPACITY: (CAPACITY, INTERLEAVED, 1),
    State.UNKNOWN_MODE: (WHOLE, OTHER, 1),
}
"""Free capacity, type and health of a region in each state that a region can be in."""
PREPARED = {
    State.FREE_CAPACITY: codes.SCM_INVALID_PMEM,  # the kernel of this machine has no such region
    State.NO_FREE_CAPACITY: codes.SCM_INVALID_PMEM,
    State.NOT_INTERLEAVED: codes.SCM_BAD_REGION,
    State.NOT_HEALTHY: codes.SCM_BAD_REGION,
    State.PARTIAL_FREE_CAPACITY: codes.SCM_BAD_REGION,
    State.UNKNOWN_MODE: codes.SCM_BAD_REGION,
}


def in_state(state: State, socket: int) -> str:
    free, kind, health = REGIONS[state]
    return region(socket, free, kind=kind, health=health)


@pytest.mark.parametrize("sockets", [(0,), (0, 1)], ids=["one socket", "two sockets"])
@pytest.mark.parametrize("state", REGIONS)
def test_every_state_of_a_region(helper: PlainSession, played: Machine, state: State, sockets: tuple[int, ...]) -> None:
    lines = [*modules(*sockets), *(in_state(state, socket) for socket in sockets)]
    played.describe(lines)
    scanned = helper.call(ScmScan())
    assert scanned.state == state
    assert [one.uid for one in scanned.modules] == [uid(socket, number) for socket in sockets for number in (0, 1)]
    assert [one.socket_id for one in scanned.regions] == list(sockets)
    assert (scanned.namespaces, scanned.goals, scanned.reboot_required, scanned.fault) == ((), (), False, None)
    prepared = helper.call(ScmPrepare())
    assert states(prepared) == (state, "refused", False)
    assert (code_of(prepared), prepared.steps) == (PREPARED[state], ())
    assert played.lines("goal") == []
    plan = helper.call(ScmPrepare(reset=True, plan_only=True))
    assert states(plan) == (state, "goal-stored", True)
    assert actions(plan) == [("create-goal", False), ("remember", False)]
    assert played.lines("goal") == []
    done = helper.call(ScmPrepare(reset=True))
    assert states(done) == (state, "goal-stored", True)
    assert actions(done) == [("create-goal", True), ("remember", True)]
    assert len(played.lines("goal")) == 2 * len(sockets)
    again = helper.call(ScmPrepare(reset=True))
    assert states(again) == (state, "reboot-due", True)
    assert again.steps == ()
    assert helper.call(ScmScan()).reboot_required
    played.reboot()
    assert helper.call(ScmScan()).state == State.FREE_CAPACITY


@pytest.mark.parametrize("request_", [ScmPrepare(), ScmPrepare(reset=True), ScmPrepare(socket=3), ScmPrepare(reset=True, socket=3)])
def test_without_modules_nothing_is_done(helper: PlainSession, request_: ScmPrepare) -> None:
    scanned = helper.call(ScmScan(request_.socket))
    assert (scanned.state, scanned.socket, scanned.modules) == (State.NO_MODULES, request_.socket, ())
    answer = helper.call(request_)
    assert states(answer) == (State.NO_MODULES, "refused", False)
    assert code_of(answer) == codes.SCM_NO_PMEM


@pytest.mark.parametrize("sockets", [(0,), (0, 1)], ids=["one socket", "two sockets"])
@pytest.mark.parametrize("socket", [None, 0])
def test_regions_are_asked_of_the_firmware_once(
    helper: PlainSession, played: Machine, installation: Installation, sockets: tuple[int, ...], socket: int | None
) -> None:
    played.describe(modules(*sockets))
    for _ in range(2):
        plan = helper.call(ScmPrepare(socket=socket, plan_only=True))
        assert states(plan) == (State.NO_REGIONS, "goal-stored", True)
        assert actions(plan) == [("create-goal", False), ("remember", False)]
    assert played.lines("goal") == []
    assert not record(installation).exists()
    done = helper.call(ScmPrepare(socket=socket))
    assert states(done) == (State.NO_REGIONS, "goal-stored", True)
    assert actions(done) == [("create-goal", True), ("remember", True)]
    asked = sockets if socket is None else (socket,)
    assert [line.split()[1] for line in played.lines("goal")] == [uid(one, number) for one in asked for number in (0, 1)]
    assert record(installation).stat().st_mode & 0o777 == 0o600
    again = helper.call(ScmPrepare(socket=socket))
    assert states(again) == (State.NO_REGIONS, "reboot-due", True)
    scanned = helper.call(ScmScan(socket))
    assert (scanned.state, scanned.reboot_required, scanned.fault) == (State.NO_REGIONS, True, None)
    assert [goal.uid for goal in scanned.goals] == [uid(one, number) for one in asked for number in (0, 1)]
    taken_back = helper.call(ScmPrepare(reset=True, socket=socket))
    assert states(taken_back) == (State.NO_REGIONS, "nothing", False)
    assert played.lines("goal") == []
    assert not record(installation).exists()


@pytest.mark.parametrize("status", [BAD_REQUEST, 0])
def test_a_goal_that_the_firmware_did_not_carry_out_is_named(
    helper: PlainSession, played: Machine, installation: Installation, status: int
) -> None:
    """The record is as an earlier start of the machine left it: the firmware refused the goal, or forgot it."""
    played.describe([*modules(0, 1), *([f"goal {uid(1, number)} 1 {status}" for number in (0, 1)] if status else [])])
    record(installation).write_bytes(encode(Remembered({1: EARLIER})))
    scanned = helper.call(ScmScan())
    assert scanned.fault is not None
    assert scanned.fault.code == codes.SCM_GOAL_NOT_APPLIED
    assert "socket 1" in scanned.fault.description
    prepared = helper.call(ScmPrepare())
    assert (code_of(prepared), prepared.outcome) == (codes.SCM_GOAL_NOT_APPLIED, "refused")
    assert states(helper.call(ScmPrepare(reset=True))) == (State.NO_REGIONS, "nothing", False)
    assert states(helper.call(ScmPrepare())) == (State.NO_REGIONS, "goal-stored", True)


def test_a_damaged_record_is_told_with_the_way_out(helper: PlainSession, played: Machine, installation: Installation) -> None:
    played.describe(modules(0))
    record(installation).write_bytes(b'{"goals": {"0": "yesterday"}}')
    for request in (ScmScan(), ScmPrepare(), ScmPrepare(reset=True)):
        fault = fault_of(helper, request)
        assert fault.code == codes.SCM_RECORD_DAMAGED
        assert f"rm {record(installation)}" in fault.resolution
    assert played.lines("goal") == []
    record(installation).unlink()
    assert helper.call(ScmPrepare()).outcome == "goal-stored"


@pytest.mark.parametrize(("owner", "mode"), [(4242, 0o700), (0, 0o755)])
def test_a_record_of_others_is_not_believed(
    helper: PlainSession, played: Machine, installation: Installation, owner: int, mode: int
) -> None:
    played.describe(modules(0))
    folder = Path(installation.layout.helper_state)
    os.chown(folder, owner, 0)
    folder.chmod(mode)
    try:
        fault = fault_of(helper, ScmPrepare())
    finally:
        os.chown(folder, 0, 0)
        folder.chmod(0o700)
    assert fault.code == codes.STORAGE_PATH_UNSAFE
    assert played.lines("goal") == []


CALLS = {"nvm_get_devices": ScmScan(), "nvm_get_regions_ex": ScmPrepare(), "nvm_get_config_goal": ScmPrepare(reset=True)}
MACHINE = [*modules(0), region(0, 0)]


@pytest.mark.parametrize("call", CALLS)
def test_a_library_that_hangs_ends_at_the_deadline(helper: PlainSession, played: Machine, call: str) -> None:
    played.describe([*MACHINE, f"in {call} hang"])
    fault = fault_of(helper, CALLS[call], deadline_s=1)
    assert fault.code == codes.HELPER_DEADLINE_EXCEEDED
    assert "ipmctl-read" in fault.description
    played.describe(MACHINE)
    assert helper.call(ScmScan()).state == State.NO_FREE_CAPACITY


@pytest.mark.parametrize("call", CALLS)
def test_a_library_that_crashes_is_a_fault_with_the_signal(helper: PlainSession, played: Machine, call: str) -> None:
    played.describe([*MACHINE, f"in {call} crash"])
    fault = fault_of(helper, CALLS[call])
    assert fault.code == codes.HELPER_WORKER_CRASHED
    assert "SIGSEGV" in fault.description
    played.describe(MACHINE)
    assert helper.call(ScmScan()).state == State.NO_FREE_CAPACITY


@pytest.mark.parametrize("call", CALLS)
def test_a_library_that_prints_a_megabyte_changes_nothing(helper: PlainSession, played: Machine, call: str) -> None:
    played.describe(MACHINE)
    quiet = helper.call(CALLS[call])
    played.describe([*MACHINE, f"in {call} noise"])
    noisy = helper.call(CALLS[call])
    assert isinstance(noisy, ScmScanResult | ScmPrepareResult)
    assert noisy.state == State.NO_FREE_CAPACITY
    assert isinstance(noisy, ScmPrepareResult) or noisy == quiet


@pytest.mark.parametrize(
    ("call", "code"), [("nvm_get_regions_ex fail 17", codes.SCM_LIBRARY_FAILED), ("nvm_get_devices garbage", codes.SCM_DATA_MALFORMED)]
)
def test_a_library_that_fails_is_a_fault(helper: PlainSession, played: Machine, call: str, code: int) -> None:
    played.describe([*MACHINE, f"in {call}"])
    assert fault_of(helper, ScmScan()).code == code
    assert fault_of(helper, ScmPrepare()).code == code


@pytest.mark.parametrize(("how", "code"), [("hang", codes.HELPER_DEADLINE_EXCEEDED), ("crash", codes.HELPER_WORKER_CRASHED)])
def test_a_goal_that_does_not_end_well_stops_there(
    helper: PlainSession, played: Machine, installation: Installation, how: str, code: int
) -> None:
    """Steps that were taken are told, and nothing is on record of one that was not."""
    stored = [f"goal {uid(0, number)} 0 {NEW}" for number in (0, 1)]
    played.describe([*modules(0), *stored, f"in nvm_create_config_goal {how}"])
    answer = helper.call(ScmPrepare(), deadline_s=5 if how == "hang" else 60)
    assert (answer.outcome, code_of(answer)) == ("stopped", code)
    assert actions(answer) == [("delete-goals", True), ("create-goal", False), ("remember", False)]
    assert not record(installation).exists()
    played.describe(modules(0))
    assert helper.call(ScmPrepare()).outcome == "goal-stored"


def test_two_changes_do_not_meet(installation: Installation, helper: PlainSession, played: Machine) -> None:
    """One session's change hangs; another's is refused meanwhile, a scan is not, and both go on afterwards."""
    played.describe([*modules(0), "in nvm_create_config_goal hang"])
    faults: list[Fault] = []
    with session(installation, played) as other:
        held = threading.Event()

        def busy() -> None:
            held.wait(60)
            faults.append(fault_of(other, ScmPrepare()))
            faults.append(fault_of(other, ScmPrepare(reset=True)))
            assert other.call(ScmScan()).state == State.NO_REGIONS

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(busy)
            words = session_command(installation, played)
            with PlainSession(words, on_log=lambda line: held.set() if "firmware" in line.text else None) as hanging:
                answer = hanging.call(ScmPrepare(), deadline_s=20)
            done.result(60)
    assert [fault.code for fault in faults] == [codes.HELPER_RESOURCE_BUSY] * 2
    assert code_of(answer) == codes.HELPER_DEADLINE_EXCEEDED
    played.describe(modules(0))
    assert helper.call(ScmPrepare()).outcome == "goal-stored"


def test_a_reset_of_what_was_not_shown(helper: PlainSession, played: Machine) -> None:
    """There are none here, and so there is none that was not shown."""
    played.describe(MACHINE)
    assert helper.call(ScmPrepare(reset=True, seen=())).outcome == "goal-stored"


def test_several_regions_on_a_socket_are_told(helper: PlainSession, played: Machine) -> None:
    played.describe([*modules(0), region(0, 0), region(0, 0, iset=7)])
    scanned = helper.call(ScmScan())
    assert (scanned.state, scanned.socket) == (State.UNKNOWN, 0)
    assert "several regions" in scanned.notes[0]
    assert code_of(helper.call(ScmPrepare())) == codes.SCM_INVALID_PMEM


@pytest.mark.parametrize("count", [0, 5, -1])
def test_one_to_four_namespaces_per_socket(helper: PlainSession, count: int) -> None:
    assert fault_of(helper, ScmPrepare(namespaces_per_socket=count)).code == codes.HELPER_MESSAGE_INVALID


@pytest.fixture
def image() -> Iterator[Path]:
    """A file that is seen in the helper's mount namespace as well."""
    descriptor, name = tempfile.mkstemp(prefix="daos-pmem-", dir="/dev/shm")
    os.write(descriptor, b"firmware 02.02.00.1516\n")
    os.close(descriptor)
    yield Path(name)
    Path(name).unlink()


def test_firmware_is_off_until_the_policy_switches_it_on(
    helper: PlainSession, played: Machine, policy: Path, image: Path
) -> None:
    for request in (ScmFirmwareQuery(), ScmFirmwareUpdate(str(image))):
        refused = fault_of(helper, request)
        assert refused.code == codes.HELPER_POLICY_REFUSED
        assert f'methods_on = ["{type(request).__name__}"]' in refused.resolution
    policy.write_text('methods_on = ["ScmFirmwareQuery", "ScmFirmwareUpdate"]\n')
    policy.chmod(0o644)
    assert fault_of(helper, ScmFirmwareQuery()).code == codes.SCM_NO_PMEM
    played.describe(modules(0, 1))
    first, second = helper.call(ScmFirmwareQuery((uid(0, 1), uid(1, 0), "8089-a2-1748-ffffffff"))).modules
    assert (first.module.uid, second.module.uid) == (uid(0, 1), uid(1, 0))
    assert first.info is not None
    assert (first.info.active_version, first.info.staged_version, first.updated) == ("01.02.00.5446", "", False)
    assert helper.call(ScmFirmwareQuery(model="other")).modules == ()
    assert fault_of(helper, ScmFirmwareQuery((uid(0, 0), uid(0, 0)))).code == codes.SCM_DUPLICATES_IN_DEVICE_LIST
    assert fault_of(helper, ScmFirmwareUpdate(f"{image}.not")).code == codes.STORAGE_FILE_UNUSABLE
    image.chmod(0o664)
    assert fault_of(helper, ScmFirmwareUpdate(str(image))).code == codes.STORAGE_PATH_UNSAFE


def test_firmware_is_staged(helper: PlainSession, played: Machine, policy: Path, image: Path) -> None:
    policy.write_text('methods_on = ["ScmFirmwareUpdate"]\n')
    policy.chmod(0o644)
    played.describe(modules(0, 1))
    for request, code in (
        (ScmFirmwareUpdate(str(image), ("8089-a2-1748-ffffffff",)), codes.SCM_MODULE_UNKNOWN),
        (ScmFirmwareUpdate(str(image), model="other"), codes.SCM_NO_DEVICES_MATCH_FILTER),
    ):
        assert fault_of(helper, request).code == code
    (row,) = helper.call(ScmFirmwareUpdate(str(image), (uid(1, 1),))).modules
    assert row.fault is None
    assert row.info is not None
    assert (row.module.uid, row.updated, row.info.staged_version) == (uid(1, 1), True, "02.02.00.1516")
    image.write_text("nonsense")
    row, *others = helper.call(ScmFirmwareUpdate(str(image))).modules
    assert row.fault is not None
    assert (row.fault.code, row.updated, len(others)) == (codes.SCM_LIBRARY_FAILED, False, 3)
    played.describe([*modules(0, 1), "in nvm_update_device_fw crash"])
    rows = helper.call(ScmFirmwareUpdate(str(image))).modules
    assert [one.fault.code for one in rows if one.fault] == [codes.HELPER_WORKER_CRASHED] * 4


def test_the_real_library_says_that_there_is_nothing(installation: Installation) -> None:
    library()
    with session(installation, None) as real:
        scanned = real.call(ScmScan())
        assert (scanned.state, scanned.modules, scanned.notes) == (State.NO_MODULES, (), ())


def test_a_missing_library_is_a_fault(installation: Installation, tmp_path: Path) -> None:
    """An empty file lies over it."""
    empty = tmp_path / "empty"
    empty.touch()
    with session(installation, None, ((str(empty), library()),)) as without:
        assert fault_of(without, ScmScan()).code == codes.SCM_LIBRARY_MISSING
        assert fault_of(without, ScmPrepare(plan_only=True)).code == codes.SCM_LIBRARY_MISSING
