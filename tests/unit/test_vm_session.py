# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The channel between host and guest, with the guest's agent as a process of this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import vmlab.agent
from vmlab.errors import GuestError
from vmlab.session import Session

START = "import sys; sys.path.insert(0, sys.argv[1]); from agent import Agent; Agent(open(int(sys.argv[2]), 'r+b', buffering=0)).serve()"
FOLDER = str(Path(vmlab.agent.__file__).parent)


@pytest.fixture
def session() -> Iterator[Session]:
    """A session with an agent that runs as long as the test."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        words = [sys.executable, "-c", START, FOLDER, str(theirs.fileno())]
        with subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL) as agent:
            theirs.close()
            session = Session(ours)
            session.wait_until_there(60)
            yield session
            ours.close()
        assert agent.returncode == 0


def test_a_program_gets_its_input_and_gives_status_and_both_streams(session: Session) -> None:
    done = session.start(["/bin/sh", "-c", "cat; pwd >&2; echo $MINE; exit 3"], given=b"in\n", env={"MINE": "my own"}, folder="/usr").wait()
    assert (done.status, done.out, done.err, done.text) == (3, b"in\nmy own\n", b"/usr\n", "in\nmy own")


def test_a_program_that_is_not_there(session: Session) -> None:
    done = session.start(["/no/such/program"]).wait()
    assert done.status == 127
    assert b"/no/such/program" in done.err


def test_output_is_not_lost_however_much_there_is(session: Session) -> None:
    assert len(session.start(["/usr/bin/head", "-c", "3000000", "/dev/zero"]).wait().out) == 3_000_000


def test_programs_run_side_by_side(session: Session) -> None:
    first = session.start(["/bin/cat", "/dev/zero"])
    second = session.start(["/bin/echo", "second"])
    first.kill(signal.SIGSTOP)
    assert second.wait().text == "second"
    assert first.status is None
    first.kill()
    assert first.wait().status == -signal.SIGKILL


def test_a_child_left_behind_does_not_keep_a_program_from_ending(session: Session) -> None:
    shell = session.start(["/bin/sh", "-c", "sleep 600 & echo $!"])
    done = shell.wait()
    assert done.status == 0
    session.start(["/bin/kill", done.text]).wait()


def test_a_program_that_takes_too_long_is_killed(session: Session) -> None:
    program = session.start(["/bin/sh", "-c", "echo late >&2; exec sleep 600"])
    with pytest.raises(GuestError, match="still ran"):
        program.wait(0)
    while program.status is None:
        assert session.start(["/bin/true"]).wait().status == 0
    assert program.status == -signal.SIGKILL


def test_lines_come_as_they_are_printed(session: Session) -> None:
    lines = session.start(["/bin/printf", "one\\ntwo\\nrest"]).lines(60)
    assert list(lines) == [b"one", b"two"]


def test_silence_is_an_error(session: Session) -> None:
    program = session.start(["/bin/sleep", "600"])
    with pytest.raises(GuestError, match="silent"):
        next(program.lines(0))
    program.kill()
    program.wait()


def test_a_guest_that_is_gone_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(GuestError, match="ended"):
            Session(ours).wait_until_there(60)
        with pytest.raises(GuestError, match="gone"):
            Session(ours).start(["/bin/true"])
