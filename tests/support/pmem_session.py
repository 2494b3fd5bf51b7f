# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Sessions of the server's account with an installed helper that finds the stand-in where libipmctl belongs.

The helper has no switch for that: it runs in a mount namespace of its own in which the stand-in lies over the library, and an
empty folder over /tmp.  What the stand-in keeps is below /dev/shm, where a step with libipmctl may write.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import Installation
from pmem_world import Machine, build

from daos_bindings.ipmctl import raw
from daos_pbin.faults import Fault
from daos_pbin.messages import Request, Result
from daos_pbin.plain import PlainSession

OVERLAY = """
set -e
mount --bind "$1" "$2"
mount -t tmpfs -o mode=1777 tmpfs /tmp
shift 2
exec "$@"
"""


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """Compile the stand-in; its folder is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="daos-pmem-", dir="/dev/shm"))
    try:
        yield build(folder)
    finally:
        shutil.rmtree(folder)


def command(installation: Installation, played: Machine | None, over: tuple[tuple[str, str], ...] = ()) -> list[str]:
    """Return the command line by which root starts a helper as the account does.

    :param played: None for the real library.
    :param over: further files, each with what it lies over.
    """
    words = installation.helper_of_account
    if played is not None:
        over = ((str(played.library), library()), *over)
    for source, target in over:
        words = ["/bin/sh", "-c", OVERLAY, "overlay", source, target, *words]
    return ["/usr/bin/unshare", "--mount", *words] if over else words


@contextlib.contextmanager
def session(installation: Installation, played: Machine | None, over: tuple[tuple[str, str], ...] = ()) -> Iterator[PlainSession]:
    """Start a helper; parameters as those of ``command``."""
    with PlainSession(command(installation, played, over)) as made:
        yield made


def library() -> str:
    """Return the file of the real library."""
    for name in raw.NAMES:
        if os.path.exists(name):
            return os.path.realpath(name)
    pytest.skip("libipmctl is not installed: install libipmctl5")


def fault_of(helper: PlainSession, request: Request[Result], deadline_s: float = 60) -> Fault:
    with pytest.raises(Fault) as caught:
        helper.call(request, deadline_s=deadline_s)
    return caught.value
