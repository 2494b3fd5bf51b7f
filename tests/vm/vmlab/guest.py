# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A guest: boots, runs programs, loses power, and is gone at the end, whatever happened."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from vmlab import initramfs, kernel, machine
from vmlab.errors import GuestError, UnavailableError
from vmlab.qmp import Qmp
from vmlab.session import Completed, Running, Session
from vmlab.spec import Spec

SOURCE = Path(__file__).resolve().parents[3]
CACHE = SOURCE / "build" / "vm"
AGENT = Path(__file__).parent / "agent.py"
INTERPRETER = os.path.realpath(sys.executable)
"""A system's interpreter, also below the virtual environment of the tests; the agent needs no more than that."""
HOSTNAME = "daos-lab"
"""The guest's name, by which tests know that they run there."""
SETPRIV = "/usr/bin/setpriv"
BOOT_S = 120.0
"""Seconds after which a boot counts as hung; it takes five on an idle machine of two processors."""
CONSOLE_TAIL = 3000


def requirements(spec: Spec | None = None) -> tuple[str, kernel.Kernel]:
    """Return the emulator and the kernel; the kernel is downloaded at the first call.

    :param spec: the guest to be, if it is known.
    :raises UnavailableError: if this machine cannot run guests.
    """
    if platform.machine() != "x86_64":
        raise UnavailableError(f"guests are x86_64 machines, this one is {platform.machine()}")
    if os.geteuid() != 0:
        raise UnavailableError("a guest needs root: its root is this machine's, with everything in it")
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None or not os.path.exists(SETPRIV):
        raise UnavailableError("qemu-system-x86_64 or setpriv is missing: apt-get install qemu-system-x86 util-linux")
    if spec is not None and spec.manager and not os.path.exists(spec.manager):
        raise UnavailableError(f"{spec.manager} is missing, which is to be the guest's process 1: install the package {spec.name}")
    return qemu, kernel.obtain(CACHE)


class Guest:
    """A guest and its disks.  As a context manager it boots at the beginning, and its QEMU has ended at the end.

    :param spec: what hardware it has.
    :param folder: for its disks and logs; empty, or that of an earlier guest of the same kind, whose disks it then has.
    """

    def __init__(self, spec: Spec, folder: Path) -> None:
        self.spec = spec
        self.share = folder / "share"
        """The guest has it as ``/run/lab``, and can write to it."""
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._session: Session | None = None
        self._qmp: Qmp | None = None

    def __enter__(self) -> Guest:
        self.boot()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def console(self) -> str:
        """Everything that its kernel said since the last boot."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / "console.log").read_text(errors="replace")
        return ""

    @property
    def running(self) -> bool:
        """Whether its QEMU runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of its QEMU; 0 if there is none."""
        return 0 if self._process is None else self._process.pid

    def boot(self) -> None:
        """Start it, and wait until it takes commands.

        :raises UnavailableError: if this machine cannot run guests.
        :raises GuestError: if it does not come up; it is gone then.
        """
        if self.running:
            raise GuestError("the guest runs already")
        agent, agent_end = socket.socketpair()
        qmp, qmp_end = socket.socketpair()
        with agent_end, qmp_end:
            program = (INTERPRETER, "-I", "-S", str(AGENT))
            serial = f"file,path={self._folder / 'console.log'}"
            words = prepare(self.spec, self._folder, program, serial=serial, agent=agent_end.fileno(), qmp=qmp_end.fileno())
            with (self._folder / "qemu.log").open("wb") as log:
                self._process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(agent_end.fileno(), qmp_end.fileno())
                )
        self._session = Session(agent)
        try:
            with self.explained():
                self._qmp = Qmp(qmp)
                self._session.wait_until_there(BOOT_S)
        except BaseException:
            qmp.close()
            self.kill()
            raise

    def kill(self) -> None:
        """Cut its power.  Its disks keep what it had written to them."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._session is not None:
            self._session.connection.close()
        if self._qmp is not None:
            self._qmp.close()
        self._process = self._session = self._qmp = None

    def start(self, argv: Sequence[str], *, given: bytes = b"", env: Mapping[str, str] | None = None, folder: str = "/") -> Running:
        """Start a program in it, as root; the arguments are those of ``Session.start``.

        :raises GuestError: if the guest does not run.
        """
        if self._session is None:
            raise GuestError("the guest does not run")
        return self._session.start(argv, given=given, env=env, folder=folder)

    def run(
        self,
        argv: Sequence[str],
        *,
        given: bytes = b"",
        env: Mapping[str, str] | None = None,
        folder: str = "/",
        timeout_s: float = 60.0,
        check: bool = True,
    ) -> Completed:
        """Run a program in it to its end.

        :param check: whether a status other than 0 is an error.
        :raises GuestError: if it is, or if the program does not end in time, or the guest dies.
        """
        with self.explained():
            done = self.start(argv, given=given, env=env, folder=folder).wait(timeout_s)
        if check and done.status != 0:
            raise GuestError(f"{' '.join(argv)}: status {done.status}\n{done.text}\n{done.err.decode(errors='replace')}")
        return done

    def unplug(self, serial: str) -> None:
        """Take out a controller that is made for it, and wait until it is gone.

        The guest's kernel is asked, as by the button of a slot, and lets go of it after the five seconds that the standard wants.
        """
        number = self._slot(serial)
        with self.explained():
            self._monitor.execute("device_del", {"id": f"controller{number}"})
            self._monitor.wait_for("DEVICE_DELETED", f"controller{number}")

    def plug(self, serial: str) -> None:
        """Put a controller back in; the guest's kernel finds it in its own time."""
        number = self._slot(serial)
        with self.explained():
            self._monitor.execute("device_add", machine.controller_device(number, self.spec.controllers[number]))

    @property
    def _monitor(self) -> Qmp:
        if self._qmp is None:
            raise GuestError("the guest does not run")
        return self._qmp

    def _slot(self, serial: str) -> int:
        for number, controller in enumerate(self.spec.controllers):
            if controller.serial == serial and controller.hotplug:
                return number
        raise ValueError(f"{self.spec.name} has no controller {serial} that can be unplugged")

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Add what QEMU and the guest's kernel said last to an error."""
        try:
            yield
        except GuestError as error:
            log = (self._folder / "qemu.log").read_text(errors="replace")
            raise GuestError(f"{error}\n--- QEMU\n{log}--- console of the guest\n{self.console[-CONSOLE_TAIL:]}") from None


def prepare(spec: Spec, folder: Path, program: tuple[str, ...], *, serial: str, agent: int, qmp: int) -> list[str]:
    """Make what a guest boots from, and return the command that runs it until this process ends.

    :raises UnavailableError: if this machine cannot run guests.
    """
    qemu, linux = requirements(spec)
    share = folder / "share"
    share.mkdir(parents=True, exist_ok=True)
    machine.make_disks(spec, folder)
    image = initramfs.write(linux, spec.modules, folder)
    parts = machine.Parts(qemu, linux, image, folder, share, serial, agent, qmp)
    return [SETPRIV, "--pdeathsig", "KILL", *machine.command_line(spec, parts, program)]
