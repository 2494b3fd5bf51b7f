# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Controllers that SPDK has taken over, and given back whatever happens."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from daos_bindings.nvme.admin import TIMEOUT_MS
from daos_bindings.spdk.raw import Seen, check, check_pointer, ffi, lib, probing
from daos_bindings.spdk.tasks import Task, run_all, transfer, until
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from daos_bindings.nvme.admin import Command

ATTACH_S = 20.0
"""Seconds that controllers are given to become ready, all at once; a drive after a long time without power can take ten."""
DETACH_S = 15.0
"""The same to shut down; SPDK itself gives a drive ten seconds."""


class Controller(Struct, frozen=True):
    """An attached controller.

    :param address: as SPDK writes it; over a network, its name (NQN).
    :param numa_node: -1 if it is not known.
    :param pointer: SPDK's own.
    """

    address: str
    numa_node: int
    pointer: object

    def poll(self) -> int:
        """Let SPDK look for answers to admin commands; negative errno if the controller is lost."""
        return int(lib.spdk_nvme_ctrlr_process_admin_completions(self.pointer))

    def admin(self, command: Command) -> Task[bytes]:
        """Send an admin command; return the data that it answers with.

        :raises AdminError: if it does not succeed.
        """
        # A submission queue entry (1.4: 4.2): opcode in byte 0, namespace in dword 1, and the command's own from dword 10 on.
        entry = ffi.new("struct spdk_nvme_cmd *")
        fields = ffi.buffer(entry)
        fields[0] = bytes([command.opcode])
        for place, value in ((4, command.nsid), (40, command.cdw10), (44, command.cdw11)):
            fields[place : place + 4] = value.to_bytes(4, "little")

        def send(memory: object, context: object) -> int:
            sent = lib.spdk_nvme_ctrlr_cmd_admin_raw(self.pointer, entry, memory, command.length, lib.daos_spdk_completed, context)
            return int(sent)

        return transfer(command.name, send, self.poll, command.length, timeout_s=TIMEOUT_MS / 1000)


class Attached(Struct, frozen=True):
    """What came of taking controllers over.

    :param controllers: those that answer.
    :param failed: a fault for each of the others, by address as SPDK writes it.
    """

    controllers: tuple[Controller, ...]
    failed: dict[str, Fault]


@contextmanager
def attached(transport: str = "", *, wanted: Callable[[str], bool], timeout_s: float = ATTACH_S) -> Iterator[Attached]:
    """Take over every controller that is wanted, all at once, and give them back at the end.

    :param transport: SPDK's text of a transport id, for controllers over a network; empty for PCI.
    :param wanted: says it of an address.
    :raises Fault: 802 or 803 if SPDK cannot look for controllers at all.
    """
    where = ffi.new("struct spdk_nvme_transport_id *")
    if transport:
        check(lib.spdk_nvme_transport_id_parse(where, transport.encode()), "spdk_nvme_transport_id_parse()", transport)
    else:
        lib.daos_spdk_pcie(where)
    seen = Seen(wanted, by_name=bool(transport))
    probing[:] = [seen]
    try:
        _probe(where, seen, timeout_s)
        yield _sorted_out(seen, timeout_s)
    finally:
        _detach(seen)


def _probe(where: object, seen: Seen, timeout_s: float) -> None:
    callbacks = (lib.daos_spdk_probe, lib.daos_spdk_attach, lib.daos_spdk_attach_failed, ffi.NULL)
    context = lib.spdk_nvme_probe_async_ext(where, ffi.NULL, *callbacks)
    if not context and seen.accepted:
        return  # every single one failed, which is no news: each has said so
    check_pointer(context, "spdk_nvme_probe_async_ext()")
    run_all([until(lambda: int(lib.spdk_nvme_probe_poll_async(context)) != -errno.EAGAIN, timeout_s)])


def _sorted_out(seen: Seen, timeout_s: float) -> Attached:
    failed = {address: _not_attached(address, _reason(rc)) for address, rc in seen.failed.items()}
    names = [address for address, _pointer in seen.attached]
    failed |= {address: _not_attached(address, "SPDK reported it twice") for address in names if names.count(address) > 1}
    late = f"it was not ready after {timeout_s:g} seconds"
    failed |= {address: _not_attached(address, late) for address in seen.accepted if address not in names and address not in failed}
    good = [(address, pointer) for address, pointer in seen.attached if address not in failed]
    return Attached(
        tuple(Controller(address, int(lib.spdk_nvme_ctrlr_get_numa_id(pointer)), pointer) for address, pointer in good), failed
    )


def _reason(rc: int) -> str:
    if rc in {-1, -errno.ENODEV}:  # what SPDK returns for most things
        return f"it did not start, or another process has it ({rc})"
    return f"{os.strerror(abs(rc))} ({rc})"


def _not_attached(address: str, reason: str) -> Fault:
    return Fault(codes.SPDK_CONTROLLER_NOT_ATTACHED, object=address, address=address, reason=reason)


def _detach(seen: Seen) -> None:
    """Shut down everything that was attached, all at once; what does not let go in time goes with the process."""
    context = ffi.new("struct spdk_nvme_detach_ctx **")
    while seen.attached:
        _address, pointer = seen.attached.pop()
        lib.spdk_nvme_detach_async(pointer, context)
    if context[0]:
        run_all([until(lambda: int(lib.spdk_nvme_detach_poll_async(context[0])) != -errno.EAGAIN, DETACH_S)])
