# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Power cuts while persistent memory is prepared and reset: at every step, and the next run goes on from where the machine is.

NVDIMMs keep what was written to them.  The helper's records lie on a disk of the guest, so what was not flushed is lost; the
stand-in for libipmctl keeps its goals in the share.  At every start of the machine the firmware, which is us, carries them out.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pmem_cut
import pytest
from installed import Installation
from pmem_cut import CUT, LOG, Empty, Ended
from pmem_session import library, machine
from pmem_world import Machine, modules
from vmlab import Controller, Guest, Nvdimm, Spec
from vmlab.guest import SOURCE
from vmlab.spec import MIB

from daos_pbin.pmem import KernelRegion
from daos_pbin.pmem_messages import ScmScanResult
from daos_pbin.pmem_state import State

SOCKETS = (0, 1)
SIZE = 192 * MIB
"""Of a region: 1 to 4 namespaces of it are multiples of 16 MiB."""
SPEC = Spec(
    "pmem",
    controllers=(Controller("LABDISK0000", namespaces=(64 * MIB,)),),
    nvdimms=tuple(Nvdimm(SIZE, node) for node in SOCKETS),
)
DISK = "/dev/nvme0n1"
FURNISH = """
until [ -b "$1" ]; do :; done
mount "$1" "$2"
chmod 0700 "$2"
mkdir "$3"
mount --bind /run/lab/ipmctl "$3"
mount --bind "$3/$4" "$5"
"""
"""The records' disk, and the stand-in over the library."""
SILENCE_S = 120.0
PER_SOCKET = 2


@dataclass
class Lab:
    """A guest with NVDIMMs, the firmware of its modules, and an installation.

    :param made_in: folder that the stand-in knows as its own.
    :param played: the stand-in, where the guest and the tests both see it.
    :param regions: the kernel's.
    """

    guest: Guest
    installation: Installation
    made_in: Path
    played: Machine
    regions: tuple[KernelRegion, ...] = ()

    def furnish(self) -> None:
        """Mount what has to be there after a boot."""
        words = (DISK, self.installation.layout.helper_state, os.fspath(self.made_in), self.played.library.name, library())
        self.guest.run(["/bin/sh", "-ec", FURNISH, "furnish", *words])

    def start_firmware(self) -> None:
        """Do what the firmware does at the start of a machine: sockets with goals get regions, and have no goals any more."""
        there = {int(line.split()[1]) for line in self.played.lines("region")}
        self.play(there | {int(line.split()[2]) for line in self.played.lines("goal")})

    def play(self, sockets: Collection[int]) -> None:
        """Have modules, regions on these sockets, and no goals."""
        found = [f"region {one.numa_node} {one.iset_id} 1 {one.size} kernel 1" for one in self.regions if one.numa_node in sockets]
        self.played.describe([*modules(*SOCKETS), *found])

    def cut_power(self) -> None:
        """Cut the power, and start again."""
        self.guest.kill()
        self.start_firmware()
        self.guest.boot()
        self.furnish()

    def clear(self) -> None:
        """Have regions with nothing on them, and know them."""
        (line,) = self._ask("clear")
        self.regions = msgspec.json.decode(line, type=Empty).regions
        for name in self.guest.run(["/bin/ls", self.installation.layout.helper_state]).text.split():
            if name != "lost+found":
                self.guest.run(["/bin/rm", f"{self.installation.layout.helper_state}/{name}"])
        self.play(SOCKETS)

    def finish(self, action: str, per_socket: int = PER_SOCKET) -> Ended:
        """Make a request that comes to its end."""
        *_, last = self._ask(action, str(per_socket))
        return msgspec.json.decode(last, type=Ended)

    def interrupt(self, action: str, line: int, moment: str) -> str:
        """Make a request, and cut the power at a line of its log; the line, or nothing if it ended before."""
        said = ""
        for text in self._ask(action, str(PER_SOCKET), str(line), moment):
            if text == CUT.encode():
                self.cut_power()
                return said
            said = text.decode().removeprefix(LOG)
        return ""

    def _ask(self, *words: str) -> Iterator[bytes]:
        env = {"PYTHONPATH": ":".join(path for path in sys.path if path.startswith(os.fspath(SOURCE)))}
        argv = [sys.executable, "-B", str(Path(pmem_cut.__file__)), os.fspath(self.installation.root), *words]
        running = self.guest.start(argv, env=env, folder=str(SOURCE))
        with self.guest.explained():
            yield from running.lines(SILENCE_S)
        assert running.status == 0, running.err.decode()


