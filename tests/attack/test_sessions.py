# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Thousands of hostile sessions: requests made from the message types, mutated, each session in a helper of its own.

``make test`` runs a part of them, and says so.  All five thousand take minutes: DAOS_HOSTILE_SESSIONS=5000.
"""

from __future__ import annotations

import os
import random
from collections import deque
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
from checks import ROOT_PLACES
from generated import MACHINES, REQUESTS, Generator
from hostile import Hostile, Message, fault_code, helper_processes, ping, wait_until_gone
from installed import Installation
from intrusion import Intruder, ends_well
from wide_watch import WideWatch, locks_left

from daos_pbin import codes
from daos_pbin.envelope import SESSION_ID

SESSIONS = int(os.environ.get("DAOS_HOSTILE_SESSIONS", "1000"))
AT_ONCE = 4
SEED = 20_261_122
PEAK_KIB = 64 * 1024
LAST_PING = 2**53


def check_answers(messages: list[Message], sent: set[int], status: int) -> str:
    """Check everything that a helper said in one session; return how it ended, in a word."""
    failures = [message for message in messages if message["type"] == "failure" and message["id"] == SESSION_ID]
    answers = [message["id"] for message in messages if message["type"] in ("result", "failure") and message["id"] != SESSION_ID]
    assert len(answers) == len(set(answers)), "nothing is answered twice"
    found = [fault_code(message) for message in messages if message["type"] == "failure"]
    assert codes.HELPER_INTERNAL not in found, "no bytes meet a defect of ours"
    for message in messages:
        text = str(message)
        assert not [secret for secret in ROOT_PLACES if secret in text], text
        assert "Traceback" not in text
    if status == 1:
        assert [message is messages[-1] for message in failures] == [True], "one fault of the session, its last word"
        return "broken off"
    assert status == 0
    assert failures == []
    assert LAST_PING in answers
    assert sent <= set(answers), "every request is answered"
    return "served"


class Rush:
    """Sessions, a few at once; each is checked when it is the oldest."""

    def __init__(self, intruder: Intruder) -> None:
        self._intruder = intruder
        self._running: deque[tuple[Hostile, set[int], bytes]] = deque()
        self.ended = {"served": 0, "broken off": 0}

    def start(self, data: bytes, sent: set[int]) -> None:
        session = self._intruder.open()
        session.send(data + ping(LAST_PING))
        self._running.append((session, sent, data))
        if len(self._running) >= AT_ONCE:
            self._finish()

    def _finish(self) -> None:
        session, sent, data = self._running.popleft()
        try:
            messages, ending = session.end_unread()
            assert ending.errors == b"", "no traceback, nothing at all"
            assert ending.peak_kib < PEAK_KIB
            self.ended[check_answers(messages, sent, ending.status)] += 1
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}: {data.hex()}") from error
        self._intruder.forget(session)

    def finish(self) -> None:
        while self._running:
            self._finish()


def test_hostile_sessions(intruder: Intruder, installation: Installation, base: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - the same attack every time is what is wanted
    generator = Generator(chance, base)
    policy = f'mount_roots = ["{base}"]\nmethods_off = {list(MACHINES)!r}\n'
    Path(installation.layout.policy_file).write_text(policy)
    watch = WideWatch(installation, base)
    watch.start()
    rush = Rush(intruder)
    for _ in range(SESSIONS):
        rush.start(*generator.session())
    rush.finish()
    assert generator.methods == set(REQUESTS), "every message type was used"
    assert min(rush.ended.values()) > SESSIONS // 10, f"both kinds were there: {rush.ended}"
    wait_until_gone(helper_processes(installation))
    assert watch.changes() == []
    assert list(base.iterdir()) == []
    assert locks_left(installation.layout.rundir) == []
    session = intruder.open()
    session.send(ping(1))
    assert fault_code(session.answer(1)) == 0
    ends_well(session)


def test_all_of_them_were_run() -> None:
    """Not run is told as not run."""
    if SESSIONS < 5000:
        pytest.skip(f"{SESSIONS} of 5000 hostile sessions were run: DAOS_HOSTILE_SESSIONS=5000 runs all, in minutes")


def test_stream_without_end_is_read_no_further_than_its_first_bad_frame(intruder: Intruder, base: Path) -> None:
    """26: a gigabyte."""
    del base
    session = intruder.open()
    session.hello()
    taken = 0
    piece = b"\xff" * (1 << 20)
    while taken < 1 << 30 and session.send_some(piece):
        taken += len(piece)
    assert taken < 4 << 20, "it hung up"
    messages, ending = session.end()
    assert [fault_code(message) for message in messages] == [codes.HELPER_FRAME_INVALID]
    assert (ending.status, ending.errors) == (1, b"")
    assert ending.peak_kib < PEAK_KIB


def test_largest_frames_for_long_cost_no_more_memory_than_one(intruder: Intruder, base: Path) -> None:
    del base
    session = intruder.open()
    session.hello()
    for number in range(1, 401):
        fill = {str(key): "x" * 16_000 for key in range(4)}
        message = {"type": "request", "id": number, "method": "Ping", "payload": fill, "deadline_s": 5}
        body = msgpack.packb(message)
        session.send(len(body).to_bytes(4, "big") + body)
        assert fault_code(session.answer(number)) != 0
    rest, ending = session.end()
    assert rest == []
    assert (ending.status, ending.errors) == (0, b"")
    assert ending.peak_kib < PEAK_KIB
