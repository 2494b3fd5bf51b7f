# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The helper without a setuid bit, as systemd itself starts it from the installed units, in the way that README.md says."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from callers import STRANGER
from installed import Installation
from socket_unit import SERVICE_UNIT, SOCKET_UNIT
from socket_world import SYSTEMD_ANALYZE, connect
from vmlab.waiting import until

pytestmark = pytest.mark.guest("systemd")

SETPRIV_NNP = ("/usr/bin/setpriv", "--no-new-privs")
DROP_IN = Path("/run/systemd/system", f"{SERVICE_UNIT}.d", "tests.conf")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def journal(*matches: str) -> str:
    run("/usr/bin/journalctl", "--sync")
    return run("/usr/bin/journalctl", "--quiet", "--no-pager", "--boot", "--output=cat", *matches)


@contextmanager
def dropped_in(line: str) -> Iterator[None]:
    """Have one more line in the service unit."""
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(f"[Service]\n{line}\n", encoding="ascii")
    run("/usr/bin/systemctl", "daemon-reload")
    try:
        yield
    finally:
        DROP_IN.unlink()
        run("/usr/bin/systemctl", "daemon-reload")


@pytest.fixture(scope="module")
def listening(installation: Installation) -> str:
    """The units enabled as README.md says, and nothing setuid; the socket's path.  They stay so as long as the guest."""
    until(lambda: os.path.exists("/run/systemd/private"), "systemd listens")
    layout = installation.layout
    run("/usr/bin/systemctl", "start", "sysinit.target")
    run("/usr/bin/systemctl", "link", f"{layout.units}/{SERVICE_UNIT}")
    run("/usr/bin/systemctl", "enable", "--now", f"{layout.units}/{SOCKET_UNIT}")
    installation.helper.chmod(0o750)
    return layout.socket


def test_process_1_is_systemd_and_has_no_complaint_about_the_units(installation: Installation, listening: str) -> None:
    assert Path("/proc/1/comm").read_text(encoding="utf-8") == "systemd\n"
    with dropped_in("Nonsense=yes"):
        run("/usr/bin/systemctl", "show", SERVICE_UNIT.replace("@", "@complaint"))
        assert "Nonsense" in journal("_PID=1"), "else its complaints would not be seen here"
    connect(listening, installation.account).close()
    said = [line for line in journal("_PID=1", "--priority=warning").splitlines() if "daos_server_helper" in line]
    assert [line for line in said if "Nonsense" not in line] == []
    units = [f"{installation.layout.units}/{name}" for name in (SOCKET_UNIT, SERVICE_UNIT)]
    done = subprocess.run([SYSTEMD_ANALYZE, "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_socket_is_of_root_and_the_accounts_group(installation: Installation, listening: str) -> None:
    found = os.lstat(listening)
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, installation.account.gid, 0o660)


def test_helper_check_is_content_under_no_new_privs(installation: Installation, listening: str) -> None:
    command = [*SETPRIV_NNP, str(installation.server), "helper", "check"]
    done = installation.account.run(command, environment={"PATH": "/usr/bin", "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert installation.helper.stat().st_mode & 0o6000 == 0


def test_stranger_cannot_connect(listening: str) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - told apart by its number
        connect(listening, STRANGER)
    assert caught.value.errno == errno.EACCES
