# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The fixture that gives tests a real installation, under a folder of its own that is gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from callers import STRANGER_UID, Caller
from daos_install import accounts, interpreter
from daos_install.layout import SOURCE, Layout

INSTALLER = SOURCE / "packaging" / "install.py"
BASE = "/opt"
"""Root's own, and reachable by every account; /tmp is neither, for the installer."""


@dataclass(frozen=True)
class Installation:
    """One installation of the whole system.

    :param root: folder that everything is in.
    :param layout: paths of the programs, and of everything that belongs to them.
    :param account: the server's account.
    :param worker: the account of the helper's workers.
    """

    root: Path
    layout: Layout
    account: Caller
    worker: Caller

    @property
    def helper(self) -> Path:
        return Path(self.layout.helper)

    @property
    def helper_of_account(self) -> list[str]:
        """The command line by which root starts the helper as the account does."""
        return [*self.account.become, str(self.helper)]

    @property
    def server(self) -> Path:
        return Path(self.layout.server)

    @property
    def member(self) -> Caller:
        """A stranger who is in the group that may execute the launcher."""
        return Caller(STRANGER_UID, STRANGER_UID, (self.account.gid,))


def layout_under(root: Path, *, destdir: str = "") -> Layout:
    """Return a layout that stays below one folder."""
    return Layout(f"{root}/prefix", f"{root}/etc", f"{root}/var", f"{root}/run", destdir)


def install_command(action: str, layout: Layout, *extra: str) -> list[str]:
    """Return the command line of the installer."""
    folders = ["--prefix", layout.prefix, "--sysconfdir", layout.sysconfdir, "--localstatedir", layout.localstatedir]
    return [sys.executable, "-B", str(INSTALLER), action, *folders, "--rundir", layout.rundir, "--destdir", layout.destdir, *extra]


def run_installer(action: str, layout: Layout, *extra: str) -> subprocess.CompletedProcess[str]:
    """Run the installer to its end."""
    return subprocess.run(install_command(action, layout, *extra), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def new_root(purpose: str) -> Path:
    """Make a folder that only root can change and everybody can reach."""
    root = Path(tempfile.mkdtemp(prefix=f"daos-{purpose}-", dir=BASE))
    root.chmod(0o755)
    return root


def caller(name: str) -> Caller:
    """Return a system account as a caller, as ``initgroups`` would set it up."""
    found = accounts.lookup(name)
    if found is None:
        raise RuntimeError(f"account {name} is missing after an installation")
    return Caller(found.uid, found.gid, (found.gid,))


@contextlib.contextmanager
def installed() -> Iterator[Installation]:
    """Install the whole system, and uninstall it without a trace at the end."""
    root = new_root("test")
    layout = layout_under(root)
    done = run_installer("install", layout)
    if done.returncode != 0:
        shutil.rmtree(root)
        pytest.fail(f"installation failed:\n{done.stdout}{done.stderr}", pytrace=False)
    yield installation_at(root)
    gone = run_installer("uninstall", layout)
    left = sorted(str(path) for path in root.rglob("*"))
    if gone.returncode != 0 or left:
        pytest.fail(f"uninstall left {left}:\n{gone.stdout}{gone.stderr}", pytrace=False)
    root.rmdir()


def installation_at(root: Path) -> Installation:
    """Return the installation that ``installed`` has made in a folder."""
    layout = layout_under(root)
    return Installation(root, layout, caller(layout.account), caller(layout.worker_account))


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """The whole system installed once for all tests, and gone after them."""
    if os.geteuid() != 0:
        pytest.skip("an installation needs root")
    with installed() as made:
        yield made


@pytest.fixture(scope="session")
def system_interpreter() -> str:
    """The interpreter that installations use."""
    return interpreter.find("").path
