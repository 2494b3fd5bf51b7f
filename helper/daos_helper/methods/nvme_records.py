# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What controllers had before their first bind: a record under /run for each, which outlives every crash but not a reboot.

A record is about one SSD, not about a slot: it tells the number that sysfs gave the SSD when it came, and counts no more once
another one is there.
"""

from __future__ import annotations

import os
from typing import Final

from daos_bindings.linux import remembered
from daos_bindings.linux.driver_state import State
from daos_bindings.linux.kernelfiles import MalformedError
from daos_helper.context import Context
from daos_pbin import codes
from daos_pbin.faults import Fault

PREFIX: Final = "driver-"
DEVICES: Final = "/sys/bus/pci/devices"


def all_of(context: Context) -> dict[str, State]:
    """Return every record, by the kernel's address, but those of SSDs in whose place is another by now.

    :raises Fault: 2110 if one cannot be ours.
    """
    found: dict[str, State] = {}
    for name in context.run.names(PREFIX):
        found |= _valid(_read(name, context))
    return found


def remember(address: str, state: State, context: Context) -> State:
    """Write a record unless there is one; return what is on record."""
    known = _valid(_read(PREFIX + address, context)).get(address)
    if known is None:
        context.run.write(PREFIX + address, remembered.encode(remembered.Record({address: state}, {address: _number(address)})))
    return known or state


def forget(address: str, context: Context) -> None:
    """Forget what a controller had."""
    context.run.remove(PREFIX + address)


def forget_stale(context: Context) -> None:
    """Forget what was on record of SSDs in whose place is another by now."""
    for name in context.run.names(PREFIX):
        record = _read(name, context)
        if record.functions and not _valid(record):
            context.run.remove(name)


def _valid(record: remembered.Record) -> dict[str, State]:
    """Return what a record says about SSDs that are still there, or that are gone without another in their place."""
    return {address: state for address, state in record.functions.items() if _number(address) in {0, record.numbers.get(address, -1)}}


def _number(address: str) -> int:
    """Return the number that sysfs gave a function when it came: no other ever gets it before a reboot.  0 if there is none."""
    try:
        return os.stat(f"{DEVICES}/{address}").st_ino
    except OSError:
        return 0


def _read(name: str, context: Context) -> remembered.Record:
    text = context.run.read(name)
    if text is None:
        return remembered.Record()
    try:
        return remembered.decode(text)
    except MalformedError as error:
        path = f"{context.run.path}/{name}"
        raise Fault(codes.STORAGE_FILE_UNUSABLE, object=path, path=path, reason=error.problem) from error
