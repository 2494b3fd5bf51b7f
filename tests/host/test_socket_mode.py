# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The helper without a setuid bit: behind a socket, under the confinement that the shipped unit asks for."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import ROOT, TIMEOUT_S
from hostile import helper_processes, mount_root, ping, unmount_below
from installed import Installation, run_installer
from socket_unit import SERVICE_UNIT, SOCKET_UNIT, directives
from socket_world import SYSTEMD_ANALYZE, PlayedSystemd, played_systemd

from daos_pbin import codes
from daos_pbin.bounding import HELPER_BOUNDING
from daos_pbin.faults import Fault
from daos_pbin.messages import Dcpm, Ramdisk, ScmCheckFormat, ScmFormat, ScmUnmount
from daos_pbin.plain import PlainSession
from daos_pbin.session import HelperSession
from daos_server.doctor.helper_socket import OWN_MOUNTS, is_harmless

pytestmark = pytest.mark.host

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS = 38
DISK_MIB = 64
BREAKS_THE_HELPER = ("RestrictSUIDSGID", "ProtectClock")
"""The first takes away openat2, the second the block devices (systemd.exec(5))."""


def no_new_privileges() -> None:
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


@pytest.fixture
def base(installation: Installation) -> Iterator[Path]:
    """The only mount root of the policy."""
    with mount_root(installation) as root:
        yield root
    for folder in root.iterdir():
        folder.rmdir()
    root.rmdir()


