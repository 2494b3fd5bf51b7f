# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The NVMe methods of the installed helper, called by the account, on emulated controllers behind an IOMMU."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest
from hostile import helper_processes
from installed import Installation
from spdk_guest import give
from vmlab.disks import cleaned
from vmlab.spec import IOMMU
from vmlab.waiting import until

from daos_bindings.linux import attributes, pci
from daos_bindings.linux.pci import PciFunction
from daos_pbin import codes
from daos_pbin.envelope import Progress
from daos_pbin.faults import Fault
from daos_pbin.messages import Request, Result
from daos_pbin.nvme_messages import (
    BdevBind,
    BdevBindResult,
    BdevFormat,
    BdevFormatResult,
    BdevRestore,
    BdevScan,
    BdevScanResult,
    NvmeFirmwareQuery,
    NvmeFirmwareUpdate,
)
from daos_pbin.plain import PlainSession

pytestmark = pytest.mark.guest("iommu")

DEVICES = Path("/sys/bus/pci/devices")
COUNT = len(IOMMU.controllers)
ATTEMPTS = 20


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def addresses() -> tuple[str, ...]:
    return tuple(str(function.address) for function in pci.scan().controllers)


def drivers() -> list[str]:
    return [function.driver for function in pci.scan().controllers]


def states() -> list[tuple[str, str]]:
    return [(function.driver, function.driver_override) for function in pci.scan().controllers]


def is_whole(function: PciFunction) -> bool:
    controller = function.controller
    return controller is not None and controller.state == "live" and len(controller.namespaces) == 2


def wait_until_whole() -> None:
    until(lambda: all(is_whole(function) for function in pci.scan().controllers), "all controllers are back")


class Policy(Protocol):
    """Writes the policy."""

    def __call__(self, text: str) -> None: ...


@pytest.fixture
def policy(installation: Installation) -> Iterator[Policy]:
    path = Path(installation.layout.policy_file)

    def write(text: str) -> None:
        path.write_text(text)
        path.chmod(0o644)

    yield write
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def session(installation: Installation) -> Iterator[PlainSession]:
    with PlainSession(installation.helper_of_account) as made:
        yield made


@pytest.fixture
def restored(installation: Installation) -> Iterator[None]:
    """At the end every controller is as it was."""
    run("/sbin/modprobe", "vfio-pci")
    yield
    with session(installation) as made:
        made.call(BdevRestore())
    wait_until_whole()
    found = states()
    for address in addresses():  # one that is left by a test that failed shall not make others fail
        (DEVICES / address / "driver_override").write_text("\n")
    assert found == [("nvme", "")] * COUNT
    assert records(installation) == []


@pytest.fixture
def helper(installation: Installation, restored: None) -> Iterator[PlainSession]:
    """A session of the server's account."""
    with session(installation) as made:
        yield made


def records(installation: Installation) -> list[str]:
    return sorted(path.name for path in Path(installation.layout.rundir).rglob("driver-*"))


def fault_of(helper: PlainSession, request: Request[Result]) -> Fault:
    with pytest.raises(Fault) as caught:
        helper.call(request)
    return caught.value


def outcomes(answer: BdevBindResult) -> dict[str, str]:
    return {row.address: row.outcome for row in answer.devices}


def codes_of(answer: BdevBindResult | BdevScanResult | BdevFormatResult) -> dict[str, int]:
    rows = answer.devices if isinstance(answer, BdevBindResult) else answer.controllers
    return {row.address: row.fault.code if row.fault else 0 for row in rows}


