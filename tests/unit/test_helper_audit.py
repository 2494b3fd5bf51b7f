# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Audit lines cannot be forged or broken by what is in them, and go to the first sink that works."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daos_helper import audit
from daos_helper.audit import Audit, quote


@given(st.text(max_size=300))
def test_any_value_is_one_word_or_one_quoted_text(value: str) -> None:
    word = quote(value)
    assert word.isprintable()
    assert word.isascii()
    if word.startswith('"'):
        assert word.endswith('"')
        assert '"' not in word[1:-1]
    else:
        assert " " not in word
        assert "=" not in word


def test_values_are_bounded() -> None:
    assert len(quote("\u202e" * 10_000)) <= 6 * audit.VALUE_LIMIT + 2


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return str(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["journal", "syslog"])
def test_line_arrives_as_one_datagram(tmp_path: Path, nowhere: str, kind: str) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        sinks = {"journal": nowhere, "syslog": nowhere} | {kind: path}
        trail = Audit(f"{nowhere}/x/audit.log", {"caller_uid": 990}, **sinks)
        trail.line(changes=True, values={"event": "start", "method": "Scm\nFormat"})
        data = listener.recv(65536).decode()
        assert trail.writable, "the log is enough"
    trail.close()
    message = 'caller_uid=990 event=start method="Scm\\u000aFormat"'
    if kind == "journal":
        fields = dict(field.split("=", 1) for field in data.rstrip("\n").split("\n"))
        assert fields["MESSAGE"] == message
        assert fields["SYSLOG_IDENTIFIER"] == "daos_server_helper"
    else:
        assert data == f"<86>daos_server_helper[{os.getpid()}]: {message}"


def test_without_any_sink_it_is_not_writable_and_says_what_was_tried(nowhere: str) -> None:
    trail = Audit(nowhere + "/x/audit.log", {}, journal=nowhere, syslog=nowhere + "2")
    trail.line(changes=True, values={"event": "start"})
    assert not trail.writable
    assert trail.tried.count("No such file or directory") == 3


ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="the file must belong to root")


def trail_in(folder: Path) -> Audit:
    return Audit(str(folder / "audit.log"), {}, journal=str(folder / "none"), syslog=str(folder / "none2"))


@ROOT_ONLY
def test_what_changes_nothing_has_a_file_of_its_own(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    trail.line(changes=True, values={"event": "change"})
    trail.line(changes=False, values={"event": "look"})
    trail.close()
    assert "change" in (tmp_path / "audit.log").read_text()
    assert "look" in (tmp_path / "audit-read.log").read_text()
    assert "look" not in (tmp_path / "audit.log").read_text()


@ROOT_ONLY
def test_file_is_turned_over_by_the_line_that_finds_it_large(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    trail = trail_in(tmp_path)
    trail.line(changes=True, values={"event": "first"})
    trail.close()
    os.truncate(path, audit.FILE_LIMIT + 1)
    trail = trail_in(tmp_path)
    other = trail_in(tmp_path)
    assert other.writable
    trail.line(changes=True, values={"event": "second"})
    other.line(changes=True, values={"event": "third"})
    trail.close()
    other.close()
    assert path.stat().st_size < 400
    assert "second" in path.read_text()
    assert "third" in path.read_text(), "a session that had the old file open goes on in the new one"
    assert (tmp_path / "audit.log.1").stat().st_size == audit.FILE_LIMIT + 1


@ROOT_ONLY
def test_a_sink_that_comes_back_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "audit.log").mkdir()
    trail = trail_in(tmp_path)
    before = trail.writable
    (tmp_path / "audit.log").rmdir()
    assert (before, trail.writable) == (False, True)
    trail.close()


@ROOT_ONLY
@pytest.mark.parametrize("how", ["symlink", "mode", "hard link", "fifo"])
def test_file_that_is_not_roots_alone_is_not_written(tmp_path: Path, how: str) -> None:
    path = tmp_path / "audit.log"
    other = tmp_path / "other"
    other.touch(0o600)
    if how == "symlink":
        path.symlink_to(other)
    elif how == "hard link":
        path.hardlink_to(other)
    elif how == "fifo":
        os.mkfifo(path, 0o600)
    else:
        path.touch(0o644)
    trail = trail_in(tmp_path)
    trail.line(changes=True, values={"event": "start"})
    assert not trail.writable
    assert other.stat().st_size == 0
    trail.close()
