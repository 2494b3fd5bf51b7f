# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the server makes and clears by itself, on real files: results, idempotence, undoing, and hostile surroundings."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.storage import durable, files, folders, nvme_conf
from daos_server.storage.filesystems import existing_ancestor

MIB = 1 << 20


def fault_of_create(path: Path | str, size: int = MIB, *, force: bool = False) -> Fault:
    with pytest.raises(Fault) as caught:
        files.create(str(path), size, force=force)
    return caught.value


# Files that stand for SSDs


def test_a_new_file_is_allocated_private_and_whole_blocks(tmp_path: Path) -> None:
    path = tmp_path / "bdev"
    seen: list[tuple[int, int]] = []
    assert files.create(str(path), MIB + 4095, force=False, progress=lambda done, total: seen.append((done, total)))
    found = path.stat()
    assert (found.st_size, found.st_mode & 0o7777, found.st_uid) == (MIB, 0o600, os.geteuid())
    assert found.st_blocks * 512 >= MIB
    assert seen == [(0, MIB), (MIB, MIB)]
    assert not files.inspect(str(path)).has_data


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bdev"
    files.create(str(path), MIB, force=False)
    before = path.stat()
    assert not files.create(str(path), MIB, force=False)
    assert not files.create(str(path), MIB, force=True)
    assert path.stat().st_ino == before.st_ino


def test_data_needs_force_and_is_gone_with_it(tmp_path: Path) -> None:
    path = tmp_path / "bdev"
    path.write_bytes(b"data")
    fault = fault_of_create(path)
    assert (fault.code, fault.object) == (codes.STORAGE_ALREADY_FORMATTED, str(path))
    assert path.read_bytes() == b"data"
    assert files.create(str(path), MIB, force=True)
    assert path.read_bytes() == bytes(MIB)
    assert not files.inspect(str(path)).has_data


def test_zeros_are_no_data_and_one_other_byte_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bdev"
    path.write_bytes(bytes(3 * MIB))
    assert not files.inspect(str(path)).has_data
    with path.open("r+b") as file:
        file.seek(3 * MIB - 1)
        file.write(b"x")
    assert files.inspect(str(path)).has_data
    path.write_bytes(bytes(3 * MIB))
    monkeypatch.setattr(files, "READ_LIMIT", 2 * MIB)
    assert files.inspect(str(path)).has_data


def test_data_behind_holes_is_found(tmp_path: Path) -> None:
    path = tmp_path / "bdev"
    with path.open("wb") as file:
        file.truncate(8 * MIB)
        os.pwrite(file.fileno(), bytes(4096), 2 * MIB)
        os.pwrite(file.fileno(), b"x", 6 * MIB)
    assert files.inspect(str(path)).has_data