def test_all_are_bound_and_restored_twice_and_in_any_order(helper: PlainSession, installation: Installation) -> None:
    every = addresses()
    progress: list[str] = []
    answer = helper.call(BdevBind(every), on_progress=lambda step: progress.append(step.what))
    assert outcomes(answer) == dict.fromkeys(every, "done"), answer
    assert {row.before for row in answer.devices} == {"nvme"}
    assert len([line for line in progress if "vfio-pci" in line]) == COUNT
    assert states() == [("vfio-pci", "vfio-pci")] * COUNT
    assert len(records(installation)) == COUNT
    for row in answer.devices:
        found = os.stat(f"/dev/vfio/{row.group}")
        assert (found.st_uid, found.st_mode & 0o7777) == (installation.account.uid, 0o600)
    assert outcomes(helper.call(BdevBind(every))) == dict.fromkeys(every, "already")
    assert outcomes(helper.call(BdevRestore(every[:3]))) == dict.fromkeys(every[:3], "done")
    assert outcomes(helper.call(BdevRestore(every[:3]))) == dict.fromkeys(every[:3], "already")
    assert len(records(installation)) == COUNT - 3
    assert outcomes(helper.call(BdevBind((), all_devices=True))) == dict.fromkeys(every[:3], "done") | dict.fromkeys(every[3:], "already")
    assert outcomes(helper.call(BdevRestore())) == dict.fromkeys(every, "done")
    assert helper.call(BdevRestore()).devices == ()
    assert states() == [("nvme", "")] * COUNT
    assert records(installation) == []


def test_only_what_was_named_is_touched(helper: PlainSession) -> None:
    every = addresses()
    answer = helper.call(BdevBind(every[2:4], blocked=every[3:4]))
    assert outcomes(answer) == {every[2]: "done", every[3]: "skipped"}
    assert drivers() == ["nvme", "nvme", "vfio-pci", *["nvme"] * (COUNT - 3)]
    assert fault_of(helper, BdevBind(())).code == codes.HELPER_MESSAGE_INVALID
    absent = helper.call(BdevBind(("0000:ee:00.0",)))
    assert codes_of(absent) == {"0000:ee:00.0": codes.BDEV_NOT_FOUND}


@pytest.mark.long
def test_a_driver_override_of_somebody_else_comes_back(helper: PlainSession) -> None:
    address = addresses()[0]
    with overridden(address, "nvme"):
        helper.call(BdevBind((address,)))
        assert states()[0] == ("vfio-pci", "vfio-pci")
        helper.call(BdevRestore((address,)))
        assert states()[0] == ("nvme", "nvme")


def test_every_controller_is_described(helper: PlainSession) -> None:
    answer = helper.call(BdevScan())
    assert [row.address for row in answer.controllers] == list(addresses())
    serials = set()
    for row in answer.controllers:
        assert row.fault is None, row
        assert row.record is not None
        assert (row.source, row.driver, row.in_use) == ("kernel", "nvme", ())
        assert row.iommu_group >= 0
        serials.add(row.record.serial)
        wanted = next(one for one in IOMMU.controllers if one.serial == row.record.serial)
        assert row.numa_node == wanted.node
        assert [(space.id, space.size) for space in row.record.namespaces] == list(enumerate(wanted.namespaces, start=1))
        assert row.record.health_stats is not None
        assert row.record.health_stats.temperature > 0
    assert serials == {one.serial for one in IOMMU.controllers}
    without = helper.call(BdevScan(addresses()[:1], health=False))
    assert [row.record.health_stats for row in without.controllers if row.record] == [None]


@pytest.mark.long
def test_a_controller_on_a_userspace_driver_is_a_row(helper: PlainSession) -> None:
    """With SPDK it is read, without it the row says what is missing; it is never unbound to be looked at."""
    address = addresses()[0]
    helper.call(BdevBind((address,)))
    row = helper.call(BdevScan((address,))).controllers[0]
    assert (row.address, row.driver) == (address, "vfio-pci")
    assert (row.record is None) == (row.fault is not None)
    assert drivers()[0] == "vfio-pci"


@pytest.mark.long
def test_a_scan_right_after_a_restore_waits_until_all_answer(helper: PlainSession) -> None:
    helper.call(BdevBind((), all_devices=True))
    helper.call(BdevRestore())
    answer = helper.call(BdevScan())
    assert codes_of(answer) == dict.fromkeys(addresses(), 0)


