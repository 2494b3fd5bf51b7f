# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The place that attacks are allowed: a policy that names one folder of the tests', and sessions of the account."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import Caller
from hostile import Hostile, OpenSession, Watch, helper_processes, unmount_below, wait_until_gone
from installed import Installation


@pytest.fixture
def base(installation: Installation) -> Iterator[Path]:
    """The only mount root of the policy; hugepages, which are the whole machine's, are switched off."""
    root = installation.root / "mnt"
    root.mkdir()
    policy = Path(installation.layout.policy_file)
    policy.write_text(f'mount_roots = ["{root}"]\nmethods_off = ["BdevPrepare"]\n')
    policy.chmod(0o644)
    yield root
    policy.unlink()
    wait_until_gone(helper_processes(installation))
    unmount_below(root)
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
