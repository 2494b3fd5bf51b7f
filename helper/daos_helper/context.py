# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What every method is given beside its request."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from daos_helper.accounts import Identity
from daos_helper.policy import Policy, PolicyFile
from daos_helper.rundir import RunDirectory


class Context(Struct, frozen=True):
    """The surroundings of one request.

    :param account: the server's account, which owns what is made; never a field of a request.
    :param state: path of the helper's folder under /var/lib, for what must be known after a reboot.
    :param log: sends a line to the caller's log.
    :param progress: says how far a method is whose steps are programs and cannot (see ``steps.WorkerIO``).
    """

    account: Identity
    policy: Policy
    file: PolicyFile
    run: RunDirectory
    state: str
    log: Callable[[str], None]
    progress: Callable[[int, int, str, str], None]
