# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the helper keeps about persistent memory, says about its steps, and works out without asking anybody."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from pmem_facts import BOOT, CAPACITY, NEXT_BOOT, goal, module, namespace, region

from daos_bindings.linux.block import BlockIdentity
from daos_helper.accounts import Identity
from daos_helper.context import Context
from daos_helper.device import Device
from daos_helper.methods import pmem_doomed, pmem_machine, pmem_prepare, pmem_record, pmem_words
from daos_helper.policy import Policy, PolicyFile
from daos_helper.privileges import PROBE_NAMESPACES
from daos_helper.rundir import RunDirectory
from daos_helper.steps import Work
from daos_pbin import codes, pmem_plan
from daos_pbin.faults import Fault
from daos_pbin.pmem import KernelRegion, Namespace, Remembered
from daos_pbin.pmem_messages import PMEM_REQUESTS, ScmPrepare, ScmPrepareResult, ScmScanResult
from daos_pbin.pmem_plan import CreateGoal, CreateNamespace, DeleteGoals, DestroyNamespace, Found, Remember, Unmount
from daos_pbin.pmem_state import Assessment, State

pytestmark = pytest.mark.unit

LABEL = "95f39723-ac4c-4807-8815-c4f09426f7ae"
KERNEL = tuple(KernelRegion(f"region{one}", CAPACITY, 0, 0, 1000 + one, one, "pmem", "memory_controller") for one in (0, 1))
MODULES = tuple(module(socket, number) for socket in (0, 1) for number in (0, 1))


def found(*regions: str, goals: tuple[tuple[int, str], ...] = (), remembered: Remembered | None = None, boot: str = BOOT) -> Found:
    """Return two sockets with regions of those kinds, and a full namespace on each region that is full."""
    made = tuple(region(socket, kind) for socket, kind in enumerate(regions) if kind)
    spaces = tuple(namespace(socket, 0) for socket, kind in enumerate(regions) if kind == "full")
    asked = tuple(goal(socket, status, number) for socket, status in goals for number in (0, 1))
    return Found(MODULES, made, asked, KERNEL[: len(made)], spaces, boot, (), remembered or Remembered())


@pytest.fixture
def context(tmp_path: Path) -> Context:
    if os.geteuid() != 0:
        pytest.skip("folders of root's own")
    run = RunDirectory(str(tmp_path / "run"))
    file = PolicyFile(str(tmp_path / "no.toml"))
    return Context(Identity(1, 1), Policy(), file, run, str(tmp_path / "state"), lambda _text: None, lambda *_told: None)


def labelled(label: str = LABEL, *, enabled: bool = True) -> Namespace:
    if enabled:
        return Namespace("namespace0.0", CAPACITY, "fsdax", "d35ac32b-16c9-411d-871c-7ab10877f037", "pmem0", raw_uuid=label)
    return Namespace("namespace0.0", CAPACITY, "raw", label, enabled=False)


def test_a_record_is_kept_replaced_and_removed(context: Context) -> None:
    with pmem_record.opened(context) as records:
        assert records.read() == Remembered()
    assert not os.path.exists(context.state), "reading makes nothing"
    for record in (Remembered({1: BOOT}), Remembered({}, {0: 4}), Remembered()):
        with pmem_record.opened(context, write=True) as records:
            records.write(record)
        with pmem_record.opened(context) as records:
            assert records.read() == record
    assert os.listdir(context.state) == []
    assert os.stat(context.state).st_mode & 0o777 == 0o700


def test_a_record_whose_writing_was_cut_off_is_none_and_is_cleared_away(context: Context) -> None:
    with pmem_record.opened(context, write=True) as records:
        records.mark(LABEL)
        os.rename(f"{context.state}/namespace-{LABEL}", f"{context.state}/namespace-{LABEL}.new")
        assert not records.is_marked(Namespace("namespace0.0", CAPACITY, "raw", LABEL, enabled=False))
    with pmem_record.opened(context, write=True):
        assert os.listdir(context.state) == []


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'{"goals":{"0":"x"}}', b'{"goals":{"64":"%s"}}' % BOOT.encode(), b'{"filling":{"0":5}}', b'{"more":1}', b"[" * 999],
)
def test_a_damaged_record_is_a_fault_and_is_left(context: Context, text: bytes) -> None:
    with pmem_record.opened(context, write=True) as records:
        records.write(Remembered({0: BOOT}))
        Path(context.state, "pmem").write_bytes(text)
        with pytest.raises(Fault, match="not as the helper writes it") as caught:
            records.read()
    assert caught.value.code == codes.SCM_RECORD_DAMAGED
    assert Path(context.state, "pmem").read_bytes() == text


