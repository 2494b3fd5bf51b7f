# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``start`` of an installed system, with a fabric interface of its own in a network namespace of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import Installation, new_root

from daos_pbin import codes

CONFIG = """
provider: ofi+tcp
socket_dir: {folder}
access_points: [192.0.2.7]
engines:
- targets: 2
  fabric_iface: daos-a
  fabric_iface_port: 31416
  storage:
  - {{class: dcpm, scm_mount: /mnt/daos, scm_list: [/dev/pmem0]}}
"""
WORLD = """
set -e
mount --make-rprivate /
mount -t sysfs none /sys
ip link set lo up
ip link add daos-a type veth peer name daos-b
ip address add 192.0.2.7/24 dev daos-a
ip link set daos-b up
ip link set daos-a {state}
exec "$@"
"""
"""sysfs shows the interfaces of the namespace that it was mounted in."""


@pytest.fixture
def config() -> Iterator[Path]:
    """A configuration that everybody may read."""
    folder = new_root("start")
    path = folder / "daos_server.yml"
    path.write_text(CONFIG.format(folder=folder))
    yield path
    path.unlink()
    folder.rmdir()


def start(installation: Installation, config: Path, *options: str, state: str = "up") -> subprocess.CompletedProcess[str]:
    """Start as root, in namespaces of its own."""
    program = [str(installation.server), "start", "-o", str(config), *options]
    return subprocess.run(
        ["/usr/bin/unshare", "--net", "--mount", "/bin/sh", "-c", WORLD.format(state=state), "sh", *program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def test_a_start_looks_at_everything_and_ends_with_what_it_does_not_do(installation: Installation, config: Path) -> None:
    done = start(installation, config, "-t", "4")
    assert done.returncode == 1
    assert f"code = {codes.SERVER_COMMAND_NOT_BUILT} " in done.stderr, done.stderr
    assert "access points: 192.0.2.7:10001 (192.0.2.7)\n" in done.stdout
    assert "fabric interfaces: daos-a (192.0.2.7" in done.stdout
    assert "daos-a (ofi+tcp)" in done.stdout
    assert "engine 0: " in done.stdout


def test_an_interface_that_is_down_ends_the_start(installation: Installation, config: Path) -> None:
    done = start(installation, config, state="down")
    assert done.returncode == 1
    assert f"code = {codes.SERVER_COMMAND_NOT_BUILT} " not in done.stderr
    assert "daos-a" in done.stderr


def test_ms_compares_addresses(installation: Installation, config: Path) -> None:
    program = [str(installation.server), "ms", "status", "-o", str(config)]
    here = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert f"code = {codes.SERVER_NOT_REPLICA} " in here.stderr
