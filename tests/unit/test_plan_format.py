# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Plans as pure functions: whatever is found, nothing is destroyed without consent, and nothing that was asked for is left unsaid."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.facts import EngineState, FileState, MetadataState, Mounted, ScmState, Storage
from daos_server.plan.format.planner import plan_format
from daos_server.plan.host import HostFacts, HugepageFile, NodePages
from daos_server.plan.prepare import plan_prepare
from daos_server.plan.reset import plan_reset
from daos_server.plan.steps import CreateFile, FormatDcpm, FormatMetadata, FormatRam, Plan, UnmountMetadata, UnmountScm, WriteNvmeConf
from daos_server.plan.unfinished import Entry, Unfinished
from daos_server.plan.units import GIB, MIB
from daos_server.plan.wanted import Bdevs, Engine, Scm, Wanted

QUICK = settings(deadline=None)
HOST = HostFacts(total_kib=256 * MIB, available_kib=200 * MIB, page_kib=2048, nodes=(NodePages(node=0, total=0, free=0),))
ROLES = frozenset({"data", "meta", "wal"})


def engine(index: int = 0, *, scm: str = "ram", size_gib: int = 8, bdev: str = "file", metadata: bool = False) -> Engine:
    mount = f"/mnt/daos{index}"
    folder = f"/var/daos/daos_control/engine{index}" if metadata else ""
    tier = Scm(storage_class="ram", mount=mount, size_gib=size_gib)
    if scm == "dcpm":
        tier = Scm(storage_class="dcpm", mount=mount, device=f"/dev/pmem{index}")
    return Engine(
        index=index,
        targets=4,
        scm=tier,
        bdevs=(
            Bdevs(
                tier=1,
                storage_class="kdev" if bdev == "kdev" else "file",
                devices=(f"/data/bdev{index}",),
                size_gib=1,
                roles=ROLES if metadata else frozenset(),
            ),
        ),
        metadata_dir=folder,
        nvme_conf=f"{folder or mount}/daos_nvme.conf",
    )


def wanted(*engines: Engine, device: str = "", reserved: int = 16) -> Wanted:
    root = "/var/daos" if any(engine.metadata_dir for engine in engines) else ""
    return Wanted(
        hostname="h",
        engines=engines,
        metadata_root=root,
        metadata_device=device,
        data_path=f"{root}/daos_control" if root else "",
        system_ram_reserved=reserved,
    )


def storage(*engines: EngineState, metadata: MetadataState | None = None, host: HostFacts = HOST) -> Storage:
    return Storage(host=host, metadata=metadata or MetadataState(needs_format=False), engines=engines)


EMPTY = EngineState(files={"/data/bdev0": FileState(device=1, free=100 * GIB)})


def codes_of(plan: Plan) -> list[int]:
    return [fault.code for fault in plan.refusals]


# Memory and room


@pytest.mark.parametrize("size_gib", [0, 8])
def test_hugepages_that_are_needed_and_disabled_stand_in_the_way_of_an_open_size_only(size_gib: int) -> None:
    config = replace(wanted(engine(size_gib=size_gib)), disable_hugepages=True)
    plan = plan_format(config, storage(EMPTY), force=False)
    if size_gib:
        assert plan.refusals == ()
        assert plan.notes[0].startswith("memory: hugepages are switched off")
        assert plan.notes[0].endswith("an engine will not start (726)")
    else:
        assert codes_of(plan) == [codes.SERVER_CONFIG_HUGEPAGES_DISABLED_WITH_BDEVS]


def test_memory_that_is_not_available_refuses() -> None:
    host = replace(HOST, available_kib=7 * MIB)
    plan = plan_format(wanted(engine()), storage(EMPTY, host=host), force=False)
    assert codes_of(plan) == [codes.SCM_RAMDISK_LOW_MEM]


def test_memory_counts_for_all_engines_together() -> None:
    host = replace(HOST, available_kib=15 * MIB)
    plan = plan_format(wanted(engine(0), engine(1)), storage(EMPTY, EngineState(), host=host), force=False)
    assert codes_of(plan) == []
    host = replace(HOST, available_kib=14 * MIB)
    plan = plan_format(wanted(engine(0), engine(1)), storage(EMPTY, EngineState(), host=host), force=False)
    assert codes_of(plan) == [codes.SCM_RAMDISK_LOW_MEM]


