# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The storage commands from plan to report, over a model of the helper and real files; a kill at every system call."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec
import pytest
from storage_world import World

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import MetadataFormat, ScmFormat
from daos_server.plan.format import bdev_tiers
from daos_server.plan.units import GIB, MIB
from daos_server.storage import commands, journal
from daos_server.storage.host_facts import read_host
from daos_server.storage.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.plan.steps import Step
    from daos_server.storage.commands import Context
    from daos_server.storage.report import Report, Row

SIZE = MIB

ENGINE = """
  - targets: 1
    nr_xs_helpers: 0
    fabric_iface: eth{index}
    fabric_iface_port: {port}
    log_file: /tmp/daos_engine.{index}.log
    storage:
      - {scm}
      - {{class: file, bdev_size: 1, bdev_list: [@/files/bdev{index}]{roles}}}
"""
RAM = "{{class: ram, scm_size: 4, scm_mount: @/mnt/daos{index}}}"
DCPM = "{{class: dcpm, scm_mount: @/mnt/daos{index}, scm_list: [@/dev/pmem{index}]}}"
METADATA = "control_metadata: {path: @/mnt/md, device: @/dev/md}\n"
FOLDER_METADATA = "control_metadata: {path: @/mnt/md}\n"


def engines(count: int, scm: str = RAM, *, roles: bool = False) -> str:
    text = "engines:"
    for index in range(count):
        each = scm.format(index=index)
        text += ENGINE.format(index=index, port=31416 + 1000 * index, scm=each, roles=", bdev_roles: [data, meta, wal]" if roles else "")
    return text


PLAIN = engines(2)
MD_DEVICE = METADATA + engines(2, roles=True)
MD_FOLDER = FOLDER_METADATA + engines(2, roles=True)
PMEM = engines(2, DCPM)
CONFIGS = {"ram": PLAIN, "ram, metadata on a device": MD_DEVICE, "ram, metadata in a folder": MD_FOLDER, "dcpm": PMEM}


MEMORY = Path("/dev/shm")  # noqa: S108 (a folder with a random name is made in it)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of syncs cost nothing there."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def world(place: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World.make(place)
    # A GiB of the configuration is a MiB here.
    monkeypatch.setattr(bdev_tiers, "file_size", lambda gib: gib * SIZE)
    for name in ("md", "pmem0", "pmem1"):
        world.add_device(name)
    world.install(monkeypatch)
    return world


@pytest.fixture(params=list(CONFIGS))
def context(request: pytest.FixtureRequest, world: World) -> Context:
    return world.context(CONFIGS[request.param])


def do_format(context: Context, *, force: bool = False) -> Report:
    return asyncio.run(commands.format_storage(context, force=force))


def refusal(context: Context, *, force: bool = False) -> Fault:
    with pytest.raises(Fault) as caught:
        do_format(context, force=force)
    return caught.value


def row(report: Report, subject: str) -> Row:
    return next(row for row in report.rows if row.subject.endswith(subject))


def first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def write_data(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"superblock of an SSD")


# Format


def test_a_format_makes_everything_and_says_so(world: World, context: Context) -> None:
    report = do_format(context)
    assert report.fault() is None
    assert {row.outcome for row in report.rows} <= {Outcome.DONE, Outcome.ALREADY}
    for index in range(2):
        made = (world.root / f"files/bdev{index}").stat()
        assert (made.st_size, made.st_mode & 0o7777) == (SIZE, 0o600)
        assert made.st_blocks * 512 >= SIZE
        assert f"{world.mnt}/daos{index}" in world.mounted
    assert f"{world.mnt}/md" not in world.mounted
    assert list((world.root / "state").iterdir()) == []


def test_the_metadata_folders_and_configurations(world: World) -> None:
    do_format(world.context(MD_FOLDER))
    data = world.mnt / "md/daos_control"
    assert sorted(entry.name for entry in data.iterdir()) == ["engine0", "engine1"]
    for folder in (data, data / "engine0", data / "engine1"):
        assert folder.stat().st_mode & 0o7777 == 0o755
    conf = data / "engine1/daos_nvme.conf"
    assert conf.stat().st_mode & 0o7777 == 0o644
    assert f'"filename": "{world.root}/files/bdev1"' in conf.read_text()
    assert '"name": "AIO_hostfoo_0_1_7"' in conf.read_text()


