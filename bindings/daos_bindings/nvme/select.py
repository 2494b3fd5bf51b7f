# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which controllers of a scan were asked for (storage facts B.2, B.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from daos_bindings.linux import pci_address
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daos_bindings.linux.pci_address import PciAddress


class HasAddress(Protocol):
    """Anything with an address as DAOS spells it, such as ``pci.PciFunction``."""

    @property
    def address(self) -> PciAddress:
        """The address."""


T = TypeVar("T", bound=HasAddress)


def parse_list(texts: Iterable[str]) -> tuple[PciAddress, ...]:
    """Return the addresses, each once, sorted.

    :raises Fault: 303 for a text that is none.
    """
    found: set[PciAddress] = set()
    for text in texts:
        address = pci_address.parse(text)
        if address is None:
            raise Fault(codes.BDEV_BAD_PCI_ADDRESS, object=text, addr=text)
        found.add(address)
    return tuple(sorted(found))


def select(found: Sequence[T], wanted: Sequence[PciAddress], *, vmd: bool) -> tuple[T, ...]:
    """Return what was asked for, in the order of addresses; all of it if nothing was.

    :param wanted: addresses of controllers; with *vmd* also of VMDs, which stand for every controller behind them.
    :raises Fault: 304 if there is nothing of an address.
    """
    if not wanted:
        return tuple(sorted(found, key=lambda item: item.address))
    chosen: dict[PciAddress, T] = {}
    missing: list[str] = []
    for address in sorted(wanted):
        matching = [item for item in found if item.address == address]
        if not matching and vmd:
            matching = [item for item in found if item.address.vmd_endpoint == str(address)]
        if not matching:
            missing.append(str(address))
        chosen |= {item.address: item for item in sorted(matching, key=lambda item: item.address)}
    if missing:
        raise Fault(codes.BDEV_NOT_FOUND, variant="vmd" if vmd else "ssd", addresses=", ".join(missing))
    return tuple(chosen.values())
