# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server helper policy``: what is in force, as the installed helper reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import ROOT, STRANGER, Caller
from installed import Installation

from daos_helper.policy import Policy
from daos_pbin import codes

pytestmark = pytest.mark.host


@pytest.fixture
def policy_file(installation: Installation) -> Iterator[Path]:
    path = Path(installation.layout.policy_file)
    yield path
    path.unlink(missing_ok=True)


def ask(installation: Installation, caller: Caller) -> dict[str, object]:
    done = caller.run([installation.server, "helper", "policy", "--json"])
    answer = json.loads(done.stdout)
    assert (done.returncode == 0) == (answer["error"] is None), done.stderr
    return dict(answer)


@pytest.mark.parametrize("who", ["account", "root"])
def test_without_a_file_everything_is_the_default(installation: Installation, policy_file: Path, who: str) -> None:
    response = ask(installation, ROOT if who == "root" else installation.account)["response"]
    assert isinstance(response, dict)
    assert (response["file"], response["present"]) == (str(policy_file), False)
    default = Policy()
    assert set(response["keys"]) == set(Policy.__struct_fields__)
    assert {each["origin"] for each in response["keys"].values()} == {"default"}
    assert response["keys"]["mount_roots"]["values"] == list(default.mount_roots)


def test_what_the_file_sets_is_from_the_file_even_if_it_is_the_default(installation: Installation, policy_file: Path) -> None:
    policy_file.write_text('devices_deny = []\nmount_roots = ["/srv/daos"]\ntarget_users = { bench = 4711 }\n')
    policy_file.chmod(0o600)  # which the account cannot read: the helper tells
    response = ask(installation, installation.account)["response"]
    assert isinstance(response, dict)
    assert response["present"]
    keys = response["keys"]
    assert {key for key, each in keys.items() if each["origin"] == "file"} == {"devices_deny", "mount_roots", "target_users"}
    assert keys["mount_roots"]["values"] == ["/srv/daos"]
    assert keys["target_users"]["values"] == ["bench = 4711"]
    assert keys["devices_deny"]["values"] == []


def test_people_read_a_table(installation: Installation, policy_file: Path) -> None:
    policy_file.write_text('mount_roots = ["/srv/a", "/srv/b"]\n')
    policy_file.chmod(0o644)
    lines = ROOT.run([installation.server, "helper", "policy"]).stdout.decode().splitlines()
    assert lines[0] == f"{policy_file} is in force"
    words = [line.split() for line in lines]
    assert ["mount_roots", "file", "/srv/a"] in words
    assert ["/srv/b"] in words
    assert ["methods_off", "default", "nothing"] in words


def test_a_policy_that_cannot_be_used_is_the_answer(installation: Installation, policy_file: Path) -> None:
    policy_file.write_text('mount_root = ["/srv/a"]\n')
    policy_file.chmod(0o644)
    done = ROOT.run([installation.server, "helper", "policy"])
    assert done.returncode == 1
    assert f"code = {codes.HELPER_POLICY_INVALID}".encode() in done.stderr
    assert b"mount_root" in done.stderr


def test_others_are_not_told(installation: Installation) -> None:
    done = STRANGER.run([installation.server, "helper", "policy"])
    assert done.returncode == 1
    assert b"code = 2300" in done.stderr
