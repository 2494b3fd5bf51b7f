# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Persistent memory from bare modules to a mounted file system and back, by the installed command line: ndctl and the kernel are
real, libipmctl is played.

The stand-in lies over the library for the whole guest: what a command mounts must be seen by the next.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import pytest
from installed import Installation
from nvdimms import clear, listing
from pmem_session import library, machine
from pmem_world import Machine, modules

from daos_bindings.linux import mounts
from daos_pbin import codes
from daos_pbin.messages import Dcpm, ScmFormat, ScmMount
from daos_pbin.plain import PlainSession

pytestmark = pytest.mark.guest("iommu")

SOCKETS = (0, 1)
PLACES = ("/mnt/daos0", "/mnt/daos1")
KEPT = "kept over an unmount"
HEAD = """
name: daos_server
access_points: ['localhost']
provider: ofi+tcp
transport_config: {allow_insecure: true}
engines:
"""
ENGINE = """
- targets: 1
  nr_xs_helpers: 0
  pinned_numa_node: %(node)d
  fabric_iface: lo
  fabric_iface_port: %(port)d
  log_file: /tmp/engine%(node)d.log
  storage:
  - {class: dcpm, scm_mount: %(mount)s, scm_list: [%(device)s]}
"""
OPTIONS = {"rw", "noatime", "nosuid", "nodev", "noexec", "nodelalloc"}
"""Of every such mount, beside dax: those of the reference, and ours."""
FEATURES = {"flex_bg", "sparse_super2", "has_journal", "extent"}
WITHOUT = {"uninit_bg", "resize_inode", "extra_isize", "metadata_csum"}
SIZES = {
    "Block size": "4096",
    "Inode size": "128",
    "Reserved block count": "0",
    "Flex block group size": "128",
    "Filesystem volume name": "daos",
}
"""What dumpe2fs says of every such file system."""


