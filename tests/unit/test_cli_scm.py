# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The scm commands in every state of the memory, for one socket and for two: words, exit code, JSON, what is asked of the helper.

The helper is a real process on the protocol, over a made-up machine (``standin_pmem.py``).
"""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pmem_file
import pytest
from pmem_facts import BOOT, NEXT_BOOT, World, found, goal, namespace

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import Remembered
from daos_pbin.pmem_plan import Found
from daos_pbin.pmem_state import State
from daos_server.cli.run import run
from daos_server.installation import Installation
from daos_server.plan import scm_words
from daos_server.storage import scm
from daos_server.storage.scm import Seen

pytestmark = pytest.mark.unit

HERE = Path(__file__).resolve().parent
ROOMS = [str(HERE.parents[1] / room) for room in ("pbin", "bindings", "helper", "server", "tests/support")]
KINDS = ("none", "free", "full", "not-interleaved", "unhealthy", "partial", "volatile", "unknown")
STATES = {
    "none": State.NO_REGIONS,
    "free": State.FREE_CAPACITY,
    "full": State.NO_FREE_CAPACITY,
    "not-interleaved": State.NOT_INTERLEAVED,
    "unhealthy": State.NOT_HEALTHY,
    "partial": State.PARTIAL_FREE_CAPACITY,
    "volatile": State.UNKNOWN_MODE,
    "unknown": State.UNKNOWN_MODE,
}
UNFIT = {
    "not-interleaved": "without interleaving",
    "unhealthy": "as damaged",
    "partial": "only partly free",
    "volatile": "not AppDirect",
    "unknown": "not AppDirect",
}
MACHINES = [(kind,) for kind in KINDS] + [pair for kind in KINDS for pair in ((kind, "full"), ("free", kind))]
OBJECT = [
    *("command", "dry_run", "state", "socket", "outcome", "reboot_required", "next_step"),
    *("namespaces", "destroyed", "steps", "notes", "notices"),
]
THEN = "Reboot this machine; then 'daos_server scm prepare' makes the namespaces."


class Done(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        found = json.loads(self.out)
        assert list(found) == ["response", "error", "status"]
        assert (found["error"] is None, found["status"]) == ((True, 0) if self.code == 0 else (False, -1025))
        return dict(found)


class Machine:
    """A made-up machine, and the installation of a server on it."""

    def __init__(self, folder: Path, facts: Found) -> None:
        self.file = folder / "machine"
        (folder / "state").mkdir()
        launcher = folder / "helper"
        words = [sys.executable, "-W", "error", "-B", str(HERE / "standin_pmem.py"), json.dumps([*ROOMS, *sys.path]), str(self.file)]
        launcher.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
        launcher.chmod(0o755)
        self.installation = Installation(
            helper=str(launcher), helper_socket="", config_file=str(folder / "c.yml"), state_dir=str(folder / "state")
        )
        pmem_file.write(str(self.file), pmem_file.Settings(pmem_file.of(facts)))

    def set(self, **values: object) -> None:
        pmem_file.write(str(self.file), msgspec.structs.replace(pmem_file.read(str(self.file)), **values))

    @property
    def facts(self) -> Found:
        return pmem_file.read(str(self.file)).found

    @property
    def requests(self) -> list[tuple[str, dict[str, object]]]:
        return [tuple(json.loads(line)) for line in Path(f"{self.file}.requests").read_text().splitlines()]

    @property
    def changes(self) -> list[dict[str, object]]:
        """The requests that change something."""
        return [payload for method, payload in self.requests if method == "ScmPrepare" and not payload.get("plan_only")]

    def reboot(self, *, obedient: bool = True) -> None:
        world = World(self.facts, obedient=obedient)
        world.reboot()
        self.set(machine=pmem_file.of(world.facts))


@pytest.fixture
def capture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> pytest.CaptureFixture[str]:
    monkeypatch.setattr("daos_server.cli.storage.become_account", lambda _invocation: None)
    monkeypatch.setattr("daos_server.cli.logs.start_log", lambda _invocation: None)
    monkeypatch.setattr("daos_server.start.alone.running_service", lambda _proc: 0)
    return capsys


def do(machine: Machine, capture: pytest.CaptureFixture[str], arguments: str) -> Done:
    code = run(["scm", *arguments.split()], machine.installation)
    return Done(code, *capture.readouterr())


def state_of(kinds: tuple[str, ...]) -> State:
    """Return the state of a machine whose sockets have regions of these kinds."""
    for kind in kinds:
        if kind in UNFIT:
            return STATES[kind]
    for kind in ("free", "full"):
        if kind in kinds:
            return STATES[kind]
    return State.NO_REGIONS


# Prepare


@pytest.mark.parametrize("kinds", MACHINES, ids="+".join)
def test_prepare_in_every_state(kinds: tuple[str, ...], tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found(*kinds))
    done = do(machine, capture, "prepare --force")
    unfit = [(socket, kind) for socket, kind in enumerate(kinds) if kind in UNFIT]
    if unfit:
        socket, kind = unfit[0]
        assert done.code == 1
        assert f"code = {codes.SCM_BAD_REGION} " in done.err
        assert UNFIT[kind] in done.err
        assert f"socket {socket} " in done.err
        assert machine.changes == []
        assert machine.facts == found(*kinds)
        return
    assert done.code == 0, done.err
    if kinds == ("none",):
        assert done.out.endswith(f"The firmware will make interleaved AppDirect regions at the next start. {THEN}\n")
        assert len(machine.facts.goals) == 2
        return
    regions = [socket for socket, kind in enumerate(kinds) if kind != "none"]
    table = done.out[done.out.index("SCM Namespace") :]
    assert [line.split()[:2] for line in table.splitlines()[2:]] == [[f"pmem{socket}", str(socket)] for socket in regions]
    assert bool(machine.changes) == ("free" in kinds)
    assert (done.out + done.err).count("has modules and no region") == ("none" in kinds)


@pytest.mark.parametrize("kinds", MACHINES, ids="+".join)
def test_prepare_as_json_in_every_state(kinds: tuple[str, ...], tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found(*kinds))
    done = do(machine, capture, "prepare --force --json")
    response = done.json["response"]
    if any(kind in UNFIT for kind in kinds):
        assert isinstance(response, dict)
        assert (done.code, response["outcome"], response["state"]) == (1, "refused", state_of(kinds).word)
        assert f"code = {codes.SCM_BAD_REGION} " in str(done.json["error"])
    elif kinds == ("none",):
        assert isinstance(response, dict)
        assert list(response) == OBJECT
        assert (response["outcome"], response["state"], response["reboot_required"]) == ("goal-stored", "NoRegions", True)
        assert response["next_step"] == THEN
        assert [(step["action"], step["done"]) for step in response["steps"]] == [("create-goal", True)]
    else:
        assert isinstance(response, list)
        assert [list(one) for one in response] == [["uuid", "blockdev", "dev", "numa_node", "size", "mount"]] * len(response)
        assert [one["numa_node"] for one in response] == [socket for socket, kind in enumerate(kinds) if kind != "none"]


@pytest.mark.parametrize("command", ["prepare --force", "reset --force"])
def test_without_modules(command: str, tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found())
    done = do(machine, capture, command)
    assert done.code == 1
    assert f"code = {codes.SCM_NO_PMEM} " in done.err
    assert do(machine, capture, f"{command} --json").json["response"] is not None
    assert machine.changes == []


def test_a_goal_of_ours_is_told_and_not_stored_again(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("none", "none"))
    assert do(machine, capture, "prepare -f").code == 0
    done = do(machine, capture, "prepare")  # nothing is to be done, so nobody is asked
    assert (done.code, len(machine.changes)) == (0, 1)
    assert done.out == f"The firmware was asked for regions already, and makes them at the next start. {THEN}\n"
    response = do(machine, capture, "prepare -f --json").json["response"]
    assert isinstance(response, dict)
    assert (response["outcome"], response["reboot_required"], response["steps"]) == ("reboot-due", True, [])
    assert f"NOTICE: {THEN}\n" in do(machine, capture, "scan").err


def test_a_restart_that_is_due_is_told_and_nothing_beside_it(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("full", "none"))
    assert "socket 1 has modules and no region" in do(machine, capture, "scan").err
    assert do(machine, capture, "prepare -f --socket 1").code == 0
    done = do(machine, capture, "scan")
    assert [line for line in done.err.splitlines() if line.startswith("NOTICE: ")] == [
        "NOTICE: socket 1: a memory allocation goal waits for the next start of this machine",
        f"NOTICE: {THEN}",
    ]
    again = do(machine, capture, "prepare -f")
    assert "socket 1 gets its region at the next start of this machine; then" in again.out + again.err
    assert "has modules and no region" not in again.out + again.err


def test_from_nothing_to_namespaces_and_back_twice(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("none", "none"))
    assert THEN.replace("prepare'", "prepare --scm-ns-per-socket 2'") in do(machine, capture, "prepare -f -S 2").out
    machine.reboot()
    for _ in range(2):
        assert "pmem1.1" in do(machine, capture, "prepare -f -S 2").out
        assert do(machine, capture, "prepare -S 2").code == 0
        done = do(machine, capture, "reset -f")
        assert (done.code, machine.facts.namespaces) == (0, ())
        assert THEN in done.out
        assert "[1/" in done.err
        machine.reboot()  # the firmware makes the regions anew


def test_a_goal_that_the_firmware_ignored_is_named(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("none"))
    do(machine, capture, "prepare -f")
    machine.reboot(obedient=False)
    prepared, scanned = do(machine, capture, "prepare -f"), do(machine, capture, "scan")
    for done in (prepared, scanned):
        assert done.code == 1
        assert f"code = {codes.SCM_GOAL_NOT_APPLIED} " in done.err
    assert "SCM Module" in scanned.out
    scanned = do(machine, capture, "scan -j")
    assert (scanned.code, len(scanned.json["response"])) == (1, 2)  # type: ignore[arg-type]  # a list
    assert do(machine, capture, "reset -f").code == 0


def test_another_number_of_namespaces_is_refused(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    done = do(Machine(tmp_path, found("full")), capture, "prepare -f -S 2")
    assert done.code == 1
    assert f"code = {codes.SCM_INVALID_PMEM} " in done.err
    assert "has 1 namespaces (region0), and 2 were asked for" in done.err


def test_the_command_after_the_reboot_has_the_options_that_it_needs(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("none", "none"))
    done = do(machine, capture, "prepare -f -S 4 --socket 1")
    assert "then 'daos_server scm prepare --socket 1 --scm-ns-per-socket 4' makes the namespaces.\n" in done.out
    assert {one.socket_id for one in machine.facts.goals} == {1}


# Reset


@pytest.mark.parametrize("kinds", MACHINES, ids="+".join)
def test_reset_in_every_state(kinds: tuple[str, ...], tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found(*kinds))
    there = machine.facts.namespaces
    done = do(machine, capture, "reset --force")
    assert done.code == 0, done.err
    assert machine.facts.namespaces == ()
    state = state_of(kinds)
    if state is State.NO_REGIONS:
        assert done.out == "Persistent memory is reset: there are no regions, no namespaces and no goals.\n"
        assert machine.changes == []
        return
    assert done.out.endswith(f"{scm_words.RESET[state]} {THEN}\n")
    assert [payload["seen"] for payload in machine.changes] == [[one.dev for one in there]]
    for one in there:
        assert f"DESTROYS what is there: {one.dev}: /dev/{one.blockdev}, 1.1 GB" in done.out
    machine.reboot()
    assert {one.free_capacity for one in machine.facts.regions} == {machine.facts.regions[0].capacity}


@pytest.mark.parametrize("kinds", MACHINES, ids="+".join)
def test_reset_as_json_in_every_state(kinds: tuple[str, ...], tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found(*kinds))
    names = [one.dev for one in machine.facts.namespaces]
    done = do(machine, capture, "reset --force --json")
    response = done.json["response"]
    assert isinstance(response, dict)
    assert list(response) == OBJECT
    is_reset = state_of(kinds) is State.NO_REGIONS
    assert (done.code, response["state"]) == (0, state_of(kinds).word)
    assert (response["outcome"], response["reboot_required"]) == (("nothing", False) if is_reset else ("goal-stored", True))
    assert ([one["dev"] for one in response["destroyed"]], response["namespaces"]) == (names, [])
    assert all(step["done"] for step in response["steps"])


def test_one_socket_is_reset_and_the_other_stays(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("full", "full"))
    done = do(machine, capture, "reset -f --socket 0")
    assert "then 'daos_server scm prepare --socket 0' makes" in done.out
    assert [one.dev for one in machine.facts.namespaces] == ["namespace1.0"]


def test_what_came_after_the_plan_is_not_destroyed(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("full"))
    machine.set(late=True)
    done = do(machine, capture, "reset -f")
    assert done.code == 1
    assert f"code = {codes.SCM_NAMESPACES_CHANGED} " in done.err
    assert len(machine.facts.namespaces) == 2


@pytest.mark.parametrize(("command", "kind", "done_then"), [("prepare -f", "free", "[1/2]"), ("reset -f", "full", "[2/3]")])
def test_a_change_that_stops_says_what_was_done(
    command: str, kind: str, done_then: str, tmp_path: Path, capture: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, found(kind, kind))
    machine.set(stop_after=2)
    done = do(machine, capture, command)
    assert done.code == 1
    assert f"code = {codes.SCM_NDCTL_FAILED} " in done.err
    assert f"{done_then} done: " in done.err
    assert f"{done_then} not done: " not in done.err
    assert f"[{done_then[3]}/{done_then[3]}] not done: " in done.err
    machine.set(stop_after=None)
    assert do(machine, capture, command).code == 0


def test_a_change_that_stops_as_json(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("full", "full"))
    machine.set(stop_after=1)
    done = do(machine, capture, "reset -f --json")
    response = done.json["response"]
    assert isinstance(response, dict)
    assert (done.code, response["outcome"], response["reboot_required"]) == (1, "stopped", False)
    assert [step["done"] for step in response["steps"]] == [True, False, False]
    assert ([one["dev"] for one in response["destroyed"]], len(response["namespaces"])) == (["namespace0.0"], 1)


# Before anything is done


@pytest.mark.parametrize("kinds", [("none",), ("free", "free"), ("full",), ("unhealthy",), ("full", "partial")], ids="+".join)
@pytest.mark.parametrize("command", ["prepare", "reset"])
def test_a_dry_run_asks_nobody_changes_nothing_and_is_exact(
    command: str, kinds: tuple[str, ...], tmp_path: Path, capture: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, found(*kinds))
    dry = do(machine, capture, f"{command} --dry-run")
    planned = do(machine, capture, f"{command} --dry-run --json")
    assert (machine.changes, machine.facts) == ([], found(*kinds))
    assert dry.out.startswith(f"Plan of scm {command}:\n  state: {state_of(kinds).word}")
    assert "Nothing was changed (--dry-run).\n" in dry.out
    response = planned.json["response"]
    assert isinstance(response, dict)
    assert (response["dry_run"], any(step["done"] for step in response["steps"])) == (True, False)
    done = do(machine, capture, f"{command} -f --json")
    assert (dry.code, planned.code) == (done.code, done.code)
    if machine.changes:
        steps = [line.partition("done: ")[2] for line in done.err.splitlines() if line.startswith("[")]
        assert [step["description"] for step in response["steps"]] == steps
        assert all(step["description"] in dry.out for step in response["steps"])


def test_what_would_be_destroyed_is_named_with_its_use(
    tmp_path: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = scm.mount_json("/dev/pmem0", "/")
    monkeypatch.setattr(scm, "seen", lambda *_: Seen({"namespace0.0": "mounted on /mnt/daos0"}, {"namespace0.0": mount}))
    machine = Machine(tmp_path, found("full", mounted=("pmem0",)))
    out = do(machine, capture, "reset --dry-run").out
    assert "unmount /dev/pmem0" in out
    assert "DESTROYS what is there: namespace0.0: /dev/pmem0, 1.1 GB, mounted on /mnt/daos0" in out
    response = do(machine, capture, "reset --dry-run --json").json["response"]
    assert isinstance(response, dict)
    assert response["destroyed"][0]["mount"] == mount
    scanned = do(machine, capture, "scan --json")
    assert scanned.json["response"][0]["mount"]["path"] == "/"  # type: ignore[index]  # a list
    assert "NOTICE: without a configuration, usable_bytes leaves 1024 MiB for" in scanned.err
    Path(machine.installation.config_file).write_text(config(0))
    assert "usable_bytes" not in do(machine, capture, "scan --json").err


@pytest.mark.parametrize(("command", "kind"), [("prepare", "free"), ("reset", "full")])
def test_nobody_can_be_asked_without_a_terminal(command: str, kind: str, tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found(kind))
    done = do(machine, capture, command)
    assert done.code == 1
    assert f"code = {codes.SERVER_CONSENT_MISSING} " in done.err
    assert "no terminal to ask at" in done.err
    assert f"'daos_server scm {command} --dry-run'" in done.err
    assert done.out.startswith(f"Plan of scm {command}:\n")
    assert (machine.changes, machine.facts) == ([], found(kind))


PROGRAM = """
import sys
sys.path[:] = {path!r}
from daos_server.cli import storage
from daos_server.cli.run import run
from daos_server.installation import Installation
storage.become_account = lambda invocation: None
sys.exit(run(sys.argv[1:], Installation(helper={helper!r}, helper_socket="", config_file={config!r}, state_dir={state!r})))
"""


def at_terminal(machine: Machine, arguments: str, typed: str) -> Done:
    """Run a command at a terminal, and answer each question with a line."""
    where = machine.installation
    code = PROGRAM.format(path=[*ROOMS, *sys.path], helper=where.helper, config=where.config_file, state=where.state_dir)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-W", "error", "-c", code, "scm", *arguments.split()]
    process = subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True, start_new_session=True)
    os.close(theirs)
    lines = [f"{line}\n" if line != "^D" else "\x04" for line in typed.split()]
    heard = ""
    try:
        while data := os.read(ours, 65536):
            heard += data.decode()
            while lines and heard.count("(yes/no)") > len(typed.split()) - len(lines):
                os.write(ours, lines.pop(0).encode())
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    out = process.communicate(timeout=60)[0]
    return Done(process.returncode, out, heard)


@pytest.mark.parametrize(("typed", "code"), [("yes", 0), ("no", 1), ("y maybe YES", 0), ("sure NO", 1), ("^D", 1)])
def test_consent_at_a_terminal(typed: str, code: int, tmp_path: Path) -> None:
    machine = Machine(tmp_path, found("full", "full"))
    done = at_terminal(machine, "reset", typed)
    assert done.code == code, done.err
    for socket in (0, 1):
        assert f"  namespace{socket}.0: /dev/pmem{socket}, 1.1 GB\r\n" in done.err
    assert "destroyed with the data in them" in done.err
    assert done.err.count("Are you sure you want to continue? (yes/no)") == len(typed.split())
    assert len(machine.facts.namespaces) == (0 if code == 0 else 2)
    assert ("consent was not given" in done.err) == (code == 1)


def test_consent_is_asked_for_goals_and_namespaces_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path, found("free"))
    done = at_terminal(machine, "prepare", "yes")
    assert (done.code, len(machine.facts.namespaces)) == (0, 1)
    assert "Existing namespaces and their data stay as they are." in done.err.replace("\r\n", " ")
    assert "running: looking at persistent memory" in done.err


def test_a_signal_at_the_question_changes_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, found("full"))
    where = machine.installation
    code = PROGRAM.format(path=[*ROOMS, *sys.path], helper=where.helper, config=where.config_file, state=where.state_dir)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, "scm", "reset"], stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL, start_new_session=True
    )
    os.close(theirs)
    heard = b""
    while b"(yes/no)" not in heard:
        heard += os.read(ours, 65536)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 1
    os.close(ours)
    assert len(machine.facts.namespaces) == 1


def test_a_signal_cancels_the_change(tmp_path: Path) -> None:
    machine = Machine(tmp_path, found("full"))
    machine.set(hang=True)
    where = machine.installation
    code = PROGRAM.format(path=[*ROOMS, *sys.path], helper=where.helper, config=where.config_file, state=where.state_dir)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, "scm", "reset", "-f"], stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL, start_new_session=True
    )
    os.close(theirs)
    heard = b""
    while b"1 of 3 steps" not in heard:
        heard += os.read(ours, 65536)
    process.send_signal(signal.SIGTERM)
    try:
        while data := os.read(ours, 65536):
            heard += data
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 1
    assert b"goes on from where the machine is" in heard
    assert f"explain {codes.HELPER_CANCELLED}".encode() in heard


# Scan


@pytest.mark.parametrize("kinds", MACHINES, ids="+".join)
def test_scan_in_every_state(kinds: tuple[str, ...], tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found(*kinds))
    facts = machine.facts
    done = do(machine, capture, "scan")
    assert done.code == 0
    assert done.out == scm_words.scanned(facts.namespaces, facts.modules)
    assert done.out.startswith("SCM Namespace" if facts.namespaces else "SCM Module")
    assert f"NOTICE: {scm_words.next_step(state_of(kinds), reboot=False)}\n" in done.err
    assert do(machine, capture, "scan --json").json["response"] == scm_words.scanned_json(facts.namespaces, facts.modules)


def test_scan_of_one_socket(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("full", "full"))
    assert [line.split()[0] for line in do(machine, capture, "scan --socket 1").out.splitlines()[2:]] == ["pmem1"]
    assert machine.requests == [("ScmScan", {"socket": 1})]


def test_scan_without_modules_is_no_failure(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found())
    assert do(machine, capture, "scan")[:2] == (0, "  No SCM modules found\n")
    assert do(machine, capture, "scan -j").json["response"] == []


def test_goals_of_others_are_told(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("none", goals=[goal(0, "new")]))
    assert "socket 0: a memory allocation goal waits for the next start" in do(machine, capture, "scan").err


@pytest.mark.parametrize(
    "fault",
    [
        Fault(codes.MISSING_SOFTWARE_DEPENDENCY),
        Fault(codes.BAD_VERSION_SOFTWARE_DEPENDENCY, version="02.00.00.3809"),
        Fault(codes.SCM_LIBRARY_MISSING, reason="libipmctl.so.5: cannot open shared object file"),
        Fault(codes.SCM_LIBRARY_NOT_ALLOWED, call="nvm_get_devices"),
        Fault(codes.SCM_DISCOVERY_FAILED),
        Fault(codes.HELPER_DEADLINE_EXCEEDED, step="memory", seconds=600),
        Fault(codes.HELPER_WORKER_CRASHED, step="memory", signal="SIGSEGV"),
    ],
    ids=lambda fault: str(fault.code),
)
@pytest.mark.parametrize("command", ["scan", "prepare -f", "reset -f"])
def test_a_fault_of_the_request_is_the_command_s(
    command: str, fault: Fault, tmp_path: Path, capture: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, found("full"))
    machine.set(refuse=fault.to_wire())
    done = do(machine, capture, command)
    assert (done.code, done.out) == (1, "")
    assert f"code = {fault.code} " in done.err
    as_json = do(machine, capture, f"{command} --json")
    assert (as_json.code, as_json.json["response"]) == (1, None)


def test_without_a_helper(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("full"))
    Path(machine.installation.helper).unlink()
    assert f"code = {codes.PRIVILEGED_HELPER_NOT_AVAILABLE} " in do(machine, capture, "scan").err


# The configuration


CONFIG = """
name: daos_server
access_points: [a]
provider: ofi+tcp
transport_config: {allow_insecure: true}
engines:
"""
ENGINE = """
- targets: 1
  fabric_iface: lo
  pinned_numa_node: %d
  fabric_iface_port: %d
  log_file: /tmp/e%d.log
  storage: [{class: dcpm, scm_mount: /mnt/daos%d, scm_list: [/dev/pmem%d]}]