def test_a_half_made_file_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "bdev"
    with path.open("wb") as file:
        files.allocate(file.fileno(), 0, MIB // 2)
    assert files.create(str(path), MIB, force=False)
    assert path.stat().st_size == MIB


def test_a_file_that_is_too_large_is_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / "bdev"
    files.create(str(path), 2 * MIB, force=False)
    assert files.create(str(path), MIB, force=False)
    assert path.stat().st_size == MIB


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_without_fallocate_the_size_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def unsupported(_descriptor: int, _offset: int, _length: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "allocate", unsupported)
    path = tmp_path / "bdev"
    assert files.create(str(path), MIB, force=False)
    assert path.stat().st_size == MIB


def full(_descriptor: int, offset: int, _length: int) -> None:
    if offset > 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_error_removes_the_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "allocate", full)
    monkeypatch.setattr(files, "CHUNK", MIB // 4)
    fault = fault_of_create(tmp_path / "bdev")
    assert fault.code == codes.BDEV_FORMAT_FAILURE
    assert "No space" in fault.description
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_an_old_file_without_data_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bdev"
    with path.open("wb") as file:
        file.truncate(12345)
    monkeypatch.setattr(files, "allocate", full)
    monkeypatch.setattr(files, "CHUNK", MIB // 4)
    fault_of_create(path)
    assert path.stat().st_size == 12345


def test_a_forced_error_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bdev").write_bytes(b"data")
    monkeypatch.setattr(files, "allocate", full)
    monkeypatch.setattr(files, "CHUNK", MIB // 4)
    fault_of_create(tmp_path / "bdev", force=True)
    assert list(tmp_path.iterdir()) == []


def test_stopping_undoes_the_file(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, _total: int) -> None:
        if done:
            raise StopError

    with pytest.raises(StopError):
        files.create(str(tmp_path / "bdev"), MIB, force=False, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_fit_is_refused_before_its_data_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "bdev"
    path.write_bytes(b"data")
    fault = fault_of_create(path, 1 << 60, force=True)
    assert fault.code == codes.BDEV_FORMAT_FAILURE
    assert "free" in fault.description
    assert path.read_bytes() == b"data"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("bdev", codes.STORAGE_PATH_INVALID),
        ("/", codes.STORAGE_PATH_INVALID),
        ("/tmp/..", codes.STORAGE_PATH_INVALID),  # noqa: S108
        ("/nonexistent/bdev", codes.STORAGE_DIRECTORY_UNUSABLE),
        ("/proc/self/status/bdev", codes.STORAGE_DIRECTORY_UNUSABLE),
    ],
)
def test_paths_that_cannot_be_files(path: str, code: int) -> None:
    assert fault_of_create(path).code == code
    problem = files.inspect(path).problem
    assert problem is not None
    assert problem.code == code


@pytest.mark.parametrize("size", [0, 4095])
def test_a_file_needs_a_size(tmp_path: Path, size: int) -> None:
    assert fault_of_create(tmp_path / "bdev", size).code == codes.BDEV_FORMAT_FAILURE


@pytest.mark.parametrize("kind", ["symlink", "dangling", "fifo", "directory", "hardlink", "device"])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_file_of_ours_is_refused_and_untouched(tmp_path: Path, kind: str, force: bool) -> None:
    path, other = tmp_path / "bdev", tmp_path / "other"
    other.write_bytes(b"precious")
    match kind:
        case "symlink":
            path.symlink_to(other)
        case "dangling":
            path.symlink_to(tmp_path / "nowhere")
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "hardlink":
            path.hardlink_to(other)
        case _:
            path = Path("/dev/null")
    before = sorted(tmp_path.iterdir())
    assert fault_of_create(path, force=force).code == codes.STORAGE_FILE_UNUSABLE
    problem = files.inspect(str(path)).problem
    assert problem is not None
    assert problem.code == codes.STORAGE_FILE_UNUSABLE
    assert other.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == before


def test_a_swapped_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "bdev"

    def swap(done: int, _total: int) -> None:
        if done:
            path.unlink()
            path.write_bytes(b"somebody else's")
            raise OSError(errno.EIO, "broken")

    with pytest.raises(Fault):
        files.create(str(path), MIB, force=False, progress=swap)
    assert path.read_bytes() == b"somebody else's"


# Metadata folders


def test_folders_are_made_and_old_content_goes(tmp_path: Path) -> None:
    data = tmp_path / "daos_control"
    (data / "engine0/deep/er").mkdir(parents=True)
    (data / "engine0/deep/file").write_text("old")
    (data / "link").symlink_to(tmp_path)
    (data / "dangling").symlink_to("/nowhere")
    os.mkfifo(data / "fifo")
    (tmp_path / "kept").write_text("kept")
    for _ in range(2):
        folders.make_folders(str(tmp_path), str(data), (0, 1), force=True)
        assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
            "daos_control",
            "daos_control/engine0",
            "daos_control/engine1",
            "kept",
        ]
    assert {path.stat().st_mode & 0o7777 for path in (data, data / "engine0")} == {0o755}


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        folders.make_folders(str(tmp_path), str(tmp_path / "daos_control"), (0,))
        assert folders.make_root(str(tmp_path / "a/b")) is True
        nvme_conf.write(str(tmp_path / "daos_nvme.conf"), "{}")
    finally:
        os.umask(before)
    assert (tmp_path / "daos_control/engine0").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "a/b").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "daos_nvme.conf").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("data", ["{0}x/daos_control", "{0}/../daos_control", "/etc/daos_control", "{0}/a/b", "{0}"])
