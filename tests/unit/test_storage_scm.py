# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Persistent memory as part of the storage commands: which socket, what is asked of the helper, and what its answers come to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import pytest
from pmem_facts import module, namespace

from daos_bindings.linux import block
from daos_bindings.linux import mounts as mount_table
from daos_bindings.linux.block import BlockIdentity, Usage
from daos_pbin import codes
from daos_pbin.envelope import Progress
from daos_pbin.faults import Fault
from daos_pbin.messages import Request, Result, ResultT, ScmCheckFormat, ScmFormatResult
from daos_pbin.pmem import Goal, Namespace
from daos_pbin.pmem_messages import PmemStep, ScmPrepare, ScmPrepareResult, ScmScan, ScmScanResult
from daos_pbin.pmem_state import State
from daos_pbin.wire_fault import WireFault
from daos_server.cli.run import run
from daos_server.config.load import LoadedConfig, load
from daos_server.config.model import ServerConfig
from daos_server.installation import Installation
from daos_server.plan import scm as plans
from daos_server.plan.steps import Plan
from daos_server.storage import commands, scm
from daos_server.storage.commands import Context
from daos_server.storage.facts import Helper
from daos_server.storage.report import Outcome, Report, Reporter, Row, Silent

pytestmark = pytest.mark.unit

HEAD = """
name: daos_server
access_points: [a]
provider: ofi+tcp
transport_config: {allow_insecure: true}
engines:
"""
GOAL = PmemStep("create-goal", ("uid-0-0",), "ask the firmware for interleaved regions on 1 modules")
TAKE_BACK = PmemStep("delete-goals", ("uid-0-0",), "take back what was asked of the firmware for 1 modules")
MAKE = PmemStep("create-namespace", ("region0",), "make a namespace of 1024 MiB on region0")
NOTE = PmemStep("remember", (), "write down what is begun")
BROKEN = WireFault.of(Fault(codes.SCM_NDCTL_FAILED, command="ndctl create-namespace", what="region0", status="exit status 1"))
REBOOT = "Reboot this machine; then 'daos_server scm prepare --socket 0' makes the namespaces."


class Told(AbstractAsyncContextManager[Helper]):
    """In place of a helper: answers in their order, and what happens meanwhile."""

    def __init__(self, *answers: Result | Fault, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.answers = list(answers)
        self.requests: list[Request[Result]] = []
        self._meanwhile = meanwhile

    def __call__(self, _reporter: Reporter) -> Told:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def call(
        self, request: Request[ResultT], *, deadline_s: float = 1.0, on_progress: Callable[[Progress], None] | None = None
    ) -> ResultT:
        if isinstance(request, ScmCheckFormat):
            return cast("ResultT", ScmFormatResult(request.mountpoint, False, False, False))
        self.requests.append(cast("Request[Result]", request))
        if on_progress is not None:
            on_progress(Progress(id=1, done=1, total=2, unit="steps", what="region0"))
            self._meanwhile()
        answer = self.answers.pop(0)
        if isinstance(answer, Fault):
            raise answer
        return cast("ResultT", answer)


def engine(number: int, device: str, node: int | None = 0, **more: object) -> str:
    pin = "" if node is None else f"pinned_numa_node: {node}, "
    extra = "".join(f"{key}: {value}, " for key, value in more.items())
    return (
        f"- {{targets: 1, fabric_iface: lo, {pin}{extra}fabric_iface_port: {31416 + 1000 * number}, log_file: /tmp/e{number}.log, "
        f"storage: [{{class: dcpm, scm_mount: /mnt/none{number}, scm_list: ['{device}']}}]}}\n"
    )


def loaded(folder: Path, *engines: str) -> LoadedConfig:
    path = folder / "c.yml"
    path.write_text(HEAD + "".join(engines))
    return load(str(path))


def context(folder: Path, told: Told, *engines: str) -> Context:
    (folder / "state").mkdir(exist_ok=True)
    return Context(loaded(folder, *engines), Installation(state_dir=str(folder / "state")), session=told)


@pytest.fixture(autouse=True)
def two_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scm, "sockets", lambda: {0: 0, 1: 1})