def test_a_second_format_is_refused_and_touches_nothing(world: World, context: Context) -> None:
    do_format(context)
    before, asked = world.listing(), len(world.requests)
    fault = refusal(context)
    assert fault.code == codes.STORAGE_ALREADY_FORMATTED
    assert f"{world.mnt}/daos1" in fault.object
    assert world.listing() == before
    assert not [request for request in world.requests[asked:] if isinstance(request, ScmFormat | MetadataFormat)]


def test_a_forced_format_does_everything_again(world: World, context: Context) -> None:
    do_format(context)
    before = world.listing()
    write_data(world.root / "files/bdev0")
    (world.mnt / "daos0/leftover").touch()
    report = do_format(context, force=True)
    assert report.fault() is None
    assert world.listing() == before
    with (world.root / "files/bdev0").open("rb") as file:
        assert file.read(20) == bytes(20)


def test_a_dry_run_changes_nothing_and_is_exact(world: World, context: Context) -> None:
    before = world.listing()
    plan = asyncio.run(commands.plan_format(context))
    assert world.listing() == before
    report = do_format(context)
    done = {(row.action, row.subject) for row in report.rows}
    assert {(step.action, step.subject) for step in plan.steps} <= done
    assert all(step.subject in step.describe() for step in plan.steps)


def test_data_in_a_file_refuses_the_whole_format(world: World, context: Context) -> None:
    file = world.root / "files/bdev1"
    file.write_bytes(b"data")
    before = world.listing()
    fault = refusal(context)
    assert (fault.code, fault.object) == (codes.STORAGE_ALREADY_FORMATTED, str(file))
    assert world.listing() == before


def test_a_file_of_the_right_size_without_data_is_already_so(world: World) -> None:
    with (world.root / "files/bdev1").open("wb") as file:
        file.truncate(SIZE)
    assert row(do_format(world.context(PLAIN)), "/bdev1").outcome is Outcome.ALREADY


def test_a_device_with_a_signature_refuses_the_whole_format(world: World) -> None:
    device = world.add_device("pmem1", "xfs")
    before = world.listing()
    fault = refusal(world.context(PMEM))
    assert (fault.code, fault.object) == (codes.STORAGE_ALREADY_FORMATTED, device)
    assert "xfs" in fault.cause
    assert world.listing() == before


def test_a_metadata_device_with_a_signature_refuses_the_whole_format(world: World) -> None:
    device = world.add_device("md", "ext4")
    fault = refusal(world.context(MD_DEVICE))
    assert (fault.code, fault.object) == (codes.STORAGE_ALREADY_FORMATTED, device)


def test_a_missing_device_is_an_error_before_anything_is_touched(world: World) -> None:
    context = world.context(PMEM.replace("pmem1", "pmem7"))
    assert refusal(context).code == codes.SCM_FORMAT_MISSING_DEVICE
    assert world.mounted == {}


def test_a_helper_that_does_not_start_is_one_fault(world: World) -> None:
    world.fails["start"] = Fault(codes.PRIVILEGED_HELPER_NOT_AVAILABLE, helper="/opt/daos/bin/daos_server_helper")
    assert refusal(world.context(PMEM)).code == codes.PRIVILEGED_HELPER_NOT_AVAILABLE


def test_one_engine_formatted_before_and_in_use_stays(world: World) -> None:
    first = engines(1)
    do_format(world.context(first))
    (world.mnt / "daos0/superblock").touch()
    write_data(world.root / "files/bdev0")
    report = do_format(world.context(PLAIN))
    assert report.fault() is None
    assert row(report, "/daos0").outcome is Outcome.ALREADY
    assert row(report, "/bdev0").outcome is Outcome.SKIPPED
    assert row(report, "/daos1").outcome is Outcome.DONE
    assert first_bytes(world.root / "files/bdev0") == b"supe"


def test_a_mounted_and_empty_tmpfs_does_not_hold_up_the_bdevs(world: World) -> None:
    context = world.context(PLAIN)
    asyncio.run(world.call(ScmFormat(mountpoint=f"{world.mnt}/daos0", ramdisk=None)))
    report = do_format(context)
    assert row(report, "/daos0").outcome is Outcome.ALREADY
    assert row(report, "/bdev0").outcome is Outcome.DONE


