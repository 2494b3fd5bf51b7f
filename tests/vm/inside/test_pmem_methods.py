# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The methods about persistent memory of the installed helper on emulated NVDIMMs: ndctl and the kernel are real, libipmctl is played.

The played regions are the kernel's, by their interleave sets, and what is free on them is what the kernel has free.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import Installation
from nvdimms import clear, listing, tool
from pmem_session import library, machine, session
from pmem_world import Machine, modules

from daos_bindings.linux import mounts
from daos_pbin import codes
from daos_pbin.messages import Dcpm, ScmFormat, ScmMount, ScmUnmount
from daos_pbin.plain import PlainSession
from daos_pbin.pmem_messages import ScmPrepare, ScmPrepareResult, ScmScan
from daos_pbin.pmem_state import State

pytestmark = pytest.mark.guest("iommu")

PLACE = "/mnt/daos"
SOCKETS = (0, 1)


def play(played: Machine) -> None:
    """Make libipmctl's regions those of the kernel: here one NVDIMM is the whole of a socket."""
    regions = listing().regions
    played.describe([*modules(*SOCKETS), *(f"region {number} {one.iset_id} 1 {one.size} kernel 1" for number, one in enumerate(regions))])


@pytest.fixture(scope="module")
def compiled() -> Iterator[Machine]:
    with machine() as made:
        run("/usr/bin/mount", "--bind", str(made.library), library())  # for the whole guest, so that mounts are seen by all
        yield made
        run("/usr/bin/umount", library())


@pytest.fixture
def played(compiled: Machine, installation: Installation) -> Iterator[Machine]:
    """Regions with labels and nothing on them, before and after."""
    clear()
    play(compiled)
    yield compiled
    clear()
    for path in Path(installation.layout.helper_state).iterdir():
        path.unlink()


@pytest.fixture
def helper(installation: Installation, played: Machine) -> Iterator[PlainSession]:
    with session(installation, None) as made:
        yield made


@pytest.fixture
def policy(installation: Installation) -> Iterator[Path]:
    path = Path(installation.layout.policy_file)
    yield path
    path.unlink(missing_ok=True)


def code_of(answer: ScmPrepareResult) -> int:
    return answer.fault.code if answer.fault else 0


def records(installation: Installation) -> list[str]:
    return sorted(path.name for path in Path(installation.layout.helper_state).iterdir())


def devices(answer: ScmPrepareResult) -> list[str]:
    return [f"/dev/{one.blockdev}" for one in answer.namespaces]


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("count", [1, 4])
def test_prepared_scanned_and_reset_twice(helper: PlainSession, played: Machine, installation: Installation, count: int) -> None:
    for _ in range(2):
        assert helper.call(ScmScan()).state == State.FREE_CAPACITY
        plan = helper.call(ScmPrepare(namespaces_per_socket=count, plan_only=True))
        assert [step.action for step in plan.steps] == ["remember", *["create-namespace"] * (2 * count), "remember"]
        assert (plan.outcome, plan.namespaces, listing().namespaces) == ("namespaces", (), ())
        made = helper.call(ScmPrepare(namespaces_per_socket=count))
        assert (made.fault, made.outcome, made.state) == (None, "namespaces", State.NO_FREE_CAPACITY)
        assert [step.done for step in made.steps] == [True] * len(plan.steps)
        assert len(made.namespaces) == 2 * count
        assert all(one.mode == "fsdax" and Path("/dev", one.blockdev).is_block_device() for one in made.namespaces)
        assert records(installation) == sorted(f"namespace-{one.label}" for one in made.namespaces)
        scanned = helper.call(ScmScan())
        assert (scanned.state, scanned.namespaces) == (State.NO_FREE_CAPACITY, made.namespaces)
        again = helper.call(ScmPrepare(namespaces_per_socket=count))
        assert (again.outcome, again.namespaces, again.steps) == ("nothing", made.namespaces, ())
        other = helper.call(ScmPrepare(namespaces_per_socket=3))
        assert (other.outcome, code_of(other)) == ("refused", codes.SCM_INVALID_PMEM)
        names = tuple(one.dev for one in made.namespaces)
        short = helper.call(ScmPrepare(reset=True, seen=names[1:]))
        assert (short.outcome, code_of(short), len(listing().namespaces)) == ("refused", codes.SCM_NAMESPACES_CHANGED, 2 * count)
        doomed = helper.call(ScmPrepare(reset=True, plan_only=True))
        assert (doomed.destroyed, len(listing().namespaces)) == (made.namespaces, 2 * count)
        gone = helper.call(ScmPrepare(reset=True, seen=names))
        assert (gone.fault, gone.outcome, gone.reboot_required) == (None, "goal-stored", True)
        assert (gone.destroyed, gone.namespaces, listing().namespaces) == (made.namespaces, (), ())
        assert records(installation) == ["pmem"]
        assert len(played.lines("goal")) == 4
        play(played)  # the firmware made the regions anew: they look as before