def answer(outcome: str, *steps: PmemStep, state: State = State.FREE_CAPACITY, **more: object) -> ScmPrepareResult:
    return ScmPrepareResult(int(state), outcome, steps=steps, **more)  # type: ignore[arg-type]  # a literal


def plan(ctx: Context, *, force: bool = False, only: commands.Part = "scm") -> Plan:
    return asyncio.run(commands.plan_prepare(ctx, force=force, only=only))


# Which socket


def config(*engines: dict[str, object]) -> ServerConfig:
    tiers = {"dcpm": {"class": "dcpm", "scm_mount": "/mnt/a", "scm_list": ["/dev/pmem0"]}, "ram": {"class": "ram", "scm_mount": "/mnt/b"}}
    made = [{**each, "storage": [tiers[str(each.get("storage", "dcpm"))]]} for each in engines]
    return ServerConfig.model_validate({"engines": made})


@pytest.mark.parametrize(
    ("engines", "places", "only"),
    [
        ([], (), None),
        ([{"pinned_numa_node": 1}], (1,), 1),
        ([{"pinned_numa_node": 1}, {"pinned_numa_node": 1}], (1, 1), 1),
        ([{"pinned_numa_node": 0}, {"pinned_numa_node": 1}], (0, 1), None),
        ([{"pinned_numa_node": 2}], (1,), 1),  # with several nodes on a socket
        ([{"pinned_numa_node": 7}], (None,), None),
        ([{"fabric_iface": "ib1"}], (1,), 1),
        ([{"fabric_iface": "ib1,ib0"}], (1,), 1),
        ([{"fabric_iface": "bare"}], (None,), None),
        ([{"fabric_iface": "gone"}], (None,), None),
        ([{"fabric_iface": "ib1"}, {"fabric_iface": "gone"}], (1, None), None),
        ([{"fabric_iface": "ib1"}, {"fabric_iface": "ib0", "storage": "ram"}], (1,), 1),
        ([{"fabric_iface": "ib1", "first_core": 3}], (None,), None),
        ([{"fabric_iface": "ib0", "storage": "ram"}], (), None),
    ],
)
def test_the_socket_that_all_engines_with_persistent_memory_are_on(
    engines: list[dict[str, object]], places: tuple[int | None, ...], only: int | None
) -> None:
    found = plans.placed(config(*engines), {"ib0": 0, "ib1": 1, "bare": None}, {0: 0, 1: 1, 2: 1})
    assert (found, plans.only_socket(found)) == (places, only)


@pytest.mark.parametrize(("places", "count"), [((), 1), ((None, None), 1), ((0, 1), 1), ((0, 0, 1), 2), ((1,) * 4, 4)])
def test_each_engine_gets_a_namespace(places: tuple[int | None, ...], count: int) -> None:
    assert plans.namespaces_needed(places) == count


def test_more_engines_than_a_socket_can_have_namespaces() -> None:
    with pytest.raises(Fault) as caught:
        plans.namespaces_needed((0,) * 5)
    assert caught.value.code == codes.SCM_NAMESPACE_COUNT


def test_sockets_are_those_of_the_first_cpu_of_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("daos_bindings.linux.numa.online", lambda: (0, 1, 2, 3))
    for node, cpus in ((0, "0-3"), (1, "4,6"), (2, "")):
        (tmp_path / f"node{node}").mkdir()
        (tmp_path / f"node{node}/cpulist").write_text(f"{cpus}\n")
    for cpu, package in ((0, "0"), (4, "1")):
        (tmp_path / f"cpu{cpu}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}/topology/physical_package_id").write_text(f"{package}\n")
    assert scm.sockets(str(tmp_path), str(tmp_path)) == {0: 0, 1: 1}


def test_this_machine_has_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 0 in scm.sockets()


# What namespaces are used for