def test_data_outside_the_root_is_refused(tmp_path: Path, data: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(Fault) as caught:
        folders.make_folders(str(root), data.format(root), (0,))
    assert caught.value.code == codes.STORAGE_PATH_INVALID


@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_something_else_in_the_place_of_the_data_folder_is_refused(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    root = tmp_path / "root"
    root.mkdir()
    data = root / "daos_control"
    if kind == "symlink":
        data.symlink_to(victim)
    else:
        data.touch()
    with pytest.raises(Fault):
        folders.make_folders(str(root), str(data), (0,))
    assert (victim / "precious").exists()


def test_a_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    with pytest.raises(Fault):
        folders.make_folders(str(tmp_path / "root"), str(tmp_path / "root/daos_control"), (0,))


def test_files_in_old_content_stay_without_force(tmp_path: Path) -> None:
    data = tmp_path / "daos_control"
    (data / "engine0").mkdir(parents=True)
    (data / "old/empty").mkdir(parents=True)
    superblock = data / "engine0/superblock"
    superblock.write_text("precious")
    with pytest.raises(Fault) as caught:
        folders.make_folders(str(tmp_path), str(data), (0,))
    assert (caught.value.code, caught.value.object) == (codes.STORAGE_ALREADY_FORMATTED, str(superblock))
    assert superblock.read_text() == "precious"
    superblock.unlink()
    folders.make_folders(str(tmp_path), str(data), (0,))
    assert sorted(path.name for path in data.rglob("*")) == ["engine0"]


def test_content_that_is_too_deep_is_refused_before_anything_is_removed(tmp_path: Path) -> None:
    data = tmp_path / "daos_control"
    (data / "/".join("d" * 70)).mkdir(parents=True)
    (data / "first").touch()
    with pytest.raises(Fault) as caught:
        folders.make_folders(str(tmp_path), str(data), (0,), force=True)
    assert caught.value.code == codes.STORAGE_DIRECTORY_UNUSABLE
    assert (data / "first").exists()


def test_a_root_is_made_once(tmp_path: Path) -> None:
    assert folders.make_root(str(tmp_path / "a/b/c")) is True
    assert folders.make_root(str(tmp_path / "a/b/c")) is False
    (tmp_path / "file").touch()
    with pytest.raises(Fault) as caught:
        folders.make_root(str(tmp_path / "file"))
    assert caught.value.code == codes.STORAGE_DIRECTORY_UNUSABLE


def test_the_nearest_existing_folder(tmp_path: Path) -> None:
    assert existing_ancestor(str(tmp_path / "a/b/c")) == str(tmp_path)
    assert existing_ancestor(str(tmp_path)) == str(tmp_path)


# Whole files


def test_a_configuration_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "daos_nvme.conf"
    assert nvme_conf.write(str(path), "{}")
    inode = path.stat().st_ino
    assert not nvme_conf.write(str(path), "{}")
    assert path.stat().st_ino == inode
    assert nvme_conf.write(str(path), "[]")
    assert nvme_conf.read(str(path)) == "[]"
    assert [entry.name for entry in tmp_path.iterdir()] == ["daos_nvme.conf"]


def test_a_temporary_file_of_a_killed_run_goes_even_if_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "daos_nvme.conf"
    nvme_conf.write(str(path), "{}")
    (tmp_path / "daos_nvme.conf.new").write_text("half")
    assert not nvme_conf.write(str(path), "{}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["daos_nvme.conf"]


def test_links_in_the_way_are_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place = tmp_path / "engine0"
    place.mkdir()
    (place / "daos_nvme.conf").symlink_to(victim)
    (place / "daos_nvme.conf.new").symlink_to(victim)
    assert nvme_conf.write(str(place / "daos_nvme.conf"), "{}")
    assert victim.read_text() == "precious"
    assert not (place / "daos_nvme.conf").is_symlink()


def test_a_folder_that_is_a_link_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for folder in ("link", "missing"):
        with pytest.raises(Fault) as caught:
            nvme_conf.write(str(tmp_path / folder / "daos_nvme.conf"), "{}")
        assert caught.value.code == codes.STORAGE_DIRECTORY_UNUSABLE


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "daos_nvme.conf").mkdir()
    with pytest.raises(Fault) as caught:
        nvme_conf.write(str(tmp_path / "daos_nvme.conf"), "{}")
    assert caught.value.code == codes.STORAGE_FILE_UNUSABLE
    assert [entry.name for entry in tmp_path.iterdir()] == ["daos_nvme.conf"]


@pytest.mark.parametrize("content", [b"\xff", b"x" * (nvme_conf.SIZE_LIMIT + 1)])
def test_a_configuration_that_is_none_is_not_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "daos_nvme.conf"
    path.write_bytes(content)
    path.chmod(0o644)
    assert nvme_conf.read(str(path)) is None


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("old")

    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="broken"):
        durable.write_atomically(str(tmp_path), "file", b"new", mode=0o600)
    assert (tmp_path / "file").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