def test_what_a_power_cut_left_half_written_is_not_read(context: Context) -> None:
    with pmem_record.opened(context, write=True) as records:
        records.write(Remembered({0: BOOT}))
        Path(context.state, "pmem.new").write_bytes(b'{"goa')
        assert records.read() == Remembered({0: BOOT})
        records.write(Remembered({1: BOOT}))
        assert records.read() == Remembered({1: BOOT})


def test_a_namespace_is_known_by_its_label_on_or_off(context: Context) -> None:
    with pmem_record.opened(context, write=True) as records:
        assert not records.is_marked(labelled())
        records.mark(LABEL)
        assert records.is_marked(labelled())
        assert records.is_marked(labelled(enabled=False))
        assert not records.is_marked(labelled("c4f09426-ac4c-4807-8815-95f39723f7ae"))
        records.prune([labelled(enabled=False)])
        assert records.is_marked(labelled())
        records.prune([])
        assert not records.is_marked(labelled())


def test_one_without_a_label_is_never_known(context: Context) -> None:
    bare = Namespace("namespace0.0", CAPACITY, "raw")
    with pmem_record.opened(context, write=True) as records:
        records.mark(bare.label)
        assert not records.is_marked(bare)
        records.forget(bare.label)
    assert os.listdir(context.state) == []


def checking(context: Context, monkeypatch: pytest.MonkeyPatch) -> Work[ScmPrepareResult]:
    """Return a reset that is looking into the namespaces, of which nothing was changed yet."""

    def find(_context: Context) -> Work[Found]:
        yield from ()
        return found("full", "full")

    identity = BlockIdentity(259, 0, "pmem0", "/dev/pmem0", "pmem0", False, CAPACITY, True)
    monkeypatch.setattr(pmem_machine, "find", find)
    monkeypatch.setattr(pmem_doomed, "_open", lambda *_: Device("/dev/pmem0", 0, identity, allowed=False))
    work = pmem_prepare.prepare(ScmPrepare(reset=True), context)
    assert next(work).row is PROBE_NAMESPACES
    return work


ENDS = (
    Fault(codes.HELPER_CANCELLED, step="probe-namespaces"),
    Fault(codes.HELPER_DEADLINE_EXCEEDED, step="probe-namespaces", seconds=60),
    Fault(codes.HELPER_WORKER_STUCK, step="probe-namespaces", pid=1, where="read"),
)


@pytest.mark.parametrize("fault", ENDS, ids=lambda fault: str(fault.code))
def test_a_request_that_ends_while_it_checks_is_not_called_refused(
    fault: Fault, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = checking(context, monkeypatch)
    with pytest.raises(Fault) as caught:
        work.throw(fault)
    assert (caught.value.code, os.listdir(context.state)) == (fault.code, [])


def test_a_check_that_fails_refuses_the_request(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    work = checking(context, monkeypatch)
    with pytest.raises(StopIteration) as ended:
        work.throw(Fault(codes.HELPER_WORKER_CRASHED, step="probe-namespaces", signal="SIGSEGV"))
    answer = ended.value.value
    assert (answer.outcome, answer.fault.code, answer.steps, answer.destroyed) == ("refused", codes.HELPER_WORKER_CRASHED, (), ())
    assert os.listdir(context.state) == []


def test_records_that_are_only_read_are_not_written(context: Context) -> None:
    with pmem_record.opened(context) as records, pytest.raises(RuntimeError):
        records.mark(LABEL)


def test_only_what_was_seen_is_destroyed() -> None:
    both = (namespace(0, 0), namespace(1, 0))
    names = tuple(one.dev for one in both)
    pmem_doomed.check_seen(both, names)
    pmem_doomed.check_seen(both[:1], names)
    pmem_doomed.check_seen((), ())
    with pytest.raises(Fault, match=names[1]) as caught:
        pmem_doomed.check_seen(both, names[:1])
    assert caught.value.code == codes.SCM_NAMESPACES_CHANGED


@pytest.mark.parametrize(
    ("step", "action", "objects", "words"),
    [
        (DeleteGoals(("a", "b")), "delete-goals", ("a", "b"), "2 modules"),
        (CreateGoal(("a",)), "create-goal", ("a",), "1 module,"),
        (CreateNamespace(KERNEL[0], 64 << 20), "create-namespace", ("region0",), "64 MiB on region0"),
        (Unmount("pmem0"), "unmount", ("pmem0",), "/dev/pmem0"),
        (DestroyNamespace("namespace0.1"), "destroy-namespace", ("namespace0.1",), "everything in it"),
        (Remember(Remembered()), "remember", (), "nothing is begun"),
        (Remember(Remembered({0: BOOT})), "remember", (), "what is begun"),
    ],
)
def test_steps_in_words(step: pmem_plan.Step, action: str, objects: tuple[str, ...], words: str) -> None:
    told = pmem_words.described(step)
    assert (told.action, told.objects, told.done) == (action, objects, False)
    assert words in told.words


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (
            (Remember(Remembered()), CreateNamespace(KERNEL[0], 64 << 20), CreateNamespace(KERNEL[1], 64 << 20), Remember(Remembered())),
            [None, (0, 2, "namespaces", "made, now one on region0"), (1, 2, "namespaces", "made, now one on region1"), None],
        ),
        (
            (Unmount("pmem0"), DestroyNamespace("namespace0.0"), DestroyNamespace("namespace0.0"), CreateGoal(("a",))),
            [None, *((done, 2, "namespaces", "destroyed, now namespace0.0") for done in (0, 1)), None],
        ),
    ],
)
def test_how_far_a_change_is(steps: tuple[pmem_plan.Step, ...], told: list[tuple[int, int, str, str] | None]) -> None:
    assert [pmem_words.how_far(steps, place) for place in range(len(steps))] == told