def test_uses_and_mounts_of_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    holds = {
        "pmem0": (Usage("mount", "pmem0", "/"),),
        "pmem1": (Usage("partition", "pmem1", "pmem1p1"), Usage("mount", "pmem1p1", "/a\x1b")),
        "pmem2": (Usage("swap", "pmem2", "pmem2"),),
        "pmem3": (),
    }

    def by_name(name: str) -> BlockIdentity | None:
        return BlockIdentity(259, 0, name, f"/dev/{name}", name, False, 1, True) if name in holds else None

    monkeypatch.setattr(block, "by_name", by_name)
    monkeypatch.setattr(block, "usage", lambda device, _: holds[device.name])
    monkeypatch.setattr(mount_table, "read", lambda: ())
    names = [Namespace(f"namespace{number}.0", 1, blockdev=f"pmem{number}") for number in range(5)]
    seen = scm.seen([*names, Namespace("namespace9.0", 1, enabled=False)])
    assert seen.uses == {
        "namespace0.0": "mounted on /",
        "namespace1.0": "divided into pmem1p1; mounted on /a\\x1b",
        "namespace2.0": "swap space",
    }
    mount = seen.mounts.pop("namespace0.0")
    assert seen.mounts == {}
    assert list(mount) == ["class", "device_list", "info", "path", "rank", "total_bytes", "avail_bytes", "usable_bytes"]
    assert (mount["class"], mount["device_list"], mount["path"], mount["rank"]) == ("dcpm", ["/dev/pmem0"], "/", 2**32 - 1)
    total = mount["total_bytes"]
    assert isinstance(total, int)
    assert total > 0


def test_a_mount_that_cannot_be_asked_has_no_sizes() -> None:
    mount = scm.mount_json("/dev/pmem0", "/nowhere/at/all")
    assert (mount["total_bytes"], mount["avail_bytes"], mount["usable_bytes"]) == (0, 0, 0)


GIB, MIB = 1 << 30, 1 << 20


def with_environment(*variables: str, metadata: str = "", mount: str = "/mnt/a") -> ServerConfig:
    tier = {"class": "dcpm", "scm_mount": mount, "scm_list": ["/dev/pmem0"]}
    made = {"engines": [{"env_vars": list(variables), "storage": [tier]}]}
    return ServerConfig.model_validate({**made, "control_metadata": {"path": metadata}} if metadata else made)


@pytest.mark.parametrize(
    ("loaded_", "path", "expected"),
    [
        (None, "/mnt/a", GIB + 17 * MIB),
        (with_environment(), "/mnt/a", GIB + 17 * MIB),
        (with_environment("DAOS_MD_CAP=128"), "/mnt/a", 145 * MIB),
        (with_environment("DAOS_MD_CAP=128"), "/mnt/by-device", 145 * MIB),
        (with_environment("DAOS_MD_CAP=128", mount="/mnt/b"), "/mnt/b", 145 * MIB),
        (with_environment("DAOS_MD_CAP=much"), "/mnt/a", GIB + 17 * MIB),
        (with_environment("DAOS_MD_CAP=128", metadata="/var/daos"), "/mnt/a", 129 * MIB),
        (with_environment(metadata="/mnt/a"), "/mnt/a", GIB + 17 * MIB),
    ],
)
def test_what_an_engine_keeps_for_itself(loaded_: ServerConfig | None, path: str, expected: int) -> None:
    assert scm.reserved(loaded_, "/dev/pmem0", path) == expected


def test_a_file_system_of_no_engine_is_reckoned_as_usual() -> None:
    assert scm.reserved(with_environment("DAOS_MD_CAP=1", metadata="/var/daos"), "/dev/pmem7", "/mnt/other") == GIB + 17 * MIB


def test_usable_bytes_follow_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, GIB, GIB, GIB, 0, 0, 0, 0, 255)))
    usable = [scm.mount_json("/dev/pmem0", "/mnt/a", one)["usable_bytes"] for one in (None, with_environment("DAOS_MD_CAP=128"))]
    assert usable == [4096 * GIB - GIB - 17 * MIB, 4096 * GIB - 145 * MIB]


# Looking


