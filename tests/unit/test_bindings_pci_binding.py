# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Driver binding where no kernel is behind it: what is opened, what is refused, and how it ends when nothing changes.

That drivers do change is shown in the guest (tests/vm/inside/test_pci_bindings.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daos_bindings.linux import binding, remembered, sysfs, vfio
from daos_bindings.linux.binding import Goal, Outcome
from daos_bindings.linux.driver_state import State, usable_name
from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.linux.remembered import Record
from daos_pbin import codes
from daos_pbin.faults import Fault

pytestmark = pytest.mark.unit

SSD = "0000:41:00.0"
OTHER = "0000:42:00.0"
NVME = State("nvme")
VFIO = State("vfio-pci", "vfio-pci")


class Tree:
    """A sysfs of two functions and two drivers, in which files take every write and nothing happens."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for driver in ("nvme", "vfio-pci"):
            (root / "bus/pci/drivers" / driver).mkdir(parents=True)
            for action in ("bind", "unbind"):
                (root / "bus/pci/drivers" / driver / action).touch()
        (root / "bus/pci/drivers_probe").touch()
        (root / "bus/pci/devices").mkdir()
        for address in (SSD, OTHER):
            directory = self.directory(address)
            directory.mkdir(parents=True)
            (directory / "class").write_text("0x010802\n")
            (directory / "driver_override").write_text("(null)\n")
            (directory / "driver").symlink_to("../../../bus/pci/drivers/nvme")
            (root / "bus/pci/devices" / address).symlink_to(f"../../../devices/pci0000:40/{address}")

    def directory(self, address: str) -> Path:
        return self.root / "devices/pci0000:40" / address

    def written(self, path: str) -> str:
        return (self.root / path).read_text()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "sys")


@pytest.fixture
def root(tree: Tree) -> Iterator[int]:
    descriptor = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def act(goals: tuple[Goal, ...], root: int, threads: int = 1) -> tuple[Outcome, ...]:
    with binding.opened(goals, root) as bindings:
        return bindings.act(lambda _outcome: None, threads=threads)


def test_what_is_so_already_is_left_alone(tree: Tree, root: int) -> None:
    assert binding.current(SSD, root) == NVME
    (outcome,) = act((Goal(SSD, NVME, NVME),), root)
    assert (outcome.result, outcome.before, outcome.after, outcome.fault()) == ("already", NVME, NVME, None)
    assert tree.written("bus/pci/drivers/nvme/unbind") == tree.written("bus/pci/drivers_probe") == ""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_kernel_that_takes_all_and_does_nothing_is_found_out(tree: Tree, root: int, threads: int) -> None:
    outcomes = act((Goal(SSD, VFIO, NVME), Goal(OTHER, NVME, NVME)), root, threads)
    assert [(one.address, one.result, one.step, one.error) for one in outcomes] == [(SSD, "failed", "verify", 0), (OTHER, "already", "", 0)]
    assert tree.written("bus/pci/drivers/nvme/unbind") == tree.written("bus/pci/drivers/vfio-pci/bind") == SSD
    fault = outcomes[0].fault()
    assert fault is not None
    assert (fault.code, fault.object) == (codes.NVME_BINDING_FAILED, SSD)
    assert "nothing changed" in fault.cause


@pytest.mark.parametrize(("lanes", "files"), [(1, 4), (2, 8), (12, 8)])
def test_each_outcome_is_reported_once(root: int, lanes: int, files: int) -> None:
    """A driver's files are opened once for each function that changes at the same time: the kernel locks an open file."""
    seen: list[str] = []
    with binding.opened((Goal(SSD, VFIO, NVME), Goal(OTHER, VFIO, NVME)), root, lanes=lanes) as bindings:
        bindings.act(lambda outcome: seen.append(outcome.address), threads=2)
        assert len(bindings.descriptors) == len(set(bindings.descriptors)) == 4 + 1 + files
        kept = bindings.descriptors
    assert sorted(seen) == [SSD, OTHER]
    for descriptor in kept:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_a_driver_that_came_meanwhile_is_not_unbound(tree: Tree, root: int) -> None:
    goal = Goal(SSD, VFIO, NVME)
    (tree.root / "bus/pci/drivers/uio").mkdir()
    with binding.opened((goal,), root) as bindings:
        (tree.directory(SSD) / "driver").unlink()
        (tree.directory(SSD) / "driver").symlink_to("../../../bus/pci/drivers/uio")
        (outcome,) = bindings.act(lambda _outcome: None)
    assert (outcome.result, outcome.step, outcome.after.driver) == ("failed", "unbind", "uio")


def test_a_function_left_without_a_driver_is_offered_to_all(tree: Tree, root: int) -> None:
    (tree.directory(SSD) / "driver").unlink()
    (outcome,) = act((Goal(SSD, VFIO, NVME),), root)
    assert (outcome.result, outcome.after.driver) == ("failed", "")
    assert tree.written("bus/pci/drivers_probe") == SSD
    assert tree.written("bus/pci/drivers/nvme/bind") == SSD
    fault = outcome.fault()
    assert fault is not None
    assert "no driver" in fault.description


def test_one_that_is_gone_is_told(tree: Tree, root: int) -> None:
    with binding.opened((Goal(SSD, VFIO, NVME),), root) as bindings:
        for name in ("class", "driver"):
            (tree.directory(SSD) / name).unlink()
        (outcome,) = bindings.act(lambda _outcome: None)
    assert outcome.result == "gone"
    fault = outcome.fault()
    assert fault is not None
    assert fault.code == codes.NVME_CONTROLLER_GONE


@pytest.mark.parametrize("address", ["0000:99:00.0", SSD])
def test_one_that_is_not_there_is_a_fault(tree: Tree, root: int, address: str) -> None:
    for name in ("class", "driver", "driver_override"):
        (tree.directory(SSD) / name).unlink()
    for attempt in (lambda: binding.current(address, root), lambda: act((Goal(address, VFIO, NVME),), root)):
        with pytest.raises(Fault) as caught:
            attempt()
        assert caught.value.code == codes.NVME_CONTROLLER_GONE


def test_a_driver_that_is_not_loaded_is_a_fault(root: int) -> None:
    with pytest.raises(Fault) as caught:
        act((Goal(SSD, State("uio_pci_generic", "uio_pci_generic"), NVME),), root)
    assert caught.value.code == codes.NVME_DRIVER_MISSING
    assert "modprobe uio_pci_generic" in caught.value.resolution


@pytest.mark.parametrize("name", ["../nvme", "a/b", "a" * 65, "a\n", "."])
def test_what_is_no_name_of_a_driver_is_never_opened(root: int, name: str) -> None:
    assert not usable_name(name)
    with pytest.raises(ValueError, match="driver"):
        act((Goal(SSD, State(name), NVME),), root)


def test_what_is_no_address_is_never_opened(root: int) -> None:
    with pytest.raises(ValueError, match="address"):
        act((Goal("../../../etc", VFIO, NVME),), root)


def test_links_out_of_the_tree_are_not_followed(tree: Tree, root: int, tmp_path: Path) -> None:
    (tmp_path / "drivers_probe").touch()
    (tree.root / "bus/pci/drivers_probe").unlink()
    (tree.root / "bus/pci/drivers_probe").symlink_to(tmp_path / "drivers_probe")
    with pytest.raises(OSError, match="symbolic links"):
        act((Goal(SSD, VFIO, NVME),), root)
    link = tree.root / "bus/pci/devices" / SSD
    link.unlink()
    link.symlink_to("../../../../elsewhere")
    with pytest.raises(OSError, match="cross-device"):
        act((Goal(SSD, VFIO, NVME),), root)


def test_only_sysfs_is_sysfs(tmp_path: Path) -> None:
    with sysfs.opened() as descriptor:
        assert os.fstat(descriptor).st_dev == os.stat("/sys").st_dev
    for path in (str(tmp_path), "/proc", "/sys/kernel"):
        with pytest.raises(Fault) as caught, sysfs.opened(path):
            pass
        assert caught.value.code == codes.STORAGE_PATH_UNSAFE


def test_what_was_there_is_remembered() -> None:
    record = Record({SSD: NVME, OTHER: State("", "pci-stub")}, {SSD: 17})
    assert remembered.decode(remembered.encode(record)) == record


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"functions": {"0000:41:00.0": {"driver": "nvme", "more": 1}}}',
        b'{"functions": {"0000:41:00.0": {"driver": 1}}}',
        b'{"functions": {"/etc": {"driver": "nvme"}}}',
        b'{"functions": {"0000:41:00.0": {"driver": "../nvme"}}}',
        b'{"functions": {"0000:41:00.0": {"override": "a b"}}}',
        b'{"functions": {}, "x": 1}',
        b"[" * 5000,
        b'{"functions": {' + b",".join(b'"0000:%02x:%02x.%x": {}' % (n >> 8, n >> 3 & 31, n & 7) for n in range(600)) + b"}}",
    ],
)
def test_what_is_not_ours_is_not_remembered(text: bytes) -> None:
    with pytest.raises(MalformedError):
        remembered.decode(text)


