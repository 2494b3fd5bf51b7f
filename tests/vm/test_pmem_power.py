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

from daos_pbin.pmem import PER_SOCKET_MAX, KernelRegion, Namespace
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
COMPILED = "/run/lab/compiled"
SILENCE_S = 120.0
PER_SOCKET = 2
MOMENTS = ("before", "after")
"""That power is cut: before a step is begun, and after it is done but before the helper knows."""


@dataclass
class Lab:
    """A guest with NVDIMMs, the firmware of its modules, and an installation.

    :param made_in: folder that the stand-in knows as its own.
    :param played: the stand-in, where the guest and the tests both see it.
    :param regions: the kernel's.
    :param sockets: those with modules.
    """

    guest: Guest
    installation: Installation
    made_in: Path
    played: Machine
    regions: tuple[KernelRegion, ...] = ()
    sockets: tuple[int, ...] = SOCKETS

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
        self.played.describe([*modules(*self.sockets), *found])

    def cut_power(self) -> None:
        """Cut the power, and start again."""
        self.guest.kill()
        self.start_firmware()
        self.guest.boot()
        self.furnish()

    def clear(self, sockets: Collection[int]) -> None:
        """Have modules on these sockets, with empty regions, and nothing on record."""
        self.sockets = tuple(sockets)
        (line,) = self._ask("clear")
        self.regions = msgspec.json.decode(line, type=Empty).regions
        self.guest.run(["/bin/sh", "-ec", 'find "$0" -type f -delete', self.installation.layout.helper_state])
        self.play(sockets)

    def finish(self, action: str, per_socket: int = PER_SOCKET) -> Ended:
        """Make a request that comes to its end."""
        *_, last = self._request(action, per_socket, 0, "before")
        return msgspec.json.decode(last, type=Ended)

    def interrupt(self, action: str, line: int, moment: str) -> str:
        """Make a request, and cut the power at a line of its log; the line, or nothing if it ended before."""
        said = ""
        for text in self._request(action, PER_SOCKET, line, moment):
            if text == CUT.encode():
                self.cut_power()
                return said
            said = text.decode().removeprefix(LOG)
        return ""

    def _request(self, action: str, per_socket: int, line: int, moment: str) -> Iterator[bytes]:
        state, helper = self.installation.layout.helper_state, self.installation.helper_of_account
        return self._ask(action, str(per_socket), str(line), moment, state, *helper)

    def _ask(self, *words: str) -> Iterator[bytes]:
        # Compiling takes an emulated machine as long as the rest: what is compiled stays in the share.
        env = {"PYTHONPATH": ":".join(path for path in sys.path if path.startswith(os.fspath(SOURCE))), "PYTHONPYCACHEPREFIX": COMPILED}
        running = self.guest.start([sys.executable, str(Path(pmem_cut.__file__)), *words], env=env, folder=str(SOURCE))
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


def labels(namespaces: tuple[Namespace, ...]) -> set[str]:
    return {one.label for one in namespaces}


def check_prepared(lab: Lab, ended: Ended, per_socket: int = PER_SOCKET) -> None:
    """Check that all is prepared, and what was there before is still there."""
    assert ended.answer.fault is None
    assert ended.answer.outcome in ("namespaces", "nothing")
    found = ended.after.namespaces
    assert (ended.after.state, ended.after.reboot_required) == (State.NO_FREE_CAPACITY, False)
    assert labels(ended.before) <= labels(found)
    assert [(one.mode, one.enabled) for one in found] == [("fsdax", True)] * per_socket * len(lab.sockets)
    assert sorted(one.numa_node for one in found) == sorted(lab.sockets * per_socket)
    assert len({one.size for one in found}) == 1
    assert ended.records == sorted(f"namespace-{one.label}" for one in found)


def check_reset(lab: Lab, ended: Ended) -> None:
    """Check that nothing is left, and that goals for all modules wait for the next start."""
    assert ended.answer.fault is None
    assert (ended.answer.outcome, ended.answer.reboot_required) == ("goal-stored", True)
    assert (ended.after.namespaces, ended.after.reboot_required, len(ended.after.goals)) == ((), True, 2 * len(lab.sockets))
    assert ended.records == ["pmem"]


def prepare_to_the_end(lab: Lab) -> None:
    """Prepare as an administrator does: again after the restart that is asked for."""
    ended = lab.finish("prepare")
    if ended.answer.reboot_required:
        assert ended.answer.outcome in ("goal-stored", "reboot-due")
        lab.cut_power()
        ended = lab.finish("prepare")
    check_prepared(lab, ended)


@pytest.mark.long
def test_one_to_four_namespaces_of_equal_size(lab: Lab) -> None:
    lab.clear(SOCKETS)
    for count in range(1, PER_SOCKET_MAX + 1):
        made = lab.finish("prepare", count)
        check_prepared(lab, made, count)
        again = lab.finish("prepare", count)
        assert (again.answer.outcome, again.after.namespaces) == ("nothing", made.after.namespaces)
        check_reset(lab, lab.finish("reset"))
        lab.start_firmware()


@pytest.mark.long
def test_power_cut_between_two_namespaces(lab: Lab) -> None:
    """The one boundary of the default run: the first of two namespaces is made, and the helper does not know it."""
    lab.clear(SOCKETS[:1])
    assert lab.interrupt("prepare", 1, "after").startswith("/usr/bin/ndctl create-namespace ")
    ended = lab.finish("prepare")
    assert len(ended.before) == 1
    check_prepared(lab, ended)


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_power_cuts_while_goals_are_stored(lab: Lab, moment: str) -> None:
    for line in itertools.count(1):
        lab.clear(SOCKETS)
        lab.play(())
        said = lab.interrupt("prepare", line, moment)
        print(f"{moment} {line}: {said}")
        if not said:
            break
        prepare_to_the_end(lab)
    assert line == {"before": 3, "after": 2}[moment]


def boundaries() -> Iterator[object]:
    """Yield every line of the log of a reset, and one more: a namespace is told, switched off and destroyed; then the goal, and that on
    record.  A prepare has no more lines than that."""
    for name, sockets in (("one_socket", SOCKETS[:1]), ("two_sockets", SOCKETS)):
        namespaces = PER_SOCKET * len(sockets)
        for moment, last in (("before", 3 * namespaces + 3), ("after", 2 * namespaces + 2)):
            for line in range(1, last + 1):
                yield pytest.param(sockets, moment, line, line == last, id=f"{name}-{moment}-{line}")


@pytest.mark.long
@pytest.mark.parametrize(("sockets", "moment", "line", "is_last"), list(boundaries()))
def test_power_cut_at_a_step(lab: Lab, sockets: tuple[int, ...], moment: str, line: int, is_last: bool) -> None:
    """A prepare that is cut off and gone on with, then a reset likewise; at the last line there is no step left in either."""
    lab.clear(sockets)
    prepared = lab.interrupt("prepare", line, moment)
    check_prepared(lab, lab.finish("prepare"))
    was_reset = lab.interrupt("reset", line, moment)
    print(f"{moment} {line}: {prepared}; {was_reset}")
    if is_last:
        assert not prepared
        assert not was_reset
    else:
        assert was_reset
        check_reset(lab, lab.finish("reset"))