def digest(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def device(number: int, namespace: int = 0) -> str:
    controller = pci.scan().controllers[number].controller
    assert controller is not None
    return controller.namespaces[namespace].path


@pytest.mark.long
def test_all_are_formatted_twice_and_data_only_with_force(helper: PlainSession) -> None:
    every = addresses()
    answer = helper.call(BdevFormat(every))
    assert codes_of(answer) == dict.fromkeys(every, 0), answer
    assert all([(space.id, space.done) for space in row.namespaces] == [(1, True), (2, True)] for row in answer.controllers)
    blob, foreign = device(0), device(1, 1)
    with cleaned(blob, foreign):
        Path(blob).write_bytes(b"SPDKBLOB" + b"\xa5" * 16376)
        Path(foreign).write_bytes(b"\xa5" * 16384)
        answer = helper.call(BdevFormat(every))
        refused = dict.fromkeys(every[:2], codes.STORAGE_ALREADY_FORMATTED)
        assert codes_of(answer) == refused | dict.fromkeys(every[2:], 0)
        answer = helper.call(BdevFormat(every, force=True))
        assert codes_of(answer) == {every[0]: 0, every[1]: codes.HELPER_POLICY_REFUSED} | dict.fromkeys(every[2:], 0)
        with open(blob, "rb") as file:
            assert file.read(8192) == bytes(4096) + b"\xa5" * 4096
        with open(foreign, "rb") as file:
            assert file.read(4096) == b"\xa5" * 4096
        assert codes_of(helper.call(BdevFormat(every[:1]))) == {every[0]: 0}, "zeros may be made zeros"


@pytest.mark.long
def test_the_line_in_a_refusal_lets_it_pass(helper: PlainSession, policy: Policy) -> None:
    address, path = addresses()[5], device(5)
    with cleaned(path):
        run("/sbin/mkfs.ext4", "-q", path)
        line = f'devices_allow = ["{address}"]'
        (bound,) = helper.call(BdevBind((address,))).devices
        (formatted,) = helper.call(BdevFormat((address,), force=True)).controllers
        for fault in (bound.fault, formatted.fault):
            assert fault is not None
            assert fault.code == codes.HELPER_POLICY_REFUSED
            assert fault.object == address
            assert line in fault.resolution
        policy(line)
        assert codes_of(helper.call(BdevFormat((address,), force=True))) == {address: 0}
        policy(f'devices_deny = ["{address}"]')
        assert codes_of(helper.call(BdevFormat((address,), force=True))) == {address: codes.HELPER_POLICY_REFUSED}
        assert codes_of(helper.call(BdevBind((address,)))) == {address: codes.HELPER_POLICY_REFUSED}
        policy(f'devices_deny = ["{path}"]')
        assert codes_of(helper.call(BdevBind((address,)))) == {address: codes.HELPER_POLICY_REFUSED}


def test_what_is_used_is_refused_and_stays_byte_for_byte(helper: PlainSession, tmp_path: Path) -> None:
    every = addresses()
    mounted, volume, swap, idle = device(0), device(1), device(2), device(3)
    with contextlib.ExitStack() as undo:
        undo.enter_context(cleaned(mounted, volume, swap, idle))
        run("/sbin/mkfs.ext4", "-q", mounted)
        run("/bin/mount", "-o", "ro", mounted, str(tmp_path))  # one that is written to changes by itself
        undo.callback(run, "/bin/umount", str(tmp_path))
        run("/sbin/pvcreate", "-q", "-y", volume)
        run("/sbin/mkswap", swap)
        run("/sbin/swapon", swap)
        undo.callback(run, "/sbin/swapoff", swap)
        run("/sbin/mkswap", idle)
        run("/bin/sync")
        before = [digest(path) for path in (mounted, volume, swap, idle)]
        scanned = {row.address: row.in_use for row in helper.call(BdevScan()).controllers}
        assert [bool(scanned[address]) for address in every[:4]] == [True, False, True, False]
        bound = helper.call(BdevBind(every))
        assert [codes_of(bound)[address] for address in every[:4]] == [
            codes.NVME_CONTROLLER_IN_USE, codes.HELPER_POLICY_REFUSED, codes.NVME_CONTROLLER_IN_USE, codes.HELPER_POLICY_REFUSED,
        ]  # fmt: skip
        reasons = {row.address: row.reason for row in bound.devices}
        assert str(tmp_path) in reasons[every[0]]
        assert "LVM2_member" in reasons[every[1]]
        assert "swap" in reasons[every[2]]
        assert [outcomes(bound)[address] for address in every[4:]] == ["done"] * (COUNT - 4)
        skipped = helper.call(BdevBind((), all_devices=True))
        assert [outcomes(skipped)[address] for address in every] == ["skipped"] * 4 + ["already"] * (COUNT - 4)
        helper.call(BdevRestore())
        formatted = helper.call(BdevFormat(every, force=True))
        assert [codes_of(formatted)[address] for address in every[:4]] == [
            codes.STORAGE_DEVICE_ALREADY_MOUNTED, codes.HELPER_POLICY_REFUSED, codes.STORAGE_DEVICE_IN_USE, codes.HELPER_POLICY_REFUSED,
        ]  # fmt: skip
        assert [codes_of(formatted)[address] for address in every[4:]] == [0] * (COUNT - 4), formatted
        assert [digest(path) for path in (mounted, volume, swap, idle)] == before


@pytest.mark.long
def test_a_volume_group_that_is_active_is_in_use(helper: PlainSession) -> None:
    address, path = addresses()[4], device(4)
    with cleaned(path), contextlib.ExitStack() as undo:
        run("/sbin/vgcreate", "-q", "-y", "daoslab", path)
        undo.callback(run, "/sbin/vgremove", "-q", "-f", "-y", "daoslab")
        run("/sbin/lvcreate", "-q", "-y", "-Zn", "-an", "-L", "8m", "-n", "volume", "daoslab")
        run("/sbin/modprobe", "dm-mod")
        run("/sbin/lvchange", "-ay", "daoslab/volume")
        assert codes_of(helper.call(BdevBind((address,)))) == {address: codes.NVME_CONTROLLER_IN_USE}
        assert codes_of(helper.call(BdevFormat((address,), force=True))) == {address: codes.STORAGE_DEVICE_IN_USE}


@pytest.mark.long
def test_a_group_that_a_program_has_open_is_left_alone(helper: PlainSession) -> None:
    address = addresses()[6]
    (row,) = helper.call(BdevBind((address,))).devices
    with open(f"/dev/vfio/{row.group}", "r+b", buffering=0):
        assert codes_of(helper.call(BdevRestore((address,)))) == {address: codes.NVME_CONTROLLER_IN_USE}
        assert outcomes(helper.call(BdevBind((address,)))) == {address: "already"}, "its user may go on"
        assert drivers()[6] == "vfio-pci"
    assert outcomes(helper.call(BdevRestore((address,)))) == {address: "done"}


@pytest.mark.parametrize("worker", [False, True], ids=["monitor", "worker"])
@pytest.mark.parametrize("progress", range(1, COUNT))
@pytest.mark.long
def test_kills_at_any_moment_leave_nothing_without_a_driver(
    restored: None, installation: Installation, progress: int, worker: bool
) -> None:
    """A monitor, with each number of controllers done; a worker, which then is faster than a signal, when that many were let go of.

    Giving back is so fast that the worker is killed as soon as it is seen.
    """
    every = addresses()
    with overridden(every[progress], "nvme"):
        before = states()
        turns: list[tuple[BdevBind | BdevRestore, list[tuple[str, str]]]] = [
            (BdevBind(every), [("vfio-pci", "vfio-pci")] * COUNT),
            (BdevRestore(), before),
        ]
        for request, wanted in turns:
            for _ in range(ATTEMPTS):
                if not worker:
                    killed = kill_after(installation, request, progress=progress)
                else:
                    killed = kill_worker(installation, request, let_go=progress if isinstance(request, BdevBind) else 0)
                with session(installation) as again:
                    answer = call_when_free(again, request)
                    assert states() == wanted, answer
                    if killed:
                        break
                    again.call(BdevRestore() if isinstance(request, BdevBind) else BdevBind(every))  # the kill came too late: once more
            else:
                pytest.fail(f"{ATTEMPTS} kills came too late")
        assert records(installation) == []


@contextlib.contextmanager
def overridden(address: str, driver: str) -> Iterator[None]:
    """Let a controller be reserved for a driver by somebody else than us."""
    override = DEVICES / address / "driver_override"
    override.write_text(f"{driver}\n")
    try:
        yield
    finally:
        override.write_text("\n")


def call_when_free(helper: PlainSession, request: BdevBind | BdevRestore) -> BdevBindResult:
    """Repeat a request while the threads of a killed worker, which the kernel lets finish what they began, hold their locks."""
    answers: list[BdevBindResult] = []

    def is_answered() -> bool:
        try:
            answers.append(helper.call(request))
        except Fault as fault:
            if fault.code != codes.HELPER_RESOURCE_BUSY:
                raise
        return bool(answers)

    until(is_answered, "the killed worker's locks are free")
    return answers[0]


def uid_of(pid: int) -> int:
    """Return the real uid of a process; -1 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return int(next(line for line in lines if line.startswith("Uid:")).split()[1])


def changes_a_driver(step: Progress) -> bool:
    """Tell whether the progress is that of the step that changes drivers: before it, controllers are asked and looked at."""
    return ": " in step.what


def kill(installation: Installation, *, worker: bool) -> bool:
    """Kill the monitor or the worker, if there is one."""
    killed = False
    for pid in helper_processes(installation):
        if (uid_of(pid) == installation.worker.uid) == worker:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed = True
    return killed


def kill_after(installation: Installation, request: BdevBind | BdevRestore, *, progress: int) -> bool:
    """Start a request, and kill the monitor as soon as so many controllers are done."""
    killed = False
    seen = 0

    def on_progress(step: Progress) -> None:
        nonlocal seen, killed
        seen += changes_a_driver(step)
        if seen == progress and changes_a_driver(step):
            killed = kill(installation, worker=False)

    with contextlib.suppress(Fault), session(installation) as made:
        made.call(request, on_progress=on_progress)
    until(lambda: not helper_processes(installation), "the killed helper is gone")
    return killed


def kill_worker(installation: Installation, request: BdevBind | BdevRestore, *, let_go: int) -> bool:
    """Start a request, and kill the worker as soon as the kernel's driver has let go, or begun to, of so many controllers."""
    killed = [False]
    every = addresses()
    with session(installation) as made, ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.call, request)

        def is_over() -> bool:
            if sum(attributes.link(f"{DEVICES}/{address}/driver") != "nvme" for address in every) >= let_go:
                killed[:] = [kill(installation, worker=True)]
            return killed[0] or running.done()

        until(is_over, "a worker is killed, or the request is answered")
        with contextlib.suppress(Fault):
            running.result()
    until(lambda: not helper_processes(installation), "the killed helper is gone")
    return killed[0]


