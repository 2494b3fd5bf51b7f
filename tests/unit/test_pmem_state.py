# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every state of persistent memory, on one socket and on two, and what prepare and reset make of it."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pmem_facts import BOOT, GIB, MODULES, NEXT_BOOT, World, found, goal, namespace, region, uids

from daos_pbin import codes
from daos_pbin.pmem import Goal, Remembered, decode, encode
from daos_pbin.pmem_layout import match, share, verify
from daos_pbin.pmem_plan import (
    CreateGoal,
    CreateNamespace,
    Decision,
    DeleteGoals,
    DestroyNamespace,
    Found,
    Remember,
    Unmount,
    check_prepared,
    not_applied,
    prepare,
    reset,
)
from daos_pbin.pmem_state import State, assess

pytestmark = pytest.mark.unit

KINDS = {
    "free": State.FREE_CAPACITY,
    "full": State.NO_FREE_CAPACITY,
    "partial": State.PARTIAL_FREE_CAPACITY,
    "not-interleaved": State.NOT_INTERLEAVED,
    "unhealthy": State.NOT_HEALTHY,
    "volatile": State.UNKNOWN_MODE,
    "unknown": State.UNKNOWN_MODE,
}
VARIANT_WORDS = {
    "partial": "partly free",
    "not-interleaved": "without interleaving",
    "unhealthy": "damaged",
    "volatile": "not AppDirect",
    "unknown": "not AppDirect",
}


def code(decision: Decision) -> int | None:
    return decision.fault.code if decision.fault else None


def both_modules(*sockets: int) -> list[Goal]:
    return [goal(socket, "new", number) for socket in sockets for number in range(MODULES)]


def test_numbers_and_names_are_those_of_the_reference() -> None:
    words = [
        "Unknown", "NoRegions", "FreeCapacity", "NoFreeCapacity", "NotInterleaved", "NoModules", "NotHealthy", "PartialFreeCapacity",
        "UnknownMode",
    ]  # fmt: skip
    assert [(state.value, state.word) for state in State] == list(enumerate(words))


@pytest.mark.parametrize("kind", KINDS)
def test_one_socket(kind: str) -> None:
    seen = assess((region(0, kind),))
    assert (seen.state, seen.socket) == (KINDS[kind], 0)


@pytest.mark.parametrize(("first", "second"), list(product(KINDS, KINDS)))
def test_two_sockets(first: str, second: str) -> None:
    seen = assess((region(1, second), region(0, first)))
    unfit = [(socket, KINDS[kind]) for socket, kind in enumerate((first, second)) if kind in VARIANT_WORDS]
    if unfit:
        assert (seen.socket, seen.state) == unfit[0]
    else:
        assert seen.socket is None
        assert seen.state is (State.FREE_CAPACITY if "free" in (first, second) else State.NO_FREE_CAPACITY)
    assert seen.sockets == {0: KINDS[first], 1: KINDS[second]}


def test_no_region() -> None:
    assert assess(()).state is State.NO_REGIONS


def test_several_regions_on_a_socket() -> None:
    seen = assess((region(0, "full"), region(1, "free"), region(1, "free")))
    assert (seen.state, seen.doubled) == (State.UNKNOWN, (1,))
    assert assess((region(0, "full"), region(1, "not-interleaved"), region(1, "not-interleaved"))).state is State.NOT_INTERLEAVED
    assert assess((region(0, "free"), region(0, "unhealthy"))).sockets == {0: State.NOT_HEALTHY}


# Prepare


@pytest.mark.parametrize("count", [-1, 0, 5, 1000])
@pytest.mark.parametrize("kinds", [(), ("free",), ("full",), ("none",)])
def test_the_number_of_namespaces_is_checked_before_anything(kinds: tuple[str, ...], count: int) -> None:
    decision = prepare(found(*kinds), count)
    assert (code(decision), decision.steps, decision.reboot) == (codes.SCM_NAMESPACE_COUNT, (), False)


@pytest.mark.parametrize("plan", [prepare, reset])
def test_no_modules(plan: object) -> None:
    assert callable(plan)
    for facts, socket in ((found(), None), (found("free"), 3)):
        decision = plan(facts, socket=socket)
        assert (decision.state, code(decision), decision.steps) == (State.NO_MODULES, codes.SCM_NO_PMEM, ())