@pytest.fixture
def disk(installation: Installation, base: Path, tmp_path: Path) -> Iterator[str]:
    """A loop device that the policy names."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, DISK_MIB << 20)
    device = subprocess.run(["/usr/sbin/losetup", "--find", "--show", image], capture_output=True, text=True, check=True).stdout.strip()
    Path(installation.layout.policy_file).write_text(f'mount_roots = ["{base}"]\ndevices_allow = ["{device}"]\n')
    yield device
    unmount_below(base)
    subprocess.run(["/usr/sbin/losetup", "--detach", device], check=True)


@pytest.fixture
def without_setuid(installation: Installation) -> Iterator[None]:
    """The launcher as a site leaves it that wants nothing setuid."""
    installation.helper.chmod(0o750)
    yield
    installation.helper.chmod(0o4750)


@pytest.fixture
def systemd(installation: Installation, without_setuid: None) -> Iterator[PlayedSystemd]:
    with played_systemd(installation) as played:
        yield played


def status_of(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())


def session(systemd: PlayedSystemd) -> PlainSession:
    return PlainSession("/nowhere/helper", socket=systemd.path)


def mounted(path: Path) -> bool:
    return f" {path} " in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


# What is installed


def test_units_are_installed_and_not_enabled(installation: Installation) -> None:
    layout = installation.layout
    service, listening = directives(layout.units, SERVICE_UNIT), directives(layout.units, SOCKET_UNIT)
    assert service["ExecStart"] == [layout.helper]
    assert listening["ListenStream"] == [layout.socket]
    assert (listening["SocketUser"], listening["SocketGroup"], listening["SocketMode"]) == (["root"], [layout.account], ["0660"])
    assert listening["Accept"] == ["yes"]
    assert not list(Path("/etc/systemd").rglob("daos_server_helper*"))
    assert not os.path.lexists(layout.socket)


def test_service_may_have_what_the_helper_may_need_and_no_more(installation: Installation) -> None:
    service = directives(installation.layout.units, SERVICE_UNIT)
    assert set(service["CapabilityBoundingSet"][0].split()) == HELPER_BOUNDING
    assert service["NoNewPrivileges"] == ["yes"]


def test_service_has_no_mounts_of_its_own_and_nothing_that_breaks_the_helper(installation: Installation) -> None:
    service = directives(installation.layout.units, SERVICE_UNIT)
    for key in (*OWN_MOUNTS, *BREAKS_THE_HELPER):
        assert all(is_harmless(key, value) for value in service.get(key, [])), key


def test_systemd_finds_nothing_wrong_with_the_units(installation: Installation) -> None:
    if not Path(SYSTEMD_ANALYZE).exists():
        pytest.skip("systemd-analyze is missing: whether systemd understands the units is not tried")
    units = [f"{installation.layout.units}/{name}" for name in (SOCKET_UNIT, SERVICE_UNIT)]
    done = subprocess.run([SYSTEMD_ANALYZE, "verify", *units], capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    command = [SYSTEMD_ANALYZE, "security", "--offline=true", "--json=short", units[1]]
    rated = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout)
    bad = {each["json_field"] for each in rated if each["set"] is False}
    assert not bad & {"NoNewPrivileges", "MemoryDenyWriteExecute", "SystemCallArchitectures", "LockPersonality", "RestrictRealtime"}


# What it does


def test_account_is_served_under_no_new_privs_with_nothing_setuid(installation: Installation, systemd: PlayedSystemd) -> None:
    command = [str(installation.server), "helper", "check", "--json"]
    done = installation.account.run(command, before=no_new_privileges)
    points = {point["subject"]: point for point in json.loads(done.stdout)["response"]["findings"]}
    assert points["answer of the helper"]["verdict"] == "ok", points
    assert points["mode of the helper"]["verdict"] == "ok"
    assert points[f"socket {systemd.path}"]["verdict"] == "ok"
    assert systemd.ending() == 0


def test_root_becomes_the_account_and_is_served_under_no_new_privs(installation: Installation, systemd: PlayedSystemd, base: Path) -> None:
    config = installation.root / "etc" / "daos_server.yml"
    config.write_text(
        "access_points: [localhost]\nprovider: ofi+tcp\nengines:\n- targets: 1\n  fabric_iface: lo\n  fabric_iface_port: 31416\n"
        f"  storage:\n  - class: ram\n    scm_mount: {base}/engine0\n    scm_size: 4\n"
    )
    try:
        done = ROOT.run([installation.server, "storage", "format", "--dry-run", "-o", config], before=no_new_privileges)
    finally:
        config.unlink()
    assert done.returncode == 0, done.stderr
    assert systemd.ending() == 0


def test_monitor_is_confined_as_the_unit_says(installation: Installation, systemd: PlayedSystemd, base: Path) -> None:
    with session(systemd) as helper:
        helper.call(ScmCheckFormat(mountpoint=f"{base}/engine0", ramdisk=Ramdisk(size_gib=1)))
        (pid,) = helper_processes(installation)
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert status["Uid"].split() == ["0"] * 4
        assert sorted(os.listdir(f"/proc/{pid}/fd"))[:3] == ["0", "1", "2"]
        sockets = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1)}
        assert len(sockets) == 1
        assert Path(f"/proc/{pid}/environ").read_bytes() == b"PATH=/usr/sbin:/usr/bin:/sbin:/bin\0LC_ALL=C.UTF-8\0TZ=UTC\0"
    assert systemd.ending() == 0


def test_mounts_are_seen_by_the_host(systemd: PlayedSystemd, base: Path) -> None:
    target = base / "engine0"
    with session(systemd) as helper:
        assert helper.call(ScmFormat(mountpoint=str(target), ramdisk=Ramdisk(size_gib=1))).mounted
        assert mounted(target)
        assert helper.call(ScmUnmount(target=str(target))).changed
        assert not mounted(target)


def test_a_disk_is_formatted_by_programs_under_the_filter(systemd: PlayedSystemd, base: Path, disk: str) -> None:
    async def main() -> bool:
        async with HelperSession("/nowhere/helper", socket=systemd.path) as helper:
            assert helper.pid == 0
            await helper.call(ScmFormat(mountpoint=f"{base}/engine0", dcpm=Dcpm(device=disk), force=True))
            seen = mounted(base / "engine0")
            await helper.call(ScmUnmount(target=f"{base}/engine0"))
            return seen

    assert asyncio.run(main())
    assert systemd.ending() == 0


def test_sessions_end_with_the_connection(systemd: PlayedSystemd) -> None:
    for leave in ("unread", "read"):
        link = systemd.connect(ROOT)
        if leave == "read":
            link.send(ping(1))
            assert link.answer(1) is not None
        else:
            link.send(ping(1) * 3)
        link.close()
        assert systemd.ending() == 0, leave


# Where it cannot work


def test_mounts_that_nobody_else_would_see_are_refused(installation: Installation, base: Path) -> None:
    # As systemd does for PrivateTmp= and its like: the host's mounts are shared, the service's follow them.
    shared = ["/usr/bin/unshare", "--mount", "--propagation", "shared", "/bin/sh", "-c", '"$@"; exit $?', "sh"]
    wrapper = [*shared, "/usr/bin/unshare", "--mount", "--propagation", "slave"]
    with played_systemd(installation, wrapper) as systemd, session(systemd) as helper:
        with pytest.raises(Fault) as caught:
            helper.call(ScmFormat(mountpoint=f"{base}/engine0", ramdisk=Ramdisk(size_gib=1)))
        assert caught.value.code == codes.STORAGE_MOUNT_HIDDEN
        assert "PrivateTmp=" in caught.value.resolution
    assert not mounted(base / "engine0")


def test_helper_that_ends_without_a_word_is_told_with_where_to_look(installation: Installation, systemd: PlayedSystemd) -> None:
    account_file = Path(installation.layout.account_file)
    account_file.chmod(0o600)
    try:
        with pytest.raises(Fault) as caught, session(systemd) as helper:
            helper.ping()
    finally:
        account_file.chmod(0)
    assert caught.value.code == codes.HELPER_SOCKET_CLOSED
    assert "journalctl" in caught.value.resolution
    assert systemd.ending() == 75


def test_dead_socket_leaves_the_setuid_helper(installation: Installation, without_setuid: None) -> None:
    with played_systemd(installation) as systemd:
        path = systemd.path
        os.rename(path, f"{path}.dead")  # its listener goes, and leaves a name behind
        Path(path).touch()
    os.rename(f"{installation.layout.socket}.dead", path)
    command = [str(installation.server), "helper", "check", "--json"]
    try:
        without = json.loads(installation.account.run(command).stdout)["response"]["findings"]
        installation.helper.chmod(0o4750)
        with_it = json.loads(installation.account.run(command).stdout)["response"]["findings"]
    finally:
        os.unlink(path)
    (answer,) = [point for point in without if point["subject"] == "answer of the helper"]
    assert answer["verdict"] == "stops"
    assert f"{path} does not answer: Connection refused" in answer["found"]
    (answer,) = [point for point in with_it if point["subject"] == "answer of the helper"]
    assert answer["verdict"] == "ok"


def test_uninstall_refuses_while_somebody_listens(installation: Installation, systemd: PlayedSystemd) -> None:
    done = run_installer("uninstall", installation.layout)
    assert done.returncode == 1
    assert "systemctl stop daos_server_helper.socket" in done.stderr
    assert installation.helper.exists()