def test_memory_is_not_checked_if_one_engine_is_formatted() -> None:
    host = replace(HOST, available_kib=0)
    formatted = EngineState(scm=ScmState(formatted=True, mounted=True, mount=Mounted(kind="tmpfs", content=("superblock",))))
    plan = plan_format(wanted(engine(0), engine(1)), storage(formatted, EngineState(), host=host), force=False)
    assert codes_of(plan) == []


def test_an_open_size_is_computed() -> None:
    plan = plan_format(wanted(engine(size_gib=0)), storage(EMPTY, host=replace(HOST, available_kib=256 * MIB)), force=False)
    step = next(step for step in plan.steps if isinstance(step, FormatRam))
    # 256 GiB - 4 GiB of hugepages - 16 GiB for the system - 1 GiB for the engine
    assert step.size_gib == 235
    assert any("235 GiB" in note for note in plan.notes)


def test_an_open_size_without_memory_refuses_and_a_configured_one_warns() -> None:
    host = replace(HOST, total_kib=20 * MIB)
    assert codes_of(plan_format(wanted(engine(size_gib=0)), storage(EMPTY, host=host), force=False)) == [codes.SCM_RAMDISK_LOW_MEM]
    plan = plan_format(wanted(engine(size_gib=8)), storage(EMPTY, host=host), force=False)
    assert codes_of(plan) == []
    assert any("214" in note for note in plan.notes)


def test_a_size_over_the_maximum_is_a_warning_for_a_format() -> None:
    plan = plan_format(wanted(engine(size_gib=8)), storage(EMPTY, host=replace(HOST, total_kib=28 * MIB)), force=False)
    assert codes_of(plan) == []
    assert any("731" in note for note in plan.notes)


def test_files_that_do_not_fit_together_refuse() -> None:
    two = replace(engine(), bdevs=(Bdevs(tier=1, storage_class="file", devices=("/data/a", "/data/b"), size_gib=1),))
    room = FileState(device=1, free=2 * GIB - 1)
    plan = plan_format(wanted(two), storage(EngineState(files={"/data/a": room, "/data/b": room})), force=False)
    assert codes_of(plan) == [codes.BDEV_FORMAT_FAILURE]
    room = replace(room, free=2 * GIB)
    assert codes_of(plan_format(wanted(two), storage(EngineState(files={"/data/a": room, "/data/b": room})), force=False)) == []


# Parts


def test_kernel_devices_are_used_as_they_are() -> None:
    state = EngineState(files={"/data/bdev0": FileState(exists=True)})
    plan = plan_format(wanted(engine(bdev="kdev")), storage(state), force=False)
    part = next(part for part in plan.standing if part.subject == "/data/bdev0")
    assert not part.already
    assert "as it is" in part.detail
    assert any(isinstance(step, WriteNvmeConf) for step in plan.steps)
    missing = Fault(codes.STORAGE_DEVICE_NOT_BLOCK, path="/data/bdev0", what="missing")
    plan = plan_format(wanted(engine(bdev="kdev")), storage(EngineState(files={"/data/bdev0": FileState(problem=missing)})), force=False)
    assert codes_of(plan) == [codes.STORAGE_DEVICE_NOT_BLOCK]


def test_an_engine_without_scm_is_refused() -> None:
    plan = plan_format(wanted(replace(engine(), scm=None)), storage(EMPTY), force=False)
    assert codes_of(plan) == [codes.SCM_CONFIG_TIER_MISSING]


def test_no_engines_nothing_to_do() -> None:
    plan = plan_format(wanted(), storage(), force=False)
    assert (plan.steps, plan.refusals) == ((), ())
    assert any("no engines" in note for note in plan.notes)


def test_an_empty_tmpfs_of_another_size_is_noted() -> None:
    state = replace(EMPTY, scm=ScmState(formatted=True, mounted=True, mount=Mounted(kind="tmpfs", content=(), size=4 * GIB)))
    plan = plan_format(wanted(engine()), storage(state), force=False)
    assert any("4.0 GiB" in note and "--force" in note for note in plan.notes)


def test_the_order_of_a_format() -> None:
    blank = MetadataState(reason="no daos_control", device="/dev/md")
    states = (EngineState(), EngineState())
    config = wanted(engine(0, metadata=True), engine(1, metadata=True), device="/dev/md")
    plan = plan_format(config, storage(*states, metadata=blank), force=False)
    assert [step.key for step in plan.steps] == [
        "metadata",
        "metadata-folders",
        "scm:0",
        "scm:1",
        "bdev:0:1:/data/bdev0",
        "conf:0",
        "bdev:1:1:/data/bdev1",
        "conf:1",
        "metadata-unmount",
    ]
    conf = next(step for step in plan.steps if step.key == "conf:1")
    assert set(conf.needs) == {"metadata", "metadata-folders", "scm:1", "bdev:1:1:/data/bdev1"}


