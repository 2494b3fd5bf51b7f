# SPDX-License-Identifier: BSD-2-Clause-Patent
"""PCI addresses, those of SSDs behind a VMD included, in DAOS' spelling and in the kernel's.

``0000:81:00.0`` is an ordinary function, and both spell it so.  DAOS and SPDK write a domain above 0xffff for an SSD behind a
VMD: the six digits of ``5d0505:01:00.0`` are bus, device and function of the VMD ``0000:5d:05.5``.  The kernel numbers such
domains as it finds them: ``10000:01:00.0``.  A text alone does not tell which of the two it is; ``pci.Scan.find`` does.
"""

from __future__ import annotations

import msgspec

from daos_bindings.linux.attributes import HEX

VMD_DOMAIN = 0xFFFF
"""Domain under which addresses behind a VMD are kept, and sorted; the kernel gives no such domain to anything."""
NO_VMD = (0, 0, 0)


class PciAddress(msgspec.Struct, frozen=True, order=True):
    """An address; ordered as the reference orders them: by domain, by VMD, by bus, device and function.

    :param vmd: bus, device and function of the VMD that it is behind; zeros if it is behind none.
    """

    domain: int
    vmd: tuple[int, int, int]
    bus: int
    device: int
    function: int

    @property
    def vmd_endpoint(self) -> str:
        """Address of the VMD that it is behind, or an empty text."""
        return "{:04x}:{:02x}:{:02x}.{:x}".format(0, *self.vmd) if self.domain == VMD_DOMAIN else ""

    def behind(self, endpoint: PciAddress) -> PciAddress:
        """Return this address, which is the kernel's, as DAOS spells it behind the VMD *endpoint*."""
        return PciAddress(VMD_DOMAIN, (endpoint.bus, endpoint.device, endpoint.function), self.bus, self.device, self.function)

    def __str__(self) -> str:
        domain = "{:02x}{:02x}{:02x}".format(*self.vmd) if self.domain == VMD_DOMAIN else f"{self.domain:04x}"
        return f"{domain}:{self.bus:02x}:{self.device:02x}.{self.function:x}"


def parse(text: str) -> PciAddress | None:
    """Return the address that this text is in DAOS' spelling, or None if it is none."""
    fields = _fields(text)
    if fields is None:
        return None
    domain, bus, device, function = fields
    if domain < VMD_DOMAIN:
        return PciAddress(domain, NO_VMD, bus, device, function)
    if domain == VMD_DOMAIN:
        return None
    return PciAddress(VMD_DOMAIN, (domain >> 16, domain >> 8 & 0xFF, domain & 0xFF), bus, device, function)


def parse_kernel(text: str) -> PciAddress | None:
    """Return the address that this name from sysfs is, its domain as the kernel numbers it, or None if it is none."""
    fields = _fields(text)
    if fields is None or fields[2] > 0x1F or fields[3] > 7 or text != text.lower() or len(text.rpartition(".")[2]) != 1:
        return None
    domain, bus, device, function = fields
    return None if domain == VMD_DOMAIN else PciAddress(domain, NO_VMD, bus, device, function)


def looks_like_pci(text: str) -> bool:
    """Return whether this was meant as an address, right or wrong, and not as a path."""
    return text.count(":") == 2 and "/" not in text


def _fields(text: str) -> tuple[int, int, int, int] | None:
    """Return domain, bus, device and function: 4 to 6, 2, 2, and 1 or 2 hexadecimal digits."""
    parts = text.replace(".", ":").split(":")
    if len(parts) != 4 or text.count(":") != 2 or text.find(".") < text.rfind(":"):
        return None
    lengths = zip(parts, ((4, 6), (2, 2), (2, 2), (1, 2)), strict=True)
    if not all(least <= len(part) <= most and HEX.issuperset(part) for part, (least, most) in lengths):
        return None
    domain, bus, device, function = (int(part, 16) for part in parts)
    return domain, bus, device, function
