# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which driver has a PCI function: opened as root, changed without any right.

sysfs asks for permission when a file is opened and not when it is written, so the work is in two halves.  ``opened`` runs as
root and takes every descriptor that the change, and the way back from it, may need; ``act`` runs as anybody, writes through
those alone, and reads back what came of it.

A function is told by ``driver_override`` which driver may have it before its old driver lets go, so that no other can get
hold of it in between, and so that one that was pulled out meanwhile is noticed before anything else is written: the
descriptor is that of the device that was opened, whatever sits in its slot now.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from daos_bindings.linux import kernelfiles, pci_address, sysfs
from daos_bindings.linux.attributes import GONE
from daos_bindings.linux.driver_state import State, usable_name
from daos_bindings.linux.parallel import spread
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PCI: Final = "bus/pci"
OVERRIDE_LIMIT: Final = 4096

Result = Literal["done", "already", "failed", "gone"]


class Goal(msgspec.Struct, frozen=True):
    """What one function is to become.

    :param address: as the kernel spells it.
    :param wanted: by whom it is to be had.
    :param before: what to go back to if that fails.
    """

    address: str
    wanted: State
    before: State


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one function.

    :param result: ``done``, ``already`` (nothing was written), ``failed`` (and put back as well as possible) or ``gone``.
    :param before: who had it.
    :param after: who has it now; empty if it is gone.
    :param step: what failed: ``driver_override``, ``unbind``, ``bind`` or ``verify``; else empty.
    :param error: errno of that; 0 if the kernel reported success without it.
    """

    address: str
    result: Result
    before: State
    after: State
    step: str = ""
    error: int = 0

    def fault(self) -> Fault | None:
        """Return the fault that this outcome is: 2120 (failed), 2124 (gone), or None."""
        if self.result == "gone":
            return Fault(codes.NVME_CONTROLLER_GONE, object=self.address, address=self.address)
        if self.result != "failed":
            return None
        reason = os.strerror(self.error) if self.error else "the kernel took the request, and nothing changed"
        return Fault(
            codes.NVME_BINDING_FAILED, object=self.address, cause=reason, address=self.address, step=self.step, driver=str(self.after)
        )


class _Driver(msgspec.Struct, frozen=True):
    """Descriptors of a driver, one for each lane; none for the half that is not needed."""

    bind: tuple[int, ...]
    unbind: tuple[int, ...]


class _Device(msgspec.Struct, frozen=True):
    """Descriptors of a function: its folder, and its ``driver_override``; and the lane that it is in."""

    goal: Goal
    lane: int
    folder: int
    override: int

    def state(self) -> State | None:
        """Read who has it now; None if it is gone."""
        try:
            override = os.pread(self.override, OVERRIDE_LIMIT, 0).decode("ascii", "replace").strip()
            driver = _driver_of(self.folder)
        except OSError as error:
            if error.errno in GONE:
                return None
            raise
        return State(driver, "" if override == "(null)" else override)


class Bindings:
    """Everything that is needed to reach the goals, and to go back.  See ``opened``."""

    def __init__(self, devices: tuple[_Device, ...], drivers: dict[str, _Driver], probe: int) -> None:
        self._devices = devices
        self._drivers = drivers
        self._probe = probe

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All descriptors: what a worker must keep."""
        found = {self._probe}
        for device in self._devices:
            found |= {device.folder, device.override}
        for driver in self._drivers.values():
            found.update(driver.bind, driver.unbind)
        return tuple(sorted(found))

    def act(self, report: Callable[[Outcome], None], *, threads: int = 1) -> tuple[Outcome, ...]:
        """Bring every function to its goal; one that fails does not keep the others from theirs.

        :param report: called with each outcome as it comes, in the calling thread.
        :param threads: how many at the same time: the kernel locks each device by itself, and letting go of an SSD is
            mostly waiting for it.
        :return: in the order of the goals.
        """
        found: dict[int, Outcome] = {}

        def done(place: int, outcome: Outcome) -> None:
            found[place] = outcome
            report(outcome)

        spread(len(self._devices), lambda place: self._reach(self._devices[place]), threads=threads, seconds=None, done=done)
        return tuple(found[place] for place in range(len(self._devices)))

    def _reach(self, device: _Device) -> Outcome:
        goal = device.goal
        before = device.state()
        if before is None:
            return Outcome(goal.address, "gone", State(), State())
        if before == goal.wanted:
            return Outcome(goal.address, "already", before, before)
        step, number = self._move(device, before.driver, goal.wanted)
        after = device.state()
        if after == goal.wanted:
            return Outcome(goal.address, "done", before, after)
        if after is not None:
            after = self._go_back(device, after)
        if after is None:
            return Outcome(goal.address, "gone", before, State())
        return Outcome(goal.address, "failed", before, after, step or "verify", number)

    def _move(self, device: _Device, current: str, wanted: State) -> tuple[str, int]:
        """Give the function from one driver to another; return the step that failed and its errno."""
        address = device.goal.address.encode()
        step = "driver_override"
        try:
            _write(device.override, wanted.override.encode() + b"\n")
            if current != wanted.driver:
                step = "unbind"
                if current:
                    _write(self._descriptor(current, "unbind", device.lane), address)
                step = "bind"
                if wanted.driver:
                    _write(self._descriptor(wanted.driver, "bind", device.lane), address)
        except OSError as error:
            return step, error.errno or errno.EIO
        return "", 0

    def _descriptor(self, driver: str, action: Literal["bind", "unbind"], lane: int) -> int:
        found = self._drivers.get(driver)
        lanes = () if found is None else found.bind if action == "bind" else found.unbind
        if not lanes:
            raise OSError(errno.EBUSY, f"{driver} was not the driver when it was opened")
        return lanes[lane]

    def _go_back(self, device: _Device, now: State) -> State | None:
        """Restore what was before; if that fails as well, let any driver that knows the function have it."""
        self._move(device, now.driver, device.goal.before)
        found = device.state()
        if found is None or found.driver or not device.goal.before.driver:
            return found
        try:
            _write(device.override, b"\n")
            _write(self._probe, device.goal.address.encode())
        except OSError:
            return device.state()
        return device.state()


