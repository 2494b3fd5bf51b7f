# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Making and destroying namespaces with an ndctl that hangs, stops half way, or does nothing: it is a stand-in, as libipmctl is.

With the real ndctl and emulated NVDIMMs the methods are tested in ``tests/vm``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from uuid import UUID

import ndctl_world
import pytest
from installed import Installation
from ndctl_world import WHOLE, Nvdimms
from pmem_session import cancelled, machine, session, shown
from pmem_session import command as session_command

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.plain import PlainSession
from daos_pbin.pmem import Remembered, decode
from daos_pbin.pmem_messages import ScmPrepare, ScmPrepareResult, ScmScan
from daos_pbin.pmem_state import State

pytestmark = pytest.mark.host

HALF = WHOLE // 2
FIRST = "95f39723-ac4c-4807-8815-c4f09426f7ae"
Cut = Literal["cancel", "deadline"]
FAULTS: dict[Cut, int] = {"cancel": codes.HELPER_CANCELLED, "deadline": codes.HELPER_DEADLINE_EXCEEDED}
DEADLINE_S = 10.0
"""Seconds until a request ends that hangs; nothing else in it takes as long."""


@pytest.fixture(scope="module")
def built() -> Iterator[Nvdimms]:
    if any(Path(ndctl_world.DEVICES).glob("region*")):
        pytest.skip("this machine has NVDIMMs")
    with machine() as made:
        yield ndctl_world.build(made)


@pytest.fixture
def nvdimms(built: Nvdimms, installation: Installation) -> Iterator[Nvdimms]:
    """The played machine; nothing is on record about it before and afterwards."""
    yield built
    for path in Path(installation.layout.helper_state).iterdir():
        path.unlink()


@pytest.fixture
def helper(installation: Installation, nvdimms: Nvdimms) -> Iterator[PlainSession]:
    with session(installation, nvdimms.played, nvdimms.over) as made:
        yield made


@pytest.fixture
def policy(installation: Installation) -> Iterator[Path]:
    path = Path(installation.layout.policy_file)
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def pmem0() -> Iterator[Path]:
    """A device of the kernel's, of 1 GiB, as /dev/pmem0."""
    control, path = Path("/sys/class/zram-control"), Path("/dev/pmem0")
    if not control.exists() or path.exists():
        pytest.skip("no zram, or a /dev/pmem0")
    number = (control / "hot_add").read_text().strip()
    sysfs = Path(f"/sys/block/zram{number}")
    try:
        (sysfs / "disksize").write_text(str(1 << 30))
        major, minor = map(int, (sysfs / "dev").read_text().split(":"))
        os.mknod(path, 0o600 | 0o060000, os.makedev(major, minor))
        yield path
    finally:
        path.unlink(missing_ok=True)
        (control / "hot_remove").write_text(number)


def records(installation: Installation) -> list[str]:
    return sorted(path.name for path in Path(installation.layout.helper_state).iterdir())


def remembered(installation: Installation) -> Remembered:
    path = Path(installation.layout.helper_state) / "pmem"
    return decode(path.read_bytes()) if path.exists() else Remembered()


def of_ours(installation: Installation, *names: str, size: int = HALF) -> list[str]:
    """Return lines of namespaces that nobody can look into, and that are on record as ours."""
    lines = []
    for number, name in enumerate(names):
        label = str(UUID(int=UUID(FIRST).int + number))
        folder = Path(installation.layout.helper_state)
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / f"namespace-{label}").touch(mode=0o600)
        lines.append(f"{name} {size} devdax {label} - on")
    return lines


def code_of(answer: ScmPrepareResult) -> int:
    return answer.fault.code if answer.fault else 0


def done(answer: ScmPrepareResult) -> list[tuple[str, bool]]:
    return [(step.action, step.done) for step in answer.steps]


def cut_short(
    how: Cut, installation: Installation, nvdimms: Nvdimms, request: ScmPrepare, moment: str = "hangs"
) -> ScmPrepareResult | Fault:
    """Make a request that hangs, and cancel it when it does, or let its deadline pass."""
    if how == "cancel":
        answer, _ = cancelled(session_command(installation, nvdimms.played, nvdimms.over), request, moment)
        assert isinstance(answer, ScmPrepareResult | Fault)
        return answer
    with session(installation, nvdimms.played, nvdimms.over) as helper:
        try:
            return helper.call(request, deadline_s=DEADLINE_S)
        except Fault as fault:
            return fault


# Progress


