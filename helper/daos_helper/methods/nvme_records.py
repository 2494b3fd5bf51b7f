# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What controllers had before their first bind: a record under /run for each, which outlives every crash but not a reboot."""

from __future__ import annotations

from typing import Final

from daos_bindings.linux import remembered
from daos_bindings.linux.driver_state import State
from daos_bindings.linux.kernelfiles import MalformedError
from daos_helper.context import Context
from daos_pbin import codes
from daos_pbin.faults import Fault

PREFIX: Final = "driver-"


def all_of(context: Context) -> dict[str, State]:
    """Return every record, by the kernel's address.

    :raises Fault: 2110 if one cannot be ours.
    """
    found: dict[str, State] = {}
    for name in context.run.names(PREFIX):
        found |= _read(name, context)
    return found


def remember(address: str, state: State, context: Context) -> State:
    """Write a record unless there is one; return what is on record."""
    known = _read(PREFIX + address, context).get(address)
    if known is None:
        context.run.write(PREFIX + address, remembered.encode(remembered.Record({address: state})))
    return known or state


def forget(address: str, context: Context) -> None:
    """Forget what a controller had."""
    context.run.remove(PREFIX + address)


def _read(name: str, context: Context) -> dict[str, State]:
    text = context.run.read(name)
    if text is None:
        return {}
    try:
        return remembered.decode(text).functions
    except MalformedError as error:
        path = f"{context.run.path}/{name}"
        raise Fault(codes.STORAGE_FILE_UNUSABLE, object=path, path=path, reason=error.problem) from error