"""


def config(*nodes: int) -> str:
    return CONFIG + "".join(ENGINE % (node, 31416 + 1000 * number, number, number, number) for number, node in enumerate(nodes))


@pytest.mark.parametrize(
    ("nodes", "options", "socket"),
    [((1, 1), "", 1), ((1,), "", 1), ((0, 1), "", None), ((1,), "--ignore-config", None), ((1,), "--socket 0", 0)],
)
def test_the_configuration_says_which_socket(
    nodes: tuple[int, ...],
    options: str,
    socket: int | None,
    tmp_path: Path,
    capture: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scm, "sockets", lambda: {0: 0, 1: 1})
    machine = Machine(tmp_path, found("free", "free"))
    Path(machine.installation.config_file).write_text(config(*nodes))
    for command in ("scan", "prepare -f", "reset -f"):
        done = do(machine, capture, f"{command} {options}")
        assert done.code == 0, done.err
        assert ("--ignore-config: all sockets" in done.err) == (socket is not None and not options)
    assert {payload.get("socket") for _, payload in machine.requests} == {socket}


@pytest.mark.parametrize(("nodes", "options", "told"), [((0, 0), "", True), ((0, 0), "-S 2", False), ((0, 1), "", False), ((), "", False)])
def test_too_few_namespaces_for_the_engines_are_told(
    nodes: tuple[int, ...],
    options: str,
    told: bool,
    tmp_path: Path,
    capture: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scm, "sockets", lambda: {0: 0, 1: 1})
    machine = Machine(tmp_path, found("free", "free"))
    if nodes:
        Path(machine.installation.config_file).write_text(config(*nodes))
    assert ("--scm-ns-per-socket 2 makes them" in do(machine, capture, f"prepare -n {options}").err) == told


def test_sockets_that_cannot_be_found_out_are_all(
    tmp_path: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_context: object) -> tuple[int, ...]:
        raise Fault(codes.STORAGE_SYSTEM_CALL_FAILED, call="read", what="/sys")

    monkeypatch.setattr(scm, "places", unreadable)
    machine = Machine(tmp_path, found("free", "free"))
    done = do(machine, capture, "scan")
    assert (done.code, machine.requests) == (0, [("ScmScan", {"socket": None})])
    assert "does not tell which sockets" in done.err


def test_a_broken_configuration_is_an_error_even_if_ignored(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("free"))
    Path(machine.installation.config_file).write_text("engines: 5\n")
    assert do(machine, capture, "scan --ignore-config").code == 1
    assert not Path(f"{machine.file}.requests").exists()


def test_the_helper_s_log_file_is_taken_and_told(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    done = do(Machine(tmp_path, found("full")), capture, "scan -l /tmp/x")
    assert done.code == 0
    assert "--helper-log-file is not needed" in done.err


def test_only_one_change_at_a_time(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    from daos_server.storage.lock import only_one

    machine = Machine(tmp_path, found("full"))
    with only_one(machine.installation.state_dir):
        assert f"code = {codes.HELPER_RESOURCE_BUSY} " in do(machine, capture, "reset -f").err
        assert do(machine, capture, "scan").code == 0
    assert machine.changes == []


@pytest.mark.parametrize("command", ["prepare", "reset"])
def test_beside_a_service_only_looking_is_allowed(
    command: str, tmp_path: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daos_server.start.alone.running_service", lambda _proc: 77)
    machine = Machine(tmp_path, found("full"))
    assert f"code = {codes.SERVER_ALREADY_RUNNING} " in do(machine, capture, f"{command} -f").err
    assert do(machine, capture, f"{command} --dry-run").code == 0
    assert do(machine, capture, "scan").code == 0


def test_a_namespace_that_is_off_is_named_before_it_is_destroyed(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    off = namespace(0, 0, blockdev="", enabled=False)
    facts = msgspec.structs.replace(found("full"), namespaces=(off,))
    assert "namespace0.0: switched off, 1.1 GB" in do(Machine(tmp_path, facts), capture, "reset -n").out


def test_what_the_helper_says_reaches_the_terminal_escaped(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, found("full"))
    machine.set(refuse=Fault(codes.SCM_DATA_MALFORMED, program="ndctl", reason="\x1b[2J").to_wire())
    done = do(machine, capture, "scan")
    assert "\x1b" not in done.err
    assert "code = 2163" in done.err


def test_a_record_alone_is_put_right_unasked(tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
    facts = found("full", remembered=Remembered(goals={0: NEXT_BOOT}))
    assert facts.boot_id == BOOT
    machine = Machine(tmp_path, facts)
    done = do(machine, capture, "prepare")  # only the record is put right, so nobody is asked
    assert (done.code, machine.facts.remembered) == (0, Remembered())
