# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The helper without a setuid bit, as systemd itself starts it from the installed units, in the way that README.md says."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from callers import STRANGER, Caller
from hostile import fault_code, helper_processes, mount_root, request, unmount_below
from installed import Installation
from socket_unit import SERVICE_UNIT, SOCKET_UNIT, directives
from socket_world import SYSTEMD_ANALYZE, Link, connect
from trail import Trail
from vmlab.waiting import until

from daos_bindings.linux.capabilities import NAMES
from daos_pbin import codes
from daos_pbin.bounding import HELPER_BOUNDING
from daos_pbin.faults import Fault
from daos_pbin.messages import Ramdisk, ScmFormat
from daos_pbin.plain import PlainSession
from daos_server.doctor.helper_socket import OWN_MOUNTS, is_harmless

pytestmark = pytest.mark.guest("systemd")

SETPRIV_NNP = ("/usr/bin/setpriv", "--no-new-privs")
DISK_MIB = 64
PAGES = 8
DROP_IN = Path("/run/systemd/system", f"{SERVICE_UNIT}.d", "tests.conf")
HIDING = (
    *("PrivateTmp=yes", "PrivateDevices=yes", "ProtectSystem=full", "ReadOnlyPaths=/boot", "MountFlags=slave"),
)
"""One line of each kind of directive that gives a service mounts of its own."""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def mounted(path: Path) -> bool:
    """Tell whether the first process of the machine sees a mount there."""
    return f" {path} " in Path("/proc/1/mountinfo").read_text(encoding="utf-8")


def journal(*matches: str) -> str:
    run("/usr/bin/journalctl", "--sync")
    return run("/usr/bin/journalctl", "--quiet", "--no-pager", "--boot", "--output=cat", *matches)


def status_of(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())


def sessions() -> str:
    """Return what systemd still knows of sessions, running or failed."""
    return run("/usr/bin/systemctl", "list-units", "--all", "--plain", "--no-legend", SERVICE_UNIT.replace("@", "@*"))


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
def listening(installation: Installation) -> Iterator[str]:
    """The units enabled as README.md says, and nothing setuid; the socket's path."""
    until(lambda: os.path.exists("/run/systemd/private"), "systemd listens")
    layout = installation.layout
    run("/usr/bin/systemctl", "start", "sysinit.target")
    run("/usr/bin/systemctl", "link", f"{layout.units}/{SERVICE_UNIT}")
    run("/usr/bin/systemctl", "enable", "--now", f"{layout.units}/{SOCKET_UNIT}")
    installation.helper.chmod(0o750)
    yield layout.socket
    run("/usr/bin/systemctl", "stop", SOCKET_UNIT)  # "disable --now" forgets a linked unit before it stops it
    run("/usr/bin/systemctl", "disable", SOCKET_UNIT)
    assert not os.path.lexists(layout.socket)


@pytest.fixture
def base(installation: Installation) -> Iterator[Path]:
    """The only mount root of the policy."""
    with mount_root(installation) as root:
        yield root
    for folder in root.iterdir():
        folder.rmdir()
    root.rmdir()


@pytest.fixture
def account(installation: Installation, listening: str, base: Path) -> Iterator[Link]:
    """A connection of the account's, from a process that can gain no privileges; it ends before the mount root goes."""
    link = connect(listening, installation.account, SETPRIV_NNP)
    yield link
    link.close()
    until(lambda: not helper_processes(installation), "the session has ended")


def result(link: Link, number: int, method: str, payload: Mapping[str, object]) -> dict[str, object]:
    link.send(request(number, method, payload))
    answer = link.answer(number)
    assert answer is not None, journal("--lines=50")
    assert answer["type"] == "result", answer
    value = answer["payload"]
    assert isinstance(value, dict)
    return value


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


def test_account_mounts_what_the_whole_machine_sees(installation: Installation, account: Link, base: Path) -> None:
    target = base / "engine0"
    assert result(account, 1, "ScmFormat", {"mountpoint": str(target), "ramdisk": {"size_gib": 1}})["mounted"] is True
    assert mounted(target)
    assert result(account, 2, "ScmUnmount", {"target": str(target)})["changed"] is True
    assert not mounted(target)