def test_after_a_reboot_the_files_of_an_engine_in_use_are_kept(world: World) -> None:
    context = world.context(MD_FOLDER)
    do_format(context)
    for index in range(2):
        (world.mnt / f"md/daos_control/engine{index}/superblock").touch()
        write_data(world.root / f"files/bdev{index}")
        world._unmount(f"{world.mnt}/daos{index}")
    report = do_format(context)
    assert report.fault() is None
    assert row(report, "/daos0").outcome is Outcome.DONE
    assert row(report, "/bdev0").outcome is Outcome.ALREADY
    assert first_bytes(world.root / "files/bdev0") == b"supe"


def test_one_failed_engine_does_not_stop_the_other(world: World) -> None:
    context = world.context(PLAIN)
    world.fails[f"ScmFormat {world.mnt}/daos0"] = Fault(codes.STORAGE_MOUNT_BUSY, target="/mnt/daos0")
    report = do_format(context)
    failed = report.fault()
    assert failed is not None
    assert failed.code == codes.STORAGE_MOUNT_BUSY
    assert row(report, "/bdev0").outcome is Outcome.SKIPPED
    assert "failed" in row(report, "/bdev0").detail
    assert row(report, "/bdev1").outcome is Outcome.DONE
    world.fails.clear()
    again = do_format(context)
    assert again.fault() is None
    assert row(again, "/bdev0").outcome is Outcome.DONE
    assert row(again, "/daos1").outcome is Outcome.ALREADY
    assert list((world.root / "state").iterdir()) == []


def test_several_failures_are_one_fault_that_names_each(world: World) -> None:
    world.fails["ScmFormat"] = Fault(codes.STORAGE_MOUNT_BUSY, target="/mnt/daos0")
    fault = do_format(world.context(PLAIN)).fault()
    assert fault is not None
    assert fault.code == codes.SERVER_PARTIAL_FAILURE
    assert "engine 0" in str(fault)
    assert "engine 1" in str(fault)


def test_failed_metadata_stops_everything_after_it(world: World) -> None:
    world.fails["MetadataFormat"] = Fault(codes.STORAGE_MOUNT_BUSY, target="/mnt/md")
    report = do_format(world.context(MD_DEVICE))
    assert [row.outcome for row in report.failed] == [Outcome.FAILED]
    assert not [request for request in world.requests if isinstance(request, ScmFormat)]


def test_another_storage_command_is_in_the_way(world: World) -> None:
    from daos_server.storage.lock import only_one

    with only_one(str(world.root / "state")), pytest.raises(Fault) as caught:
        do_format(world.context(PLAIN))
    assert caught.value.code == codes.HELPER_RESOURCE_BUSY


def test_a_state_folder_that_is_missing_is_named(world: World) -> None:
    (world.root / "state").rmdir()
    assert refusal(world.context(PLAIN)).code == codes.STORAGE_DIRECTORY_UNUSABLE


# Interrupted formats

EVENTS = ("open", "ctypes.dlopen", "shutil.rmtree")
"""Audit events, besides those of ``os``, before which a format is killed."""


class Killer:
    """Ends the process, as SIGKILL would, before the Nth call that can change a file."""

    def __init__(self, world: World, fuel: int) -> None:
        self.world = world
        self.fuel = fuel

    def __call__(self, event: str, _arguments: tuple[object, ...]) -> None:
        if not self.world.is_atomic and (event in EVENTS or event.startswith("os.")):
            self.fuel -= 1
            if self.fuel < 0:
                os._exit(KILLED)


KILLED = 9
COMPLETE = 0