def test_looking_tells_how_far_it_is(tmp_path: Path) -> None:
    heard: list[int] = []
    told = Told(ScmScanResult(int(State.NO_MODULES)), answer("nothing"))
    ctx = context(tmp_path, told, engine(0, "/dev/pmem0"))
    asyncio.run(scm.look(ctx, None, Silent(), lambda one: heard.append(one.done)))
    asyncio.run(scm.foresee(ctx, ScmPrepare(), Silent(), lambda one: heard.append(one.total)))
    assert heard == [1, 2]


# storage prepare


def test_devices_that_are_there_need_nothing_of_the_helper(tmp_path: Path) -> None:
    (tmp_path / "pmem0").touch()
    told = Told()
    made = plan(context(tmp_path, told, engine(0, f"{tmp_path}/pmem0")))
    assert (told.requests, made.steps, made.refusals) == ([], (), ())
    assert [(part.engine, part.tier, part.subject, part.already) for part in made.standing] == [(0, 0, f"{tmp_path}/pmem0", True)]


def test_missing_devices_are_made_for_as_many_engines_as_a_socket_has(tmp_path: Path) -> None:
    devices = [tmp_path / f"pmem{number}" for number in range(2)]
    engines = [engine(number, str(device), 1) for number, device in enumerate(devices)]
    done = answer(
        "namespaces",
        *(PmemStep(step.action, step.objects, step.words, True) for step in (NOTE, MAKE, MAKE)),
        state=State.NO_FREE_CAPACITY,
        namespaces=(namespace(1, 0), namespace(1, 1)),
    )

    def appear() -> None:
        for device in devices:
            device.touch()

    told = Told(answer("namespaces", NOTE, MAKE, MAKE), done, meanwhile=appear)
    ctx = context(tmp_path, told, *engines)
    made = plan(ctx)
    assert told.requests == [ScmPrepare(namespaces_per_socket=2, socket=1, plan_only=True)]
    assert made.steps[0].describe() == f"{MAKE.words}; {MAKE.words}"
    report = asyncio.run(commands.run(made, ctx))
    assert told.requests[1:] == [ScmPrepare(namespaces_per_socket=2, socket=1)]
    assert [(row.outcome, row.fault) for row in report.rows] == [(Outcome.DONE, None)]
    assert "namespace1.0: /dev/pmem1, 1.1 GB, namespace1.1: /dev/pmem1.1" in report.rows[0].detail


def prepared(tmp_path: Path, planned: Result | Fault, *done: Result | Fault, force: bool = False) -> tuple[Plan, Report | None]:
    told = Told(planned, *done)
    ctx = context(tmp_path, told, engine(0, f"{tmp_path}/pmem0"))
    made = plan(ctx, force=force)
    return made, asyncio.run(commands.run(made, ctx)) if made.steps else None


def test_a_reboot_is_told_and_no_failure(tmp_path: Path) -> None:
    stored = answer("goal-stored", PmemStep("create-goal", done=True), state=State.NO_REGIONS, reboot_required=True)
    _, report = prepared(tmp_path, answer("goal-stored", GOAL, state=State.NO_REGIONS, reboot_required=True), stored)
    assert report is not None
    assert (report.fault(), report.rows[0].outcome) == (None, Outcome.DONE)
    assert report.rows[0].detail.endswith(REBOOT)
    made, report = prepared(tmp_path, answer("reboot-due", reboot_required=True))
    assert (report, made.standing[0].fault, made.standing[0].detail) == (None, None, REBOOT)


@pytest.mark.parametrize(
    ("planned", "code"),
    [
        (answer("nothing", state=State.NO_FREE_CAPACITY), codes.SCM_FORMAT_MISSING_DEVICE),
        (answer("refused", fault=BROKEN), codes.SCM_NDCTL_FAILED),
        (answer("refused"), codes.SCM_INVALID_PMEM),
        (answer("namespaces", TAKE_BACK, MAKE), codes.SERVER_CONSENT_MISSING),
        (Fault(codes.SCM_LIBRARY_MISSING, reason="it is not there"), codes.SCM_LIBRARY_MISSING),
    ],
)
def test_what_cannot_be_made_fails_the_command_and_not_the_rest(planned: Result | Fault, code: int, tmp_path: Path) -> None:
    made, report = prepared(tmp_path, planned)
    assert (report, made.refusals) == (None, ())
    fault = commands.foreseen(made)
    assert fault is not None
    assert fault.code == code