def test_one_socket_only(helper: PlainSession) -> None:
    first = helper.call(ScmPrepare(socket=1))
    assert (first.fault, len(first.namespaces)) == (None, 1)
    both = helper.call(ScmPrepare())
    assert (both.fault, len(both.namespaces)) == (None, 2)
    gone = helper.call(ScmPrepare(reset=True, socket=0))
    assert gone.fault is None
    assert len(gone.destroyed) == 1
    assert listing().namespaces == first.namespaces
    assert helper.call(ScmScan(1)).namespaces == first.namespaces
    assert helper.call(ScmScan(0)).namespaces == ()


def test_formatted_mounted_and_reset_with_what_is_in_it(helper: PlainSession, installation: Installation) -> None:
    made = helper.call(ScmPrepare())
    device = devices(made)[0]
    formatted = helper.call(ScmFormat(PLACE, force=True, dcpm=Dcpm(device)), deadline_s=300)
    assert "dax" in formatted.options
    (Path(PLACE) / "data").write_text("kept")
    helper.call(ScmUnmount(PLACE))
    helper.call(ScmMount(PLACE, dcpm=Dcpm(device)))
    assert (Path(PLACE) / "data").read_text() == "kept"
    plan = helper.call(ScmPrepare(reset=True, plan_only=True))
    assert [step.action for step in plan.steps][:3] == ["unmount", "destroy-namespace", "destroy-namespace"]
    assert any(one.mount_point == PLACE for one in mounts.read())
    gone = helper.call(ScmPrepare(reset=True))
    assert (gone.fault, len(gone.destroyed)) == (None, 2)
    assert listing().namespaces == ()
    assert not any(one.mount_point == PLACE for one in mounts.read())


def test_what_others_put_there_stays(helper: PlainSession, policy: Path) -> None:
    made = helper.call(ScmPrepare())
    device, other = devices(made)
    run("/usr/sbin/mkfs.ext4", "-q", "-F", "-L", "theirs", device)
    refused = helper.call(ScmPrepare(reset=True))
    assert (refused.outcome, code_of(refused), refused.destroyed, refused.steps) == ("refused", codes.HELPER_POLICY_REFUSED, (), ())
    assert refused.fault is not None
    assert "label theirs" in refused.fault.description
    named = refused.fault.resolution.partition('devices_allow = ["')[2].partition('"')[0]
    assert str(Path(named).resolve()) == device, "the node, or udev's link to it where there is one"
    assert len(listing().namespaces) == 2
    policy.write_text(f'devices_allow = ["{device}"]\ndevices_deny = ["{other}"]\n')
    policy.chmod(0o644)
    assert code_of(helper.call(ScmPrepare(reset=True))) == codes.HELPER_POLICY_REFUSED
    policy.write_text(f'devices_allow = ["{device}"]\n')
    assert len(helper.call(ScmPrepare(reset=True)).destroyed) == 2


