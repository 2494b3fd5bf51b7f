# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Builds of the launcher that find mistakes, and the harness that runs it in any state a caller could leave to it."""

from __future__ import annotations

import os
import random
from pathlib import Path

from daos_install.launcher import LauncherPaths, compile_launcher
from daos_install.layout import SOURCE

HARNESS = SOURCE / "tests" / "fuzz" / "launcher_state.c"
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-U_FORTIFY_SOURCE")
"""Compiler flags; the fortified functions of libc would hide from the sanitizer what they do."""
OUTCOMES = frozenset({0, *range(70, 79)})
"""Exit statuses of the harness: 0 where the launcher would have executed its program, else the launcher's own."""
PEOPLE = 5
TRICK = 3
"""Bytes of most tricks in the harness's input."""


def build_harness(folder: Path, account: int, worker: int, *, extra: tuple[str, ...] = (), compiler: str = "/usr/bin/gcc") -> Path:
    """Compile the harness for a folder that root alone can change, and put there what the launcher relies on.

    :param account: uid of the server's account.
    :param worker: uid of the workers' account.
    :raises InstallError: with the compiler's own words.
    """
    harness = folder / "harness"
    names = ("start.py", "account", "worker", "harness", "refusals.log")
    paths = LauncherPaths(os.path.realpath("/usr/bin/python3"), *(f"{folder}/{name}" for name in names))
    (folder / "start.py").touch()
    for name, owner in (("account", account), ("worker", worker)):
        (folder / name).touch()
        (folder / name).chmod(0)
        os.chown(folder / name, owner, owner)
    compile_launcher(paths, harness, extra=extra, compiler=compiler, source=HARNESS)
    return harness


def states(seed: int, count: int) -> list[bytes]:
    """Return inputs of the harness: who calls, and up to a dozen tricks."""
    chance = random.Random(seed)  # noqa: S311 - the same states every time are what is wanted
    return [bytes([chance.randrange(PEOPLE)]) + chance.randbytes(TRICK * chance.randrange(12) + chance.randrange(2)) for _ in range(count)]
