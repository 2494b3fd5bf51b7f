# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``support collect-log`` of an installed system: what root and what the account can collect, and that no secret is in it."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import ROOT, Caller
from installed import Installation, new_root

SECRET = "swordfish"  # noqa: S105 (that is the point)
CONFIG = """
provider: ofi+tcp
fabric_auth_key: {secret}
control_log_file: {folder}/control.log
engines:
- targets: 2
  fabric_iface: lo
  fabric_iface_port: 31416
  fabric_auth_key: {secret}
  env_vars: [D_LOG_MASK=INFO, PROVIDER_PASSWORD={secret}]
  storage:
  - {{class: dcpm, scm_mount: /mnt/daos, scm_list: [/dev/pmem0]}}
"""


@pytest.fixture
def place(installation: Installation) -> Iterator[Path]:
    """A folder of the account's, with a configuration and a log in it."""
    folder = new_root("support")
    (folder / "daos_server.yml").write_text(CONFIG.format(secret=SECRET, folder=folder))
    (folder / "control.log").write_text(f"2026-01-01 00:00:00 key {SECRET}\n")
    os.chown(folder, installation.account.uid, installation.account.gid)
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def collect(installation: Installation, caller: Caller, place: Path) -> tuple[list[str], Path]:
    """Collect into an archive as this caller; return the names of what was collected and the archive's path."""
    command: list[str | Path] = [
        installation.server,
        "-o",
        place / "daos_server.yml",
        "support",
        "collect-log",
        "-z",
        "-t",
        place / "made",
        "--json",
    ]
    done = caller.run(command, environment={"PATH": "/usr/bin", "AWS_SECRET_ACCESS_KEY": SECRET, "D_LOG_MASK": "DEBUG"})
    assert done.returncode == 0, done.stderr
    response = json.loads(done.stdout)["response"]
    assert response["folder"] is None
    return response["collected"], Path(response["archive"])


@pytest.mark.parametrize("who", ["root", "account"])
def test_one_private_archive_without_secrets(who: str, installation: Installation, place: Path) -> None:
    caller = ROOT if who == "root" else installation.account
    names, path = collect(installation, caller, place)
    assert sorted(each.name for each in place.iterdir()) == ["control.log", "daos_server.yml", "made.tar.gz"]
    found = path.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (caller.uid, 0o600)
    with tarfile.open(path) as archive:
        assert {member.mode for member in archive if member.isdir()} == {0o700}
        assert {member.mode for member in archive if member.isfile()} == {0o600}
        files = {member.name.partition("/")[2]: read(archive, member) for member in archive if member.isfile()}
    assert SECRET.encode() not in b"".join(files.values())
    assert {"summary.txt", *names} <= files.keys()
    assert files["daos/version.txt"].startswith(b"DAOS Control Server version ")
    assert json.loads(files["daos/doctor.json"])["response"]
    assert json.loads(files["daos/config.json"])["error"] is None
    assert b"NUMA Node 0" in files["daos/topology.txt"]
    assert files["logs/control/control.log"] == b"2026-01-01 00:00:00 key (hidden)\n"
    assert b"AWS_SECRET_ACCESS_KEY=(hidden)\n" in files["system/printenv.txt"]
    assert b"D_LOG_MASK=DEBUG\n" in files["system/printenv.txt"]
    if who == "root":
        assert "system/dmesg.txt" in files


def read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()
