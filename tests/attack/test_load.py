# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Many sessions at once, some of which die in the middle: the others are served, and nothing of the dead is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import Hostile, Message, OpenSession, Watch, fault_code, helper_processes, ping, request, wait_until_gone
from installed import Installation
from wide_watch import locks_left

from daos_pbin import codes

SESSIONS = 64
REQUESTS = 50
PR_SET_CHILD_SUBREAPER = 36
BUSY = {codes.HELPER_RESOURCE_BUSY}


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Make this process the heir of processes whose parent was killed: one that nobody reaps would show as a zombie of ours."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def payloads(number: int, base: Path) -> list[tuple[str, Message]]:
    """Fifty requests: about a mount point of the session's own, about one that all share, and refused ones."""
    own, shared = f"{base}/own{number}", f"{base}/shared"
    ram: Message = {"size_gib": 1}
    once: list[tuple[str, Message]] = [
        ("ScmFormat", {"mountpoint": own, "ramdisk": ram, "force": True}),
        ("ScmCheckFormat", {"mountpoint": own, "ramdisk": ram}),
        ("Ping", {}),
        ("ScmFormat", {"mountpoint": shared, "ramdisk": ram, "force": True}),
        ("ScmUnmount", {"target": own}),
        ("ScmUnmount", {"target": shared}),
        ("MetadataNeedsFormat", {"root_path": own}),
        ("ScmFormat", {"mountpoint": "/etc/daos-attack", "ramdisk": ram}),
        ("Reboot", {}),
        ("ScmMount", {"target": own, "ramdisk": ram}),
    ]
    return once * (REQUESTS // len(once))


def collect(session: Hostile, count: int = REQUESTS) -> dict[int, Message]:
    """Return the answers to that many requests, each of which comes once."""
    answers: dict[int, Message] = {}
    while len(answers) < count:
        message = session.receive()
        assert message is not None, "the session ended before all was answered"
        if message["type"] in ("result", "failure"):
            identifier = message["id"]
            assert isinstance(identifier, int)
            assert identifier not in answers, "nothing is answered twice"
            answers[identifier] = message
    return answers


def by_parent(monitors: list[int]) -> dict[int, int]:
    """Return the monitors by the process that started each."""
    return {int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1]): pid for pid in monitors}


def test_sessions_at_once_of_which_some_die(
    installation: Installation, base: Path, watch: Watch, open_session: OpenSession, subreaper: None
) -> None:
    del subreaper
    sessions = [open_session() for _ in range(SESSIONS)]
    for session in sessions:
        session.hello()
    monitors = by_parent(helper_processes(installation))
    assert len(monitors) == SESSIONS
    for number, session in enumerate(sessions):
        for identifier, (method, payload) in enumerate(payloads(number, base), 1):
            session.send(request(identifier, method, payload))
    for number, session in enumerate(sessions):
        if number % 4 == 1:
            session.answer(3)
            session.abandon()
        elif number % 4 == 3:
            session.answer(3)
            os.kill(monitors[session.process.pid], signal.SIGKILL)
    for number, session in enumerate(sessions):
        if number % 2:
            continue
        answers = collect(session)
        assert set(answers) == set(range(1, REQUESTS + 1))
        for identifier, (method, payload) in enumerate(payloads(number, base), 1):
            expect(method, payload, fault_code(answers[identifier]), f"{base}/shared")
        rest, ending = session.end()
        assert rest == []
        assert (ending.status, ending.errors) == (0, b"")
    for session in sessions[3::4]:
        assert session.end()[1].status == -signal.SIGKILL
    wait_until_gone(helper_processes(installation))
    reap_orphans()
    assert watch.changes() == []
    resources_are_free(open_session, base)
    assert locks_left(installation.layout.rundir) == [], "nor the name of one"


def expect(method: str, payload: Message, code: int, shared: str) -> None:
    """Check one answer: what is shared may be busy; nothing else has a reason to fail."""
    if method == "Reboot":
        assert code == codes.HELPER_METHOD_UNKNOWN
    elif payload.get("mountpoint") == "/etc/daos-attack":
        assert code == codes.HELPER_POLICY_REFUSED
    elif shared in payload.values():
        assert code in {0, *BUSY}
    else:
        assert code == 0, (method, payload)


def reap_orphans() -> None:
    """Reap the workers whose monitor was killed; fail if one still runs."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            assert pid, "a child of ours still runs"


def resources_are_free(open_session: OpenSession, base: Path) -> None:
    """No lock of a dead session is in the way of the next."""
    session = open_session()
    for number in range(SESSIONS):
        session.send(request(number + 1, "ScmFormat", {"mountpoint": f"{base}/own{number}", "ramdisk": {"size_gib": 1}, "force": True}))
    assert {fault_code(answer) for answer in collect(session, SESSIONS).values()} == {0}
    session.send(request(SESSIONS + 1, "ScmUnmount", {"target": f"{base}/shared"}))
    assert fault_code(session.answer(SESSIONS + 1)) == 0
    assert session.end()[1].status == 0


def test_long_session_keeps_no_descriptor_and_no_worker(installation: Installation, base: Path, open_session: OpenSession) -> None:
    session = open_session()
    session.hello()
    (monitor,) = helper_processes(installation)
    process = Path(f"/proc/{monitor}")
    held = []
    for round_ in range(3):
        for number, (method, payload) in enumerate(payloads(0, base), 1):
            session.send(request(round_ * 100 + number, method, payload))
        collect(session)
        session.send(ping(round_ * 100 + 99))  # by its answer, all that follows the answers before it is done
        assert fault_code(session.answer(round_ * 100 + 99)) == 0
        held.append(sorted(entry.name for entry in (process / "fd").iterdir()))
        assert (process / "task" / str(monitor) / "children").read_text(encoding="ascii") == "", "neither worker nor zombie"
    assert held[1] == held[0]
    assert held[2] == held[0]
    assert session.end()[1].status == 0
