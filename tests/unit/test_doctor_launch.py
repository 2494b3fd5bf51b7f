# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Doctor: how much memory an engine may lock, by the unit and by this shell; on made-up machines."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from made_up import ACCOUNT, Tree, by_subject, complete, installation, setting

from daos_server.doctor import memlock, units
from daos_server.doctor.finding import Finding
from daos_server.doctor.machine import Setting

NOTHING = Setting(installation())
SSD = '"0000:81:00.0"'
NEEDED = 8 << 30
UNLIMITED = resource.RLIM_INFINITY
UNIT = "usr/lib/systemd/system/daos_server.service"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "machine")
    made.write("proc/self/cgroup", "0::/user.slice/user-0.slice/session-1.scope\n")
    return made


def look(tree: Tree, asked: Setting, hard: int = UNLIMITED) -> dict[str, Finding]:
    return by_subject(memlock.check(tree.machine, asked, read=lambda _: (0, hard)))


@pytest.mark.parametrize(("hard", "verdict"), [(NEEDED - 1, "stops"), (NEEDED, "ok"), (UNLIMITED, "ok")])
def test_the_limit_of_this_shell_is_held_against_the_hugepages(hard: int, verdict: str, tree: Tree, tmp_path: Path) -> None:
    found = look(tree, setting(tmp_path, SSD), hard)
    assert (found["memlock of this launch"].verdict, complete(found["memlock of this launch"])) == (verdict, True)
    assert found["memlock of the unit"].verdict == "ok"


def test_without_a_configuration_only_unlimited_is_enough_for_certain(tree: Tree) -> None:
    assert look(tree, NOTHING, NEEDED)["memlock of this launch"].verdict == "warning"
    assert look(tree, NOTHING)["memlock of this launch"].verdict == "ok"


def test_a_limit_that_nothing_needs_is_ok(tree: Tree, tmp_path: Path) -> None:
    assert look(tree, setting(tmp_path), 1)["memlock of this launch"].verdict == "ok"


def test_with_a_unit_this_shell_is_only_a_warning(tree: Tree, tmp_path: Path) -> None:
    tree.write(UNIT, "[Service]\nLimitMEMLOCK=infinity\n")
    found = look(tree, setting(tmp_path, SSD), 1)
    assert found["memlock of the unit"].verdict == "ok"
    assert found["memlock of this launch"].verdict == "warning"
    assert "the unit does not count here" in found["memlock of this launch"].found


def test_in_the_unit_it_is_the_unit_that_counts(tree: Tree, tmp_path: Path) -> None:
    tree.write("proc/self/cgroup", "0::/system.slice/daos_server.service\n")
    tree.write(UNIT, "[Service]\nLimitMEMLOCK=infinity\n")
    point = look(tree, setting(tmp_path, SSD), 1)["memlock of this launch"]
    assert point.verdict == "stops"
    assert "limits.conf does not count for services" in point.advice


@pytest.mark.parametrize(
    "text", ["[Service]\n", "[Service]\nLimitMEMLOCK=8M\n", "[Unit]\nLimitMEMLOCK=infinity\n", "[Service]\nLimitMEMLOCK=x\n"]
)
def test_a_unit_that_does_not_allow_enough_stops_engines(text: str, tree: Tree, tmp_path: Path) -> None:
    tree.write(UNIT, text)
    point = look(tree, setting(tmp_path, SSD))["memlock of the unit"]
    assert (point.verdict, complete(point)) == ("stops", True)
    assert "LimitMEMLOCK=infinity" in point.advice


def test_drop_ins_count_by_name_and_the_strongest_folder_wins(tree: Tree) -> None:
    tree.write(UNIT, "[Service]\nLimitMEMLOCK=1\n")
    tree.write(f"{UNIT}.d/20-x.conf", "[Service]\n# a comment\nLimitMEMLOCK=2\n")
    assert units.service_directive(tree.machine, "LimitMEMLOCK") == ("2", f"{tree.root}/{UNIT}.d/20-x.conf:3")
    tree.write("etc/systemd/system/daos_server.service.d/20-x.conf", "[Service]\nLimitMEMLOCK=3\n")
    tree.write("run/systemd/system/daos_server.service.d/10-x.conf", "[Service]\nLimitMEMLOCK=4\n")
    tree.write("run/systemd/system/daos_server.service.d/99-x.txt", "[Service]\nLimitMEMLOCK=5\n")
    found = units.service_directive(tree.machine, "LimitMEMLOCK")
    assert found is not None
    assert found.value == "3"
    tree.write("etc/systemd/system/daos_server.service.d/30-x.conf", "[Service]\nLimitMEMLOCK=\n")
    assert units.service_directive(tree.machine, "LimitMEMLOCK") is None


def test_the_strongest_unit_file_counts_and_a_masked_one_is_none(tree: Tree) -> None:
    tree.write(UNIT, "[Service]\nLimitMEMLOCK=1\n")
    tree.write("etc/systemd/system/daos_server.service", "[Service]\nLimitMEMLOCK=2\n")
    assert units.unit_file(tree.machine) == f"{tree.root}/etc/systemd/system/daos_server.service"
    (tree.root / "etc/systemd/system/daos_server.service").unlink()
    (tree.root / "etc/systemd/system/daos_server.service").symlink_to("/dev/null")
    assert units.unit_file(tree.machine) == ""


def test_where_root_cannot_raise_a_limit_no_command_pretends_to(tree: Tree, tmp_path: Path) -> None:
    asked = setting(tmp_path, SSD)
    tree.write("proc/self/status", "Name:\tx\nCapBnd:\t000001fffeffffff\n")
    advice = look(tree, asked, 1)["memlock of this launch"].advice
    assert "CAP_SYS_RESOURCE" in advice
    assert "prlimit" not in advice
    tree.write("proc/self/status", "Name:\tx\nCapBnd:\t000001ffffffffff\n")
    assert "prlimit" in look(tree, asked, 1)["memlock of this launch"].advice


def test_the_line_of_limits_conf_that_counts_for_logins_is_named(tree: Tree, tmp_path: Path) -> None:
    asked = setting(tmp_path, SSD)
    assert f"echo '{ACCOUNT} - memlock unlimited'" in look(tree, asked, 1)["memlock of this launch"].advice
    tree.write("etc/security/limits.conf", f"# comment\n{ACCOUNT} hard memlock 64\nroot hard memlock unlimited\n{ACCOUNT} soft memlock 1\n")
    login = memlock.login_limit(tree.machine, ACCOUNT)
    assert login == ("64K", f"{tree.root}/etc/security/limits.conf:2")
    tree.write("etc/security/limits.d/a.conf", f"{ACCOUNT} - memlock unlimited # all of it\n")
    tree.write("etc/security/limits.d/b.txt", f"{ACCOUNT} - memlock 1\n")
    advice = look(tree, asked, 1)["memlock of this launch"].advice
    assert f"{tree.root}/etc/security/limits.d/a.conf:1 has it already" in advice


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("infinity", UNLIMITED),
        ("8M", 8 << 20),
        ("64K:infinity", UNLIMITED),
        ("infinity:1G", 1 << 30),
        ("4096", 4096),
        ("", 0),
        ("M", 0),
        ("8X", 0),
    ],
)
def test_limits_are_read_as_systemd_writes_them(text: str, limit: int) -> None:
    assert memlock.parse_limit(text) == limit