def _write(descriptor: int, data: bytes) -> None:
    if os.pwrite(descriptor, data, 0) != len(data):
        raise OSError(errno.EIO, "the kernel took only a part")


def _driver_of(folder: int) -> str:
    """Return the driver of the function with that folder; raises ENOENT if the function itself is gone."""
    try:
        return os.path.basename(os.readlink("driver", dir_fd=folder))
    except FileNotFoundError:
        os.stat("class", dir_fd=folder)
        return ""


def current(address: str, root: int) -> State:
    """Read who has a function.

    :param root: descriptor of sysfs (``sysfs.opened``).
    :raises Fault: 2124 if there is no such function.
    """
    with ExitStack() as stack:
        found = _open_device(Goal(address, State(), State()), 0, root, stack, writing=False).state()
    if found is None:
        raise Fault(codes.NVME_CONTROLLER_GONE, object=address, address=address)
    return found


@contextmanager
def opened(goals: Sequence[Goal], root: int, *, lanes: int = 1) -> Iterator[Bindings]:
    """Open what is needed for *goals*: as root, before the drop.

    :param root: descriptor of sysfs (``sysfs.opened``).
    :param lanes: how often each driver's files are opened: the kernel lets only one write at a time through an open file of
        sysfs, so as many functions as this can change their driver at the same time.
    :raises Fault: 2121 if the kernel has not loaded a driver that is wanted or to be gone back to, 2124 if a function is gone.
    :raises OSError: if something cannot be opened.
    :raises ValueError: for a name that is no driver's: a defect of the caller.
    """
    with ExitStack() as stack:
        devices = tuple(_open_device(goal, place % lanes, root, stack, writing=True) for place, goal in enumerate(goals))
        needed: dict[str, set[str]] = {}
        for device in devices:
            state = device.state()
            if state is None:
                raise Fault(codes.NVME_CONTROLLER_GONE, object=device.goal.address, address=device.goal.address)
            needed.setdefault(device.goal.wanted.driver, set()).update({"bind", "unbind"})
            needed.setdefault(device.goal.before.driver, set()).add("bind")
            needed.setdefault(state.driver, set()).add("unbind")
        needed.pop("", None)
        count = min(lanes, len(goals))
        drivers = {name: _open_driver(name, actions, count, root, stack) for name, actions in needed.items()}
        yield Bindings(devices, drivers, _keep(sysfs.opened_below(root, f"{PCI}/drivers_probe", os.O_WRONLY), stack))


def _open_device(goal: Goal, lane: int, root: int, stack: ExitStack, *, writing: bool) -> _Device:
    if pci_address.parse_kernel(goal.address) is None:
        raise ValueError(f"no address of the kernel's: {kernelfiles.printable(goal.address)}")
    for name in (goal.wanted.driver, goal.wanted.override, goal.before.driver, goal.before.override):
        if name and not usable_name(name):
            raise ValueError(f"no name of a driver: {kernelfiles.printable(name)}")
    try:
        folder = _keep(sysfs.opened_link(root, f"{PCI}/devices/{goal.address}", os.O_RDONLY | os.O_DIRECTORY), stack)
        mode = os.O_RDWR if writing else os.O_RDONLY
        return _Device(goal, lane, folder, _keep(sysfs.opened_below(folder, "driver_override", mode), stack))
    except OSError as error:
        if error.errno in GONE:
            raise Fault(codes.NVME_CONTROLLER_GONE, object=goal.address, address=goal.address) from error
        raise


def _open_driver(name: str, actions: set[str], lanes: int, root: int, stack: ExitStack) -> _Driver:
    def each(action: str) -> tuple[int, ...]:
        path = f"{PCI}/drivers/{name}/{action}"
        return tuple(_keep(sysfs.opened_below(root, path, os.O_WRONLY), stack) for _ in range(lanes if action in actions else 0))

    try:
        return _Driver(each("bind"), each("unbind"))
    except OSError as error:
        if error.errno in GONE:
            raise Fault(codes.NVME_DRIVER_MISSING, object=name, driver=name) from error
        raise


def _keep(descriptor: int, stack: ExitStack) -> int:
    stack.callback(os.close, descriptor)
    return descriptor
