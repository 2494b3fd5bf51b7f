# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What C calls, and what every call of C is checked with."""

from __future__ import annotations

import os
from typing import Any

from daos_bindings.spdk import use
from daos_pbin import codes
from daos_pbin.faults import Fault

try:
    from daos_bindings._spdk import ffi, lib
except ImportError as error:
    use.check()
    raise Fault(codes.SPDK_MISSING, object=use.MODULE, reason=f"it was built in, but cannot be loaded: {error}") from error

CData = Any
"""A value of C; nothing is known of it here."""
ADDRESS_LIMIT = 256


class Seen:
    """What a probe of SPDK's came upon, by address as SPDK writes it; by name (NQN) over a network, where many share an address.

    :param wanted: says of an address or a name whether its controller is to be attached.
    """

    def __init__(self, wanted: CData, *, by_name: bool) -> None:
        self.wanted = wanted
        self.by_name = by_name
        self.accepted: list[str] = []
        self.attached: list[tuple[str, CData]] = []
        self.failed: dict[str, int] = {}


probing: list[Seen] = []
"""The one probe that is under way."""
awaited: set[int] = set()
"""Numbers of the commands that were sent and not given up."""
answered: dict[int, int] = {}
"""Status of those that came back: type in bits 10:8, code in bits 7:0."""


def check(rc: int, label: str, subject: str = "SPDK") -> int:
    """Return what a call returned, if it succeeded.

    :param rc: negative errno for a failure, or -1, which is hardly ever EPERM but means no more than that.
    :raises Fault: 803 with the label and the error's text.
    """
    if rc < 0:
        reason = "no reason given" if rc == -1 else os.strerror(-rc)
        raise Fault(codes.SPDK_BINDING_FAILED, object=subject, rc=rc, msg=f"{label}: {reason}")
    return rc


def check_pointer(pointer: CData, label: str, subject: str = "SPDK") -> CData:
    """Return what a call returned, if it returned anything.

    :raises Fault: 802 with the label.
    """
    if not pointer:
        raise Fault(codes.SPDK_BINDING_RET_NULL, object=subject, msg=label)
    return pointer


def _address(transport: CData) -> str:
    text: bytes = ffi.string(transport.subnqn if probing[0].by_name else transport.traddr, ADDRESS_LIMIT)
    return text.decode("ascii", "backslashreplace")


def daos_spdk_probe(_context: CData, transport: CData, _options: CData) -> bool:
    address = _address(transport)
    if not probing[0].wanted(address):
        return False
    probing[0].accepted.append(address)
    return True


def daos_spdk_attach(_context: CData, transport: CData, controller: CData, _options: CData) -> None:
    probing[0].attached.append((_address(transport), controller))


def daos_spdk_attach_failed(_context: CData, transport: CData, rc: int) -> None:
    probing[0].failed[_address(transport)] = rc


def daos_spdk_completed(context: CData, completion: CData) -> None:
    number = int(ffi.cast("uintptr_t", context))
    if number in awaited:  # one that was given up may come back while its controller is detached
        awaited.discard(number)
        # Dword 3 of a completion (1.4: 4.6): phase in bit 16, status above it.
        answered[number] = int.from_bytes(ffi.buffer(completion, 16)[14:16], "little") >> 1 & 0x7FF


for callback in (daos_spdk_probe, daos_spdk_attach, daos_spdk_attach_failed, daos_spdk_completed):
    # C gets them by their names.  What one raises cannot go through C: it is printed, and False returned.
    ffi.def_extern()(callback)

__all__ = ["CData", "Seen", "answered", "awaited", "check", "check_pointer", "ffi", "lib", "probing"]
