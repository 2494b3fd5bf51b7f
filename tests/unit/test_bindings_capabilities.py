# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Capability names and /proc/<pid>/status."""

from __future__ import annotations

import os
from pathlib import Path

import prctl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daos_bindings.linux import capabilities
from daos_bindings.linux.kernelfiles import MalformedError

pytestmark = pytest.mark.unit

STATUS = """\
Name:\tdaos_server:x
Umask:\t0022
State:\tS (sleeping)
Pid:\t4242
PPid:\t1
Uid:\t998\t998\t998\t998
Gid:\t997\t997\t997\t997
Groups:\t997 1001\x20
VmPeak:\t  228424 kB
Threads:\t2
CapInh:\t0000000000000000
CapPrm:\t000001ffffffffff
CapEff:\t0000000000200000
CapBnd:\t0000010000000001
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
"""


def test_a_real_status() -> None:
    assert capabilities.parse_status(STATUS) == capabilities.ProcessPrivileges(
        pid=4242,
        name="daos_server:x",
        uids=(998, 998, 998, 998),
        gids=(997, 997, 997, 997),
        groups=(997, 1001),
        effective=0x200000,
        permitted=0x1FFFFFFFFFF,
        inheritable=0,
        bounding=0x10000000001,
        ambient=0,
        no_new_privs=True,
        seccomp=2,
        threads=2,
    )


def test_no_groups_and_no_seccomp() -> None:
    found = capabilities.parse_status(STATUS.replace("997 1001 ", " ").replace("Seccomp:\t2\n", ""))
    assert (found.groups, found.seccomp) == ((), 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Uid:\t998\t998\t998\t998", "Uid:\t998\t998\t998"),
        ("Uid:\t998\t998\t998\t998", "Uid:\t998\t998\t998\t-1"),
        ("CapEff:\t0000000000200000", "CapEff:\t200000"),
        ("CapEff:\t0000000000200000", "CapEff:\t0x00000000200000"),
        ("CapEff:\t0000000000200000", "CapEff:\t00000000_0200000"),
        ("CapEff:", "CapBnd:"),
        ("CapEff:", "capeff:"),
        ("Pid:\t4242", "Pid:\t"),
        ("NoNewPrivs:\t1", "NoNewPrivs:\tyes"),
        ("Groups:\t997", "Groups:\tusers"),
    ],
)
def test_a_hostile_status_is_refused(old: str, new: str) -> None:
    assert old in STATUS
    with pytest.raises(MalformedError, match="status"):
        capabilities.parse_status(STATUS.replace(old, new, 1))


def test_own_status_agrees_with_system_calls() -> None:
    found = capabilities.read_status()
    assert found.pid == os.getpid()
    assert found.uids[:3] == os.getresuid()
    assert found.gids[:3] == os.getresgid()
    assert set(found.groups) == set(os.getgroups())
    assert found.no_new_privs == bool(prctl.get_no_new_privs())


def test_names_are_the_kernels() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("no kernel header on this machine: the names cannot be compared with it")
    words = [line.split() for line in header.read_text().splitlines() if line.startswith("#define CAP_")]
    kernels = {word[1]: int(word[2]) for word in words if len(word) == 3 and word[2].isdigit()}
    assert len(kernels) > 30
    assert capabilities.NAMES | kernels == capabilities.NAMES


def test_names_are_those_of_python_prctl() -> None:
    theirs = {name: getattr(prctl, name) for name in capabilities.NAMES if hasattr(prctl, name)}
    assert len(theirs) >= 38
    assert theirs == {name: capabilities.NAMES[name] for name in theirs}


def test_last_capability_is_what_the_kernel_answers_for() -> None:
    assert capabilities.last_capability() == capabilities._last_by_asking()
    assert capabilities.last_capability() >= 40  # CAP_CHECKPOINT_RESTORE, Linux 5.9


def test_a_number_without_a_name() -> None:
    assert capabilities.name(21) == "CAP_SYS_ADMIN"
    assert capabilities.name(41) == "CAP_41"
    with pytest.raises(KeyError):
        capabilities.mask(["CAP_41"])


@given(st.sets(st.sampled_from(sorted(capabilities.NAMES))))
def test_masks_and_names_are_two_ways_to_say_it(chosen: set[str]) -> None:
    assert set(capabilities.names(capabilities.mask(chosen))) == chosen