@pytest.mark.parametrize(("kinds", "sockets"), [(("none",), (0,)), (("none", "none"), (0, 1))])
def test_without_regions_a_goal_is_stored(kinds: tuple[str, ...], sockets: tuple[int, ...]) -> None:
    decision = prepare(found(*kinds))
    remembered = Remember(Remembered(dict.fromkeys(sockets, BOOT)))
    assert decision == Decision(State.NO_REGIONS, "goal-stored", None, (CreateGoal(uids(*sockets)), remembered), reboot=True)
    again = prepare(found(*kinds, goals=both_modules(*sockets), remembered=remembered.record))
    assert again == Decision(State.NO_REGIONS, "reboot-due", reboot=True)


def test_a_goal_of_somebody_else_is_replaced() -> None:
    decision = prepare(found("none", goals=[goal(0, "new")]))
    assert decision.steps[0] == DeleteGoals(uids(0)[:1])
    assert isinstance(decision.steps[1], CreateGoal)
    gone = prepare(found("none", remembered=Remembered({0: BOOT})))
    assert [type(step) for step in gone.steps] == [CreateGoal, Remember]


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(
    ("kinds", "regions"), [(("free",), (0,)), (("free", "free"), (0, 1)), (("full", "free"), (1,)), (("free", "none"), (0,))]
)
def test_free_regions_are_filled(kinds: tuple[str, ...], regions: tuple[int, ...], count: int) -> None:
    facts = found(*kinds, per_socket=count)
    decision = prepare(facts, count)
    kernel = {one.dev: one for one in facts.kernel_regions}
    made = [CreateNamespace(kernel[f"region{one}"], 256 * GIB // count) for one in regions for _ in range(count)]
    begun = Remember(Remembered({}, dict.fromkeys(regions, count)))
    assert (decision.state, decision.outcome, decision.reboot) == (State.FREE_CAPACITY, "namespaces", False)
    assert decision.steps == (begun, *made, Remember(Remembered()))
    assert bool(decision.notes) == ("none" in kinds)


@pytest.mark.parametrize("kind", ["free", "full"])
def test_a_goal_of_a_socket_without_region_is_left_to_wait(kind: str) -> None:
    decision = prepare(found(kind, "none", goals=[goal(0, "new"), *both_modules(1)], remembered=Remembered({1: BOOT})))
    assert [step for step in decision.steps if isinstance(step, DeleteGoals)] == [DeleteGoals(uids(0)[:1])]
    records = [step.record for step in decision.steps if isinstance(step, Remember)]
    assert all(record.goals == {1: BOOT} for record in records)


def test_a_region_that_cannot_be_divided_is_left_as_it_is() -> None:
    assert code(prepare(found("free"), 3)) == codes.SCM_REGION_NOT_DIVISIBLE
    assert prepare(found("free"), 3).steps == ()


@pytest.mark.parametrize("kinds", [("full",), ("full", "full"), ("full", "none")])
def test_prepared_memory_is_left_as_it_is(kinds: tuple[str, ...]) -> None:
    assert prepare(found(*kinds)).steps == ()
    assert prepare(found(*kinds)).outcome == "nothing"
    assert check_prepared(found(*kinds), 1) is None
    tidy = prepare(found(*kinds, goals=[goal(0, "new")], remembered=Remembered({0: NEXT_BOOT}, {0: 1})))
    assert tidy.steps == (DeleteGoals(uids(0)[:1]), Remember(Remembered()))


@pytest.mark.parametrize(("kinds", "count"), [(("full",), 2), (("full", "free"), 2), (("free", "full"), 4)])
def test_another_number_than_there_is_changes_nothing(kinds: tuple[str, ...], count: int) -> None:
    decision = prepare(found(*kinds), count)
    assert (code(decision), decision.steps) == (codes.SCM_INVALID_PMEM, ())


@pytest.mark.parametrize("kind", VARIANT_WORDS)
@pytest.mark.parametrize("other", [None, "free", "full", "none"])
def test_an_unfit_region_is_named_and_nothing_is_done(kind: str, other: str | None) -> None:
    facts = found(*([kind] if other is None else [other, kind]))
    decision = prepare(facts)
    assert (decision.state, decision.outcome, code(decision), decision.steps) == (KINDS[kind], "refused", codes.SCM_BAD_REGION, ())
    assert decision.fault is not None
    assert VARIANT_WORDS[kind] in decision.fault.description
    assert f"socket {0 if other is None else 1}" in decision.fault.description
    if other in ("free", "full"):
        assert prepare(facts, socket=0).fault is None


def test_two_regions_on_a_socket_are_refused_by_prepare_and_reset_all_the_same() -> None:
    facts = found("free", extra=[region(0, "full", iset=77)])
    assert code(prepare(facts)) == codes.SCM_INVALID_PMEM
    decision = reset(facts)
    assert (decision.state, decision.reboot) == (State.UNKNOWN_MODE, True)


# What a power cut leaves


def test_a_region_that_we_were_filling_is_filled_up() -> None:
    facts = found("partial", per_socket=4, there=1, remembered=Remembered({}, {0: 4}))
    decision = prepare(facts, 4)
    made = [step for step in decision.steps if isinstance(step, CreateNamespace)]
    assert (decision.state, [step.size for step in made]) == (State.PARTIAL_FREE_CAPACITY, [64 * GIB] * 3)
    assert decision.steps[-1] == Remember(Remembered())


@pytest.mark.parametrize(
    ("there", "count", "record"),
    [
        (1, 4, Remembered()),
        (1, 4, Remembered({}, {1: 4})),
        (1, 2, Remembered({}, {0: 4})),
        (1, 4, Remembered({0: BOOT})),
        (0, 4, Remembered({}, {0: 4})),
    ],
    ids=["no record", "another socket", "another number", "a goal", "nothing of ours"],
)
def test_a_region_that_others_filled_in_part_is_not(there: int, count: int, record: Remembered) -> None:
    free = None if there else 64 * GIB
    decision = prepare(found("partial", per_socket=4, there=there, free=free, remembered=record), count)
    assert (code(decision), decision.steps) == (codes.SCM_BAD_REGION, ())


def test_a_size_that_is_not_ours_is_not_gone_on_with() -> None:
    facts = found("partial", per_socket=4, there=2, free=64 * GIB, remembered=Remembered({}, {0: 4}))
    assert code(prepare(facts, 4)) == codes.SCM_BAD_REGION


# Goals that the firmware did not carry out


@pytest.mark.parametrize("kind", ["none", "not-interleaved", "volatile"])
@pytest.mark.parametrize(
    ("status", "reason"),
    [("bad-request", "invalid"), ("no-resources", "too few"), ("firmware-error", "modules failed"), ("failed", "without a reason"),
     (None, "says nothing"), ("new", "says nothing")],
)  # fmt: skip
def test_a_goal_that_was_not_applied_is_named(kind: str, status: str | None, reason: str) -> None:
    goals = [goal(1, status)] if status else []
    facts = found("full", kind, goals=goals, remembered=Remembered({1: NEXT_BOOT}))
    decision = prepare(facts)
    assert (code(decision), decision.steps) == (codes.SCM_GOAL_NOT_APPLIED, ())
    assert decision.fault is not None
    assert "socket 1:" in decision.fault.description
    assert reason in decision.fault.description
    assert prepare(facts, socket=0).fault is None
    assert reset(facts, 1).fault is None


@pytest.mark.parametrize("kind", ["free", "full", "unhealthy", "partial"])
def test_a_goal_that_was_applied_is_not(kind: str) -> None:
    assert not_applied(found(kind, remembered=Remembered({0: NEXT_BOOT}))) is None


def test_a_goal_that_waits_is_not() -> None:
    assert not_applied(found("none", goals=[goal(0, "new")], remembered=Remembered({0: BOOT}))) is None
    assert not_applied(found("none", goals=[goal(0, "new")])) is None


# Reset


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [None, "free", "full", "none"])
def test_reset_removes_namespaces_and_asks_for_new_regions(kind: str, other: str | None) -> None:
    facts = found(*([kind] if other is None else [kind, other]), goals=[goal(0, "failed")], mounted=("pmem0",))
    decision = reset(facts)
    sockets = (0,) if other is None else (0, 1)
    state = State.FREE_CAPACITY if (kind, other) == ("full", "free") else KINDS[kind]
    assert (decision.state, decision.outcome, decision.reboot) == (state, "goal-stored", True)
    assert decision.steps == (
        *(Unmount(one.blockdev) for one in facts.namespaces if one.blockdev == "pmem0"),
        DeleteGoals(uids(0)[:1]),
        *(DestroyNamespace(one.dev) for one in facts.namespaces),
        CreateGoal(uids(*sockets)),
        Remember(Remembered(dict.fromkeys(sockets, BOOT))),
    )


def test_reset_of_one_socket_leaves_the_other_alone() -> None:
    decision = reset(found("full", "full", remembered=Remembered({0: NEXT_BOOT})), 1)
    assert decision.steps == (DestroyNamespace("namespace1.0"), CreateGoal(uids(1)), Remember(Remembered({0: NEXT_BOOT, 1: BOOT})))


def test_reset_without_regions_only_tidies() -> None:
    assert reset(found("none")) == Decision(State.NO_REGIONS, "nothing")
    facts = found("none", "none", goals=[goal(0, "bad-request")], remembered=Remembered({0: NEXT_BOOT, 1: BOOT}))
    assert reset(facts).steps == (DeleteGoals(uids(0)[:1]), Remember(Remembered()))
    assert reset(facts, 0).steps == (DeleteGoals(uids(0)[:1]), Remember(Remembered({1: BOOT})))


def test_reset_twice_does_nothing_the_second_time() -> None:
    decision = reset(found("free", goals=both_modules(0), remembered=Remembered({0: BOOT})))
    assert decision == Decision(State.FREE_CAPACITY, "reboot-due", 0, reboot=True)


def test_reset_of_one_socket_that_the_kernel_does_not_know() -> None:
    facts = found("full", "full")
    odd = Found(facts.modules, facts.regions, (), (), facts.namespaces, BOOT)
    assert code(reset(odd, 0)) == codes.SCM_INVALID_PMEM
    assert reset(odd).fault is None


# The kernel's side


def test_regions_are_matched_by_their_interleave_set() -> None:
    facts = found("free", "free")
    crossed = tuple(reversed(facts.kernel_regions))
    assert {socket: one.dev for socket, one in match(facts.regions, crossed).items()} == {0: "region0", 1: "region1"}


def test_without_an_interleave_set_the_name_tells() -> None:
    facts = found("free", "free", iset=False)
    assert {socket: one.dev for socket, one in match(facts.regions, facts.kernel_regions).items()} == {0: "region0", 1: "region1"}


@pytest.mark.parametrize(("free", "count", "size"), [(64, 1, 64), (64, 2, 32), (96, 3, 32)])
def test_shares(free: int, count: int, size: int) -> None:
    kernel = found("free").kernel_regions[0]
    assert share(free << 20, count, kernel) == size << 20


def test_namespaces_that_daos_cannot_use() -> None:
    kernel = {0: found("full").kernel_regions[0]}
    assert verify(kernel, (namespace(0, 0),), 1) is None
    for odd in (namespace(0, 0, mode="sector"), namespace(0, 0, enabled=False), namespace(0, 0, blockdev="")):
        fault = verify(kernel, (odd,), 1)
        assert fault is not None
        assert fault.code == codes.SCM_INVALID_PMEM


@pytest.mark.parametrize("kind", ["free", "partial", "none"])
def test_an_end_that_is_none(kind: str) -> None:
    fault = check_prepared(found(kind), 1)
    assert fault is not None
    assert fault.code == codes.SCM_INVALID_PMEM


# What is remembered


def test_a_record_comes_back() -> None:
    for record in (Remembered(), Remembered({0: BOOT, 1: NEXT_BOOT}, {1: 4})):
        assert decode(encode(record)) == record


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'{"more": 1}', b'{"goals": {"0": "x"}}', b'{"goals": {"-1": "' + BOOT.encode() + b'"}}', b'{"filling": {"0": 5}}',
     b'{"filling": {"0": 0}}', b'{"filling": {"x": 1}}', b"[" * 100_000, b"\xff"],
)  # fmt: skip
def test_a_record_that_is_none(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a record"):
        decode(text)


# The whole way


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(
    "kinds", [("none",), ("none", "none"), ("not-interleaved", "full"), ("volatile",), ("free", "full"), ("partial", "none")]
)
def test_from_any_state_reset_reboot_prepare_is_enough(kinds: tuple[str, ...], count: int) -> None:
    world = World(found(*kinds))
    world.do(reset(world.facts))
    world.reboot()
    if prepare(world.facts, count).reboot:
        world.do(prepare(world.facts, count))
        world.reboot()
    world.do(prepare(world.facts, count))
    assert check_prepared(world.facts, count) is None
    assert world.facts.remembered == Remembered()
    assert prepare(world.facts, count).steps == ()


KIND = st.sampled_from(["none", *KINDS])
RECORD = st.builds(
    Remembered,
    st.dictionaries(st.integers(0, 2), st.sampled_from([BOOT, NEXT_BOOT]), max_size=3),
    st.dictionaries(st.integers(0, 2), st.integers(1, 4), max_size=3),
)
GOALS = st.lists(
    st.builds(goal, st.integers(0, 1), st.sampled_from(["new", "unknown", "bad-request", "failed"]), st.integers(0, 1)),
    max_size=4,
    unique_by=lambda one: one.uid,
)
MACHINES = st.builds(
    lambda kinds, goals, record, there, per, free: found(
        *kinds, goals=[one for one in goals if one.socket_id < len(kinds)], remembered=record, there=there, per_socket=per, free=free << 30
    ),
    st.lists(KIND, max_size=2),
    GOALS,
    RECORD,
    st.integers(0, 4),
    st.integers(1, 4),
    st.integers(1, 255),
)
"""Machines without sockets, with one or two, and every mixture of states, goals and records."""
SOCKETS = st.sampled_from([None, 0, 1, 7])


@settings(max_examples=150, deadline=None)
@given(MACHINES, st.integers(-1, 6), SOCKETS)
def test_there_is_a_decision_for_every_machine(facts: Found, count: int, socket: int | None) -> None:
    for decision in (prepare(facts, count, socket), reset(facts, socket)):
        assert (decision.fault is None) == (decision.outcome != "refused")
        if decision.fault:
            assert (decision.steps, decision.reboot) == ((), False)
        else:
            assert decision.state is not State.UNKNOWN
        assert decision.reboot == (decision.outcome in ("goal-stored", "reboot-due"))
        other = {one.uid for one in facts.modules if socket not in (None, one.socket_id)}
        touched = {uid for step in decision.steps if isinstance(step, CreateGoal | DeleteGoals) for uid in step.uids}
        assert not touched & other


@settings(max_examples=150, deadline=None)
@given(MACHINES, st.sampled_from([1, 2, 4]), st.lists(st.integers(0, 6), max_size=4), st.booleans(), st.booleans())
def test_repeating_comes_to_an_end(facts: Found, count: int, cuts: list[int], obedient: bool, from_reset: bool) -> None:
    """However often the power goes, and whatever the firmware does: after that, three starts of the machine are enough."""
    world = World(facts, obedient=obedient)
    for cut in cuts:
        world.do(prepare(world.facts, count), cut)
        world.reboot()
    if from_reset:
        world.do(reset(world.facts))
        world.reboot()
    starts = 0
    while (decision := prepare(world.facts, count)).steps or decision.reboot:
        world.do(decision)
        if decision.reboot:
            assert prepare(world.facts, count).outcome == "reboot-due"
            world.reboot()
            starts += 1
            assert starts < 3
    if decision.fault is None:
        assert decision.state is State.NO_FREE_CAPACITY
        assert check_prepared(world.facts, count) is None
    elif from_reset and obedient:
        assert decision.fault.code == codes.SCM_NO_PMEM


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.lists(st.integers(0, 8), max_size=6), st.integers(1, 2))
def test_power_cuts_lose_nothing(count: int, cuts: list[int], sockets: int) -> None:
    """From memory that was never used, with the power going between any two steps: no reset is ever needed."""
    world = World(found(*["none"] * sockets))
    for cut in cuts:
        decision = prepare(world.facts, count)
        assert decision.fault is None
        world.do(decision, cut)
        world.reboot()
    for _ in range(3):
        decision = prepare(world.facts, count)
        assert decision.fault is None
        world.do(decision)
        if decision.reboot:
            world.reboot()
    assert check_prepared(world.facts, count) is None
    assert world.facts.remembered == Remembered()
