# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the policy lets through, and the line that it prints for what it does not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from daos_bindings.linux import block
from daos_bindings.linux.block import BlockIdentity, Usage
from daos_helper import device
from daos_helper.accounts import listed_uid
from daos_helper.paths import components, split
from daos_helper.policy import DEFAULT_ROOTS, Policy, PolicyFile, is_pci, names_function
from daos_pbin import codes
from daos_pbin.faults import Fault

FILE = PolicyFile("/nonexistent/helper.toml")


@pytest.mark.parametrize(
    ("target", "root"),
    [
        ("/mnt/daos", "/mnt/daos"),
        ("/mnt/daos/1", "/mnt/daos"),
        ("/mnt/daos0", "/mnt/daos0"),
        ("/mnt/daos127", "/mnt/daos127"),
        ("/mnt/daos0/x", "/mnt/daos0"),
        ("/var/lib/daos/control", "/var/lib/daos"),
        ("/var/daos", "/var/daos"),
    ],
)
def test_default_roots_contain(target: str, root: str) -> None:
    assert FILE.check_target(Policy(), target) == root


@pytest.mark.parametrize(
    "target",
    ["/mnt", "/mnt/daosx", "/mnt/daos0x", "/mnt/daos-1", "/mnt/daos\u0663", "/mnt/xdaos0", "/var/lib", "/var/lib/daosx", "/etc"],
)
def test_default_roots_do_not_contain(target: str) -> None:
    with pytest.raises(Fault) as caught:
        FILE.check_target(Policy(), target)
    assert caught.value.code == codes.HELPER_POLICY_REFUSED


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "relative", "//", "/a//b", "/a/", "/a/.", "/a/..", "/../a", "/a/./b", "/a\nb", "/a\x7f", "/a\u202eb"),
        "/" + "x" * 256,
        "/x" * 2048,
    ],
)
def test_paths_that_are_not_canonical(path: str) -> None:
    with pytest.raises(Fault) as caught:
        components(path)
    assert caught.value.code == codes.STORAGE_PATH_INVALID


@given(st.text(max_size=200))
def test_any_text_is_canonical_or_one_fault(text: str) -> None:
    try:
        parts = components(text)
    except Fault as fault:
        parts = ()
        code = fault.code
    else:
        code = 0
        parent, name = split(text)
        assert parent.rstrip("/") + "/" + name == text
    assert ("/" + "/".join(parts) == text) if code == 0 else code == codes.STORAGE_PATH_INVALID


