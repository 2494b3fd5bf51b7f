# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The place that attacks are allowed: a policy that names one folder of the tests', and sessions of the account.

What was attacked with which result is in ``checklist.py`` (tests/support), by the numbers of the security notes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import Caller
from hostile import Hostile, OpenSession, Watch, mount_root, unmount_below
from installed import Installation, new_root
from intrusion import Intruder
from trail import Trail


@pytest.fixture
def base(installation: Installation) -> Iterator[Path]:
    """The only mount root of the policy; hugepages, which are the whole machine's, are switched off."""
    with mount_root(installation, 'methods_off = ["BdevPrepare"]\n') as root:
        yield root
    shutil.rmtree(root)


@pytest.fixture
def watch(installation: Installation, base: Path) -> Watch:
    """A watch on everything outside the mount root, begun before the attack."""
    watch = Watch(installation, base)
    watch.start()
    return watch


@pytest.fixture
def open_session(installation: Installation, system_interpreter: str) -> Iterator[OpenSession]:
    """Opens sessions as the account, or as somebody else; those still open are left at the end."""
    opened: list[Hostile] = []

    def open_one(caller: Caller | None = None) -> Hostile:
        session = Hostile(installation, system_interpreter, caller)
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        session.abandon()


@pytest.fixture
def trail(installation: Installation) -> Trail:
    """The audit trail from here on."""
    return Trail(installation)


@pytest.fixture(scope="session")
def intruder_program() -> Iterator[Path]:
    """The attack program in C, where every account can execute it."""
    folder = new_root("intruder")
    program = folder / "intruder"
    source = Path(__file__).parents[1] / "support" / "intruder.c"
    subprocess.run(["/usr/bin/gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)], check=True)
    program.chmod(0o755)
    yield program
    shutil.rmtree(folder)


@pytest.fixture
def intruder(installation: Installation, base: Path, intruder_program: Path) -> Iterator[Intruder]:
    """Sessions behind tricks; those still open are left at the end, before the mount root goes."""
    del base
    made = Intruder(installation, intruder_program)
    yield made
    made.abandon()


@pytest.fixture
def device(installation: Installation, base: Path, tmp_path: Path) -> Iterator[str]:
    """A loop device of its own that the policy names; what is mounted from it goes with it."""
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    attach = ["/usr/sbin/losetup", "--find", "--show", str(image)]
    path = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    lines = (f'mount_roots = ["{base}"]', f'devices_allow = ["{path}"]', 'methods_off = ["BdevPrepare"]')
    Path(installation.layout.policy_file).write_text("\n".join(lines))
    yield path
    unmount_below(base)
    subprocess.run(["/usr/sbin/losetup", "--detach", path], check=True)
