# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One storage command at a time: a lock on the state folder itself, which leaves no file and ends with the process."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.storage.journal import state_unusable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def only_one(state_dir: str) -> Iterator[None]:
    """Hold the lock for as long as the block lasts.

    :raises Fault: 2010 if another process holds it; 2114 if the state folder cannot be used.
    """
    try:
        descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise state_unusable(state_dir, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = "another storage command of daos_server"
            raise Fault(codes.HELPER_RESOURCE_BUSY, object=state_dir, resource="the storage of this host", holder=holder) from error
        yield
    finally:
        os.close(descriptor)
