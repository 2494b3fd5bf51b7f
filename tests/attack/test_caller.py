# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Who is served by the installed launcher, and what the others can reach: nothing, not even its reading hand."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import ROOT, STRANGER, TIMEOUT_S, Caller
from hostile import OpenSession, Watch, fault_code, ping, request
from installed import Installation

from daos_helper.audit import read_path
from daos_pbin import codes


@contextlib.contextmanager
def loaded_pipe(data: bytes) -> Iterator[int]:
    """A pipe whose writer has gone and left the bytes."""
    reader, writer = os.pipe()
    try:
        os.write(writer, data)
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


def unread(reader: int) -> int:
    """Return how many bytes wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]


def audit_lines(installation: Installation) -> bytes:
    path = installation.layout.audit_log
    files = [Path(path), Path(read_path(path))]  # in this order: what is refused is appended at the end
    return b"".join(file.read_bytes() for file in files if file.exists())


def call(installation: Installation, caller: Caller, stdin: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [installation.helper],
        stdin=stdin,
        capture_output=True,
        user=caller.uid,
        group=caller.gid,
        extra_groups=list(caller.groups),
        env={},
        cwd="/",
        check=False,
        timeout=TIMEOUT_S,
    )


def valid_requests(base: Path) -> bytes:
    return ping(1) + request(2, "ScmFormat", {"mountpoint": f"{base}/engine0", "ramdisk": {"size_gib": 1}})


@pytest.mark.parametrize("who", ["stranger", "worker"])
def test_member_of_the_group_is_refused_before_anything_is_read(installation: Installation, base: Path, watch: Watch, who: str) -> None:
    worker = installation.worker
    caller = installation.member if who == "stranger" else Caller(worker.uid, worker.gid, (installation.account.gid,))
    data, before = valid_requests(base), audit_lines(installation)
    with loaded_pipe(data) as reader:
        done = call(installation, caller, reader)
        assert unread(reader) == len(data), "every byte is still there"
    assert done.returncode == 73
    assert done.stdout == b""
    assert installation.layout.account_file.encode() in done.stderr
    told = audit_lines(installation).removeprefix(before)
    assert told.count(b"\n") == 1
    assert f"caller_uid={caller.uid} ".encode() in told
    assert b" event=launch verdict=refused cause=" in told
    assert not list(base.iterdir())
    assert watch.changes() == []


def test_stranger_cannot_execute_it(installation: Installation, base: Path, watch: Watch) -> None:
    data, before = valid_requests(base), audit_lines(installation)
    with loaded_pipe(data) as reader:
        with pytest.raises(PermissionError):
            call(installation, STRANGER, reader)
        assert unread(reader) == len(data)
    assert audit_lines(installation) == before
    assert watch.changes() == []


@pytest.mark.parametrize("who", ["account", "root"])
def test_account_and_root_are_served(installation: Installation, base: Path, open_session: OpenSession, who: str) -> None:
    caller = installation.account if who == "account" else ROOT
    session = open_session(caller)
    session.send(ping(1) + request(2, "ScmCheckFormat", {"mountpoint": f"{base}/engine0", "ramdisk": {"size_gib": 1}}))
    assert fault_code(session.answer(1)) == 0
    assert fault_code(session.answer(2)) == 0
    rest, ending = session.end()
    assert rest == []
    assert (ending.status, ending.errors) == (0, b"")
    assert f"caller_uid={caller.uid} ".encode() in audit_lines(installation)


def test_root_cannot_widen_the_policy_either(base: Path, watch: Watch, open_session: OpenSession) -> None:
    session = open_session(ROOT)
    session.send(request(1, "ScmFormat", {"mountpoint": "/etc/daos-attack", "ramdisk": {"size_gib": 1}}))
    assert fault_code(session.answer(1)) == codes.HELPER_POLICY_REFUSED
    assert session.end()[1].status == 0
    assert watch.changes() == []