def test_goals_are_taken_back_with_force(tmp_path: Path) -> None:
    made, _ = prepared(tmp_path, answer("namespaces", TAKE_BACK, MAKE), answer("stopped", fault=BROKEN), force=True)
    assert TAKE_BACK.words in made.steps[0].describe()


@pytest.mark.parametrize(
    ("done", "code"),
    [
        (answer("stopped", MAKE, fault=BROKEN), codes.SCM_NDCTL_FAILED),
        (answer("namespaces", state=State.NO_FREE_CAPACITY, namespaces=(namespace(0, 0),)), codes.SCM_FORMAT_MISSING_DEVICE),
        (answer("goal-stored", state=State.UNKNOWN, reboot_required=True), codes.SCM_INVALID_PMEM),
        (Fault(codes.HELPER_WORKER_CRASHED, step="memory", signal="SIGSEGV"), codes.HELPER_WORKER_CRASHED),
    ],
)
def test_a_change_that_did_not_get_there_is_a_failure(done: Result | Fault, code: int, tmp_path: Path) -> None:
    _, report = prepared(tmp_path, answer("namespaces", MAKE), done)
    assert report is not None
    fault = report.fault()
    assert fault is not None
    assert fault.code == code


def test_only_one_part_is_planned(tmp_path: Path) -> None:
    told = Told(answer("namespaces", MAKE), answer("namespaces", MAKE))
    ctx = context(tmp_path, told, engine(0, f"{tmp_path}/pmem0"))
    assert [type(step).__name__ for step in plan(ctx).steps] == ["PreparePmem"]
    assert told.requests
    told.requests.clear()
    without = plan(ctx, only="nvme")
    assert all(type(step).__name__ != "PreparePmem" for step in without.steps)
    assert told.requests == []
    both = plan(ctx, only="")
    assert type(both.steps[0]).__name__ == "PreparePmem"
    assert (both.steps[1:], both.notes) == (without.steps, without.notes)


def test_only_persistent_memory_where_none_is_configured(tmp_path: Path) -> None:
    text = engine(0, "/dev/x").replace("class: dcpm", "class: ram").replace("scm_list: ['/dev/x']", "scm_size: 4")
    made = plan(context(tmp_path, Told(), text))
    assert (made.steps, made.standing, made.notes) == ((), (), ("the configuration has no tier of class dcpm",))


# storage scan


def scan(tmp_path: Path, found: Result | Fault) -> tuple[Report, list[Row]]:
    report = asyncio.run(commands.scan(context(tmp_path, Told(found), engine(0, "/dev/pmem0"))))
    return report, [row for row in report.rows if row.action in (plans.SUBJECT, "SCM namespace", "SCM module")]


def test_a_scan_shows_namespaces_and_where_they_are_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scm, "seen", lambda _: scm.Seen({"namespace0.0": "mounted on /mnt/daos0"}, {}))
    spaces = (namespace(0, 0), namespace(1, 0), namespace(1, 1, blockdev="", enabled=False))
    _, rows = scan(tmp_path, ScmScanResult(int(State.NO_FREE_CAPACITY), modules=(module(0, 0),), namespaces=spaces))
    assert [(row.subject, row.outcome) for row in rows] == [
        ("persistent memory", Outcome.PRESENT),
        ("/dev/pmem0", Outcome.PRESENT),
        ("/dev/pmem1", Outcome.PRESENT),
        ("namespace1.1", Outcome.PRESENT),
    ]
    assert rows[1].detail == "namespace0.0: /dev/pmem0, 1.1 GB, mounted on /mnt/daos0 (NUMA node 0)"
    assert "not mounted" in rows[2].detail