def test_metadata_that_is_formatted_and_not_mounted_is_mounted_for_the_files_in_it() -> None:
    there = MetadataState(needs_format=False, reason="holds daos_control", formatted=True, mountable=True, device="/dev/md")
    plan = plan_format(wanted(engine(0, metadata=True), device="/dev/md"), storage(EngineState(), metadata=there), force=False)
    assert [step.key for step in plan.steps] == ["scm:0", "metadata-mount", "bdev:0:1:/data/bdev0", "conf:0", "metadata-unmount"]
    file = next(step for step in plan.steps if isinstance(step, CreateFile))
    assert file.superblock == "/var/daos/daos_control/engine0/superblock"
    assert "unless" in file.describe()


def test_a_helper_that_answers_nothing_is_one_refusal() -> None:
    fault = Fault(codes.PRIVILEGED_HELPER_NOT_AVAILABLE, helper="/x")
    state = EngineState(scm=ScmState(fault=fault))
    plan = plan_format(wanted(engine(0, scm="dcpm"), engine(1, scm="dcpm")), storage(state, state), force=False)
    assert codes_of(plan) == [codes.PRIVILEGED_HELPER_NOT_AVAILABLE]


def test_old_content_of_a_plain_folder_is_not_cleared_with_the_consent_for_something_else() -> None:
    config = wanted(engine(0, metadata=True))
    metadata = MetadataState(needs_format=False, reason="exists", formatted=True, found="daos_control with 1 entries")
    for state, refused in (("pending", True), ("failed", True), ("begun", False)):
        steps = {
            "metadata": Entry(subject="it", state="done", force=True),
            "metadata-folders": Entry(
                subject="it", state="begun" if state == "begun" else "failed" if state == "failed" else "pending", force=True
            ),
        }
        unfinished = Unfinished(digest=config.digest(), force=True, started="then", steps=steps)
        plan = plan_format(config, storage(EMPTY, metadata=metadata), force=False, unfinished=unfinished)
        assert codes_of(plan) == ([codes.STORAGE_FORMAT_INTERRUPTED] if refused else [])
        assert any(step.key == "metadata-folders" for step in plan.steps) is not refused


def test_metadata_is_never_taken_for_the_work_of_an_unforced_format_that_had_not_made_it() -> None:
    config = wanted(engine(0, metadata=True), device="/dev/md")
    unfinished = Unfinished(digest=config.digest(), force=False, started="then", steps={"metadata": Entry(subject="it", state="begun")})
    for needs_format in (True, False):
        metadata = MetadataState(needs_format=needs_format, reason="r", formatted=True, mountable=True, device="/dev/md")
        plan = plan_format(config, storage(EMPTY, metadata=metadata), force=False, unfinished=unfinished)
        assert any(step.key == "metadata" for step in plan.steps) is needs_format
        assert plan.destructive is needs_format


def test_force_says_what_is_destroyed() -> None:
    device = ScmState(formatted=True, mountable=True, found="/dev/pmem0 carries ext4 (label daos)", device="/dev/pmem0")
    file = FileState(exists=True, size=GIB, has_data=True)
    plan = plan_format(wanted(engine(scm="dcpm")), storage(EngineState(scm=device, files={"/data/bdev0": file})), force=True)
    assert plan.destructive
    assert [step.destructive for step in plan.steps] == [True, True, False]
    assert "label daos" in plan.describe()[0]
    assert "DESTROYS" in plan.describe()[0]


# Whatever is found