@pytest.fixture(scope="module")
def lab(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One guest for all tests here."""
    folder = tmp_path_factory.mktemp("guest")
    with machine() as compiled, Guest(SPEC, folder) as guest:
        shared = guest.share / "ipmctl"
        shared.mkdir()
        played = Machine(shared / compiled.library.name)
        shutil.copy(compiled.library, played.library)
        guest.run(["/bin/sh", "-ec", 'until [ -b "$0" ]; do :; done; mkfs.ext4 -q "$0"', DISK])
        made = Lab(guest, installation, compiled.library.parent, played)
        made.furnish()
        yield made


@pytest.fixture
def empty(lab: Lab) -> Lab:
    """The guest with empty regions."""
    lab.clear()
    return lab


def labels(seen: ScmScanResult) -> set[str]:
    return {one.label for one in seen.namespaces}


def check_prepared(ended: Ended, per_socket: int = PER_SOCKET) -> None:
    """Check that all is prepared, and what was there before is still there."""
    assert ended.answer.fault is None
    assert ended.answer.outcome in ("namespaces", "nothing")
    assert (ended.after.state, ended.after.reboot_required) == (State.NO_FREE_CAPACITY, False)
    assert labels(ended.before) <= labels(ended.after)
    found = ended.after.namespaces
    assert [(one.mode, one.enabled) for one in found] == [("fsdax", True)] * per_socket * len(SOCKETS)
    assert sorted(one.numa_node for one in found) == sorted(SOCKETS * per_socket)
    assert len({one.size for one in found}) == 1
    assert ended.records == sorted(f"namespace-{one.label}" for one in found)


def check_reset(ended: Ended) -> None:
    """Check that nothing is left, and that goals for all modules wait for the next start."""
    assert ended.answer.fault is None
    assert (ended.answer.outcome, ended.answer.reboot_required) == ("goal-stored", True)
    assert (ended.after.namespaces, ended.after.reboot_required, len(ended.after.goals)) == ((), True, 4)
    assert ended.records == ["pmem"]


def prepare_to_the_end(lab: Lab) -> None:
    """Prepare as an administrator does: again after every restart that is asked for."""
    ended = lab.finish("prepare")
    if ended.answer.reboot_required:
        assert ended.answer.outcome in ("goal-stored", "reboot-due")
        lab.cut_power()
        ended = lab.finish("prepare")
    check_prepared(ended)


def test_one_to_four_namespaces_of_equal_size(empty: Lab) -> None:
    for count in (1, 2, 3, 4):
        made = empty.finish("prepare", count)
        check_prepared(made, count)
        again = empty.finish("prepare", count)
        assert (again.answer.outcome, again.after.namespaces) == ("nothing", made.after.namespaces)
        check_reset(empty.finish("reset"))
        empty.start_firmware()


def test_power_cut_between_two_namespaces(empty: Lab) -> None:
    """The one boundary of the default run: one of four is made, and the helper does not know it."""
    assert empty.interrupt("prepare", 3, "after").startswith("/usr/bin/ndctl create-namespace ")
    ended = empty.finish("prepare")
    assert (ended.before.state, len(ended.before.namespaces)) == (State.PARTIAL_FREE_CAPACITY, 1)
    check_prepared(ended)


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before", "after"])
def test_power_cuts_at_every_step_of_goals(empty: Lab, moment: str) -> None:
    for line in itertools.count(1):
        empty.play(())
        said = empty.interrupt("prepare", line, moment)
        if not said:
            break
        prepare_to_the_end(empty)
        print(f"{moment} {line}: {said}")
        empty.clear()
    assert line > 2


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before", "after"])
def test_power_cuts_at_every_step_of_namespaces(empty: Lab, moment: str) -> None:
    for line in itertools.count(1):
        said = empty.interrupt("prepare", line, moment)
        if not said:
            break
        prepare_to_the_end(empty)
        print(f"{moment} {line}: {said}")
        empty.clear()
    assert line > 2 * PER_SOCKET * len(SOCKETS)


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before", "after"])
def test_power_cuts_at_every_step_of_a_reset(empty: Lab, moment: str) -> None:
    for line in itertools.count(1):
        check_prepared(empty.finish("prepare"))
        said = empty.interrupt("reset", line, moment)
        if not said:
            break
        check_reset(empty.finish("reset"))
        print(f"{moment} {line}: {said}")
        empty.start_firmware()
    assert line > 3 * PER_SOCKET * len(SOCKETS)
