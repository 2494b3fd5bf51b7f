# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Sessions of the server's account with an installed helper that finds the stand-in where libipmctl belongs.

The helper has no switch for that: it runs in a mount namespace of its own in which the stand-in lies over the library, and an
empty folder over /tmp.  What the stand-in keeps is below /dev/shm, where a step with libipmctl may write.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from installed import Installation
from pmem_world import Machine, build

from daos_bindings.ipmctl import raw
from daos_pbin.conversation import Conversation
from daos_pbin.envelope import Progress
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


def cancelled(command: list[str], request: Request[Result], moment: str) -> tuple[Result | Fault, list[str]]:
    """Make a request, and cancel it at the first line of the log, or progress, with these words in it.

    :returns: what the helper answers, and each progress as it is shown.
    """
    told: list[str] = []

    def heard(text: str) -> None:
        if moment in text:
            conversation.cancel(call)

    def progress(one: Progress) -> None:
        told.append(shown(one))
        heard(told[-1])

    conversation = Conversation(lambda line: heard(line.text))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        assert helper.stdin is not None
        assert helper.stdout is not None
        call = conversation.request(request, 60, progress)
        while not call.done and not conversation.has_ended():
            helper.stdin.write(conversation.take_output())
            helper.stdin.flush()
            data = os.read(helper.stdout.fileno(), 65536)
            assert data, "the helper ended without an answer"
            conversation.feed(data)
        helper.stdin.close()
    assert call.cancelled
    try:
        return cast("Result", call.outcome()), told
    except Fault as fault:
        return fault, told


def shown(one: Progress) -> str:
    """Return a progress as the terminal shows it."""
    return f"{one.done} of {one.total} {one.unit} {one.what}"


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
