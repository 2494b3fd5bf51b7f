# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the scm commands say in every state, and the tables and JSON that tools know."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from pmem_facts import GIB, goal, module, namespace

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import Namespace
from daos_pbin.pmem_plan import Outcome
from daos_pbin.pmem_state import State
from daos_server.plan import scm_words

pytestmark = pytest.mark.unit

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PREPARED: dict[tuple[Outcome, State], str] = {
    ("goal-stored", State.NO_REGIONS): "will make interleaved AppDirect regions",
    ("namespaces", State.NO_FREE_CAPACITY): "pmem0 ",
    ("nothing", State.NO_FREE_CAPACITY): "pmem0 ",
    **{("reboot-due", state): "was asked for regions already" for state in State if state not in (State.UNKNOWN, State.NO_MODULES)},
}
WAS_RESET = {
    State.NOT_INTERLEAVED: "non-interleaved regions",
    State.FREE_CAPACITY: "no namespaces to remove",
    State.NO_FREE_CAPACITY: "namespaces are removed, and the regions will",
    State.PARTIAL_FREE_CAPACITY: "partly used",
    State.NOT_HEALTHY: "damaged",
    State.UNKNOWN_MODE: "a mode that DAOS does not use",
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_end_of_a_prepare(outcome: Outcome, state: State) -> None:
    expected = PREPARED.get((outcome, state))
    if expected is None:
        with pytest.raises(Fault, match=state.word) as caught:
            scm_words.prepared(state, outcome, [namespace(0, 0)])
        assert caught.value.code == codes.SCM_INVALID_PMEM
        return
    text = scm_words.prepared(state, outcome, [namespace(0, 0)])
    assert expected in text
    assert text.endswith("\n")
    assert ("Reboot this machine" in text) == (outcome in ("goal-stored", "reboot-due"))


@pytest.mark.parametrize("outcome", ["namespaces", "nothing"])
def test_a_prepare_without_namespaces_has_not_ended_well(outcome: Outcome) -> None:
    with pytest.raises(Fault, match="NoFreeCapacity"):
        scm_words.prepared(State.NO_FREE_CAPACITY, outcome, [])


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_end_of_a_reset(outcome: Outcome, state: State) -> None:
    if outcome == "nothing" and state is State.NO_REGIONS:
        assert "is reset" in scm_words.was_reset(state, outcome)
    elif outcome in ("goal-stored", "reboot-due") and state in WAS_RESET:
        text = scm_words.was_reset(state, outcome)
        assert WAS_RESET[state] in text
        assert text.endswith(f"{scm_words.then_prepare()}\n")
    else:
        with pytest.raises(Fault, match=f"reset ended as '{outcome}'.*{state.word}"):
            scm_words.was_reset(state, outcome)


def test_the_namespace_table_is_the_references() -> None:
    rows = [Namespace(f"namespace{number}.0", 3183575302144, blockdev=f"pmem{number}", numa_node=number) for number in (1, 0)]
    assert scm_words.namespace_table(rows) == (
        "SCM Namespace Socket Capacity \n"
        "------------- ------ -------- \n"
        "pmem0         0      3.2 TB   \n"
        "pmem1         1      3.2 TB   \n"
    )


def test_the_module_table_is_by_physical_id() -> None:
    lines = scm_words.module_table([module(1, 0), module(0, 1)]).splitlines()
    assert lines[0].split("  ")[0].startswith("SCM Module Socket Memory Ctrlr Channel Channel Slot Capacity UID")
    assert [line.split() for line in lines[2:]] == [
        ["18", "0", "0", "1", "0", "128", "GiB", "uid-0-1", "PART", "Healthy"],
        ["33", "1", "0", "0", "0", "128", "GiB", "uid-1-0", "PART", "Healthy"],
    ]


def test_a_scan_shows_namespaces_or_else_modules() -> None:
    assert scm_words.scanned([namespace(0, 0)], [module(0, 0)]).startswith("SCM Namespace ")
    assert scm_words.scanned([], [module(0, 0)]).startswith("SCM Module ")
    assert scm_words.scanned([], []) == "  No SCM modules found\n"
    assert scm_words.namespace_table([]) == "  No SCM namespaces found\n"
    assert "namespace0.1 (off)" in scm_words.namespace_table([namespace(0, 1, blockdev="", enabled=False)])


def test_json() -> None:
    found = json.loads(json.dumps(scm_words.scanned_json([namespace(1, 0), namespace(0, 0)], [module(0, 0)])))
    assert [list(one) for one in found] == [["uuid", "blockdev", "dev", "numa_node", "size", "mount"]] * 2
    assert found[0] == {"uuid": "", "blockdev": "pmem0", "dev": "namespace0.0", "numa_node": 0, "size": GIB, "mount": None}
    assert scm_words.scanned_json([], [module(0, 0)]) == [
        {
            "ChannelID": 0,
            "ChannelPosition": 0,
            "ControllerID": 0,
            "SocketID": 0,
            "PhysicalID": 17,
            "Capacity": 128 * GIB,
            "UID": "uid-0-0",
            "PartNumber": "PART",
            "FirmwareRevision": "01.02.00.5446",
            "HealthState": "Healthy",
        }
    ]
    assert scm_words.scanned_json([], []) == []


def test_a_goal_that_waits_is_told_by_a_scan() -> None:
    assert scm_words.scan_notes([goal(1, "new"), goal(0, "bad-request"), goal(1, "new", 1)]) == (
        "socket 1: a memory allocation goal waits for the next start of this machine",
    )


@pytest.mark.parametrize("command", ["prepare", "reset"])
def test_consent_says_what_is_lost(command: str) -> None:
    assert ("destroyed" in scm_words.CONSENT[command]) == (command == "reset")
    assert scm_words.QUESTION.endswith("(yes/no)")


@pytest.mark.parametrize("state", State)
def test_every_state_says_what_comes_next(state: State) -> None:
    text = scm_words.next_step(state, reboot=False, command="daos_server scm prepare --socket 1")
    assert text.endswith(".")
    assert "{" not in text
    assert ("scm prepare --socket 1'" in text) == (state in (State.NO_REGIONS, State.FREE_CAPACITY, State.PARTIAL_FREE_CAPACITY))
    assert scm_words.next_step(state, reboot=True) == scm_words.then_prepare()


@pytest.mark.parametrize("half", [namespace(0, 1, "raw"), namespace(0, 1, enabled=False)])
@pytest.mark.parametrize("state", scm_words.FILLED)
def test_a_namespace_that_was_half_made_is_not_called_ready(half: Namespace, state: State) -> None:
    text = scm_words.next_step(state, reboot=False, namespaces=[namespace(0, 0), half])
    assert text.startswith("DAOS cannot use namespace0.1: ")
    assert "'daos_server scm reset'" in text
    ready = scm_words.next_step(State.NO_FREE_CAPACITY, reboot=False, namespaces=[namespace(0, 0)])
    assert ready == scm_words.NEXT[State.NO_FREE_CAPACITY]


def test_memory_of_others_is_told_apart_from_none() -> None:
    assert scm_words.next_step(State.NO_MODULES, reboot=False) == "This machine has no persistent memory."
    assert "ndctl" in scm_words.next_step(State.NO_MODULES, reboot=False, namespaces=[namespace(0, 0)])


def test_what_is_destroyed_is_named_above_the_question() -> None:
    words = scm_words.namespace_words(namespace(0, 0), "mounted on /mnt/\x1b")
    assert words == "namespace0.0: /dev/pmem0, 1.1 GB, mounted on /mnt/\x1b"
    assert scm_words.consent("reset", [words]).splitlines()[1:] == ["  namespace0.0: /dev/pmem0, 1.1 GB, mounted on /mnt/\\x1b"]
    assert scm_words.consent("reset").endswith("\n  (there are none)")
    assert "\n" not in scm_words.consent("prepare")
    off = namespace(0, 0, blockdev="", enabled=False)
    assert scm_words.namespace_words(off) == "namespace0.0: switched off, 1.1 GB"
    assert scm_words.namespace_words(namespace(0, 0, mode="devdax", blockdev="")) == "namespace0.0: 1.1 GB"