@pytest.mark.long
def test_one_that_lost_its_driver_comes_back_with_the_next_call_whatever_it_is_about(helper: PlainSession) -> None:
    every = addresses()
    helper.call(BdevBind(every[:2]))
    (DEVICES / every[0] / "driver/unbind").write_text(every[0])
    answer = helper.call(BdevBind(every[5:6]))
    assert outcomes(answer) == {every[0]: "done", every[5]: "done"}
    assert drivers()[:2] == ["nvme", "vfio-pci"]


@pytest.mark.long
def test_a_controller_that_hangs_does_not_hide_the_others(helper: PlainSession) -> None:
    """It is cut off from memory, so that its answers never arrive."""
    every = addresses()
    config = DEVICES / every[7] / "config"
    with open(config, "r+b", buffering=0) as file:
        command = os.pread(file.fileno(), 2, 4)
        os.pwrite(file.fileno(), bytes([command[0] & ~4, command[1]]), 4)
    answer = helper.call(BdevScan())
    found = codes_of(answer)
    assert found.pop(every[7]) in {codes.NVME_COMMAND_FAILED, codes.NVME_CONTROLLER_GONE}
    assert found == dict.fromkeys([address for address in every if address != every[7]], 0)
    with open(config, "r+b", buffering=0) as file:
        os.pwrite(file.fileno(), command, 4)
    if not is_whole(pci.scan().controllers[7]):
        (DEVICES / every[7] / "remove").write_text("1")
        Path("/sys/bus/pci/rescan").write_text("1")


