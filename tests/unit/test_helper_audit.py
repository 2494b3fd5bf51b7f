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
        trail = Audit(nowhere, {"caller_uid": 990}, **sinks)
        trail.line(event="start", method="Scm\nFormat")
        data = listener.recv(65536).decode()
    assert trail.writable
    trail.close()
    message = 'caller_uid=990 event=start method="Scm\\u000aFormat"'
    if kind == "journal":
        fields = dict(field.split("=", 1) for field in data.rstrip("\n").split("\n"))
        assert fields["MESSAGE"] == message
        assert fields["SYSLOG_IDENTIFIER"] == "daos_server_helper"
    else:
        assert data == f"<86>daos_server_helper[{os.getpid()}]: {message}"


def test_without_any_sink_it_is_not_writable_and_says_what_was_tried(nowhere: str) -> None:
    trail = Audit(nowhere + "/x/audit.log", {}, journal=nowhere, syslog=nowhere)
    trail.line(event="start")
    assert not trail.writable
    assert trail.tried.count("No such file or directory") == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="the file must belong to root")
def test_file_is_turned_over_once_it_is_large(tmp_path: Path, nowhere: str) -> None:
    path = tmp_path / "audit.log"
    path.touch(0o600)
    os.truncate(path, audit.FILE_LIMIT + 1)
    trail = Audit(str(path), {}, journal=nowhere, syslog=nowhere)
    trail.line(event="start")
    trail.close()
    assert path.stat().st_size < 200
    assert (tmp_path / "audit.log.1").stat().st_size == audit.FILE_LIMIT + 1


@pytest.mark.skipif(os.geteuid() != 0, reason="the file must belong to root")
@pytest.mark.parametrize("how", ["symlink", "mode", "hard link", "fifo"])
def test_file_that_is_not_roots_alone_is_not_written(tmp_path: Path, nowhere: str, how: str) -> None:
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
    trail = Audit(str(path), {}, journal=nowhere, syslog=nowhere)
    trail.line(event="start")
    assert not trail.writable
    assert other.stat().st_size == 0
