# SPDX-License-Identifier: BSD-2-Clause-Patent
"""From addresses to controllers that SPDK drives, and back: locks, environment, attaching, and cleaning up behind all that."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from daos_bindings.linux import pci_address
from daos_bindings.nvme.select import parse_list
from daos_bindings.spdk import environment, locks
from daos_bindings.spdk.controllers import Attached, Controller, attached
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daos_bindings.linux.pci_address import PciAddress

NOT_SEEN = "SPDK finds nothing there that it can drive"


class Session(Struct, frozen=True):
    """What can be worked with.

    :param controllers: by address, as DAOS spells it, or by name.
    :param faults: why there is nothing at an address.
    """

    controllers: dict[str, Controller]
    faults: dict[str, Fault]


@contextmanager
def over_pci(devices: Sequence[str], *, vmd: bool = False) -> Iterator[Session]:
    """Take over controllers of this machine, and no others.

    :param devices: addresses; with *vmd*, that of a VMD stands for every controller behind it.
    :raises Fault: 303 for a text that is no address; 803 or 2140 if SPDK does not start.
    """
    wanted = parse_list(devices)
    faults: dict[str, Fault] = {}
    reserved: list[PciAddress] = []
    with ExitStack() as stack:
        stack.callback(lambda: locks.release(reserved))
        for address in wanted:
            try:
                locks.reserve(address)
                reserved.append(address)
            except Fault as fault:
                faults[str(address)] = fault
        if not reserved:
            yield Session({}, faults)
            return
        environment.start(reserved, vmd=vmd)
        allowed = frozenset(reserved)
        try:
            found = stack.enter_context(attached(wanted=lambda text: _is_wanted(text, allowed)))
        except Fault as fault:
            yield Session({}, faults | {str(address): fault for address in allowed})
            return
        seen = (*found.failed, *(one.address for one in found.controllers))
        reserved += [known for text in seen if (known := pci_address.parse(text)) is not None]
        yield _session(found, allowed, faults)


@contextmanager
def over_fabrics(transport: str) -> Iterator[Session]:
    """Take over controllers at the other end of a network; all that a discovery service there knows, if it is one.

    :param transport: as SPDK writes it: ``trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:4420 subnqn:...``.
    :raises Fault: 802 or 803 if SPDK does not start, or nobody answers there.
    """
    environment.start_for_fabrics()
    with attached(transport, wanted=bool) as found:
        yield Session({one.address: one for one in found.controllers}, found.failed)


def _is_wanted(text: str, allowed: frozenset[PciAddress]) -> bool:
    address = pci_address.parse(text)
    return address in allowed or (address is not None and pci_address.parse(address.vmd_endpoint) in allowed)


def _session(found: Attached, allowed: frozenset[PciAddress], faults: dict[str, Fault]) -> Session:
    controllers = {str(pci_address.parse(one.address)): one for one in found.controllers}
    faults = faults | {str(pci_address.parse(text)): fault for text, fault in found.failed.items()}
    answered = {address for text in (*controllers, *faults) if (address := pci_address.parse(text))}
    answered |= {endpoint for address in answered if (endpoint := pci_address.parse(address.vmd_endpoint))}
    for address in allowed - answered:
        text = str(address)
        faults[text] = Fault(codes.SPDK_CONTROLLER_NOT_ATTACHED, object=text, address=text, reason=NOT_SEEN)
    return Session(controllers, faults)
