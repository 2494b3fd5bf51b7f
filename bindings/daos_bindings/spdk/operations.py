# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the helper does with controllers on a userspace driver.  Each function is a whole worker's life: SPDK starts only once.

All take addresses as DAOS spells them and touch no other controller.  Every address gets a result, that of a VMD one for each
controller behind it, sorted by address; one that does not answer costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from daos_bindings.linux import pci_address
from daos_bindings.nvme.wipe import fault as wipe_fault
from daos_bindings.spdk import looking, reading, wiping
from daos_bindings.spdk.looking import Copied, Copies
from daos_bindings.spdk.sessions import Session, over_pci
from daos_bindings.spdk.tasks import run_all
from daos_bindings.spdk.wiping import WipedNamespace
from daos_pbin.faults import Fault
from daos_pbin.nvme import ControllerRecord


class Scanned(Struct, frozen=True):
    """A controller that SPDK read, or could not.

    :param numa_node: -1 if it is not known.
    :param record: None if there is a fault.
    """

    address: str
    numa_node: int = -1
    record: ControllerRecord | None = None
    fault: Fault | None = None


class Wiped(Struct, frozen=True):
    """A controller that was wiped, or not.

    :param namespaces: the active ones by id; empty if there are none, or none could be looked at.
    :param fault: None if all of them are wiped.
    """

    address: str
    namespaces: tuple[WipedNamespace, ...] = ()
    fault: Fault | None = None


class Looked(Struct, frozen=True):
    """A controller that was looked at, or could not be.

    :param namespaces: the active ones by id.
    """

    address: str
    namespaces: tuple[Copied, ...] = ()
    fault: Fault | None = None


Result = TypeVar("Result", Scanned, Wiped, Looked)


def scan(devices: Sequence[str], *, vmd: bool = False, health: bool = True) -> tuple[Scanned, ...]:
    """Read controllers.

    :param devices: those, and with *vmd* those behind these VMDs.
    :raises Fault: 303 for a text that is no address; 803 or 2140 if SPDK does not work at all.
    """
    with over_pci(devices, vmd=vmd) as session:
        return scan_session(session, health=health)


def scan_session(session: Session, *, health: bool) -> tuple[Scanned, ...]:
    """Read the controllers of a session."""
    records = run_all([reading.read(one, address, health=health) for address, one in session.controllers.items()])
    rows = [Scanned(address, fault=fault) for address, fault in session.faults.items()]
    for (address, one), found in zip(session.controllers.items(), records, strict=True):
        if isinstance(found, Fault):
            rows.append(Scanned(address, one.numa_node, fault=found))
        else:
            rows.append(Scanned(address, one.numa_node, record=found))
    return _sorted(rows)


def look(devices: Sequence[str], file: int, *, vmd: bool = False) -> tuple[Looked, ...]:
    """Copy both ends of all active namespaces of controllers into a memory file.

    :raises Fault: as ``scan``.
    """
    with over_pci(devices, vmd=vmd) as session:
        copies = Copies(file)
        results = run_all([looking.copy(one, copies) for one in session.controllers.values()])
        rows = [Looked(address, spaces) for address, spaces in zip(session.controllers, results, strict=True)]
        return _sorted([*rows, *(Looked(address, fault=fault) for address, fault in session.faults.items())])


def wipe(devices: Sequence[str], *, vmd: bool = False, file: int = -1, looked: Sequence[Looked] = ()) -> tuple[Wiped, ...]:
    """Wipe all active namespaces of controllers.  Whether that may be done was decided before.

    :param file: with the copies by which it was decided, if any were made; a namespace that changed since is not wiped.
    :param looked: what they are copies of.
    :raises Fault: as ``scan``.
    """
    with over_pci(devices, vmd=vmd) as session:
        return wipe_session(session, None if file < 0 else Copies(file), looked)


def wipe_session(session: Session, copies: Copies | None = None, looked: Sequence[Looked] = ()) -> tuple[Wiped, ...]:
    """Wipe the controllers of a session; otherwise as ``wipe``."""
    copied = {row.address: row.namespaces for row in looked}
    results = run_all([wiping.wipe(one, copies, copied.get(address, ())) for address, one in session.controllers.items()])
    rows = [Wiped(address, spaces, wipe_fault(address, spaces)) for address, spaces in zip(session.controllers, results, strict=True)]
    return _sorted([*rows, *(Wiped(address, fault=fault) for address, fault in session.faults.items())])


def _sorted(rows: Sequence[Result]) -> tuple[Result, ...]:
    return tuple(sorted(rows, key=lambda row: (pci_address.parse(row.address) is None, pci_address.parse(row.address) or row.address)))