def test_each_namespace_is_told(helper: PlainSession, nvdimms: Nvdimms, installation: Installation) -> None:
    nvdimms.describe(0, 1)
    told: list[str] = []
    made = helper.call(ScmPrepare(namespaces_per_socket=2), on_progress=lambda one: told.append(shown(one)))
    assert (made.fault, len(made.namespaces)) == (None, 4)
    questions = ("modules", "regions", "goals")
    asked = [f"{number} of 3 questions answered by libipmctl, now about {what}" for number, what in enumerate(questions)]
    made_so_far = [f"{number} of 4 namespaces made, now one on region{number // 2}" for number in range(4)]
    assert told == [*asked, *made_so_far, *asked]
    nvdimms.describe(0, spaces=of_ours(installation, "0.0", "0.1"))
    told.clear()
    gone = helper.call(ScmPrepare(reset=True), on_progress=lambda one: told.append(shown(one)))
    assert (gone.fault, len(gone.destroyed)) == (None, 2)
    destroyed = [f"{number} of 2 namespaces destroyed, now namespace0.{number}" for number in range(2)]
    goals = [f"{number} of 2 modules asked to be in interleaved regions" for number in (0, 2)]
    assert told == [*asked, *destroyed, *goals, *asked]


# Cancels and deadlines


@pytest.mark.parametrize(
    ("how", "request_"), [("cancel", ScmPrepare()), ("cancel", ScmPrepare(reset=True)), ("deadline", ScmPrepare(reset=True))]
)
def test_cut_short_before_anything_was_changed(
    how: Cut, request_: ScmPrepare, installation: Installation, nvdimms: Nvdimms
) -> None:
    spaces = of_ours(installation, "0.0")
    before = records(installation)
    nvdimms.describe(0, 1, spaces=spaces, misbehaviour=["list hang"])
    there = nvdimms.spaces
    fault = cut_short(how, installation, nvdimms, request_)
    assert isinstance(fault, Fault)
    assert fault.code == FAULTS[how]
    assert (nvdimms.spaces, nvdimms.played.lines("goal"), records(installation)) == (there, [], before)
    nvdimms.misbehave()
    with session(installation, nvdimms.played, nvdimms.over) as helper:
        after = helper.call(ScmPrepare(reset=True))
        assert (after.outcome, len(after.destroyed)) == ("goal-stored", 1)
        assert list(remembered(installation).goals) == [0, 1]


def test_cancelled_while_libipmctl_is_asked(installation: Installation, nvdimms: Nvdimms) -> None:
    nvdimms.describe(0)
    nvdimms.played.describe([*(nvdimms.played.lines("module")), *(nvdimms.played.lines("region")), "in nvm_get_regions_ex hang"])
    fault = cut_short("cancel", installation, nvdimms, ScmPrepare(), "1 of 3 questions answered by libipmctl, now about regions")
    assert isinstance(fault, Fault)
    assert (fault.code, nvdimms.spaces, records(installation)) == (codes.HELPER_CANCELLED, [], [])


@pytest.mark.parametrize(("how", "when", "count"), [("cancel", "hang", 2), ("cancel", "late", 3), ("deadline", "hang", 2)])
def test_cut_short_between_two_namespaces_that_are_made(
    how: Cut, when: str, count: int, installation: Installation, nvdimms: Nvdimms
) -> None:
    """Four are asked for; the third is not made, or it is and nobody heard of it."""
    nvdimms.describe(0, 1, misbehaviour=[f"create-namespace {when} region1"])
    answer = cut_short(how, installation, nvdimms, ScmPrepare(namespaces_per_socket=2))
    assert isinstance(answer, ScmPrepareResult)
    assert (answer.outcome, code_of(answer), answer.reboot_required) == ("stopped", FAULTS[how], False)
    assert [step.done for step in answer.steps] == [True, True, True, False, False, False]
    assert len(nvdimms.spaces) == count
    assert remembered(installation) == Remembered({}, {0: 2, 1: 2})
    nvdimms.misbehave()
    with session(installation, nvdimms.played, nvdimms.over) as helper:
        again = helper.call(ScmPrepare(namespaces_per_socket=2))
        assert (again.fault, len(again.namespaces), again.state) == (None, 4, State.NO_FREE_CAPACITY)
        assert remembered(installation) == Remembered()
        assert [name for name in records(installation) if name.startswith("namespace-")] == sorted(
            f"namespace-{one.label}" for one in again.namespaces
        )


