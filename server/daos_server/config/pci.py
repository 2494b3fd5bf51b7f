# SPDX-License-Identifier: BSD-2-Clause-Patent
"""PCI addresses as a configuration may write them, addresses behind a VMD included.

``0000:81:00.0`` is an ordinary function.  A domain above 0xffff, such as ``5d0505``, is that of an SSD behind the VMD
``0000:5d:05.5``: its six digits are the VMD's bus, device and function.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ADDRESS = re.compile(
    r"(?P<domain>[0-9a-f]{4,6}):(?P<bus>[0-9a-f]{2}):(?P<device>[0-9a-f]{2})\.(?P<function>[0-9a-f]{1,2})", re.IGNORECASE | re.ASCII
)


class PciAddress(NamedTuple):
    """An address; ordered as the reference orders them: by domain, by VMD, by bus, device and function."""

    domain: int
    vmd: tuple[int, int, int]
    """Bus, device and function of the VMD that it is behind; zeros if it is behind none."""
    bus: int
    device: int
    function: int

    @property
    def vmd_endpoint(self) -> str:
        """Address of the VMD that it is behind, or an empty text."""
        return "0000:{:02x}:{:02x}.{:x}".format(*self.vmd) if self.domain == _VMD_DOMAIN else ""

    def __str__(self) -> str:
        domain = "{:02x}{:02x}{:02x}".format(*self.vmd) if self.domain == _VMD_DOMAIN else f"{self.domain:04x}"
        return f"{domain}:{self.bus:02x}:{self.device:02x}.{self.function:x}"


_VMD_DOMAIN = 0xFFFF
_NO_VMD = (0, 0, 0)


def parse_pci(text: str) -> PciAddress | None:
    """Return the address that this text is, or None if it is none."""
    found = _ADDRESS.fullmatch(text)
    if not found:
        return None
    bus, device, function = (int(found[name], 16) for name in ("bus", "device", "function"))
    domain = int(found["domain"], 16)
    if domain < _VMD_DOMAIN:
        return PciAddress(domain, _NO_VMD, bus, device, function)
    if domain == _VMD_DOMAIN:
        return None  # The kernel gives no such domain, and it is how addresses behind a VMD are kept here.
    return PciAddress(_VMD_DOMAIN, (domain >> 16, domain >> 8 & 0xFF, domain & 0xFF), bus, device, function)


def looks_like_pci(text: str) -> bool:
    """Return whether this was meant as an address, right or wrong, and not as a path."""
    return text.count(":") == 2 and "/" not in text
