# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What functions were before we bound them, as it is kept between runs, so that a reset restores exactly that."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder
from msgspec.json import encode as encode_json

from daos_bindings.linux import pci_address
from daos_bindings.linux.driver_state import State, usable_name
from daos_bindings.linux.kernelfiles import MalformedError

FUNCTIONS_LIMIT: Final = 512
"""More SSDs than any machine has; the text of so many fits what ``rundir`` reads."""


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """States of before, by the kernel's address.

    :param numbers: the inode number in sysfs of each function then, by which one is told from another that takes its place.
    """

    functions: Annotated[dict[str, State], Meta(max_length=FUNCTIONS_LIMIT)] = {}
    numbers: Annotated[dict[str, int], Meta(max_length=FUNCTIONS_LIMIT)] = {}


def encode(record: Record) -> bytes:
    """Return the text of a record.

    :raises ValueError: if it has more functions than can be read back.
    """
    if len(record.functions) > FUNCTIONS_LIMIT:
        raise ValueError(f"more than {FUNCTIONS_LIMIT} functions")
    return encode_json(record)


def decode(text: bytes) -> Record:
    """Return the record of that text.

    :raises MalformedError: if it is not what ``encode`` makes.
    """
    try:
        record = Decoder(Record).decode(text)
    except (DecodeError, RecursionError) as error:
        raise MalformedError("record of bindings", f"not a record of ours: {error}") from error
    for address, state in record.functions.items():
        names_fit = all(not name or usable_name(name) for name in (state.driver, state.override))
        if pci_address.parse_kernel(address) is None or not names_fit:
            raise MalformedError("record of bindings", "it names what cannot be a function or a driver")
    return record
