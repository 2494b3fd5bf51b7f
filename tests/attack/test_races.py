# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Paths that change under the helper's hands: the account owns a folder of the path and swaps what is in it, as fast as it can."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import TIMEOUT_S
from hostile import Hostile, OpenSession, Watch, fault_code, request, unmount_below
from installed import Installation

from daos_pbin import codes

RAM = {"size_gib": 1}
SWAPS = 150_000

SWAPPER = """
import ctypes, os, sys
first, second, count = sys.argv[1].encode(), sys.argv[2].encode(), int(sys.argv[3])
rename = ctypes.CDLL(None, use_errno=True).renameat2
done = 0
sys.stdout.write("ready\\n")
sys.stdout.flush()
for _ in range(count):
    done += rename(-100, first, -100, second, 2) == 0
print(done)
"""
"""Exchanges two names (RENAME_EXCHANGE: there is no moment without either) that many times; counts those that the kernel allowed."""


@pytest.fixture
def outside(installation: Installation) -> Iterator[Path]:
    """A folder beside the mount root, with everything in it that a target needs."""
    folder = installation.root / "outside"
    (folder / "target").mkdir(parents=True)
    (folder / "target").chmod(0o755)
    yield folder
    unmount_below(folder)
    shutil.rmtree(folder)


@pytest.fixture
def theirs(installation: Installation) -> Iterator[Path]:
    """A folder of the account's outside the mount root, on the same file system as the mount root."""
    folder = installation.root / "theirs"
    folder.mkdir()
    os.chown(folder, installation.account.uid, installation.account.gid)
    yield folder
    unmount_below(folder)
    shutil.rmtree(folder)


def as_account(installation: Installation, *paths: Path) -> None:
    """Make folders that belong to the account."""
    for path in paths:
        path.mkdir()
        os.chown(path, installation.account.uid, installation.account.gid)


def mount_points() -> list[str]:
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]


def race(
    installation: Installation, interpreter: str, session: Hostile, names: tuple[Path, Path], requests: list[tuple[str, dict[str, object]]]
) -> tuple[int, set[int]]:
    """Send the requests over and over while the account swaps the names.

    :returns: how many swaps the kernel allowed, and the fault codes that were answered (0 for a result).
    """
    command = [interpreter, "-I", "-S", "-B", "-c", SWAPPER, str(names[0]), str(names[1]), str(SWAPS)]
    swapper = installation.account.start(command)
    assert swapper.stdout is not None
    assert swapper.stdout.readline() == b"ready\n"
    seen: set[int] = set()
    identifier = 1000
    while swapper.poll() is None:
        for method, payload in requests:
            identifier += 1
            session.send(request(identifier, method, payload))
            answer = session.answer(identifier)
            seen.add(fault_code(answer))
    out, errors = swapper.communicate(timeout=TIMEOUT_S)
    assert errors == b""
    return int(out), seen


def storm(path: Path) -> list[tuple[str, dict[str, object]]]:
    """Every method that mounts on, makes, or unmounts a path without a device."""
    return [
        ("ScmFormat", {"mountpoint": str(path), "ramdisk": RAM, "force": True}),
        ("ScmUnmount", {"target": str(path)}),
        ("MetadataFormat", {"root_path": str(path)}),
        ("ScmMount", {"target": str(path), "ramdisk": RAM}),
        ("MetadataNeedsFormat", {"root_path": str(path)}),
        ("ScmUnmount", {"target": str(path)}),
    ]


def format_scm(session: Hostile, path: Path) -> None:
    session.send(request(1, "ScmFormat", {"mountpoint": str(path), "ramdisk": RAM}))
    assert fault_code(session.answer(1)) == 0


def ends_well(session: Hostile) -> None:
    _, ending = session.end()
    assert (ending.status, ending.errors) == (0, b"")


@pytest.mark.parametrize("where", ["last", "middle"])
@pytest.mark.parametrize("bait", ["outside", "/etc"])
def test_folder_that_turns_into_a_link_leads_nowhere(
    installation: Installation, system_interpreter: str, base: Path, outside: Path, open_session: OpenSession, where: str, bait: str
) -> None:
    session = open_session()
    session.hello()
    scm = base / "scm"
    format_scm(session, scm)
    folder, link = scm / "folder", scm / "link"
    target = folder / "target"
    goal = outside if bait == "outside" else Path("/etc")
    as_account(installation, folder, target)
    if where == "middle":
        names = (folder, link)
        link.symlink_to(goal)
    else:
        names = (target, folder / "link")
        (folder / "link").symlink_to(goal / "target" if bait == "outside" else goal)
    watch = Watch(installation, base)
    watch.start()
    swaps, seen = race(installation, system_interpreter, session, names, storm(target))
    assert watch.changes() == []
    assert swaps > 50, "the race took place, although what is mounted on is not renamed"
    assert codes.STORAGE_PATH_UNSAFE in seen, "the link was met"
    assert 0 in seen, "and so was the folder"
    ends_well(session)


def test_mount_point_that_is_exchanged_for_another_folder(
    installation: Installation, system_interpreter: str, base: Path, watch: Watch, open_session: OpenSession
) -> None:
    session = open_session()
    session.hello()
    scm = base / "scm"
    format_scm(session, scm)
    as_account(installation, scm / "one", scm / "one" / "target", scm / "two", scm / "two" / "target")
    swaps, seen = race(installation, system_interpreter, session, (scm / "one", scm / "two"), storm(scm / "one" / "target"))
    assert swaps == SWAPS
    assert 0 in seen
    assert all(point.startswith(f"{scm}/") for point in mount_points() if point.startswith(f"{base}/") and point != str(scm))
    ends_well(session)
    assert watch.changes() == []


def test_folder_of_the_account_cannot_carry_a_mount_out_of_the_root(
    installation: Installation, system_interpreter: str, base: Path, theirs: Path, open_session: OpenSession
) -> None:
    session = open_session()
    session.hello()
    session.send(request(1, "MetadataFormat", {"root_path": f"{base}/metadata"}))
    assert fault_code(session.answer(1)) == 0
    inside, away = base / "metadata" / "folder", theirs / "folder"
    as_account(installation, inside, inside / "target", away, away / "target")
    swaps, seen = race(installation, system_interpreter, session, (inside, away), storm(inside / "target"))
    assert swaps == SWAPS
    assert not [point for point in mount_points() if point.startswith(f"{theirs}/")]
    assert codes.STORAGE_PATH_UNSAFE in seen
    assert seen <= {0, codes.STORAGE_PATH_UNSAFE}
    session.send(request(2, "ScmFormat", {"mountpoint": str(inside / "target"), "ramdisk": RAM}))
    refused = session.answer(2)
    assert fault_code(refused) == codes.STORAGE_PATH_UNSAFE
    assert str(base / "metadata") in str(refused)
    ends_well(session)