scm_states = st.builds(
    ScmState,
    formatted=st.booleans(),
    mounted=st.booleans(),
    mountable=st.booleans(),
    found=st.just("something"),
    device=st.just("/dev/x"),
    mount=st.sampled_from(
        [Mounted(), Mounted(kind="tmpfs", content=()), Mounted(kind="tmpfs", content=("a",)), Mounted(kind="ext4", content=("a",))]
    ),
).filter(lambda state: (state.mounted == bool(state.mount.kind)) and (state.formatted or not (state.mounted or state.mountable)))
file_states = st.builds(FileState, exists=st.booleans(), size=st.sampled_from([0, MIB, GIB]), has_data=st.booleans()).filter(
    lambda state: state.exists or not (state.size or state.has_data)
)
metadata_states = st.builds(
    MetadataState,
    needs_format=st.booleans(),
    reason=st.just("because"),
    mounted=st.booleans(),
    formatted=st.booleans(),
    mountable=st.booleans(),
    device=st.just("/dev/md"),
).filter(lambda state: (state.formatted or not (state.mounted or state.mountable)) and (state.needs_format or state.formatted))
engine_states = st.builds(
    EngineState,
    scm=scm_states,
    files=file_states.map(lambda state: {"/data/bdev0": state, "/data/bdev1": state}),
    superblock=st.sampled_from([True, False, None]),
)
KEYS = ("metadata", "metadata-folders", "scm:0", "scm:1", "bdev:0:1:/data/bdev0", "bdev:1:1:/data/bdev1", "conf:0", "conf:1")
CONFIGS = (
    wanted(engine(0), engine(1)),
    wanted(engine(0, scm="dcpm"), engine(1, scm="dcpm")),
    wanted(engine(0, metadata=True), engine(1, metadata=True), device="/dev/md"),
)
entries = st.builds(Entry, subject=st.just("it"), state=st.sampled_from(["pending", "begun", "done", "failed"]), force=st.booleans())


@QUICK
@given(st.sampled_from(CONFIGS), st.tuples(engine_states, engine_states), metadata_states)
def test_without_force_nothing_is_destroyed(config: Wanted, states: tuple[EngineState, EngineState], metadata: MetadataState) -> None:
    found = storage(*states, metadata=metadata if config.metadata_root else None)
    plan = plan_format(config, found, force=False)
    assert not any(step.force or step.lost for step in plan.steps)


@QUICK
@given(
    st.sampled_from(CONFIGS),
    st.tuples(engine_states, engine_states),
    metadata_states,
    st.booleans(),
    st.dictionaries(st.sampled_from(KEYS), entries),
)
def test_an_interrupted_format_gives_consent_only_to_what_it_had_begun(
    config: Wanted,
    states: tuple[EngineState, EngineState],
    metadata: MetadataState,
    forced: bool,
    steps: dict[str, Entry],
) -> None:
    found = storage(*states, metadata=metadata if config.metadata_root else None)
    unfinished = Unfinished(digest=config.digest(), force=forced, started="then", steps=steps)
    plan = plan_format(config, found, force=False, unfinished=unfinished)
    for step in plan.steps:
        if step.force or step.lost:
            # The folders are part of the file system that they are in.
            allowed = (step.key, "metadata") if step.key == "metadata-folders" else (step.key,)
            assert "begun" in [steps[key].state for key in allowed if key in steps]
    keys = {step.key for step in plan.steps}
    assert all(set(step.needs) <= keys for step in plan.steps)


@QUICK
@given(st.sampled_from(CONFIGS), st.tuples(engine_states, engine_states), metadata_states)
def test_force_is_never_refused_for_what_is_there(config: Wanted, states: tuple[EngineState, EngineState], metadata: MetadataState) -> None:
    found = storage(*states, metadata=metadata if config.metadata_root else None)
    plan = plan_format(config, found, force=True)
    assert codes_of(plan) == []
    kinds = [type(step) for step in plan.steps]
    assert kinds.count(FormatRam) + kinds.count(FormatDcpm) == 2
    assert kinds.count(WriteNvmeConf) == 2
    if config.metadata_root:
        assert kinds[0] is FormatMetadata
        assert kinds[-1] is UnmountMetadata


@QUICK
@given(st.sampled_from(CONFIGS), st.tuples(engine_states, engine_states), metadata_states, st.booleans())
def test_everything_that_is_named_is_in_the_plan(
    config: Wanted,
    states: tuple[EngineState, EngineState],
    metadata: MetadataState,
    force: bool,
) -> None:
    found = storage(*states, metadata=metadata if config.metadata_root else None)
    plan = plan_format(config, found, force=force)
    said = [step.subject for step in plan.steps] + [part.subject for part in plan.standing]
    text = " ".join([*said, *(fault.object for fault in plan.refusals)])
    for index in range(2):
        assert f"/mnt/daos{index}" in text or "/dev/x" in text
        assert f"/data/bdev{index}" in text
    assert len(plan.describe()) == len(plan.steps) + len(plan.standing)
    assert set(plan.as_json()) == {"command", "steps", "standing", "notes", "refusals"}


