# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The fault domain: texts, and callbacks that are missing, dangerous, or do not do what they should.  Real programs, run."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.fault_domain import OUTPUT_LIMIT, fault_domain
from daos_server.config.model import ServerConfig

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "etc"
    made.mkdir(mode=0o755)
    return made


def script(folder: Path, body: str, name: str = "cb", mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


def domain_of(path: Path | str, folder: Path, deadline_s: float = 60) -> str:
    return fault_domain(ServerConfig(fault_cb=str(path)), folder=str(folder), deadline_s=deadline_s)


def refused(path: Path | str, folder: Path, code: int, deadline_s: float = 60) -> Fault:
    with pytest.raises(Fault) as caught:
        domain_of(path, folder, deadline_s)
    assert caught.value.code == code
    return caught.value


# Texts


@pytest.mark.parametrize(
    ("given", "domain"), [("", "/node17"), ("/rack1/host7", "/rack1/host7"), (" /rack1 ", "/rack1"), ("/ a / b ", "/a/b")]
)
def test_path_or_hostname(given: str, domain: str, folder: Path) -> None:
    assert fault_domain(ServerConfig(fault_path=given), folder=str(folder), hostname="node17") == domain


def test_hostname_is_that_of_this_host(folder: Path) -> None:
    assert fault_domain(ServerConfig(), folder=str(folder)) == f"/{os.uname().nodename}"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("rack1", codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID),
        ("/", codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID),
        ("/a//b", codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID),
        ("/a\n/b", codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID),
        ("/a/b/c", codes.SERVER_CONFIG_FAULT_DOMAIN_TOO_MANY_LAYERS),
    ],
)
def test_texts_that_are_no_domain(given: str, code: int, folder: Path) -> None:
    with pytest.raises(Fault) as caught:
        fault_domain(ServerConfig(fault_path=given), folder=str(folder))
    assert caught.value.code == code


def test_both_keys_are_refused(folder: Path) -> None:
    with pytest.raises(Fault) as caught:
        fault_domain(ServerConfig(fault_path="/a", fault_cb="/b"), folder=str(folder))
    assert caught.value.code == codes.SERVER_CONFIG_BOTH_FAULT_PATH_AND_CB


# Callbacks that work


def test_callback_prints_the_domain(folder: Path) -> None:
    assert domain_of(script(folder, "echo /rack1/$((3 + 4))"), folder) == "/rack1/7"


def test_callback_below_a_subfolder(folder: Path) -> None:
    (folder / "sub").mkdir(mode=0o755)
    assert domain_of(script(folder / "sub", "echo /r"), folder) == "/r"


def test_callback_gets_nothing_of_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("SECRET", "x")
    body = 'read -r line && exit 3\necho "/${SECRET:-clean}/$(pwd | tr / _)"'
    assert domain_of(script(folder, body), folder) == "/clean/_"


def test_callback_may_say_things_on_standard_error(folder: Path) -> None:
    body = f"i=0; while [ $i -lt 40 ]; do printf '%{OUTPUT_LIMIT}s' x >&2; i=$((i + 1)); done\necho /r"
    assert domain_of(script(folder, body), folder) == "/r"