def test_more_than_can_be_read_back_is_not_written() -> None:
    states = {f"0000:{number:02x}:00.{function}": NVME for number in range(256) for function in range(3)}
    with pytest.raises(ValueError, match="512"):
        remembered.encode(Record(states))


def test_a_full_record_fits_what_is_read_of_it() -> None:
    state = State("uio_pci_generic", "uio_pci_generic")
    states = {f"10000:{number:02x}:00.{function}": state for number in range(256) for function in range(2)}
    assert len(remembered.encode(Record(states))) < 65536


def test_a_group_node_must_be_its_device(tmp_path: Path) -> None:
    devices, groups = tmp_path / "dev", tmp_path / "class"
    (groups / "7").mkdir(parents=True)
    devices.mkdir()

    def attempt(wanted: str) -> None:
        with pytest.raises(Fault, match=wanted) as caught, vfio.opened(7, devices=str(devices), sysfs_class=str(groups)):
            pass
        assert caught.value.code == codes.STORAGE_PATH_UNSAFE

    attempt("bound to vfio-pci")
    (groups / "7/dev").write_text("1:3\n")
    attempt("bound to vfio-pci")
    (devices / "7").touch()
    attempt("character device 1:3")
    (groups / "3").mkdir()
    number = os.stat("/dev/zero").st_rdev
    (groups / "3/dev").write_text(f"{os.major(number)}:{os.minor(number)}\n")
    (devices / "3").symlink_to("/dev/zero")
    with pytest.raises(Fault) as caught, vfio.opened(3, devices=str(devices), sysfs_class=str(groups)):
        pass
    assert caught.value.code == codes.STORAGE_PATH_UNSAFE