# Prepare and reset


def test_prepare_plans_what_is_missing() -> None:
    plan = plan_prepare(wanted(engine()), HOST)
    assert [step.subject for step in plan.steps] == ["node 0"]
    assert "0 -> 2050 pages (4.0 GiB)" in plan.describe()[0]
    assert any("4 x 1.0 GiB / 2.0 MiB = 2048" in note for note in plan.notes)
    full = replace(HOST, nodes=(NodePages(node=0, total=4096, free=4096),))
    plan = plan_prepare(wanted(engine()), full)
    assert plan.steps == ()
    assert "4096 pages" in plan.describe()[0]


def test_prepare_takes_over_hugetlbfs() -> None:
    full = replace(HOST, nodes=(NodePages(node=0, total=4096, free=4096),), hugetlbfs_is_ours=False)
    assert len(plan_prepare(wanted(engine()), full).steps) == 1


def test_prepare_removes_stale_files_first() -> None:
    stale = HugepageFile(name="spdk_pid1map_0", pid=1, alive=False, size=2 * MIB)
    host = replace(HOST, files=(stale, replace(stale, name="spdk_pid2map_0", alive=True)))
    step = plan_prepare(wanted(engine()), host).steps[0]
    assert "spdk_pid1map_0" in step.describe()
    assert "spdk_pid2map_0" not in step.describe()


def test_prepare_refuses_what_memory_does_not_hold() -> None:
    plan = plan_prepare(wanted(engine()), replace(HOST, available_kib=MIB))
    assert codes_of(plan) == [codes.HUGEPAGES_OVER_MEMORY]


def test_prepare_without_hugepages_does_nothing_and_says_so() -> None:
    config = replace(wanted(replace(engine(), bdevs=())), disable_hugepages=True)
    plan = plan_prepare(config, HOST)
    assert (plan.steps, plan.refusals) == ((), ())
    assert "disable_hugepages" in plan.describe()[0]
    plan = plan_prepare(replace(wanted(engine()), disable_hugepages=True), HOST)
    assert codes_of(plan) == [codes.SERVER_CONFIG_HUGEPAGES_DISABLED_WITH_BDEVS]


@pytest.mark.parametrize(
    ("mount", "lost"),
    [
        (Mounted(kind="tmpfs", content=("daos_nvme.conf",)), ""),
        (Mounted(kind="tmpfs", content=()), ""),
        (Mounted(kind="tmpfs", content=("superblock",)), "superblock"),
        (Mounted(kind="tmpfs", content=("a", "b", "daos_nvme.conf")), "2 entries"),
        (Mounted(kind="tmpfs", content=None), "cannot list"),
        (Mounted(kind="ext4", content=("superblock",)), ""),
    ],
)
def test_reset_needs_force_for_what_would_be_lost(mount: Mounted, lost: str) -> None:
    state = EngineState(scm=ScmState(formatted=True, mounted=True, mount=mount))
    plan = plan_reset(wanted(engine()), storage(state), force=False)
    assert codes_of(plan) == ([codes.STORAGE_CONTENT_LOST] if lost else [])
    forced = plan_reset(wanted(engine()), storage(state), force=True)
    assert forced.refusals == ()
    step = next(step for step in forced.steps if isinstance(step, UnmountScm))
    assert step.destructive is bool(lost)
    assert lost in step.describe()


@pytest.mark.parametrize("force", [False, True])
def test_a_reset_does_not_offer_to_destroy_what_the_helper_leaves_alone(force: bool) -> None:
    mount = Mounted(kind="tmpfs", content=("precious",), is_ours=False)
    plan = plan_reset(wanted(engine()), storage(EngineState(scm=ScmState(formatted=True, mounted=True, mount=mount))), force=force)
    assert plan.refusals == ()
    assert [step.key for step in plan.steps] == ["return-hugepages"], "the rest is done"
    (part,) = [part for part in plan.standing if part.fault is not None]
    assert (part.subject, part.fault.code if part.fault else 0) == ("/mnt/daos0", codes.STORAGE_MOUNT_FOREIGN)


def test_reset_of_nothing_gives_hugepages_back_all_the_same() -> None:
    plan = plan_reset(wanted(engine()), storage(EngineState()), force=False)
    assert [step.key for step in plan.steps] == ["return-hugepages"]
    assert {part.subject for part in plan.standing} == {"/mnt/daos0", "/data/bdev0"}