def test_what_a_callback_leaves_behind_is_not_waited_for_and_ends(folder: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    # The child holds the callback's output open for longer than any test may take.
    body = f"sleep 86400 &\necho $! > {pid_file}\necho /r"
    assert domain_of(script(folder, body), folder) == "/r"
    with suppress(ProcessLookupError):
        ended = os.pidfd_open(int(pid_file.read_text()))
        select.select([ended], [], [])  # the run's time limit would name this test
        os.close(ended)


# Callbacks that are refused before they run


def test_missing(folder: Path) -> None:
    assert "No such file" in refused(folder / "none", folder, codes.SERVER_CONFIG_FAULT_CALLBACK_NOT_FOUND).cause


def elsewhere(folder: Path) -> Path:
    # A name that begins like the folder's is still another folder.
    other = folder.parent / "etcetera"
    other.mkdir(mode=0o755)
    return script(other, "echo /r")


def linked(folder: Path) -> Path:
    script(folder, "echo /r", "real")
    (folder / "cb").symlink_to("real")
    return folder / "cb"


def through_linked_folder(folder: Path) -> Path:
    (folder / "sub").symlink_to(elsewhere(folder).parent)
    return folder / "sub" / "cb"


def group_writable_folder(folder: Path) -> Path:
    (folder / "sub").mkdir()
    (folder / "sub").chmod(0o775)
    return script(folder / "sub", "echo /r")


def of_somebody_else(folder: Path) -> Path:
    path = script(folder, "echo /r")
    os.chown(path, 65534, -1)
    return path


def a_folder(folder: Path) -> Path:
    (folder / "cb").mkdir()
    return folder / "cb"


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (elsewhere, "not below"),
        (lambda folder: Path("relative/cb"), "not below"),
        (lambda folder: folder / ".." / "cb", "not below"),
        (linked, "symbolic link"),
        (through_linked_folder, "not below"),
        (a_folder, "not a file"),
        (lambda folder: script(folder, "echo /r", mode=0o4755), "setuid"),
        (lambda folder: script(folder, "echo /r", mode=0o2755), "setgid"),
        (lambda folder: script(folder, "echo /r", mode=0o775), "writable"),
        (lambda folder: script(folder, "echo /r", mode=0o757), "writable"),
        (group_writable_folder, "writable"),
        pytest.param(of_somebody_else, "uid 65534", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")),
    ],
)
def test_callback_that_somebody_could_change_is_not_run(make: Callable[[Path], Path], word: str, folder: Path) -> None:
    fault = refused(make(folder), folder, codes.SERVER_CONFIG_FAULT_CALLBACK_INSECURE)
    assert word in fault.cause
    assert str(folder) in fault.resolution


def test_not_executable(folder: Path) -> None:
    refused(script(folder, "echo /r", mode=0o644), folder, codes.SERVER_CONFIG_FAULT_CALLBACK_BAD_PERMS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can see with other eyes")
def test_in_a_folder_that_this_user_may_not_enter(folder: Path) -> None:
    path = script(folder, "echo /r")
    folder.chmod(0o700)
    os.seteuid(65534)
    try:
        assert "Permission denied" in refused(path, folder, codes.SERVER_CONFIG_FAULT_CALLBACK_BAD_PERMS).cause
    finally:
        os.seteuid(0)


# Callbacks that fail


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("echo broken >&2; exit 7", "status 7, saying 'broken'"),
        ("exit 1", "status 1"),
        ("kill -9 $$", f"status -{signal.SIGKILL.value}"),
        (f"printf '%{OUTPUT_LIMIT + 1}s' x; sleep 86400", "printed more than"),
        ("yes", "printed more than"),
    ],
)
def test_failure_says_how(body: str, word: str, folder: Path) -> None:
    assert word in refused(script(folder, body), folder, codes.SERVER_CONFIG_FAULT_CALLBACK_FAILED).description


def test_no_program_for_the_script(folder: Path) -> None:
    (folder / "cb").write_text("#!/nonexistent/interpreter\n")
    (folder / "cb").chmod(0o755)
    assert "#!" in refused(folder / "cb", folder, codes.SERVER_CONFIG_FAULT_CALLBACK_FAILED).description


def test_deadline_ends_it(folder: Path) -> None:
    fault = refused(script(folder, "sleep 86400"), folder, codes.SERVER_CONFIG_FAULT_CALLBACK_FAILED, deadline_s=0.1)
    assert "not ended after 0.1 s" in fault.description


@pytest.mark.parametrize("body", ["true", "echo", "printf ' \\n\\t\\n'"])
def test_silence_has_its_own_code(body: str, folder: Path) -> None:
    refused(script(folder, body), folder, codes.SERVER_CONFIG_FAULT_CALLBACK_EMPTY)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("echo rack1", codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID),
        ("printf '/a\\n/b\\n'", codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID),
        ("printf '/\\377'", codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID),
        ("printf '/a\\033[2J'", codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID),
        ("echo /a/b/c", codes.SERVER_CONFIG_FAULT_DOMAIN_TOO_MANY_LAYERS),
    ],
)
def test_what_it_prints_is_held_to_the_same_rules(body: str, code: int, folder: Path) -> None:
    refused(script(folder, body), folder, code)
