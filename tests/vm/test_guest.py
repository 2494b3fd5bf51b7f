# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The lab's own promises: power cuts, unplugging, errors that can be understood, and no QEMU left behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from vmlab import Controller, Guest, GuestError, Spec
from vmlab.guest import SOURCE

MOVABLE = "LABMOVE0000"
FIXED = "LABFIXED000"
SPEC = Spec("small", controllers=(Controller(MOVABLE, hotplug=True), Controller(FIXED, node=1)))
FIND = 'for one in /sys/class/nvme/nvme*; do read -r serial < $one/serial; [ "$serial" != "$0" ] || echo "${one##*/}"; done'
"""A shell's words that print the name of the controller whose serial number is the next argument."""
WAIT_S = 60_000
STARTS = """
import sys
from pathlib import Path
from vmlab import Guest, Spec
with Guest(Spec("orphan"), Path(sys.argv[1])) as guest:
    print(guest.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One guest for all tests here; the last of them leaves it dead."""
    with Guest(SPEC, tmp_path_factory.mktemp("guest")) as guest:
        yield guest


def name_of(guest: Guest, serial: str) -> str:
    """Return the kernel's name of a controller; empty if it has none."""
    return guest.run(["/bin/sh", "-c", FIND, serial]).text


def test_a_power_cut_leaves_what_was_written_to_disks(guest: Guest) -> None:
    namespace = f"/dev/{name_of(guest, FIXED)}n2"
    guest.run(["/bin/dd", f"of={namespace}", "bs=4096", "conv=fsync"], given=b"kept" * 1024)
    guest.run(["/bin/touch", "/etc/lab-was-here"])
    guest.kill()
    assert not guest.running
    with pytest.raises(GuestError, match="does not run"):
        guest.run(["/bin/true"])
    guest.boot()
    again = f"/dev/{name_of(guest, FIXED)}n2"
    assert guest.run(["/usr/bin/head", "-c", "4096", again]).out == b"kept" * 1024
    assert guest.run(["/bin/ls", "/etc/lab-was-here"], check=False).status != 0
    assert not Path("/etc/lab-was-here").exists()


def test_a_controller_is_unplugged_while_a_program_runs_and_plugged_again(guest: Guest) -> None:
    assert name_of(guest, MOVABLE)
    program = guest.start(["/bin/cat"], given=b"meanwhile")
    guest.unplug(MOVABLE)
    assert name_of(guest, MOVABLE) == ""
    assert name_of(guest, FIXED)
    guest.plug(MOVABLE)
    waits = f'while [ -z "$({FIND})" ]; do :; done'
    guest.run(["/bin/sh", "-c", waits, MOVABLE])
    assert program.wait().text == "meanwhile"


def test_only_what_can_be_unplugged_is(guest: Guest) -> None:
    with pytest.raises(ValueError, match=FIXED):
        guest.unplug(FIXED)


def test_the_guest_writes_to_the_share_and_to_nothing_else_of_the_host(guest: Guest) -> None:
    guest.run(["/bin/sh", "-c", "echo result > /run/lab/result"])
    assert (guest.share / "result").read_text() == "result\n"
    assert (guest.share / "result").stat().st_uid == 0
    guest.run(["/bin/rm", str(SOURCE / "README.md")])
    assert (SOURCE / "README.md").exists()


def test_a_failed_program_is_an_error_that_says_what_it_said(guest: Guest) -> None:
    with pytest.raises(GuestError, match=r"status 2\n(?s:.*)no such thing"):
        guest.run(["/bin/sh", "-c", "echo no such thing >&2; exit 2"])


def test_no_emulator_outlives_who_started_it(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    words = [sys.executable, "-c", STARTS, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as starter:
        assert starter.stdout is not None
        emulator = os.pidfd_open(int(starter.stdout.readline()))
        starter.kill()
    poller = select.poll()
    poller.register(emulator, select.POLLIN)
    assert poller.poll(WAIT_S), "QEMU stays"
    os.close(emulator)


def test_a_panic_is_an_error_with_the_console(guest: Guest) -> None:
    with pytest.raises(GuestError, match="sysrq triggered crash"):
        guest.run(["/bin/sh", "-c", "echo 8 > /proc/sys/kernel/printk; echo c > /proc/sysrq-trigger; sleep 600"])
