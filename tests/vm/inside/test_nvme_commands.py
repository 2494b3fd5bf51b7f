# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The nvme and storage commands on twelve emulated controllers: in any order, over SSDs in use, killed, with SSDs pulled out."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

import pytest
from hostile import helper_processes
from installed import Installation
from vmlab.disks import cleaned, empty
from vmlab.spec import IOMMU
from vmlab.waiting import until

from daos_bindings.linux import pci
from daos_pbin import codes

pytestmark = pytest.mark.guest("iommu")

TURNS = 4
"""Kills of prepare, and as many of reset: a command takes ten seconds in an emulated machine that has to share its processors."""
PMEM = ("/dev/pmem0", "/dev/pmem1")
SCM = ("/mnt/daos0", "/mnt/daos1")
HEAD = """
name: daos_server
access_points: ['localhost']
provider: ofi+tcp
transport_config: {allow_insecure: true}
nr_hugepages: 16
engines:
"""
ENGINE = """
- targets: 1
  nr_xs_helpers: 0
  pinned_numa_node: %(index)d
  fabric_iface: lo
  fabric_iface_port: %(port)d
  log_file: /tmp/engine%(index)d.log
  storage:
  - {class: dcpm, scm_mount: %(mount)s, scm_list: [%(pmem)s]}
  - {class: nvme, bdev_list: %(ssds)s}
"""


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    response: dict[str, object]
    err: str

    @property
    def rows(self) -> dict[str, dict[str, object]]:
        """The rows of the answer, by what they are about."""
        return {str(row["subject"]): row for row in cast("list[dict[str, object]]", self.response["rows"] or [])}

    def outcomes(self, addresses: tuple[str, ...]) -> set[object]:
        """What became of these SSDs."""
        return {self.rows[address]["outcome"] for address in addresses}

    def code_of(self, address: str) -> object:
        """The code of the fault of an SSD."""
        fault = cast("dict[str, object] | None", self.rows[address]["fault"])
        return None if fault is None else fault["code"]


class Commands:
    """The command line of an installation; each command in a process of its own that has imported it all before."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.config = installation.root / "nvme.yml"
        self.out = Path(tempfile.mkdtemp(dir="/run"))

    def start(self, *arguments: str) -> int:
        """Start a command and return its process id."""
        pid = os.fork()
        if pid:
            return pid
        try:
            for number in (1, 2):
                os.dup2(os.open(self.out / str(number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
            sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115 (pytest's are in their place)
            from daos_server.cli.run import run
            from daos_server.installation import Installation as Where

            layout = self.installation.layout
            where = Where.under(layout.prefix, sysconfdir=layout.sysconfdir, localstatedir=layout.localstatedir)
            code = run([*arguments, "-o", str(self.config), "--json"], where)
            sys.stderr.flush()
            os._exit(code)
        finally:
            os._exit(70)

    def end(self, pid: int) -> Done:
        """Wait for a command."""
        _, status = os.waitpid(pid, 0)
        text = (self.out / "1").read_text()
        found = json.loads(text)["response"] if text else {}
        response = found if isinstance(found, dict) else {"ssds": found}
        return Done(os.waitstatus_to_exitcode(status), response, (self.out / "2").read_text())

    def run(self, *arguments: str) -> Done:
        """Run a command to its end."""
        return self.end(self.start(*arguments))


def addresses() -> tuple[str, ...]:
    return tuple(str(function.address) for function in pci.scan().controllers)


def drivers() -> list[str]:
    return [function.driver for function in pci.scan().controllers]


def namespace(address: str) -> str:
    """Return the path of the first namespace of a controller."""
    function = pci.scan().find(address)
    assert function is not None
    assert function.controller is not None
    return function.controller.namespaces[0].path


def is_whole() -> bool:
    """Whether the kernel's driver has every controller, with all namespaces."""
    found = pci.scan().controllers
    whole = (one.controller is not None and len(one.controller.namespaces) == 2 and not one.driver_override for one in found)
    return len(found) == len(IOMMU.controllers) and all(whole)


