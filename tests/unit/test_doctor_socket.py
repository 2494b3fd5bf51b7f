# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What ``helper check`` says of the socket behind which systemd starts the helper, and of the unit there."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from daos_server.doctor import helper_socket
from daos_server.doctor.finding import Finding
from daos_server.doctor.machine import Machine
from daos_server.installation import Installation

pytestmark = pytest.mark.unit

UNIT = "etc/systemd/system/daos_server_helper@.service"
PLAIN = "[Service]\nExecStart=/x\nNoNewPrivileges=yes\nPrivateTmp=no\nProtectHome=read-only\nProtectHome=no\n"


def look(root: Path, mode: int | None = 0o660) -> list[Finding]:
    """Return the findings about a socket of that mode; of none for None."""
    installation = replace(Installation(), helper_socket=f"{root}/s", account="no-such-account")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        if mode is not None:
            listening.bind(installation.helper_socket)
            os.chmod(installation.helper_socket, mode)
        return list(helper_socket.findings(installation, Machine(root=str(root))))


def test_absent_is_as_well(tmp_path: Path) -> None:
    (found,) = look(tmp_path, None)
    assert (found.verdict, found.found) == ("ok", "absent: the server starts the helper itself")


@pytest.mark.skipif(os.geteuid() != 0, reason="the socket has to be root's")
@pytest.mark.parametrize(("mode", "verdict"), [(0o660, "ok"), (0o600, "ok"), (0o666, "stops"), (0o661, "stops")])
def test_others_may_not_connect(tmp_path: Path, mode: int, verdict: str) -> None:
    found, _ = look(tmp_path, mode)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("drop_in", "named"),
    [
        ("", ""),
        ("[Service]\nPrivateTmp=yes\n", "PrivateTmp=yes"),
        ("[Service]\nProtectSystem=full\n", "ProtectSystem=full"),
        ("[Service]\nMountFlags=slave\n", "MountFlags=slave"),
        ("[Service]\nMountFlags=shared\nProtectProc=default\nPrivateMounts=off\n", ""),
        ("[Service]\nBindPaths=/srv\n", "BindPaths=/srv"),
        ("[Unit]\nPrivateTmp=yes\n", ""),
    ],
)
def test_a_directive_that_hides_mounts_is_named_with_its_line(tmp_path: Path, drop_in: str, named: str) -> None:
    unit = tmp_path / UNIT
    extra = tmp_path / f"{UNIT}.d" / "site.conf"
    extra.parent.mkdir(parents=True)
    unit.write_text(PLAIN)
    extra.write_text(drop_in)
    _, found = look(tmp_path)
    assert found.verdict == ("stops" if named else "ok")
    if named:
        assert f"{named} ({extra}:2)" in found.found
        assert "2181" in found.why