def test_in_use_is_never_destroyed(helper: PlainSession, tmp_path: Path) -> None:
    made = helper.call(ScmPrepare())
    first, second = devices(made)
    size = str(made.namespaces[0].size // 512)
    subprocess.run(["/usr/sbin/dmsetup", "create", "daostest"], input=f"0 {size} linear {second} 0\n".encode(), check=True)
    try:
        held = helper.call(ScmPrepare(reset=True))
    finally:
        run("/usr/sbin/dmsetup", "remove", "daostest")
    assert (held.outcome, code_of(held)) == ("refused", codes.STORAGE_DEVICE_IN_USE)
    run("/usr/sbin/mkswap", first)
    run("/usr/sbin/swapon", first)
    try:
        swapped = helper.call(ScmPrepare(reset=True))
    finally:
        run("/usr/sbin/swapoff", first)
        run("/usr/sbin/wipefs", "-a", first)
    assert (swapped.outcome, code_of(swapped)) == ("refused", codes.STORAGE_DEVICE_IN_USE)
    run("/usr/sbin/mkfs.ext4", "-q", "-F", "-L", "daos", first)
    run("/usr/bin/mount", first, str(tmp_path))
    try:
        elsewhere = helper.call(ScmPrepare(reset=True))
    finally:
        run("/usr/bin/umount", str(tmp_path))
    assert (elsewhere.outcome, code_of(elsewhere)) == ("refused", codes.HELPER_POLICY_REFUSED)
    assert listing().namespaces == made.namespaces
    assert len(helper.call(ScmPrepare(reset=True)).destroyed) == 2


def test_data_without_a_signature_goes_only_where_we_made_the_namespace(
    helper: PlainSession, installation: Installation, policy: Path
) -> None:
    made = helper.call(ScmPrepare())
    with open(devices(made)[0], "r+b") as file:
        file.write(b"somebody's database" * 100)
    mark = Path(installation.layout.helper_state) / f"namespace-{made.namespaces[0].label}"
    mark.rename(mark.with_name("kept"))
    refused = helper.call(ScmPrepare(reset=True))
    assert (refused.outcome, code_of(refused)) == ("refused", codes.HELPER_POLICY_REFUSED)
    mark.with_name("kept").rename(mark)
    assert len(helper.call(ScmPrepare(reset=True)).destroyed) == 2


def test_a_namespace_that_is_switched_off_is_known_by_its_label(helper: PlainSession, installation: Installation) -> None:
    """As a run leaves it that ended between the two commands of a destruction; one that is not on record is left alone."""
    made = helper.call(ScmPrepare())
    first = made.namespaces[0]
    tool("disable-namespace", first.dev)
    prepared = helper.call(ScmPrepare())
    assert code_of(prepared) == codes.SCM_INVALID_PMEM
    mark = Path(installation.layout.helper_state) / f"namespace-{first.label}"
    mark.rename(mark.with_name("kept"))
    refused = helper.call(ScmPrepare(reset=True))
    assert (refused.outcome, code_of(refused)) == ("refused", codes.SCM_NAMESPACE_UNSEEN)
    mark.with_name("kept").rename(mark)
    assert len(helper.call(ScmPrepare(reset=True)).destroyed) == 2
    assert listing().namespaces == ()


def test_a_run_that_was_cut_short_is_gone_on_with(helper: PlainSession, installation: Installation, played: Machine) -> None:
    """One of two namespaces is there, and the record says that two were on their way."""
    region = listing().regions[0]
    tool("create-namespace", "--region", region.dev, "--size", str(region.size // 2))
    (Path(installation.layout.helper_state) / "pmem").write_text('{"goals":{},"filling":{"0":2}}')
    assert helper.call(ScmScan()).state == State.PARTIAL_FREE_CAPACITY
    refused = helper.call(ScmPrepare(namespaces_per_socket=4))
    assert code_of(refused) == codes.SCM_BAD_REGION
    made = helper.call(ScmPrepare(namespaces_per_socket=2))
    assert (made.fault, len(made.namespaces)) == (None, 4)
    assert "pmem" not in records(installation)


def test_ndctl_that_fails_stops_the_run_and_says_why(helper: PlainSession, installation: Installation, played: Machine) -> None:
    """What is free lies in two pieces, and a namespace is one."""
    region = listing().regions[0]
    played.describe([*modules(0), f"region 0 {region.iset_id} 1 {region.size} {region.size} 1"])
    for _ in range(4):
        tool("create-namespace", "--region", region.dev, "--size", str(region.size // 4))
    for one in listing().namespaces[::2]:
        tool("destroy-namespace", "--force", one.dev)
    before = listing().namespaces
    answer = helper.call(ScmPrepare(namespaces_per_socket=3))
    assert (answer.outcome, code_of(answer)) == ("stopped", codes.SCM_NDCTL_FAILED)
    assert [(step.action, step.done) for step in answer.steps] == [("remember", True), ("create-namespace", False), ("remember", False)]
    assert answer.fault is not None
    assert "No space left on device" in answer.fault.cause
    assert (answer.namespaces, listing().namespaces) == (before, before)
    assert "pmem" in records(installation)