@pytest.mark.parametrize(("how", "command", "when", "left"), [
    ("cancel", "disable-namespace", "hang", [("0.1", "devdax", "on"), ("1.0", "devdax", "on")]),
    ("cancel", "destroy-namespace", "hang", [("0.1", "devdax", "off"), ("1.0", "devdax", "on")]),
    ("cancel", "destroy-namespace", "late", [("1.0", "devdax", "on")]),
    ("deadline", "destroy-namespace", "hang", [("0.1", "devdax", "off"), ("1.0", "devdax", "on")]),
])  # fmt: skip
def test_cut_short_between_two_namespaces_that_are_destroyed(
    how: Cut, command: str, when: str, left: list[tuple[str, str, str]], installation: Installation, nvdimms: Nvdimms
) -> None:
    spaces = of_ours(installation, "0.0", "0.1", "1.0")
    nvdimms.describe(0, 1, spaces=spaces, misbehaviour=[f"{command} {when} namespace0.1"])
    answer = cut_short(how, installation, nvdimms, ScmPrepare(reset=True))
    assert isinstance(answer, ScmPrepareResult)
    assert (answer.outcome, code_of(answer), answer.reboot_required) == ("stopped", FAULTS[how], False)
    assert [step.done for step in answer.steps] == [True, False, False, False, False]
    assert [one.dev for one in answer.destroyed] == ["namespace0.0"]
    assert [one.dev for one in answer.namespaces] == ["namespace0.1", "namespace1.0"]
    assert nvdimms.spaces == left
    assert (nvdimms.played.lines("goal"), remembered(installation)) == ([], Remembered())
    nvdimms.misbehave()
    with session(installation, nvdimms.played, nvdimms.over) as helper:
        again = helper.call(ScmPrepare(reset=True))
        assert (again.fault, again.outcome, len(again.destroyed), nvdimms.spaces) == (None, "goal-stored", len(left), [])
        assert records(installation) == ["pmem"]


def test_what_was_looked_into_before_it_was_switched_off_goes(installation: Installation, nvdimms: Nvdimms, pmem0: Path) -> None:
    """DAOS did not make it, and there was nothing in it; nobody can look again once it is off."""
    nvdimms.describe(0, spaces=[f"0.0 {WHOLE} fsdax {FIRST} {pmem0.name} on"], misbehaviour=["destroy-namespace hang"])
    answer = cut_short("cancel", installation, nvdimms, ScmPrepare(reset=True))
    assert isinstance(answer, ScmPrepareResult)
    assert (code_of(answer), nvdimms.spaces) == (codes.HELPER_CANCELLED, [("0.0", "fsdax", "off")])
    nvdimms.misbehave()
    with session(installation, nvdimms.played, nvdimms.over) as helper:
        again = helper.call(ScmPrepare(reset=True))
        assert (again.fault, again.outcome, nvdimms.spaces) == (None, "goal-stored", [])


def test_what_is_there_after_a_failure_is_told(helper: PlainSession, nvdimms: Nvdimms) -> None:
    """Nobody is in a hurry then: the answer has the namespaces that were made before."""
    nvdimms.describe(0, 1, misbehaviour=["create-namespace fail region1"])
    answer = helper.call(ScmPrepare(namespaces_per_socket=2))
    assert (answer.outcome, code_of(answer)) == ("stopped", codes.SCM_NDCTL_FAILED)
    assert answer.fault is not None
    assert answer.fault.cause == "failed as it was told to"
    assert [one.dev for one in answer.namespaces] == ["namespace0.0", "namespace0.1"]


# An ndctl that does not do what it says


def test_ndctl_that_deletes_nothing_is_not_believed(helper: PlainSession, nvdimms: Nvdimms, installation: Installation) -> None:
    """As on a region without labels, where it ends with status 0 all the same."""
    nvdimms.describe(0, spaces=of_ours(installation, "0.0", "0.1"), misbehaviour=["destroy-namespace nothing namespace0.1"])
    answer = helper.call(ScmPrepare(reset=True))
    assert (answer.outcome, code_of(answer)) == ("stopped", codes.SCM_NAMESPACE_REMAINS)
    assert answer.fault is not None
    assert "namespace0.1" in answer.fault.description
    assert [one.dev for one in answer.destroyed] == ["namespace0.0"]
    assert [(one.dev, one.enabled) for one in answer.namespaces] == [("namespace0.1", False)]
    assert (nvdimms.spaces, nvdimms.played.lines("goal")) == ([("0.1", "devdax", "off")], [])
    assert len(records(installation)) == 1, "it can be destroyed by the next reset"


# A namespace that was cut short while it was made


def half_made(installation: Installation, nvdimms: Nvdimms) -> None:
    """Make a namespace, and end ndctl when it has a size and a label and nothing else."""
    nvdimms.describe(0, misbehaviour=["create-namespace half"])
    answer = cut_short("cancel", installation, nvdimms, ScmPrepare())
    assert isinstance(answer, ScmPrepareResult)
    assert done(answer) == [("remember", True), ("create-namespace", False), ("remember", False)]
    assert nvdimms.spaces == [("0.0", "raw", "off")]
    nvdimms.misbehave()


