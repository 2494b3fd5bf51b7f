# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The launcher in states that nobody thought of: made by a seeded generator, with sanitizers and under valgrind.

``make fuzz`` does the same for longer, and lets coverage choose.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from callers import ROOT, STRANGER_UID, TIMEOUT_S, Caller
from daos_install.launcher import LAUNCHER, LauncherPaths, compile_launcher
from fuzzed import OUTCOMES, SANITIZED, build_harness, states
from installed import Installation, new_root

SEED = 20_261_122
STATES = 400
CALLS = 25
PROBE = Path(__file__).parents[1] / "support" / "probe_start.py"
VALGRIND = Path("/usr/bin/valgrind")
MISTAKE = 99
"""Exit status of valgrind after a mistake; the launcher has none like it."""


@pytest.fixture(scope="module")
def folder(installation: Installation) -> Iterator[Path]:
    """A folder that root alone can change, with a sanitized harness in it."""
    folder = new_root("states")
    build_harness(folder, installation.account.uid, installation.worker.uid, extra=SANITIZED)
    yield folder
    shutil.rmtree(folder)


def outcomes(harness: Path, inputs: list[bytes]) -> dict[bytes, int]:
    """Return how the launcher ended in each state."""
    paths = []
    for number, content in enumerate(inputs):
        paths.append(harness.parent / f"state-{number}")
        paths[-1].write_bytes(content)
    # One more than there are: with a single file the harness does not tell, but is the launcher.
    done = subprocess.run([harness, *paths, paths[0]], capture_output=True, text=True, check=True)
    ended = [int(line.split()[0]) for line in done.stdout.splitlines()[:-1]]
    assert len(ended) == len(inputs), done.stderr
    wrong = [f"{status} in state {content.hex()}" for status, content in zip(ended, inputs, strict=True) if status not in OUTCOMES]
    assert not wrong, "\n".join([*wrong, done.stderr[-2000:]])
    return dict(zip(inputs, ended, strict=True))


def test_every_state_ends_in_a_refusal_or_in_the_promised_one(folder: Path) -> None:
    counted = Counter(outcomes(folder / "harness", states(SEED, STATES)).values())
    assert counted[0] > STATES // 10, "the program was reached"
    assert {70, 72, 73, 77} <= counted.keys(), "and the refusals were"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (b"\x00", 0),
        (b"\x01", 0),
        (b"\x02", 73),
        (b"\x03", 70),
        (b"\x04", 73),
        (b"\x02\x01\x02\x01", 73),  # standard error is a pipe without a reader: SIGPIPE took the exit code once
        (b"\x00\x01\x00\x01", 77),  # the wrong end of a pipe as standard input
        (b"\x03\x0a\x01\x00", 72),
    ],
)
def test_states_that_are_known(folder: Path, state: bytes, outcome: int) -> None:
    assert outcomes(folder / "harness", [state]) == {state: outcome}


@pytest.mark.parametrize(
    ("duty", "state"),
    [
        ("    (void)umask(077);\n", b"\x00\x07\x00\x00"),
        ("    reset_signals();\n", b"\x00\x06\x00\x00"),
        ("    reset_limits();\n", b"\x00\x03\x07\x05\x00"),
        ("    become_root();\n", b"\x00"),
        ("    cut_capabilities();\n", b"\x01"),
    ],
)
def test_harness_sees_a_launcher_that_forgets_a_duty(folder: Path, installation: Installation, duty: str, state: bytes) -> None:
    text = LAUNCHER.read_text(encoding="utf-8")
    assert text.count(duty) == 1
    forgetful = folder / "".join(filter(str.isalpha, duty))
    forgetful.mkdir()
    (forgetful / "launcher.c").write_text(text.replace(duty, ""), encoding="utf-8")
    flags = (f"-iquote{forgetful}", f"-iquote{LAUNCHER.parent}", "-Wno-unused-function")
    harness = build_harness(forgetful, installation.account.uid, installation.worker.uid, extra=flags)
    done = subprocess.run([harness, "/dev/stdin"], input=state, capture_output=True, check=False)
    assert done.stderr.startswith(b"broken promise: "), done


# The real one, executed, for what only an execution hands over: arguments and environment


@pytest.fixture(scope="module")
def entry(folder: Path, installation: Installation) -> Path:
    """A setuid launcher, as installed, in front of the probe."""
    names = ("start.py", "account", "worker", "daos_server_helper")
    python = str(Path("/usr/bin/python3").resolve())
    compile_launcher(LauncherPaths(python, *[*(f"{folder}/{name}" for name in names), "/dev/null"]), folder / names[-1])
    shutil.copyfile(PROBE, folder / "start.py")
    shutil.chown(folder / names[-1], 0, installation.account.gid)
    (folder / names[-1]).chmod(0o4750)
    return folder / names[-1]


def test_no_arguments_and_no_environment_arrive(entry: Path, installation: Installation) -> None:
    chance = random.Random(SEED)  # noqa: S311 - the same calls every time are what is wanted

    def word(most: int) -> str:
        return chance.randbytes(chance.randrange(1, most)).replace(b"\0", b"\1").decode("utf-8", "surrogateescape")

    quiet = installation.account.run(["x"], executable=entry)
    expected = {name: json.loads(quiet.stdout)[name] for name in ("arguments", "environment", "descriptors", "umask", "folder", "path")}
    assert expected["arguments"][-1] == str(installation.account.uid)
    for _ in range(CALLS):
        arguments = tuple(word(chance.choice([2, 100, 60_000])) for _ in range(chance.randrange(1, 20)))
        names = [chance.choice(["LD_", "PYTHON", "GLIBC_", ""]) + word(9).replace("=", "_") for _ in range(chance.randrange(20))]
        done = installation.account.run(arguments, executable=entry, environment={name: word(2000) for name in names})
        assert done.returncode == 0, (done.stderr, arguments, names)
        seen = json.loads(done.stdout)
        assert {name: seen[name] for name in expected} == expected


# Under valgrind, which no setuid program is allowed: as root, who reaches everything, and as others, who do not


def nothing() -> None:
    """Change nothing."""


def blocked() -> None:
    """Leave signals blocked and ignored, and descriptors open."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for number in range(3, 40):
        os.dup2(1, number)


@pytest.mark.parametrize(
    ("caller", "before", "outcome"),
    [(ROOT, nothing, 0), (ROOT, blocked, 0), (Caller(STRANGER_UID, STRANGER_UID), nothing, 70)],
    ids=["root", "root-with-leftovers", "stranger"],
)  # fmt: skip
def test_valgrind_finds_nothing(folder: Path, entry: Path, caller: Caller, before: Callable[[], None], outcome: int) -> None:
    if not VALGRIND.exists():
        pytest.skip("no valgrind: 'make deps-tests' installs it")
    copied = folder / "unprivileged"
    shutil.copyfile(entry, copied)
    copied.chmod(0o755)
    command = [str(VALGRIND), "--quiet", f"--error-exitcode={MISTAKE}", "--leak-check=full", str(copied)]
    with caller.start(command, before=before, environment={"PATH": "/usr/bin", "HOME": "/"}) as process:
        _, errors = process.communicate(b"", timeout=TIMEOUT_S)
    assert process.returncode == outcome, errors
    assert b"==" not in errors