def tool(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.fixture(scope="module")
def all_of_it(installation: Installation) -> Commands:
    import daos_server.cli.execute
    import daos_server.cli.nvme
    import daos_server.config.load  # noqa: F401 (imported once, not by every command)

    tool("/sbin/modprobe", "vfio-pci")
    until(is_whole, "all controllers are there")
    commands = Commands(installation)
    ssds = addresses()
    text = HEAD
    for index in range(2):
        own = list(ssds[index * 6 : index * 6 + 6])
        text += ENGINE % {"index": index, "port": 31416 + 1000 * index, "mount": SCM[index], "pmem": PMEM[index], "ssds": json.dumps(own)}
    commands.config.write_text(text)
    commands.config.chmod(0o644)
    return commands


@pytest.fixture
def commands(all_of_it: Commands) -> Iterator[Commands]:
    """The commands; at the end everything is as it was."""
    until(is_whole, "all controllers are there")
    for path in PMEM:
        empty(path)
    yield all_of_it
    all_of_it.run("storage", "reset", "--force")
    (Path(all_of_it.installation.layout.localstatedir) / "lib/daos_server/format.json").unlink(missing_ok=True)
    until(is_whole, "all controllers are back")


def scanned(done: Done) -> dict[str, dict[str, object]]:
    return {str(row["pci_addr"]): row for row in cast("list[dict[str, object]]", done.response["ssds"])}


@pytest.mark.long
def test_format_twice(commands: Commands) -> None:
    ssds = addresses()
    first = commands.run("storage", "format")
    assert first.code == 0, first.err
    assert first.outcomes(ssds) == {"done"}
    for place, mount in enumerate(SCM):
        conf = json.loads(Path(mount, "daos_nvme.conf").read_text())
        devices = [entry["params"].get("traddr") for entry in conf["subsystems"][0]["config"]]
        assert [address for address in devices if address] == list(ssds[place * 6 : place * 6 + 6])
    assert commands.run("storage", "format").code == 1


@pytest.mark.long
def test_prepare_twice_and_reset_twice(commands: Commands) -> None:
    ssds = addresses()
    for outcome in ("done", "already"):
        done = commands.run("storage", "prepare")
        assert (done.code, done.outcomes(ssds)) == (0, {outcome}), done.err
        assert drivers() == ["vfio-pci"] * len(ssds)
    for function in pci.scan().controllers:
        node = os.stat(f"/dev/vfio/{function.iommu_group}")
        assert (node.st_uid, node.st_mode & 0o777) == (commands.installation.account.uid, 0o600)
    done = commands.run("nvme", "reset")
    assert (done.code, done.outcomes(ssds)) == (0, {"done"}), done.err
    until(is_whole, "all controllers are back")
    assert commands.run("nvme", "reset").rows == {}


@pytest.mark.long
def test_scan_by_either_driver(commands: Commands) -> None:
    ssds = addresses()
    found = scanned(commands.run("nvme", "scan"))
    assert list(found) == list(ssds)
    assert sorted(str(row["serial"]) for row in found.values()) == [controller.serial for controller in IOMMU.controllers]
    assert all(row["health_stats"] and row["driver"] == "nvme" for row in found.values())
    assert {row["led_state"] for row in found.values()} == {"NA"}
    assert commands.run("nvme", "prepare", "-p", "8", *ssds[:1]).code == 0
    again = scanned(commands.run("nvme", "scan"))
    assert [row["driver"] for row in again.values()] == ["vfio-pci"] + ["nvme"] * (len(ssds) - 1)
    assert list(again.items())[1:] == list(found.items())[1:]


@pytest.mark.long
def test_what_is_in_use_is_refused_and_the_others_are_done(commands: Commands, tmp_path: Path) -> None:
    mounted, volume, swap, *others = addresses()
    paths = [namespace(address) for address in (mounted, volume, swap)]
    with cleaned(*paths), ExitStack() as undo:
        tool("/usr/sbin/mkfs.ext4", "-q", paths[0])
        tool("/usr/bin/mount", paths[0], str(tmp_path))
        undo.callback(tool, "/usr/bin/umount", str(tmp_path))
        (tmp_path / "kept").write_text("kept")
        tool("/usr/sbin/pvcreate", "-q", "-y", paths[1])
        tool("/usr/sbin/mkswap", paths[2])
        tool("/usr/sbin/swapon", paths[2])
        undo.callback(tool, "/usr/sbin/swapoff", paths[2])
        tool("/usr/bin/mount", "-o", "remount,ro", str(tmp_path))
        before = [hashlib.sha256(Path(path).read_bytes()).digest() for path in paths]
        for command in ("format", "prepare"):
            done = commands.run("storage", command, "--force")
            assert done.code == 1
            assert [done.rows[address]["outcome"] for address in (mounted, volume, swap)] == ["failed"] * 3, done.err
            assert "mounted on" in str(done.rows[mounted]["detail"])
            assert "swap" in str(done.rows[swap]["detail"])
            assert "LVM2_member" in str(done.rows[volume]["detail"])
            assert done.outcomes(tuple(others)) == {"done"}
        assert [hashlib.sha256(Path(path).read_bytes()).digest() for path in paths] == before
        assert drivers() == ["nvme"] * 3 + ["vfio-pci"] * 9
        free = commands.run("nvme", "prepare", "--all", "--ignore-config", "-p", "8")
        assert (free.code, free.outcomes((mounted, volume, swap))) == (0, {"skipped"}), free.err


def has_come_to(pid: int, driver: str, moved: int) -> bool:
    """Whether so many controllers have that driver, or the command has ended."""
    return drivers().count(driver) >= moved or os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.long
def test_a_killed_prepare_or_reset_leaves_no_ssd_without_a_driver(commands: Commands, turn: int) -> None:
    random = Random(turn)  # noqa: S311 (the same points in every run)
    ssds = addresses()
    for name, driver, options in (("prepare", "vfio-pci", ("-p", "8")), ("reset", "nvme", ())):
        moved = random.randrange(1, len(ssds))
        pid = commands.start("nvme", name, *options)
        until(partial(has_come_to, pid, driver, moved), "the command has come so far")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        until(lambda: not helper_processes(commands.installation), "the helper has gone")
        again = commands.run("nvme", name, *options)
        assert again.code == 0, again.err
        assert drivers() == [driver] * len(ssds), again.err
    until(is_whole, "all controllers are back")


@pytest.mark.parametrize("command", ["scan", "prepare", "format"])
@pytest.mark.long
def test_an_ssd_that_is_pulled_out_is_a_row_or_a_fault(commands: Commands, command: str) -> None:
    *others, gone = addresses()
    pid = commands.start("storage" if command != "scan" else "nvme", command)
    until(lambda: helper_processes(commands.installation), "the helper runs")
    Path("/sys/bus/pci/devices", gone, "remove").write_text("1")
    try:
        done = commands.end(pid)
        assert done.code in {0, 1}
        assert "Traceback" not in done.err
        again = commands.run("storage" if command != "scan" else "nvme", command)
        assert again.code == 1
        if command == "format" and done.code == 0:  # it was wiped before it went
            assert f"explain {codes.STORAGE_ALREADY_FORMATTED}" in again.err
        elif command != "scan":
            assert gone in again.rows, done.err + again.err
            assert again.code_of(gone) == codes.BDEV_NOT_FOUND
            assert again.outcomes(tuple(others)) <= {"done", "already"}, again.err
    finally:
        Path("/sys/bus/pci/rescan").write_text("1")
    until(lambda: len(addresses()) == len(others) + 1, "it is plugged in again")