def test_a_namespace_that_was_half_made_is_refused_and_reset(installation: Installation, nvdimms: Nvdimms) -> None:
    """As a killed ndctl leaves it: switched off."""
    half_made(installation, nvdimms)
    with session(installation, nvdimms.played, nvdimms.over) as helper:
        assert helper.call(ScmScan()).state == State.NO_FREE_CAPACITY
        refused = helper.call(ScmPrepare())
        assert (refused.outcome, code_of(refused), refused.steps) == ("refused", codes.SCM_INVALID_PMEM, ())
        assert refused.fault is not None
        assert "namespace0.0 on socket 0 is switched off" in refused.fault.description
        assert "'daos_server scm reset'" in refused.fault.resolution
        gone = helper.call(ScmPrepare(reset=True))
        assert (gone.fault, len(gone.destroyed), nvdimms.spaces) == (None, 1, [])


def test_a_namespace_that_a_power_cut_left_half_made_is_refused_and_reset(
    installation: Installation, nvdimms: Nvdimms, pmem0: Path
) -> None:
    """As the kernel makes it at the next start: of mode raw, with whatever the memory holds; it goes because it is on record as ours."""
    half_made(installation, nvdimms)
    nvdimms.switch_on()
    pmem0.write_bytes(b"left from before" * 1000)
    with session(installation, nvdimms.played, nvdimms.over) as helper:
        refused = helper.call(ScmPrepare())
        assert (refused.outcome, code_of(refused), refused.steps) == ("refused", codes.SCM_INVALID_PMEM, ())
        assert refused.fault is not None
        assert "namespace0.0 on socket 0 is of mode raw" in refused.fault.description
        assert "'daos_server scm reset'" in refused.fault.resolution
        kept = Path(installation.layout.helper_state) / next(name for name in records(installation) if name.startswith("namespace-"))
        kept.rename(kept.with_name("kept"))
        assert code_of(helper.call(ScmPrepare(reset=True))) == codes.HELPER_POLICY_REFUSED
        kept.with_name("kept").rename(kept)
        gone = helper.call(ScmPrepare(reset=True))
        assert (gone.fault, [one.dev for one in gone.destroyed], nvdimms.spaces) == (None, ["namespace0.0"], [])


def test_a_region_is_not_filled_up_beside_a_namespace_that_was_half_made(installation: Installation, nvdimms: Nvdimms) -> None:
    """The first of two: the second is not made before the first is gone."""
    nvdimms.describe(0, misbehaviour=["create-namespace half"])
    assert isinstance(cut_short("cancel", installation, nvdimms, ScmPrepare(namespaces_per_socket=2)), ScmPrepareResult)
    nvdimms.misbehave()
    with session(installation, nvdimms.played, nvdimms.over) as helper:
        assert helper.call(ScmScan()).state == State.PARTIAL_FREE_CAPACITY
        refused = helper.call(ScmPrepare(namespaces_per_socket=2))
        assert (refused.outcome, code_of(refused), nvdimms.spaces) == ("refused", codes.SCM_INVALID_PMEM, [("0.0", "raw", "off")])
        assert helper.call(ScmPrepare(reset=True)).fault is None
        assert (nvdimms.spaces, remembered(installation).filling) == ([], {})


# What root allows


def test_the_refusal_names_a_device_so_that_it_stays_the_same(
    installation: Installation, nvdimms: Nvdimms, pmem0: Path, policy: Path
) -> None:
    """By udev's link, whose name has the UUID: after a restart /dev/pmem0 can be another namespace."""
    nvdimms.describe(0, spaces=[f"0.0 {WHOLE} fsdax {FIRST} pmem0 on"])
    pmem0.write_bytes(b"somebody's database")
    link = Path(f"/dev/disk/by-id/pmem-{FIRST}")
    above = [folder for folder in (link.parent.parent, link.parent) if not folder.exists()]
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        with session(installation, nvdimms.played, nvdimms.over) as helper:
            assert f'devices_allow = ["{pmem0}"]' in refusal(helper)
            link.symlink_to("/dev/null")
            assert f'devices_allow = ["{pmem0}"]' in refusal(helper)
            link.unlink()
            link.symlink_to("../../pmem0")
            assert f'devices_allow = ["{link}"]' in refusal(helper)
            policy.write_text(f'devices_allow = ["{link}"]\n')
            policy.chmod(0o644)
            gone = helper.call(ScmPrepare(reset=True))
            assert (gone.fault, [one.dev for one in gone.destroyed]) == (None, ["namespace0.0"])
    finally:
        link.unlink(missing_ok=True)
        for folder in reversed(above):
            folder.rmdir()


def refusal(helper: PlainSession) -> str:
    """Return what a reset that the policy refuses says is to be done."""
    answer = helper.call(ScmPrepare(reset=True))
    assert code_of(answer) == codes.HELPER_POLICY_REFUSED
    assert answer.fault is not None
    return answer.fault.resolution
