# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Attacks on the helper behind its socket: who is let in, and what a connection can do that a pipe cannot.

Numbers in comments are those of the attack checklist (section 2.4 of the security notes).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import ROOT, STRANGER, TIMEOUT_S, Caller
from hostile import Watch, fault_code, helper_processes, ping, request, wait_until_gone
from installed import Installation
from socket_world import PlayedSystemd, played_systemd

from daos_helper.audit import read_path
from daos_pbin import codes

CALLER_REFUSED = 73
AT_ONCE = 64
OWN_USER_NAMESPACE = ("/usr/bin/unshare", "--user", "--map-root-user", "--pid", "--fork")


@pytest.fixture
def systemd(installation: Installation) -> Iterator[PlayedSystemd]:
    """A listener, and nothing setuid."""
    installation.helper.chmod(0o750)
    with played_systemd(installation) as played:
        yield played
    installation.helper.chmod(0o4750)


@pytest.fixture
def watch(systemd: PlayedSystemd, installation: Installation, base: Path) -> Watch:
    """A watch on everything outside the mount root, begun when the socket is there."""
    watch = Watch(installation, base)
    watch.start()
    return watch


def audit_since(installation: Installation, size: int) -> str:
    return Path(read_path(installation.layout.audit_log)).read_text(encoding="ascii")[size:]


def audit_size(installation: Installation) -> int:
    path = Path(read_path(installation.layout.audit_log))
    return path.stat().st_size if path.exists() else 0


def valid_requests(base: Path) -> bytes:
    return ping(1) + request(2, "ScmFormat", {"mountpoint": f"{base}/engine0", "ramdisk": {"size_gib": 1}})


# 21, 23: who


@pytest.mark.parametrize("wrapper", [(), OWN_USER_NAMESPACE], ids=["plain", "root-of-his-own-namespace"])
def test_stranger_cannot_connect(systemd: PlayedSystemd, watch: Watch, wrapper: tuple[str, ...]) -> None:
    with pytest.raises(PermissionError):
        systemd.connect(STRANGER, wrapper)
    assert watch.changes() == []


@pytest.mark.parametrize("wrapper", [(), OWN_USER_NAMESPACE], ids=["plain", "root-of-his-own-namespace"])
@pytest.mark.parametrize("who", ["stranger", "worker"])
def test_member_of_the_group_is_refused_before_anything_is_read(
    installation: Installation, systemd: PlayedSystemd, base: Path, watch: Watch, who: str, wrapper: tuple[str, ...]
) -> None:
    worker = installation.worker
    caller = installation.member if who == "stranger" else Caller(worker.uid, worker.gid, (installation.account.gid,))
    before = audit_size(installation)
    link = systemd.connect(caller, wrapper)
    link.send(valid_requests(base))
    assert link.receive() is None
    link.close()
    assert systemd.ending() == CALLER_REFUSED
    assert not list(base.iterdir())
    assert watch.changes() == []
    (line,) = audit_since(installation, before).splitlines()
    assert f"caller_uid={caller.uid} " in line
    assert "verdict=refused" in line


@pytest.mark.parametrize("wrapper", [(), OWN_USER_NAMESPACE], ids=["plain", "root-of-his-own-namespace"])
def test_account_is_the_account_whatever_it_calls_itself(
    installation: Installation, systemd: PlayedSystemd, watch: Watch, wrapper: tuple[str, ...]
) -> None:
    before = audit_size(installation)
    link = systemd.connect(installation.account, wrapper)
    link.send(request(1, "ScmFormat", {"mountpoint": "/etc/daos-attack", "ramdisk": {"size_gib": 1}}))
    assert fault_code(link.answer(1)) == codes.HELPER_POLICY_REFUSED
    link.close()
    assert systemd.ending() == 0
    lines = audit_since(installation, before).splitlines()
    assert lines
    assert all(f"caller_uid={installation.account.uid} " in line for line in lines)
    assert watch.changes() == []


def test_audit_names_who_connected_and_not_who_started_it(installation: Installation, systemd: PlayedSystemd) -> None:
    before = audit_size(installation)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(systemd.path)
        connection.sendall(ping(1))
        assert connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass
    assert f"caller_uid=0 caller_pid={os.getpid()} " in audit_since(installation, before)


