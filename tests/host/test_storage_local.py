# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Storage formatted for real: the reference's local example through the installed programs, and the server's own work on real mounts."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import cast

import pytest
from callers import STRANGER_UID
from installed import Installation

from daos_bindings.linux import mounts
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.storage import files, folders, nvme_conf
from daos_server.storage.facts import mounted
from daos_server.storage.filesystems import check_metadata_file_system

EXAMPLE = Path(__file__).parents[1] / "data" / "config" / "daos_server_local.yml"
SCM = Path("/mnt/daos")
BDEV = Path("/tmp/daos-bdev")  # noqa: S108 (the example's own)
GIB = 1 << 30
MIB = 1 << 20


def mount(*arguments: str | Path) -> None:
    subprocess.run(["/usr/bin/mount", *(os.fspath(word) for word in arguments)], check=True, stdin=subprocess.DEVNULL)


def unmount(path: Path) -> None:
    subprocess.run(["/usr/bin/umount", os.fspath(path)], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of our own, with little room."""
    path = tmp_path / "tmpfs"
    path.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", path)
    yield path
    unmount(path)


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 on a loop device."""
    image, path = tmp_path / "image", tmp_path / "ext4"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", os.fspath(image)], check=True, stdin=subprocess.DEVNULL)
    mount("-o", "loop", image, path)
    yield path
    unmount(path)


# Through the installed programs


class Server:
    """The installed command line, run as the account with the reference's local example."""

    def __init__(self, installation: Installation, config: Path) -> None:
        self.installation = installation
        self.config = config

    def storage(self, command: str, *options: str) -> tuple[int, dict[str, object], str]:
        """Run a storage command; return exit code, the JSON response, and what it said on standard error."""
        done = self.installation.account.run([self.installation.server, "-o", self.config, "storage", command, "--json", *options])
        answer = cast("dict[str, dict[str, object]]", json.loads(done.stdout)) if done.stdout else {}
        return done.returncode, answer.get("response", {}), done.stderr.decode()


@pytest.fixture
def server(installation: Installation) -> Iterator[Server]:
    if BDEV.exists() or mounts.at(mounts.read(), str(SCM)):
        pytest.skip(f"{BDEV} or {SCM} is in use on this machine")
    had_directory = SCM.exists()
    config = installation.root / "local.yml"
    config.write_bytes(EXAMPLE.read_bytes())
    config.chmod(0o644)
    server = Server(installation, config)
    yield server
    server.storage("reset", "--force")
    config.unlink()
    BDEV.unlink(missing_ok=True)
    (Path(installation.layout.localstatedir) / "lib/daos_server/format.json").unlink(missing_ok=True)
    if not had_directory and SCM.exists():
        SCM.rmdir()


def outcomes(response: dict[str, object]) -> dict[str, str]:
    rows = cast("list[dict[str, str]]", response["rows"] or [])
    return {row["subject"]: row["outcome"] for row in rows}


def test_the_local_example_is_formatted_unchanged(server: Server) -> None:
    account = server.installation.account
    code, response, errors = server.storage("format", "--dry-run")
    assert (code, response["rows"]) == (0, None), errors
    assert not BDEV.exists()
    code, response, errors = server.storage("format")
    assert code == 0, errors
    assert set(outcomes(response).values()) == {"done"}

    found = mounts.at(mounts.read(), str(SCM))
    assert found is not None
    assert found.fs_type == "tmpfs"
    assert os.statvfs(SCM).f_blocks * os.statvfs(SCM).f_frsize == 8 * GIB
    assert {"nosuid", "nodev", "noexec", "noatime"} <= set(found.options)
    top = SCM.stat()
    assert (top.st_uid, stat.S_IMODE(top.st_mode)) == (account.uid, 0o755)

    file = BDEV.stat()
    assert (file.st_size, file.st_uid, stat.S_IMODE(file.st_mode)) == (16 * GIB, account.uid, 0o600)
    assert file.st_blocks * 512 >= 16 * GIB

    conf = SCM / "daos_nvme.conf"
    assert (conf.stat().st_uid, stat.S_IMODE(conf.stat().st_mode)) == (account.uid, 0o644)
    assert f"AIO_{os.uname().nodename}_0_1_0" in conf.read_text()

    code, _, errors = server.storage("format")
    assert code == 1
    assert "code = 101" in errors
    assert str(SCM) in errors
    code, response, errors = server.storage("format", "--force")
    assert code == 0, errors
    code, response, errors = server.storage("scan")
    assert code == 0, errors
    assert outcomes(response)[str(SCM)] == "formatted"

    code, response, errors = server.storage("reset")
    assert code == 0, errors
    assert mounts.at(mounts.read(), str(SCM)) is None
    assert BDEV.stat().st_size == 16 * GIB
    code, response, errors = server.storage("reset")
    assert code == 0, errors
    assert set(outcomes(response).values()) <= {"already", "skipped"}


def test_content_of_a_tmpfs_survives_a_reset_without_force(server: Server) -> None:
    assert server.storage("format")[0] == 0
    (SCM / "superblock").touch()
    code, _, errors = server.storage("reset")
    assert code == 1
    assert "code = 2115" in errors
    assert (SCM / "superblock").exists()


# The server's own work, on mounts


def test_files_on_file_systems_of_both_kinds(tmpfs: Path, ext4: Path) -> None:
    for place in (tmpfs, ext4):
        path = str(place / "bdev")
        assert files.create(path, 2 * MIB, force=False)
        assert not files.create(path, 2 * MIB, force=False)
        assert not files.inspect(path).has_data
        with open(path, "r+b") as file:
            file.write(b"data")
        assert files.inspect(path).has_data
        assert files.create(path, 2 * MIB, force=True)
        assert not files.inspect(path).has_data


def test_a_full_file_system_leaves_nothing(tmpfs: Path) -> None:
    with pytest.raises(Fault) as caught:
        files.create(str(tmpfs / "bdev"), 64 * MIB, force=False)
    assert caught.value.code == codes.BDEV_FORMAT_FAILURE
    assert list(tmpfs.iterdir()) == []


def test_files_and_folders_of_others_are_refused(tmp_path: Path) -> None:
    file, folder = tmp_path / "bdev", tmp_path / "root"
    file.write_bytes(b"theirs")
    folder.mkdir()
    (folder / "daos_control").mkdir()
    (folder / "daos_control" / "theirs").touch()
    for path in (file, folder):
        os.chown(path, STRANGER_UID, STRANGER_UID)
    with pytest.raises(Fault) as caught:
        files.create(str(file), MIB, force=True)
    assert caught.value.code == codes.STORAGE_FILE_UNUSABLE
    assert file.read_bytes() == b"theirs"
    with pytest.raises(Fault) as caught:
        folders.make_folders(str(folder), str(folder / "daos_control"), (0,), force=True)
    assert caught.value.code == codes.STORAGE_PATH_UNSAFE
    assert (folder / "daos_control" / "theirs").exists()
    with pytest.raises(Fault) as caught:
        nvme_conf.write(str(folder / "daos_nvme.conf"), "{}")
    assert caught.value.code == codes.STORAGE_PATH_UNSAFE
    assert folders.make_root(str(folder)) is None


def test_the_data_folder_of_another_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "daos_control"
    data.mkdir()
    (data / "theirs").touch()
    os.chown(data, STRANGER_UID, STRANGER_UID)
    with pytest.raises(Fault) as caught:
        folders.make_folders(str(tmp_path), str(data), (0,), force=True)
    assert caught.value.code == codes.STORAGE_PATH_UNSAFE
    assert (data / "theirs").exists()


@pytest.mark.parametrize("where", ["daos_control", "daos_control/engine0/inner"])
def test_a_mount_in_old_content_stops_the_clearing_before_it_begins(tmp_path: Path, where: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    target = tmp_path / "root" / where
    target.mkdir(parents=True)
    old = tmp_path / "root/daos_control/old"
    if where != "daos_control":
        old.touch()
    # A bind mount of the same file system: a comparison of device numbers would not see it.
    mount("--bind", victim, target)
    try:
        with pytest.raises(Fault) as caught:
            folders.make_folders(str(tmp_path / "root"), str(tmp_path / "root/daos_control"), (0,), force=True)
    finally:
        unmount(target)
    assert caught.value.code == codes.STORAGE_PATH_UNSAFE
    assert (victim / "precious").exists()
    assert where == "daos_control" or old.exists()


def test_a_file_mounted_into_old_content_stops_the_clearing(tmp_path: Path) -> None:
    data = tmp_path / "daos_control"
    data.mkdir()
    for path in (tmp_path / "victim", data / "file", data / "another"):
        path.touch()
    mount("--bind", tmp_path / "victim", data / "file")
    try:
        with pytest.raises(Fault):
            folders.make_folders(str(tmp_path), str(data), (0,), force=True)
    finally:
        unmount(data / "file")
    assert (data / "another").exists()


def test_metadata_on_nosuid_mounts_that_are_not_ours(tmpfs: Path) -> None:
    check_metadata_file_system(str(tmpfs / "md"))
    mount("-o", "remount,nosuid", tmpfs)
    check_metadata_file_system(str(tmpfs / "md"))  # owned by this account, as the helper's own mounts are
    os.chown(tmpfs, STRANGER_UID, STRANGER_UID)
    with pytest.raises(Fault) as caught:
        folders.make_root(str(tmpfs / "md/deep"))
    assert caught.value.code == codes.CONTROL_METADATA_BAD_FILESYSTEM
    assert list(tmpfs.iterdir()) == []


def test_what_is_seen_of_a_mount(tmpfs: Path, ext4: Path) -> None:
    table = mounts.read()
    assert mounted(str(tmpfs), table).kind == "tmpfs"
    assert mounted(str(tmpfs), table).content == ()
    assert mounted(str(tmpfs), table).size == 4 * MIB
    assert mounted(str(ext4), table).content == ()
    (tmpfs / "b").touch()
    (tmpfs / "a\n").touch()
    assert mounted(str(tmpfs), table).content == ("a\\n", "b")
    assert mounted(str(tmpfs.parent), table).kind == ""


# Killed for real

KILLS = 100

KILL_CONFIG = """
name: daos_server
access_points: ['localhost']
provider: ofi+tcp
transport_config: {allow_insecure: true}
control_metadata: {path: /mnt/daos89, device: @loop}
engines:
  - targets: 1
    nr_xs_helpers: 0
    fabric_iface: eth0
    fabric_iface_port: 31416
    log_file: /tmp/daos_engine.0.log
    storage:
      - {class: ram, scm_size: 4, scm_mount: /mnt/daos88}
      - {class: file, bdev_size: 1, bdev_list: [@files/bdev], bdev_roles: [data, meta, wal]}
"""


@pytest.fixture
def killed(installation: Installation, tmp_path: Path) -> Iterator[Server]:
    """A server whose metadata is on a loop device of its own, which its helper's policy allows."""
    image, held = tmp_path / "image", installation.root / "kill-files"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    held.mkdir()
    os.chown(held, installation.account.uid, installation.account.gid)
    made = subprocess.run(["/usr/sbin/losetup", "--find", "--show", os.fspath(image)], check=True, capture_output=True, text=True)
    loop = made.stdout.strip()
    policy = Path(installation.layout.sysconfdir) / "helper.toml"
    before = policy.read_bytes() if policy.exists() else None
    policy.write_text(f'devices_allow = ["{loop}"]\n')
    policy.chmod(0o644)
    config = installation.root / "kill.yml"
    config.write_text(KILL_CONFIG.replace("@loop", loop).replace("@files", str(held)))
    config.chmod(0o644)
    server = Server(installation, config)
    yield server
    server.storage("reset", "--force")
    subprocess.run(["/usr/sbin/losetup", "--detach", loop], check=True)
    if before is None:
        policy.unlink()
    else:
        policy.write_bytes(before)
    config.unlink()
    shutil.rmtree(held)
    for path in (Path("/mnt/daos88"), Path("/mnt/daos89")):
        if path.exists():
            path.rmdir()


def descendants(pid: int) -> list[int]:
    """Return a process and everything below it, parents first."""
    found = [pid]
    for each in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in Path(f"/proc/{each}/task/{each}/children").read_text().split()]
    return found


def test_a_format_killed_at_random_is_completed_by_the_next(killed: Server) -> None:
    random = Random(2)  # noqa: S311 (a repeatable choice of moments)
    code, _, errors = killed.storage("format")
    assert code == 0, errors
    longest = 0.6
    for number in range(KILLS):
        force = number % 2 == 0
        if not force:
            assert killed.storage("reset", "--force")[0] == 0
        options = ["--force"] if force else []
        command: list[str | Path] = [killed.installation.server, "-o", killed.config, "storage", "format", *options]
        process = killed.installation.account.start(command)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=random.uniform(0.1, longest))
        victims = descendants(process.pid) if process.poll() is None else []
        if victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(victims), signal.SIGKILL)
        process.communicate(timeout=60)
        code, _, errors = killed.storage("format", *options)
        # A run that was killed after its last step, or not at all, has nothing left for a plain one to do.
        assert code == 0 or (not force and "code = 101" in errors), (number, errors)
        table = mounts.read()
        assert len([each for each in table if each.mount_point == "/mnt/daos88"]) == 1, number
        assert not [each for each in table if each.mount_point == "/mnt/daos89"], number
        state = Path(killed.installation.layout.localstatedir) / "lib/daos_server"
        assert list(state.iterdir()) == [], number
