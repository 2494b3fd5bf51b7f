# SPDX-License-Identifier: BSD-2-Clause-Patent
"""PCI facts and driver binding on a real kernel with emulated controllers, changed by a process that has no right to."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from vmlab.disks import cleaned

from daos_bindings.linux import binding, inuse, modules, mounts, pci, privileges, remembered, sysfs, vfio
from daos_bindings.linux.binding import Goal, Outcome
from daos_bindings.linux.block import UsageTable
from daos_bindings.linux.driver_state import State
from daos_bindings.linux.pci import PciFunction
from daos_pbin import codes
from daos_pbin.faults import Fault

pytestmark = pytest.mark.guest("iommu")

NOBODY = 4242
NVME = State("nvme")
VFIO = State("vfio-pci", "vfio-pci")
DEVICES = Path("/sys/bus/pci/devices")
UEVENTS = 15
"""NETLINK_KOBJECT_UEVENT"""


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def as_nobody(work: Callable[[], object]) -> object:
    """Do it in a process without any right, and return what it returns."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            privileges.become(NOBODY, NOBODY, capabilities=())
            os.write(writer, json.dumps(work()).encode())
            os._exit(0)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(answer)


class Changes:
    """Waits for what the kernel announces."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, UEVENTS)
        self.socket.bind((0, 1))
        self.socket.settimeout(60)

    def until(self, true: Callable[[], bool]) -> None:
        while not true():
            self.socket.recv(1 << 16)


@contextmanager
def changes() -> Iterator[Changes]:
    found = Changes()
    with found.socket:
        yield found


@pytest.fixture(autouse=True)
def loaded() -> None:
    run("/sbin/modprobe", "vfio-pci")
    assert modules.presence("vfio-pci") in {"loaded", "builtin"}
    assert modules.driver_is_ready("vfio-pci")


@pytest.fixture
def root() -> Iterator[int]:
    with sysfs.opened() as descriptor:
        yield descriptor


@pytest.fixture
def four() -> Iterator[tuple[PciFunction, ...]]:
    """Four controllers, which are as they were afterwards."""
    found = pci.scan().controllers[:4]
    yield found
    with changes() as changed:
        for function in found:
            (DEVICES / function.kernel / "driver_override").write_text("\n")
            if not (DEVICES / function.kernel / "driver").exists():
                Path("/sys/bus/pci/drivers_probe").write_text(function.kernel)
            elif (DEVICES / function.kernel / "driver").resolve().name != "nvme":
                (DEVICES / function.kernel / "driver/unbind").write_text(function.kernel)
                Path("/sys/bus/pci/drivers/nvme/bind").write_text(function.kernel)
        changed.until(lambda: all(is_whole(function.kernel) for function in found))


def is_whole(address: str) -> bool:
    function = pci.read_function(address)
    return function is not None and function.controller is not None and len(function.controller.namespaces) == 2


def goals(functions: tuple[PciFunction, ...], wanted: State, before: State = NVME) -> tuple[Goal, ...]:
    return tuple(Goal(function.kernel, wanted, before) for function in functions)


def reach(wanted: tuple[Goal, ...], root: int, threads: int = 1) -> list[Outcome]:
    """Bind as nobody."""
    with binding.opened(wanted, root, lanes=threads) as bindings:

        def work() -> object:
            seen: list[str] = []
            outcomes = bindings.act(lambda outcome: seen.append(outcome.address), threads=threads)
            assert sorted(seen) == sorted(goal.address for goal in wanted)
            return [[one.address, one.result, one.after.driver, one.after.override, one.step, one.error] for one in outcomes]

        answer = as_nobody(work)
    assert isinstance(answer, list)
    return [Outcome(row[0], row[1], State(), State(row[2], row[3]), row[4], row[5]) for row in answer]


def driver(function: PciFunction) -> str:
    found = pci.read_function(function.kernel)
    assert found is not None
    return found.driver


def test_facts_are_those_of_sysfs_and_lspci() -> None:
    scan = pci.scan()
    assert len(scan.controllers) == 12
    listed = {line.split()[0]: line.split()[2] for line in run("/usr/bin/lspci", "-D", "-n").splitlines()}
    classes = {line.split()[0]: line.split()[1] for line in run("/usr/bin/lspci", "-D", "-n").splitlines()}
    assert {str(function.address) for function in scan.controllers} == {address for address, kind in classes.items() if kind == "0108:"}
    for function in scan.controllers:
        assert listed[function.kernel] == f"{function.vendor:04x}:{function.device:04x}"
        assert (function.driver, function.driver_override, function.vmd) == ("nvme", "", "")
        assert function.controller is not None
        assert function.controller.state == "live"
        node = os.stat(function.controller.path)
        assert (os.major(node.st_rdev), os.minor(node.st_rdev)) == (function.controller.major, function.controller.minor)
        assert [space.nsid for space in function.controller.namespaces] == [1, 2]
        for space in function.controller.namespaces:
            assert run("/sbin/blockdev", "--getsize64", space.path).strip() == str(space.size_bytes)
    assert {function.numa_node for function in scan.controllers} == {0, 1}
    assert len({function.iommu_group for function in scan.controllers} - {-1}) == 12
    assert not [function for function in scan.controllers if function.blocking]
    assert scan.find(scan.controllers[3].kernel) == scan.controllers[3]


@pytest.mark.parametrize("threads", [1, 4])
def test_four_are_bound_and_restored_by_a_process_without_rights(four: tuple[PciFunction, ...], root: int, threads: int) -> None:
    before = remembered.Record({function.kernel: binding.current(function.kernel, root) for function in four})
    assert set(before.functions.values()) == {NVME}
    bound = reach(goals(four, VFIO), root, threads)
    assert [(one.address, one.result, one.after) for one in bound] == [(function.kernel, "done", VFIO) for function in four]
    assert {driver(function) for function in four} == {"vfio-pci"}
    assert [one.result for one in reach(goals(four, VFIO), root, threads)] == ["already"] * 4

    record = remembered.decode(remembered.encode(before))
    back = tuple(Goal(address, state, state) for address, state in record.functions.items())
    assert [one.result for one in reach(back, root, threads)] == ["done"] * 4
    assert [binding.current(function.kernel, root) for function in four] == [NVME] * 4
    assert [one.result for one in reach(back, root, threads)] == ["already"] * 4


def test_that_process_could_not_have_opened_them() -> None:
    address = pci.scan().controllers[0].kernel
    files = ["/sys/bus/pci/drivers/nvme/unbind", "/sys/bus/pci/drivers_probe", str(DEVICES / address / "driver_override")]

    def work() -> object:
        return [os.access(file, os.W_OK) for file in files]

    assert as_nobody(work) == [False, False, False]


def test_group_nodes_become_the_target_users_alone(four: tuple[PciFunction, ...], root: int) -> None:
    reach(goals(four, VFIO), root)
    for function in four:
        with vfio.opened(function.iommu_group) as node:
            assert vfio.give(node, NOBODY, NOBODY)
            assert not vfio.give(node, NOBODY, NOBODY)
        found = os.stat(vfio.node_path(function.iommu_group))
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (NOBODY, NOBODY, 0o600)
    path = vfio.node_path(four[0].iommu_group)

    def work() -> object:
        os.close(os.open(path, os.O_RDWR))
        return True

    assert as_nobody(work) is True


def test_a_group_without_a_node_is_a_fault(four: tuple[PciFunction, ...]) -> None:
    with pytest.raises(Fault) as caught, vfio.opened(four[0].iommu_group):
        pass
    assert caught.value.code == codes.STORAGE_PATH_UNSAFE


def test_what_the_kernel_refuses_is_put_back(four: tuple[PciFunction, ...], root: int) -> None:
    # Reserved for a driver that is not the one it is given to: the kernel finds no match.
    wanted = State("vfio-pci", "pci-stub")
    (outcome,) = reach(goals(four[:1], wanted), root)
    assert (outcome.result, outcome.step, outcome.error, outcome.after) == ("failed", "bind", errno.ENODEV, NVME)
    fault = outcome.fault()
    assert fault is not None
    assert fault.code == codes.NVME_BINDING_FAILED
    assert driver(four[0]) == "nvme"


def test_without_a_way_back_any_driver_takes_it(four: tuple[PciFunction, ...], root: int) -> None:
    nowhere = State("vfio-pci", "pci-stub")
    (outcome,) = reach(goals(four[:1], nowhere, before=State("vfio-pci", "nvme")), root)
    assert (outcome.result, outcome.after) == ("failed", NVME)


def test_one_that_lost_its_driver_is_bound_and_brought_back(four: tuple[PciFunction, ...], root: int) -> None:
    function = four[0]
    (DEVICES / function.kernel / "driver/unbind").write_text(function.kernel)
    assert binding.current(function.kernel, root) == State()
    assert [one.result for one in reach(goals((function,), NVME), root)] == ["done"]
    assert driver(function) == "nvme"


def test_a_driver_that_is_not_loaded_is_a_fault(four: tuple[PciFunction, ...], root: int) -> None:
    with pytest.raises(Fault) as caught:
        reach(goals(four[:1], State("no_such_driver", "no_such_driver")), root)
    assert caught.value.code == codes.NVME_DRIVER_MISSING
    assert driver(four[0]) == "nvme"


def test_one_that_is_pulled_out_does_not_stop_the_others(four: tuple[PciFunction, ...], root: int) -> None:
    pulled = four[1]
    with binding.opened(goals(four, VFIO), root) as bindings:
        (DEVICES / pulled.kernel / "remove").write_text("1")
        assert pci.read_function(pulled.kernel) is None
        outcomes = bindings.act(lambda _outcome: None)
        assert [one.result for one in outcomes] == ["done", "gone", "done", "done"]
        fault = outcomes[1].fault()
        assert fault is not None
        assert fault.code == codes.NVME_CONTROLLER_GONE
        # Another device in its slot is not the one that was opened.
        Path("/sys/bus/pci/rescan").write_text("1")
        assert [one.result for one in bindings.act(lambda _outcome: None)] == ["already", "gone", "already", "already"]
        assert driver(pulled) == "nvme"


def test_scans_go_on_while_controllers_come_and_go(four: tuple[PciFunction, ...]) -> None:
    pid = os.fork()
    if pid == 0:
        for _ in range(4):
            (DEVICES / four[0].kernel / "remove").write_text("1")
            Path("/sys/bus/pci/rescan").write_text("1")
        os._exit(0)
    counts = set()
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        counts.add(len(pci.scan().controllers))
    assert counts <= {11, 12}
    assert len(pci.scan().controllers) == 12


def divide(path: str) -> None:
    """Write an old-style partition table with one partition, of which the kernel takes note."""
    entry = struct.pack("<8xII", 2048, 2048)
    with open(path, "r+b") as disk:
        disk.write(b"\0" * 446 + entry[:4] + b"\x83" + entry[5:] + b"\0" * 48 + b"\x55\xaa")
    run("/sbin/blockdev", "--rereadpt", path)


def test_uses_are_told_with_their_reasons(tmp_path: Path) -> None:
    scan = pci.scan()
    four = scan.controllers[4:8]
    place = tmp_path / "mount point"
    place.mkdir()
    paths = [function.controller.namespaces[0].path for function in four if function.controller]
    with cleaned(*paths[:3]), ExitStack() as undo, changes() as changed:
        run("/sbin/mkfs.ext4", "-q", paths[0])
        run("/bin/mount", paths[0], str(place))
        undo.callback(run, "/bin/umount", str(place))
        run("/sbin/mkswap", paths[1])
        run("/sbin/swapon", paths[1])
        undo.callback(run, "/sbin/swapoff", paths[1])
        divide(paths[2])
        part = Path(f"/sys/class/block/{os.path.basename(paths[2])}p1")
        changed.until(part.exists)

        found = [[(one.kind, one.detail) for one in inuse.of_function(function, scan, UsageTable(mounts.read()))] for function in four]
        assert found == [[("mount", str(place))], [("swap", "")], [("partition", part.name)], []]
        assert [bool(inuse.exclusively_open(function, scan)) for function in four] == [True, True, False, False]
    run("/sbin/blockdev", "--rereadpt", paths[2])
    assert not part.exists()
    assert [inuse.of_function(function, scan, UsageTable(mounts.read())) for function in four] == [()] * 4


@pytest.mark.guest("uio")
def test_without_an_iommu_vfio_is_refused_and_put_back(root: int) -> None:
    functions = pci.scan().controllers
    assert [function.iommu_group for function in functions] == [-1, -1]
    for outcome in reach(goals(functions, VFIO), root):
        assert (outcome.result, outcome.step, outcome.after) == ("failed", "bind", NVME)
        assert outcome.error
    assert [driver(function) for function in functions] == ["nvme", "nvme"]


@pytest.mark.guest("uio")
def test_without_an_iommu_uio_takes_them_and_gives_them_back(root: int) -> None:
    run("/sbin/modprobe", "uio_pci_generic")
    functions = pci.scan().controllers
    uio = State("uio_pci_generic", "uio_pci_generic")
    assert [one.result for one in reach(goals(functions, uio), root)] == ["done", "done"]
    assert [driver(function) for function in functions] == ["uio_pci_generic"] * 2
    with changes() as changed:
        assert [one.result for one in reach(goals(functions, NVME), root)] == ["done", "done"]
        changed.until(lambda: all(is_whole(function.kernel) for function in functions))