def test_socket_whose_other_end_is_nobody_is_refused(installation: Installation, watch: Watch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as ours:
        theirs, _ = listening.accept()
        with theirs:
            done = subprocess.run(
                [installation.helper], stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE, check=False,
                timeout=TIMEOUT_S, env={}, cwd="/",
            )  # fmt: skip
        assert done.returncode == CALLER_REFUSED, done.stderr
        assert ours.recv(1) == b""
    assert watch.changes() == []


def test_account_cannot_hand_in_a_socket_of_its_own(installation: Installation, base: Path, watch: Watch) -> None:
    # A pair that root made says "root" at its other end: from the account, who starts the setuid launcher, that counts for nothing.
    installation.helper.chmod(0o4750)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(valid_requests(base))
        account = installation.account
        done = subprocess.run(
            [installation.helper], stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE, check=False,
            timeout=TIMEOUT_S, env={}, cwd="/",
            user=account.uid, group=account.gid, extra_groups=[],
        )  # fmt: skip
    installation.helper.chmod(0o750)
    assert done.returncode == 77, done.stderr
    assert not list(base.iterdir())
    assert watch.changes() == []


# 23: what comes beside the bytes


def test_descriptors_that_are_passed_stay_outside(installation: Installation, systemd: PlayedSystemd, tmp_path: Path) -> None:
    passed = tmp_path / "passed"
    link = systemd.connect(installation.account)
    link.send(ping(1))
    assert fault_code(link.answer(1)) == 0
    (pid,) = helper_processes(installation)
    before = sorted(os.listdir(f"/proc/{pid}/fd"))
    with passed.open("wb") as file:
        for number in range(2, 10):
            socket.send_fds(link.socket, [ping(number)], [file.fileno()] * 16)
            assert fault_code(link.answer(number)) == 0
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == before
    assert not [fd for fd in before if os.readlink(f"/proc/{pid}/fd/{fd}") == str(passed)]
    link.close()
    assert systemd.ending() == 0


# 25: streams that are odd


def test_half_closed_connection_ends_the_session(installation: Installation, systemd: PlayedSystemd, watch: Watch) -> None:
    link = systemd.connect(installation.account)
    link.send(ping(1))
    link.socket.shutdown(socket.SHUT_WR)
    while link.receive() is not None:
        pass
    link.close()
    assert systemd.ending() == 0
    assert watch.changes() == []


def test_caller_that_does_not_read_any_more_ends_the_session(installation: Installation, systemd: PlayedSystemd) -> None:
    link = systemd.connect(installation.account)
    link.socket.shutdown(socket.SHUT_RD)
    link.send(ping(1))
    assert systemd.ending() == 0
    link.close()


def test_frames_in_single_bytes_are_served(installation: Installation, systemd: PlayedSystemd) -> None:
    link = systemd.connect(installation.account)
    for byte in ping(1) + ping(2):
        link.send(bytes([byte]))
    assert fault_code(link.answer(1)) == 0
    assert fault_code(link.answer(2)) == 0
    link.close()
    assert systemd.ending() == 0


def test_garbage_is_told_and_ends_the_session(installation: Installation, systemd: PlayedSystemd, watch: Watch) -> None:
    link = systemd.connect(installation.account)
    link.send(b"GET / HTTP/1.1\r\n\r\n" * 4096)
    answer = link.answer(1)
    assert answer is None or fault_code(answer) == codes.HELPER_FRAME_INVALID
    link.close()
    assert systemd.ending() in (0, 1)
    assert watch.changes() == []


def test_out_of_band_bytes_are_nobodys(installation: Installation, systemd: PlayedSystemd) -> None:
    link = systemd.connect(installation.account)
    with contextlib.suppress(OSError):  # a kernel that is built without it
        link.socket.send(b"!", socket.MSG_OOB)
    link.send(ping(1))
    assert fault_code(link.answer(1)) == 0
    link.close()
    assert systemd.ending() == 0


# 11, 20: coming, going, many


def test_caller_that_is_gone_before_the_helper_starts(installation: Installation, systemd: PlayedSystemd, base: Path, watch: Watch) -> None:
    systemd.process.send_signal(signal.SIGSTOP)
    link = systemd.connect(installation.account)
    link.send(ping(1))
    link.close()
    silent = systemd.connect(installation.account)
    silent.close()
    systemd.process.send_signal(signal.SIGCONT)
    assert [systemd.ending(), systemd.ending()] == [0, 0]
    assert not list(base.iterdir())
    assert watch.changes() == []


def test_many_connections_at_once_are_all_answered(installation: Installation, systemd: PlayedSystemd, watch: Watch) -> None:
    links = [systemd.connect(installation.account) for _ in range(AT_ONCE)]
    for number, link in enumerate(links, 1):
        link.send(ping(number))
    for number, link in enumerate(links, 1):
        assert fault_code(link.answer(number)) == 0
    for link in links:
        link.close()
    assert [systemd.ending() for _ in links] == [0] * AT_ONCE
    wait_until_gone(helper_processes(installation))
    assert watch.changes() == []


def test_root_cannot_widen_the_policy_through_the_socket(systemd: PlayedSystemd, watch: Watch) -> None:
    link = systemd.connect(ROOT)
    link.send(request(1, "ScmFormat", {"mountpoint": "/etc/daos-attack", "ramdisk": {"size_gib": 1}}))
    assert fault_code(link.answer(1)) == codes.HELPER_POLICY_REFUSED
    link.close()
    assert systemd.ending() == 0
    assert watch.changes() == []