@dataclass(frozen=True)
class Commands:
    """The installed command line, run as the account.

    :param played: what stands in for libipmctl.
    :param devices: of the namespaces, in the order of the engines.
    """

    installation: Installation
    played: Machine
    devices: tuple[str, ...]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        config = os.fspath(self.installation.root / "pmem.yml")
        words = [*self.installation.account.become, os.fspath(self.installation.server), *arguments, "-o", config]
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=280)

    def done(self, *arguments: str) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def response(self, *arguments: str) -> object:
        """Run a command that must succeed, and return its JSON."""
        return json.loads(self.done(*arguments, "--json"))["response"]

    def as_account(self, words: str) -> str:
        """Run a shell's words as the account."""
        command = [*self.installation.account.become, "/bin/sh", "-ec", words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def restart(self) -> None:
        """Do what the firmware does with goals at the start of a machine: the regions are the kernel's, here one NVDIMM each."""
        regions = [f"region {one.numa_node} {one.iset_id} 1 {one.size} kernel 1" for one in listing().regions]
        self.played.describe([*modules(*SOCKETS), *regions])

    def strip(self) -> None:
        """Take the regions away from the firmware's view."""
        self.played.describe(modules(*SOCKETS))


@pytest.fixture(scope="module")
def all_of_it(installation: Installation) -> Iterator[Commands]:
    clear()
    # The kernel numbers regions in another order at every boot: which engine is near to which is looked up.
    nodes = {one.numa_node: f"/dev/pmem{one.dev.removeprefix('region')}" for one in listing().regions}
    devices = tuple(nodes[node] for node in SOCKETS)
    config = installation.root / "pmem.yml"
    places = zip(SOCKETS, PLACES, devices, strict=True)
    engines = [ENGINE % {"node": node, "port": 31416 + 1000 * node, "mount": mount, "device": device} for node, mount, device in places]
    config.write_text("".join((HEAD, *engines)))
    config.chmod(0o644)
    with machine() as played:
        subprocess.run(["/usr/bin/mount", "--bind", os.fspath(played.library), library()], check=True)
        yield Commands(installation, played, devices)
        subprocess.run(["/usr/bin/umount", library()], check=True)


@pytest.fixture
def commands(all_of_it: Commands) -> Iterator[Commands]:
    """The commands; at the end nothing is mounted and there are no namespaces.  What the product wrote down stays."""
    yield all_of_it
    for place in PLACES:
        if mounted(place) is not None:
            subprocess.run(["/usr/bin/umount", place], check=True)
    clear()


def mounted(place: str) -> mounts.Mount | None:
    return next((one for one in mounts.read() if one.mount_point == place), None)


def check_mounts(devices: tuple[str, ...]) -> None:
    """Check that the file systems are mounted as the reference has them."""
    for place, device in zip(PLACES, devices, strict=True):
        found = mounted(place)
        assert found is not None, place
        assert (found.fs_type, found.source) == ("ext4", device)
        assert {*found.options, *found.super_options} >= OPTIONS
        assert {"dax", "dax=always"} & set(found.super_options), found.super_options


def check_file_system(device: str) -> None:
    """Check what mke2fs was asked for by what it made."""
    listed = subprocess.run(["/usr/sbin/dumpe2fs", "-h", device], check=True, capture_output=True, text=True).stdout
    values = {name: value.strip() for name, _, value in (line.partition(":") for line in listed.splitlines())}
    assert {name: values[name] for name in SIZES} == SIZES
    features = set(values["Filesystem features"].split())
    assert features >= FEATURES
    assert not features & WITHOUT


def format_all(commands: Commands, turn: str) -> None:
    """Make the file systems.  A reset erases nothing: the second time the old ones are found, and go by consent only."""
    if turn == "again":
        refused = commands.run("storage", "format")
        assert refused.returncode == 1
        assert f"code = {codes.STORAGE_ALREADY_FORMATTED} " in refused.stderr
    commands.done("storage", "format", *(["--force"] if turn == "again" else []))


@pytest.mark.long
@pytest.mark.parametrize("turn", ["once", "again"])
def test_from_bare_modules_to_data_and_back(commands: Commands, turn: str) -> None:
    """Both turns are the same: nothing that the first leaves on record is in the way of the second."""
    commands.strip()
    assert "Reboot this machine" in commands.done("scm", "prepare", "--force")
    assert len(commands.played.lines("goal")) == 4
    commands.restart()
    made = cast("list[dict[str, object]]", commands.response("scm", "prepare", "--force"))
    assert sorted(f"/dev/{one['blockdev']}" for one in made) == sorted(commands.devices)
    assert {(one["numa_node"], one["mount"]) for one in made} == {(0, None), (1, None)}
    format_all(commands, turn)
    check_mounts(commands.devices)
    for device in commands.devices:
        check_file_system(device)
    scanned = cast("list[dict[str, dict[str, object]]]", commands.response("scm", "scan"))
    assert {one["mount"]["path"] for one in scanned} == set(PLACES)
    for place in PLACES:
        assert commands.as_account(f"ls {place}/data || true") == "", "a file of the file system before"
        commands.as_account(f"echo '{KEPT}' > {place}/data; sync {place}/data")
    commands.done("storage", "reset", "--force")
    assert [mounted(place) for place in PLACES] == [None, None]
    with PlainSession(commands.installation.helper_of_account) as helper:
        for place, device in zip(PLACES, commands.devices, strict=True):
            helper.call(ScmMount(place, dcpm=Dcpm(device)))
    check_mounts(commands.devices)
    for place in PLACES:
        assert commands.as_account(f"cat {place}/data") == f"{KEPT}\n"
    gone = commands.done("scm", "reset", "--force")
    assert "The namespaces are removed" in gone
    assert [mounted(place) for place in PLACES] == [None, None]
    assert listing().namespaces == ()
    assert len(commands.played.lines("goal")) == 4


@pytest.mark.long
def test_what_is_busy_is_not_reset(commands: Commands) -> None:
    """A mount of ours goes with its namespace, but not while somebody works there."""
    commands.restart()
    commands.done("scm", "prepare", "--force")
    with PlainSession(commands.installation.helper_of_account) as helper:
        helper.call(ScmFormat(PLACES[0], force=True, dcpm=Dcpm(commands.devices[0])), deadline_s=200)
    before = listing().namespaces
    with subprocess.Popen(["/usr/bin/sleep", "infinity"], cwd=PLACES[0]) as somebody:
        try:
            refused = commands.run("scm", "reset", "--force")
        finally:
            somebody.kill()
    assert refused.returncode == 1
    assert f"code = {codes.STORAGE_MOUNT_BUSY} " in refused.stderr, refused.stderr
    assert listing().namespaces == before
    assert mounted(PLACES[0]) is not None
    asked = commands.run("scm", "reset")
    assert (asked.returncode, listing().namespaces) == (1, before)
    assert f"mounted on {PLACES[0]}" in asked.stderr + asked.stdout
    assert f"code = {codes.SERVER_CONSENT_MISSING} " in asked.stderr
    commands.done("scm", "reset", "--force")
    assert listing().namespaces == ()


def test_a_region_that_cannot_be_divided_so(commands: Commands) -> None:
    """A third of 128 MiB is no multiple of 16."""
    commands.restart()
    refused = commands.run("scm", "prepare", "--force", "-S", "3", "--json")
    assert refused.returncode == 1
    answer = json.loads(refused.stdout)
    assert f"code = {codes.SCM_REGION_NOT_DIVISIBLE} " in answer["error"]
    assert answer["response"]["outcome"] == "refused"
    assert listing().namespaces == ()