def test_a_scan_shows_modules_where_there_are_no_namespaces(tmp_path: Path) -> None:
    goals = (Goal("uid-0-0", 0, "new"),)
    found = ScmScanResult(int(State.NO_REGIONS), modules=(module(0, 0),), goals=goals, reboot_required=True, notes=("a note",))
    report, rows = scan(tmp_path, found)
    assert [(row.subject, row.action) for row in rows] == [("persistent memory", "persistent memory"), ("uid-0-0", "SCM module")]
    assert rows[0].detail == "Reboot this machine; then 'daos_server scm prepare' makes the namespaces."
    assert rows[1].detail == "128 GiB, socket 0, controller 0, channel 0, slot 0, Healthy"
    assert "a note" in report.notes
    assert any("socket 0" in note for note in report.notes)


@pytest.mark.parametrize(
    "fault", [Fault(codes.SCM_LIBRARY_MISSING, reason="none"), Fault(codes.MISSING_SOFTWARE_DEPENDENCY), Fault(codes.SCM_DISCOVERY_FAILED)]
)
def test_a_scan_goes_on_where_persistent_memory_cannot_be_asked(fault: Fault, tmp_path: Path) -> None:
    report, rows = scan(tmp_path, fault)
    assert [(row.outcome, row.fault) for row in rows] == [(Outcome.UNKNOWN, fault)]
    assert fault.code not in [row.fault.code for row in report.failed if row.fault]
    assert not any("helper check" in note for note in report.notes)


def test_a_scan_without_modules_and_with_a_goal_that_was_ignored(tmp_path: Path) -> None:
    _, rows = scan(tmp_path, ScmScanResult(int(State.NO_MODULES)))
    assert [(row.outcome, row.detail) for row in rows] == [(Outcome.MISSING, "This machine has no persistent memory.")]
    ignored = Fault(codes.SCM_GOAL_NOT_APPLIED, sockets="0", reason="it did nothing")
    report, rows = scan(tmp_path, ScmScanResult(int(State.NO_REGIONS), modules=(module(0, 0),), fault=WireFault.of(ignored)))
    assert rows[0].outcome is Outcome.FAILED
    fault = report.fault()
    assert fault is not None
    assert fault.code == codes.SCM_GOAL_NOT_APPLIED


def test_without_persistent_memory_in_the_configuration_nobody_is_asked(tmp_path: Path) -> None:
    text = engine(0, "/dev/x").replace("class: dcpm", "class: ram").replace("scm_list: ['/dev/x']", "scm_size: 4")
    told = Told()
    asyncio.run(commands.scan(context(tmp_path, told, text)))
    assert not [request for request in told.requests if isinstance(request, ScmScan)]


# From the command line


def test_storage_prepare_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("daos_server.cli.storage.become_account", lambda _invocation: None)
    monkeypatch.setattr("daos_server.cli.logs.start_log", lambda _invocation: None)
    monkeypatch.setattr("daos_server.start.alone.running_service", lambda _proc: 0)
    told = Told(answer("goal-stored", GOAL, state=State.NO_REGIONS, reboot_required=True))
    monkeypatch.setattr(Context, "_start", lambda _self, reporter: told(reporter))
    found = loaded(tmp_path, engine(0, f"{tmp_path}/pmem0"))
    where = Installation(state_dir=str(tmp_path), helper_socket="")
    assert run(["storage", "prepare", "-s", "-n", "-o", found.path], where) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Plan of storage prepare:\n")
    assert GOAL.words in printed.out
    assert "Nothing was changed (--dry-run)." in printed.out
    assert told.requests == [ScmPrepare(socket=0, plan_only=True)]


# storage reset


def test_a_reset_keeps_namespaces_and_says_which_command_does_not(tmp_path: Path) -> None:
    told = Told()
    made = asyncio.run(commands.plan_reset(context(tmp_path, told, engine(0, "/dev/pmem0"))))
    kept = [part for part in made.standing if part.subject == "/dev/pmem0"]
    assert [(part.engine, part.tier, part.already) for part in kept] == [(0, 0, False)]
    assert "daos_server scm reset" in kept[0].detail
    assert told.requests == []