WAITING = ((1, "new"),)


@pytest.mark.parametrize(
    ("facts", "socket", "expected"),
    [
        (found("full", "", goals=WAITING, remembered=Remembered({1: BOOT})), None, True),
        (found("full", "", goals=WAITING, remembered=Remembered({1: BOOT})), 1, True),
        (found("full", "", goals=WAITING, remembered=Remembered({1: BOOT})), 0, False),
        (found("full", "", goals=WAITING), None, False),
        (found("full", "", remembered=Remembered({1: BOOT})), None, False),
        (found("full", "", goals=WAITING, remembered=Remembered({1: NEXT_BOOT})), None, False),
        (found("full", "full"), None, False),
    ],
)
def test_a_restart_is_due_where_a_goal_of_ours_waits(facts: Found, socket: int | None, expected: bool) -> None:
    assert pmem_plan.waits_for_reboot(facts, socket) is expected


def test_namespaces_of_a_socket() -> None:
    both = found("full", "full")
    assert pmem_plan.namespaces_on(both) == both.namespaces
    assert [pmem_plan.namespaces_on(both, one) for one in (0, 1, 2)] == [both.namespaces[:1], both.namespaces[1:], ()]
    unknown = msgspec.structs.replace(both, kernel_regions=())
    assert pmem_plan.namespaces_on(unknown, 0) == ()


def test_the_state_that_is_told() -> None:
    assert pmem_plan.seen(Found((), (), (), (), (), BOOT)).state is State.NO_MODULES
    assert pmem_plan.seen(found(), 1) == Assessment(State.NO_REGIONS, 1)
    assert pmem_plan.seen(found("full", "free"), 0).state is State.NO_FREE_CAPACITY
    assert pmem_plan.notes(found("full", "full")) == ()
    assert "socket 1 has modules and no region" in pmem_plan.notes(found("full", ""))[0]


def test_a_region_that_comes_with_the_restart_is_not_missed() -> None:
    asked = found("full", "", goals=WAITING, remembered=Remembered({1: BOOT}))
    assert (pmem_plan.notes(asked), pmem_plan.waits_for_reboot(asked)) == ((), True)
    (told,) = pmem_plan.prepare(asked).notes
    assert told.startswith("socket 1 gets its region at the next start of this machine")
    of_others = found("full", "", goals=WAITING)
    assert "asks the firmware for one" in pmem_plan.notes(of_others)[0]
    assert pmem_plan.prepare(of_others).notes == pmem_plan.notes(of_others)


def test_the_largest_answers_can_be_sent() -> None:
    from daos_pbin.frames import ANSWER_LIMIT, FrameReader, encode
    from daos_pbin.pmem import MODULES_LIMIT, NAMESPACES_LIMIT
    from daos_pbin.pmem_messages import PmemStep

    spaces = tuple(msgspec.structs.replace(namespace(0, 1), dev=f"namespace0.{one}", raw_uuid=LABEL) for one in range(NAMESPACES_LIMIT))
    steps = tuple(PmemStep("destroy-namespace", (one.dev,), "x" * 100, done=True) for one in spaces)
    modules = (MODULES[0],) * MODULES_LIMIT
    for answer in (
        ScmScanResult(5, 0, modules, (), spaces, tuple(goal(0, "new") for _ in modules)),
        ScmPrepareResult(3, "goal-stored", 0, True, spaces, spaces, (*steps, PmemStep("create-goal", ("u" * 21,) * MODULES_LIMIT))),
    ):
        reader = FrameReader(ANSWER_LIMIT)
        (message,) = reader.feed(encode({"type": "result", "id": 1, "payload": msgspec.to_builtins(answer)}, ANSWER_LIMIT))
        assert msgspec.convert(message["payload"], type(answer)) == answer


def test_requests_have_defaults_that_change_least() -> None:
    assert ScmPrepare() == ScmPrepare(reset=False, namespaces_per_socket=1, socket=None, plan_only=False, seen=None)
    assert set(PMEM_REQUESTS) == {"ScmScan", "ScmPrepare", "ScmFirmwareQuery", "ScmFirmwareUpdate"}