def test_session_is_confined_as_the_unit_says(installation: Installation, account: Link) -> None:
    result(account, 1, "Ping", {})
    (pid,) = helper_processes(installation)
    assert re.fullmatch(r"0::/.*/daos_server_helper@.*\.service\n", Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"))
    status = status_of(pid)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Uid"].split()) == ("1", "2", ["0"] * 4)
    allowed = sum(1 << NAMES[name] for name in HELPER_BOUNDING)
    assert int(status["CapBnd"], 16) & ~allowed == 0
    assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/1/ns/mnt")
    assert Path(f"/proc/{pid}/environ").read_bytes() == b"PATH=/usr/sbin:/usr/bin:/sbin:/bin\0LC_ALL=C.UTF-8\0TZ=UTC\0"


def test_account_gets_hugepages_and_gives_them_back(account: Link) -> None:
    pages = Path("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages")
    before = int(pages.read_text())
    wanted = {"hugepages": [{"node": 0, "count": before + PAGES}]}
    assert result(account, 1, "BdevPrepare", wanted)["changed"] is True
    assert int(pages.read_text()) == before + PAGES
    assert result(account, 2, "BdevPrepare", {"reset": True})["changed"] is True
    assert int(pages.read_text()) == before


@pytest.fixture
def disk(installation: Installation, base: Path, tmp_path: Path) -> Iterator[str]:
    """A loop device that the policy names."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, DISK_MIB << 20)
    device = run("/usr/sbin/losetup", "--find", "--show", str(image)).strip()
    Path(installation.layout.policy_file).write_text(f'mount_roots = ["{base}"]\ndevices_allow = ["{device}"]\n', encoding="utf-8")
    yield device
    unmount_below(base)
    run("/usr/sbin/losetup", "--detach", device)


def test_account_formats_a_disk_and_every_step_is_confined_twice(account: Link, base: Path, disk: str) -> None:
    target = base / "engine0"
    payload = {"mountpoint": str(target), "dcpm": {"device": disk}, "force": True}
    assert result(account, 1, "ScmFormat", payload)["mounted"] is True
    assert mounted(target)
    result(account, 2, "ScmUnmount", {"target": str(target)})
    lines = journal("SYSLOG_IDENTIFIER=daos_server_helper").splitlines()
    (line,) = [line for line in lines if disk in line and "event=end" in line and "ScmFormat" in line]
    assert "unconfined=" not in line


def test_devices_that_the_unit_leaves_out_are_out_of_reach(installation: Installation, listening: str, base: Path, disk: str) -> None:
    payload = {"mountpoint": f"{base}/engine0", "dcpm": {"device": disk}, "force": True}
    with dropped_in("DeviceAllow=\nDevicePolicy=closed"):
        link = connect(listening, installation.account)
        link.send(request(1, "ScmFormat", payload))
        assert fault_code(link.answer(1)) != 0
        link.close()
    assert not mounted(base / "engine0")


def test_audit_lines_are_in_the_journal_under_the_sessions_unit(installation: Installation, account: Link, base: Path) -> None:
    result(account, 1, "ScmFormat", {"mountpoint": f"{base}/audited", "ramdisk": {"size_gib": 1}})
    lines = journal("SYSLOG_IDENTIFIER=daos_server_helper", "_UID=0", "SYSLOG_FACILITY=10")
    assert sum(f"{base}/audited" in line and "ScmFormat" in line for line in lines.splitlines()) >= 1, lines
    assert f"uid={installation.account.uid}" in lines
    (pid,) = helper_processes(installation)
    unit = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").strip().rpartition("/")[2]
    assert f"{base}/audited" in journal(f"_SYSTEMD_UNIT={unit}")
    result(account, 2, "ScmUnmount", {"target": f"{base}/audited"})


@pytest.mark.parametrize("line", HIDING)
def test_mounts_that_nobody_else_would_see_are_refused(installation: Installation, listening: str, base: Path, line: str) -> None:
    key, _, value = line.partition("=")
    assert key in OWN_MOUNTS
    assert not is_harmless(key, value)
    with dropped_in(line), PlainSession("/nowhere/helper", socket=listening) as helper:
        with pytest.raises(Fault) as caught:
            helper.call(ScmFormat(mountpoint=f"{base}/engine0", ramdisk=Ramdisk(size_gib=1)))
        assert caught.value.code == codes.STORAGE_MOUNT_HIDDEN, caught.value
        check = installation.account.run([installation.server, "helper", "check"])
        assert f"{key}={value}({DROP_IN}" in "".join(check.stdout.decode().split()), "in a line that is wrapped"
    assert not mounted(base / "engine0")


def test_stranger_cannot_connect(listening: str) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - told apart by its number
        connect(listening, STRANGER)
    assert caught.value.errno == errno.EACCES


def test_stranger_of_the_accounts_group_is_turned_away_and_told(installation: Installation, listening: str) -> None:
    trail = Trail(installation)
    member: Caller = installation.member
    link = connect(listening, member)
    link.send(request(1, "Ping", {}))
    assert link.answer(1) is None
    link.close()
    until(lambda: bool(trail.ends()), "the trail tells of it")
    line = trail.only()
    assert (line["event"], line["verdict"], line["caller_uid"]) == ("launch", "refused", str(member.uid))


def test_sessions_leave_nothing_behind(installation: Installation, listening: str) -> None:
    for _ in range(3):
        connect(listening, installation.account).close()
    until(lambda: not helper_processes(installation), "all sessions have ended")
    until(lambda: not sessions(), "systemd has forgotten them, the one that was turned away, too")


def test_systemd_has_taken_what_the_service_asks_for(installation: Installation, listening: str) -> None:
    link = connect(listening, installation.account)
    link.send(request(1, "Ping", {}))
    assert link.answer(1) is not None
    (unit,) = [line.split()[0] for line in sessions().splitlines()]
    lines = run("/usr/bin/systemctl", "show", "--all", unit).splitlines()
    shown = dict(line.partition("=")[::2] for line in lines)
    link.close()
    asked = {key: values[-1] for key, values in directives(installation.layout.units, SERVICE_UNIT).items()}
    plain = {key: value for key, value in asked.items() if value == "yes" or key in ("DevicePolicy", "KeyringMode", "OOMPolicy", "UMask")}
    assert len(plain) > len(("DevicePolicy", "KeyringMode", "OOMPolicy", "UMask"))
    assert {key: shown.get(key) for key in plain} == plain
    allowed = [line for line in lines if line.startswith("DeviceAllow=")]
    assert len(allowed) == len(directives(installation.layout.units, SERVICE_UNIT)["DeviceAllow"])
    assert {"openat2", "landlock_restrict_self", "move_mount"} <= set(shown["SystemCallFilter"].split())