def run_and_kill(world: World, context: Context, fuel: int, *, force: bool = False) -> int:
    """Format in a process that is killed; return how it ended."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.addaudithook(Killer(world, fuel))
            status = COMPLETE if do_format(context, force=force).fault() is None else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wipe(world: World) -> None:
    for name in ("mnt", "files", "state", "store"):
        shutil.rmtree(world.root / name)
        (world.root / name).mkdir()
    state = world.state
    world._save({"mounts": {}, "devices": dict.fromkeys(state["devices"], "")})


def test_a_format_killed_anywhere_is_completed_by_the_next(world: World, context: Context) -> None:
    do_format(context)
    wanted = world.listing()
    for fuel in range(0, 10_000, 2):
        wipe(world)
        ended = run_and_kill(world, context, fuel)
        if ended == COMPLETE:
            break
        assert ended == KILLED, fuel
        report = do_format(context)
        assert report.fault() is None, fuel
        assert world.listing() == wanted, fuel
    assert fuel > 50


def test_a_forced_format_killed_anywhere_is_completed_by_a_forced_one(world: World, context: Context) -> None:
    do_format(context)
    wanted = world.listing()
    for fuel in range(0, 10_000, 4):
        write_data(world.root / "files/bdev0")
        (world.mnt / "daos0/leftover").touch()
        ended = run_and_kill(world, context, fuel, force=True)
        report = do_format(context, force=True)
        assert report.fault() is None, fuel
        assert world.listing() == wanted, fuel
        if ended == COMPLETE:
            break
        assert ended == KILLED, fuel
    assert fuel > 50


def test_a_forced_format_killed_anywhere_is_completed_by_a_plain_one_or_refused(world: World, context: Context) -> None:
    do_format(context)
    wanted = world.listing()
    codes_seen = set()
    for fuel in range(0, 10_000, 4):
        for index in range(2):
            write_data(world.root / f"files/bdev{index}")
            (world.mnt / f"daos{index}/leftover").touch()
        before = world.listing()
        ended = run_and_kill(world, context, fuel, force=True)
        if ended == COMPLETE:
            break
        assert ended == KILLED, fuel
        was = world.listing()
        try:
            assert do_format(context).fault() is None, fuel
        except Fault as fault:
            codes_seen.add(fault.code)
            assert {**world.listing(), "": (0, 0)} == {**was, "": (0, 0)}, fuel
            if fault.code == codes.STORAGE_ALREADY_FORMATTED:
                assert {name: was.get(name) for name in before} == before, fuel
            assert do_format(context, force=True).fault() is None, fuel
        assert world.listing() == wanted, fuel
    assert codes_seen == {codes.STORAGE_ALREADY_FORMATTED, codes.STORAGE_FORMAT_INTERRUPTED}
    assert fuel > 50


class StopError(Exception):
    """The end of a run, at a step."""


class StopAt:
    """A reporter that stops a run when a step begins."""

    def __init__(self, key: str) -> None:
        self.key = key

    def step_started(self, step: Step) -> None:
        if step.key == self.key:
            raise StopError

    def progress(self, step: Step, done: int, total: int, unit: str, what: str) -> None:
        return

    def step_finished(self, step: Step, row: Row) -> None:
        return

    def log(self, level: str, text: str) -> None:
        return


def stop_at(context: Context, key: str, *, force: bool = False) -> None:
    with pytest.raises(StopError):
        asyncio.run(commands.format_storage(context, force=force, reporter=StopAt(key)))


def test_the_plan_says_what_is_completed_and_with_which_consent(world: World) -> None:
    context = world.context(PMEM)
    do_format(context)
    stop_at(context, "scm:1", force=True)
    plan = asyncio.run(commands.plan_format(context))
    assert any("this run completes it" in note and "--force" in note for note in plan.notes)
    assert any("consent" in note and "/mnt/daos1" in note for note in plan.notes)
    assert [step.key for step in plan.steps if step.force] == ["scm:1"]
    assert any("DESTROYS what is there: ext4" in step.describe() for step in plan.steps)


def test_what_a_forced_format_had_not_begun_needs_its_own_consent(world: World) -> None:
    context = world.context(PLAIN)
    do_format(context)
    write_data(world.root / "files/bdev1")
    stop_at(context, "conf:0", force=True)
    fault = refusal(context)
    assert fault.code == codes.STORAGE_FORMAT_INTERRUPTED
    assert str(world.root / "files/bdev1") in fault.description
    assert first_bytes(world.root / "files/bdev1") == b"supe"


def test_a_signature_that_came_after_a_plain_format_was_stopped_is_not_ours(world: World) -> None:
    context = world.context(PMEM)
    stop_at(context, "scm:1")
    world.add_device("pmem1", "xfs")
    fault = refusal(context)
    assert (fault.code, fault.object) == (codes.STORAGE_ALREADY_FORMATTED, str(world.root / "dev/pmem1"))


def test_the_record_of_another_configuration_gives_no_consent(world: World) -> None:
    do_format(world.context(PMEM))
    stop_at(world.context(PMEM), "scm:1", force=True)
    plan = asyncio.run(commands.plan_format(world.context(PMEM.replace("bdev_size: 1", "bdev_size: 2"))))
    assert not any(step.force for step in plan.steps)
    assert any("another configuration" in note for note in plan.notes)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2}', "\xff", '{"version":1,"digest":"","force":1,"started":"","steps":{}}'])
def test_a_record_that_cannot_be_read_gives_no_consent(world: World, text: str) -> None:
    (world.root / "state/format.json").write_text(text, encoding="latin-1")
    context = world.context(PLAIN)
    plan = asyncio.run(commands.plan_format(context))
    assert any("is not used" in note for note in plan.notes)
    assert do_format(context).fault() is None
    assert list((world.root / "state").iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value"), [("boot", "another"), ("started", "2020-01-01T00:00:00+00:00"), ("started", "2020-01-01"), ("started", "then")]
)
def test_a_record_holds_for_a_day_and_not_beyond_a_reboot(world: World, key: str, value: str) -> None:
    context = world.context(PMEM)
    stop_at(context, "scm:0", force=True)
    assert any(step.force for step in asyncio.run(commands.plan_format(context)).steps)
    record = world.root / "state/format.json"
    record.write_bytes(msgspec.json.encode(msgspec.json.decode(record.read_bytes()) | {key: value}))
    plan = asyncio.run(commands.plan_format(context))
    assert any("is not used" in note for note in plan.notes)
    assert not any(step.force or step.lost for step in plan.steps)


def test_a_record_that_is_a_link_or_a_pipe_is_not_followed(world: World) -> None:
    record = world.root / "state/format.json"
    os.mkfifo(record)
    with pytest.raises(Fault):
        journal.read(str(world.root / "state"))
    record.unlink()
    (world.root / "elsewhere").write_text("{}")
    record.symlink_to(world.root / "elsewhere")
    with pytest.raises(Fault):
        journal.read(str(world.root / "state"))


def test_uncertain_faults_keep_a_step_begun_and_refusals_do_not(world: World) -> None:
    context = world.context(PMEM)
    world.fails[f"ScmFormat {world.mnt}/daos0"] = Fault(codes.HELPER_SESSION_CLOSED, reason="killed")
    world.fails[f"ScmFormat {world.mnt}/daos1"] = Fault(codes.STORAGE_MOUNT_BUSY, target="/mnt/daos1")
    do_format(context, force=True)
    record = journal.read(str(world.root / "state"))
    assert record is not None
    assert record.steps["scm:0"].state == "begun"
    assert record.consent("scm:0")
    assert record.steps["scm:1"].state == "failed"
    assert not record.consent("scm:1")


def test_a_cancelled_format_is_completed_by_the_next(world: World) -> None:
    context = world.context(PLAIN)

    async def cancel_itself() -> None:
        task = asyncio.current_task()

        class CancelAt(StopAt):
            def step_started(self, step: Step) -> None:
                if step.key == self.key and task is not None:
                    task.cancel()

        await commands.format_storage(context, reporter=CancelAt(f"bdev:0:1:{world.root}/files/bdev0"))

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel_itself())
    assert journal.read(str(world.root / "state")) is not None
    assert do_format(context).fault() is None


# Reset, prepare, scan


def test_reset_takes_mounts_back_and_keeps_the_rest(world: World, context: Context) -> None:
    do_format(context)
    report = asyncio.run(commands.reset(context))
    assert report.fault() is None
    assert world.mounted == {}
    assert (world.root / "files/bdev0").stat().st_size == SIZE
    assert any("stays" in note for note in report.notes)
    again = asyncio.run(commands.reset(context))
    assert {row.outcome for row in again.rows} <= {Outcome.ALREADY, Outcome.SKIPPED}


def test_reset_does_not_lose_what_is_only_in_memory(world: World) -> None:
    context = world.context(PLAIN)
    do_format(context)
    (world.mnt / "daos1/superblock").touch()
    with pytest.raises(Fault) as caught:
        asyncio.run(commands.reset(context))
    assert caught.value.code == codes.STORAGE_CONTENT_LOST
    assert "superblock" in caught.value.description
    assert len(world.mounted) == 2
    assert asyncio.run(commands.reset(context, force=True)).fault() is None
    assert world.mounted == {}


def test_prepare_gives_hugepages_and_a_second_time_nothing(world: World) -> None:
    host = read_host()
    report = asyncio.run(commands.prepare(world.context(engines(1))))
    wanted = GIB // (host.page_kib * 1024) + 2
    if host.pages[0] >= wanted:
        assert {row.outcome for row in report.rows} == {Outcome.ALREADY}
    else:
        assert world.pages[0] == wanted
        assert row(report, "node 0").outcome is Outcome.DONE


def test_a_short_grant_is_a_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from daos_pbin.messages import BdevPrepareResult, NodeGrant

    monkeypatch.setattr(world, "_prepare", lambda _request: BdevPrepareResult((NodeGrant(0, 0, 1 << 12, 7),), changed=True))
    context = world.context(engines(1).replace("targets: 1", "targets: 4") + "nr_hugepages: 4094\n")
    if read_host().pages[0] >= 4096:
        pytest.skip("this machine has hugepages enough already")
    fault = asyncio.run(commands.prepare(context)).fault()
    assert fault is not None
    assert fault.code == codes.HUGEPAGES_SHORT_GRANT
    assert "7" in fault.description


def test_scan_shows_everything_that_the_configuration_names(world: World, context: Context) -> None:
    before = world.listing()
    report = asyncio.run(commands.scan(context))
    assert world.listing() == before
    assert report.fault() is None
    assert row(report, "/daos1").outcome is Outcome.UNFORMATTED
    assert row(report, "/bdev1").outcome is Outcome.MISSING
    assert row(report, "node 0").action == "hugepages"
    assert row(report, "memory").outcome is Outcome.PRESENT
    do_format(context)
    report = asyncio.run(commands.scan(context))
    assert row(report, "/daos1").outcome is Outcome.FORMATTED
    assert row(report, "/bdev1").outcome is Outcome.PRESENT
    assert msgspec.json.encode(report.as_json())


def test_scan_does_not_guess_about_what_is_not_mounted(world: World) -> None:
    context = world.context(MD_DEVICE)
    do_format(context)
    found = row(asyncio.run(commands.scan(context)), "engine0/daos_nvme.conf")
    assert (found.outcome, found.fault) == (Outcome.UNKNOWN, None)
    context = world.context(MD_FOLDER.replace("mnt/md", "mnt/folder"))
    (world.mnt / "daos0/x").touch()
    found = row(asyncio.run(commands.scan(context)), "engine0/daos_nvme.conf")
    assert found.outcome is Outcome.MISSING


def test_scan_without_a_helper_says_what_it_cannot_know(world: World) -> None:
    world.fails["start"] = Fault(codes.PRIVILEGED_HELPER_NOT_AVAILABLE, helper="/opt/daos/bin/daos_server_helper")
    report = asyncio.run(commands.scan(world.context(PMEM)))
    assert report.fault() is None
    assert row(report, "/daos0").outcome is Outcome.UNKNOWN
    assert any("daos_server helper check" in note for note in report.notes)
    assert row(report, "/bdev0").outcome is Outcome.MISSING


def test_scan_fails_for_what_cannot_be_used(world: World) -> None:
    (world.root / "files/bdev0").symlink_to("/etc/passwd")
    fault = asyncio.run(commands.scan(world.context(PLAIN))).fault()
    assert fault is not None
    assert fault.code == codes.STORAGE_FILE_UNUSABLE


def test_scan_and_reset_tell_of_an_interrupted_format(world: World) -> None:
    context = world.context(PLAIN)
    stop_at(context, "scm:1")
    assert any("interrupted" in note for note in asyncio.run(commands.scan(context)).notes)
    assert any("interrupted" in note for note in asyncio.run(commands.reset(context)).notes)
    assert do_format(context).fault() is None


def test_what_the_helper_will_not_mount_is_refused_before_anything_is_destroyed(world: World) -> None:
    context = world.context(MD_FOLDER)
    do_format(context)
    superblock = world.root / "mnt/md/daos_control/engine0/superblock"
    superblock.write_text("precious")
    asyncio.run(commands.reset(context))
    world.fails[f"ScmCheckFormat {world.mnt}/daos1"] = Fault(codes.HELPER_POLICY_REFUSED, what="it", line="x", policy="/etc/x")
    assert refusal(context, force=True).code == codes.HELPER_POLICY_REFUSED
    assert superblock.read_text() == "precious"