@pytest.mark.long
def test_firmware_is_off_until_the_policy_says_otherwise(helper: PlainSession, policy: Policy, tmp_path: Path) -> None:
    refused = fault_of(helper, NvmeFirmwareQuery())
    assert refused.code == codes.HELPER_POLICY_REFUSED
    assert 'methods_on = ["NvmeFirmwareQuery"]' in refused.resolution
    policy('methods_on = ["NvmeFirmwareQuery", "NvmeFirmwareUpdate"]')
    answer = helper.call(NvmeFirmwareQuery())
    assert [row.address for row in answer.controllers] == list(addresses())
    assert {row.model for row in answer.controllers} == {"QEMU NVMe Ctrl"}
    assert helper.call(NvmeFirmwareQuery(model="another")).controllers == ()
    assert len(helper.call(NvmeFirmwareQuery(model="qemu nvme ctrl")).controllers) == COUNT
    image = Path("/run/image")
    image.write_bytes(bytes(8192))
    (row,) = helper.call(NvmeFirmwareUpdate(str(image), addresses()[:1])).controllers
    assert row.fault is not None
    assert row.fault.code == codes.NVME_FIRMWARE_UNUSABLE, "emulated controllers take none"
    assert fault_of(helper, NvmeFirmwareUpdate(str(image), model="another")).code == codes.BDEV_NO_DEVICES_MATCH_FILTER
    image.chmod(0o666)
    assert fault_of(helper, NvmeFirmwareUpdate(str(image))).code == codes.STORAGE_PATH_UNSAFE
    image.unlink()