PIECES = st.sampled_from(["mnt", "daos", "daos0", "etc", "..", ".", "", "daos/", "lib", "var"])
TARGETS = st.lists(PIECES, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(TARGETS)
def test_whatever_is_let_through_is_inside_a_root(target: str) -> None:
    try:
        root = FILE.check_target(Policy(), target)
    except Fault:
        return
    assert target == root or target.startswith(root + "/")
    assert ".." not in target.split("/")


def test_the_line_in_a_refusal_allows_exactly_what_was_refused() -> None:
    target = '/srv/with "quotes" and \\backslash'
    with pytest.raises(Fault) as caught:
        FILE.check_target(Policy(), target)
    line = next(part for part in caught.value.resolution.splitlines() if "mount_roots = " in part)
    table = tomllib.loads(line[line.index("mount_roots = ") :])
    policy = msgspec.convert(table, Policy)
    assert policy.mount_roots == (*DEFAULT_ROOTS, target)
    assert FILE.check_target(policy, target) == target


def test_a_method_that_is_off_is_refused_with_the_line_that_switches_it_on() -> None:
    policy = Policy(methods_off=("ScmFormat", "BdevPrepare"))
    FILE.check_method(policy, "ScmMount")
    with pytest.raises(Fault) as caught:
        FILE.check_method(policy, "ScmFormat")
    assert 'methods_off = ["BdevPrepare"]' in caught.value.resolution


def line_of(fault: Fault, key: str) -> Policy:
    """Return the policy that consists of the line in a fault."""
    text = f"{fault.description}\n{fault.resolution}"
    return msgspec.convert(tomllib.loads(text[text.index(f"{key} = ") :].splitlines()[0]), Policy)


def test_what_could_mean_two_functions_denies_both_and_allows_what_it_says() -> None:
    kernels, daos = frozenset({"10000:01:00.0"}), frozenset({"010000:01:00.0"})
    for addresses in (kernels, daos):
        with pytest.raises(Fault):
            FILE.check_denied(Policy(devices_deny=("10000:01:00.0",)), "0000:01:00.0", frozenset(), addresses)
    assert names_function(("10000:01:00.0",), kernels)
    assert not names_function(("10000:01:00.0",), daos)
    assert names_function(("010000:01:00.00",), daos)


def test_a_new_target_user_comes_beside_those_that_there_are() -> None:
    policy = Policy(target_users={"bench": 4711, 'odd "name"': 1})
    fault = FILE.refuse("root is not a target user", FILE.user_line(policy, "root", listed_uid("root")), "root")
    assert line_of(fault, "target_users").target_users == {**policy.target_users, "root": 0}


def test_a_target_user_that_only_a_name_service_knows_is_told_in_words(tmp_path: Path) -> None:
    users = tmp_path / "passwd"
    users.write_text("engine2:x:4712:4712::/:/bin/false\nengine:x:4711x:1::/:/bin/false\nshort:x:1\n")
    assert listed_uid("engine2", str(users)) == 4712
    assert [listed_uid(name, str(users)) for name in ("engine", "short", "eng", "", "nobody")] == [None] * 5
    assert listed_uid("root", str(tmp_path / "missing")) is None
    line = FILE.user_line(Policy(target_users={"bench": 4711}), "engine", None)
    assert line == 'target_users = { "bench" = 4711, "engine" = UID }, where UID stands for the number that "id -u engine" prints'


def test_a_denied_path_without_a_device_comes_with_the_line_without_it() -> None:
    policy = Policy(devices_deny=("/dev/daos-attack/none", "0000:81:00.0"))
    with pytest.raises(Fault) as caught:
        FILE.check_denied(policy, "/dev/sdz", frozenset(), frozenset())
    assert caught.value.code == codes.HELPER_POLICY_INVALID
    assert line_of(caught.value, "devices_deny").devices_deny == ("0000:81:00.0",)


def test_a_spare_partition_of_the_systems_disk_is_refused_with_the_line_that_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "root_disks", lambda _mounts: frozenset({"daosx"}))
    table = block.UsageTable(())
    whole = BlockIdentity(7, 4242, "daosx", "/dev/daosx", "daosx", False, 1, False)
    part = replace(whole, name="daosx9", path="/dev/daosx9", is_partition=True)

    def check(identity: BlockIdentity, *, allowed: bool) -> None:
        device._check_policy(identity.path, identity, table, Policy(), FILE, allowed=allowed)

    with pytest.raises(Fault) as caught:
        check(part, allowed=False)
    assert caught.value.code == codes.HELPER_POLICY_REFUSED
    assert line_of(caught.value, "devices_allow").devices_allow == ("/dev/daosx9",)
    check(part, allowed=True)
    monkeypatch.setattr(block, "usage", lambda _identity, _mounts: (Usage("mount", "daosx9", "/"),))
    for identity, allowed in ((whole, True), (whole, False), (part, False)):
        with pytest.raises(Fault) as caught:
            check(identity, allowed=allowed)
        assert caught.value.code == codes.STORAGE_DEVICE_HOLDS_ROOT


def test_some_methods_are_off_until_they_are_switched_on() -> None:
    with pytest.raises(Fault) as caught:
        FILE.check_method(Policy(methods_on=("NvmeFirmwareQuery",)), "NvmeFirmwareUpdate")
    assert 'methods_on = ["NvmeFirmwareQuery", "NvmeFirmwareUpdate"]' in caught.value.resolution
    FILE.check_method(Policy(methods_on=("NvmeFirmwareUpdate",)), "NvmeFirmwareUpdate")
    with pytest.raises(Fault, match="switched off"):
        FILE.check_method(Policy(methods_on=("NvmeFirmwareUpdate",), methods_off=("NvmeFirmwareUpdate",)), "NvmeFirmwareUpdate")


@pytest.mark.parametrize("entry", ["0000:81:00.0", "0000:81:00.0".upper(), "5d0505:01:00.0", "10000:01:00.0"])
def test_a_policy_may_name_pci_addresses(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "helper.toml"
    path.write_text(f'devices_deny = ["{entry}"]\n')
    file = PolicyFile(str(path))
    policy = file._decode(path.read_bytes())
    with pytest.raises(Fault) as caught:
        file.check_denied(policy, "0000:81:00.0", frozenset(), frozenset({entry.lower(), "0000:82:00.0"}))
    assert "devices_deny = []" in caught.value.resolution
    file.check_denied(policy, "0000:82:00.0", frozenset(), frozenset({"0000:82:00.0"}))
    assert names_function(policy.devices_deny, frozenset({entry.lower()}))


@pytest.mark.parametrize("entry", ["0000:81:00", "81:00.0", "0000:81:00.0/", "0000-81-00.0"])
def test_what_is_no_pci_address_is_no_path_either(entry: str) -> None:
    assert not is_pci(entry)
    with pytest.raises(Fault):
        components(entry)