@pytest.mark.guest("uio")
@pytest.mark.long
def test_without_an_iommu_vfio_is_refused_and_uio_takes_them(installation: Installation) -> None:
    run("/sbin/modprobe", "-a", "vfio-pci", "uio_pci_generic")
    every = addresses()
    with session(installation) as helper:
        refused = helper.call(BdevBind(every))
        assert codes_of(refused) == dict.fromkeys(every, codes.BDEV_NO_IOMMU)
        assert set(drivers()) == {"nvme"}
        assert outcomes(helper.call(BdevBind(every, driver="uio_pci_generic"))) == dict.fromkeys(every, "done")
        assert set(drivers()) == {"uio_pci_generic"}
        assert outcomes(helper.call(BdevRestore())) == dict.fromkeys(every, "done")
        assert set(states()) == {("nvme", "")}
        assert codes_of(helper.call(BdevScan())) == dict.fromkeys(every, 0)


@pytest.fixture
def spdk(helper: PlainSession) -> Iterator[PlainSession]:
    """A session in a machine with hugepages, if its helper has SPDK in it."""
    first = addresses()[0]
    pages = [Path(f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages") for node in (0, 1)]
    run("/bin/mkdir", "-p", "/dev/hugepages")
    run("/bin/mount", "-t", "hugetlbfs", "none", "/dev/hugepages")
    for page in pages:
        page.write_text("64")
    try:
        helper.call(BdevBind((first,)))
        if codes_of(helper.call(BdevScan((first,)))) == {first: codes.SPDK_MISSING}:
            pytest.skip("SPDK is not compiled into the helper: set PKG_CONFIG_PATH (docs/spdk.md)")
        helper.call(BdevRestore())
        yield helper
    finally:
        for page in pages:
            page.write_text("0")
        run("/bin/umount", "/dev/hugepages")


@pytest.mark.long
def test_spdk_and_the_kernel_say_the_same(spdk: PlainSession) -> None:
    every = addresses()
    before = spdk.call(BdevScan()).controllers
    spdk.call(BdevBind(every[:4]))
    after = spdk.call(BdevScan()).controllers
    assert [row.source for row in after] == ["spdk"] * 4 + ["kernel"] * (COUNT - 4), after
    for one, other in zip(before, after, strict=True):
        assert one.record is not None
        assert other.record is not None
        assert (one.address, one.numa_node, one.iommu_group) == (other.address, other.numa_node, other.iommu_group)
        assert one.record.serial == other.record.serial
        assert (one.record.model, one.record.namespaces) == (other.record.model, other.record.namespaces)


@pytest.mark.long
def test_both_ways_of_wiping_give_the_same_rows(spdk: PlainSession) -> None:
    every = addresses()
    spdk.call(BdevBind(every[:2]))
    answer = spdk.call(BdevFormat(every[:4]))
    assert codes_of(answer) == dict.fromkeys(every[:4], 0), answer
    assert len({row.namespaces for row in answer.controllers}) == 1


@pytest.mark.long
def test_data_that_spdk_sees_is_protected_like_data_that_the_kernel_sees(spdk: PlainSession, policy: Policy) -> None:
    """The first was bound by us; the others by somebody else, because we do not bind what others made."""
    every, functions = addresses()[:4], pci.scan().controllers[:3]
    blob, foreign, system = device(0, 1), device(1), device(2)
    with cleaned(blob, foreign, system):
        Path(blob).write_bytes(b"SPDKBLOB" + b"\xa5" * 16376)
        Path(foreign).write_bytes(b"\xa5" * 16384)
        run("/sbin/mkfs.ext4", "-q", system)
        run("/bin/sync")
        spdk.call(BdevBind(every[:1]))
        try:
            for function in functions[1:]:
                give(function, "vfio-pci")
            answer = spdk.call(BdevFormat(every))
            assert codes_of(answer) == dict.fromkeys(every[:3], codes.STORAGE_ALREADY_FORMATTED) | {every[3]: 0}, answer
            said = [row.fault.cause for row in answer.controllers if row.fault is not None]
            assert said[0] == f"namespace 2 of {every[0]} carries spdk_blobstore other"
            assert said[1] == f"namespace 1 of {every[1]} carries data without a signature "
            assert said[2].startswith(f"namespace 1 of {every[2]} carries ext4 filesystem (uuid ")
            refused = dict.fromkeys(every[1:3], codes.HELPER_POLICY_REFUSED)
            assert codes_of(spdk.call(BdevFormat(every, force=True))) == {every[0]: 0, every[3]: 0} | refused
            policy(f'devices_allow = ["{every[2]}"]')
            refused.pop(every[2])
            assert codes_of(spdk.call(BdevFormat(every, force=True))) == dict.fromkeys(every, 0) | refused
            assert codes_of(spdk.call(BdevFormat(every[:1]))) == {every[0]: 0}, "zeros may be made zeros"
        finally:
            for function in functions[1:]:
                give(function, "nvme")
            spdk.call(BdevRestore())
            wait_until_whole()
        blob, foreign, system = device(0, 1), device(1), device(2)
        for path, wiped in ((blob, True), (foreign, False), (system, True)):
            with open(path, "rb") as file:
                assert file.read(4096) == (bytes(4096) if wiped else b"\xa5" * 4096), path
        with open(blob, "rb") as file:
            assert file.read(8192)[4096:] == b"\xa5" * 4096


@pytest.mark.parametrize("request_", [BdevScan, BdevFormat, BdevBind], ids=["scan", "format", "bind"])
@pytest.mark.long
def test_one_that_vanishes_meanwhile_does_not_keep_the_others(
    helper: PlainSession, request_: type[Request[Result]]
) -> None:
    """Taken away as soon as the first is done.  Not by "remove" while it may be open: see test_nvme_bindings.py."""
    every = addresses()
    victim = every[-1]
    removed: list[bool] = []

    def on_progress(step: Progress) -> None:
        if removed or (request_ is BdevBind and not changes_a_driver(step)):
            return
        removed.append(True)
        if request_ is BdevBind:
            (DEVICES / victim / "remove").write_text("1")
        else:
            Path("/sys/bus/pci/drivers/nvme/unbind").write_text(victim)

    answer: BdevScanResult | BdevFormatResult | BdevBindResult
    if request_ is BdevBind:
        answer = helper.call(BdevBind(every), on_progress=on_progress)
        Path("/sys/bus/pci/rescan").write_text("1")
    elif request_ is BdevFormat:
        answer = helper.call(BdevFormat(every), on_progress=on_progress)
    else:
        answer = helper.call(BdevScan(), on_progress=on_progress)
    if request_ is not BdevBind:
        Path("/sys/bus/pci/drivers/nvme/bind").write_text(victim)
    assert removed
    found = codes_of(answer)
    assert [found[address] for address in every[:-1]] == [0] * (COUNT - 1), answer
    assert victim in found
    until(lambda: len(addresses()) == COUNT, "the controller is found again")
