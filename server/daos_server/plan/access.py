# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How NVMe SSDs are handed to the user of the engines: by VFIO, which needs an IOMMU, and with or without VMD.

``at_start`` is for a configuration as a whole, ``for_prepare`` for ``daos_server nvme prepare`` with its own options.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from daos_bindings.linux.pci_address import parse as parse_pci
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from daos_server.plan.host import HostFacts
    from daos_server.plan.wanted import Wanted

ROOT = "root"


@dataclass(frozen=True, kw_only=True)
class Access:
    """How SSDs are handed over.

    :param allowed: PCI addresses of the SSDs, sorted; none means every SSD that is not blocked.
    :param blocked: PCI addresses that are left alone, sorted.
    :param user: name of the user that gets them.
    :param account: that is the account that the engines of this host run as anyway.
    :param hugepages: hugepages asked for beside, on all nodes together; 0 leaves the number to the helper.
    :param vmd: whether VMD controllers are taken over together with the SSDs behind them.
    :param vmds: those of this machine that are, sorted.
    :param faults: why it cannot be done; all of them.
    :param arithmetic: what was decided and why, line by line.
    :param notices: what the administrator asked for, or may expect, and does not get.
    """

    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    user: str = ""
    account: bool = True
    hugepages: int = 0
    disable_vfio: bool = False
    vmd: bool = False
    vmds: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    arithmetic: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of ``daos_server nvme prepare`` and ``reset``; empty and 0 where one is not given.

    :param allow: PCI addresses, separated by commas or spaces.
    :param block: likewise.
    :param hugepages: on all nodes together.
    """

    allow: str = ""
    block: str = ""
    hugepages: int = 0
    user: str = ""
    disable_vfio: bool = False


def at_start(wanted: Wanted, host: HostFacts) -> Access:
    """Return how a server hands the SSDs of its configuration to its engines.

    Faults: 614 if VFIO is disabled, 602 without an IOMMU; neither for root, nor where files or kernel devices stand for SSDs.
    """
    if wanted.disable_hugepages:
        return Access(arithmetic=("SSDs: left alone, because disable_hugepages is set",))
    if not wanted.nvme_devices:
        return Access(user=host.user, arithmetic=("SSDs: the configuration names none, so neither VFIO nor an IOMMU is needed",))
    plain = Access(
        allowed=wanted.nvme_devices, blocked=wanted.bdev_exclude, user=host.user, disable_vfio=wanted.disable_vfio
    )
    faults = []
    if not host.is_root and wanted.disable_vfio:
        faults.append(Fault(codes.SERVER_VFIO_DISABLED, object="disable_vfio"))
    if not host.is_root and not host.iommu:
        faults.append(Fault(codes.SERVER_IOMMU_DISABLED))
    return _decided(replace(plain, faults=tuple(faults)), host, asked=wanted.enable_vmd, has_emulated=wanted.has_emulated)


def for_prepare(asked: Asked, host: HostFacts, wanted: Wanted | None = None) -> Access:
    """Return what ``daos_server nvme prepare`` does: its options first, what they leave open from the configuration.

    Faults: 310 if VFIO is disabled, 311 without an IOMMU, neither for root.

    :param wanted: what the configuration asks for; None without one, or if it shall be ignored.
    :raises Fault: 619 if the configuration disables hugepages, 303 for an address that is none.
    """
    if wanted is not None and wanted.disable_hugepages:
        raise Fault(codes.SERVER_HUGEPAGES_DISABLED)
    plain = Access(
        allowed=addresses(asked.allow) or (wanted.nvme_devices if wanted else ()),
        blocked=addresses(asked.block) or (wanted.bdev_exclude if wanted else ()),
        user=asked.user or host.user,
        account=asked.user in ("", host.user),
        hugepages=asked.hugepages or (wanted.nr_hugepages if wanted else 0),
        disable_vfio=asked.disable_vfio or (wanted is not None and wanted.disable_vfio),
    )
    faults = []
    if plain.user != ROOT and plain.disable_vfio:
        faults.append(Fault(codes.BDEV_NON_ROOT_VFIO_DISABLE, object=plain.user))
    if plain.user != ROOT and not host.iommu:
        faults.append(Fault(codes.BDEV_NO_IOMMU, object=plain.user))
    return _decided(replace(plain, faults=tuple(faults)), host, asked=wanted is None or wanted.enable_vmd, has_emulated=False)


def addresses(text: str) -> tuple[str, ...]:
    """Return the addresses of an option, each once, in their order.

    :raises Fault: 303 for one that is none.
    """
    found = set()
    for word in text.replace(",", " ").split():
        address = parse_pci(word)
        if address is None:
            raise Fault(codes.BDEV_BAD_PCI_ADDRESS, object=word, addr=word)
        found.add(address)
    return tuple(str(address) for address in sorted(found))


def vmd_endpoint(address: str) -> str:
    """Return the VMD that an SSD is behind, by its address; empty for none."""
    parsed = parse_pci(address)
    return parsed.vmd_endpoint if parsed else ""


def _decided(access: Access, host: HostFacts, *, asked: bool, has_emulated: bool) -> Access:
    """Decide about VMD, and say what was decided about everything."""
    obstacle = _vmd_obstacle(access, host, has_emulated=has_emulated) if asked else "disable_vmd is set"
    endpoints = " ".join(host.vmd_endpoints)
    lost = f"SSDs behind the VMD controllers of this machine ({endpoints}) cannot be used, because {obstacle}"
    which = f"SSDs: {' '.join(access.allowed) or 'all'}" + (f" without {' '.join(access.blocked)}" if access.blocked else "")
    return replace(
        access,
        vmd=not obstacle,
        vmds=() if obstacle else _taken_vmds(access, host),
        arithmetic=(
            f"{which}, for {access.user}",
            f"VFIO: {_vfio(access, host)}",
            f"VMD: off, because {obstacle}" if obstacle else f"VMD: on; this machine has {endpoints or 'no controller'}",
        ),
        notices=(lost,) if asked and obstacle and endpoints else (),
    )


def _taken_vmds(access: Access, host: HostFacts) -> tuple[str, ...]:
    """Return the VMDs that are allowed, or that an allowed SSD is behind, without the blocked ones."""
    allowed, blocked = _endpoints(access.allowed), _endpoints(access.blocked)
    return tuple(vmd for vmd in host.vmd_endpoints if vmd not in blocked and (vmd in allowed or not access.allowed))


def _endpoints(addresses: tuple[str, ...]) -> frozenset[str]:
    return frozenset(vmd_endpoint(address) or address for address in addresses)


def _vmd_obstacle(access: Access, host: HostFacts, *, has_emulated: bool) -> str:
    """Return why VMD cannot be used though it was asked for, the first reason of all; empty if it can."""
    if access.disable_vfio:
        return "VFIO is disabled"
    if not host.iommu:
        return "this machine has no working IOMMU"
    return "files or kernel devices stand for SSDs" if has_emulated else ""


def _vfio(access: Access, host: HostFacts) -> str:
    if access.disable_vfio:
        return "off; uio_pci_generic takes its place, which only root may use"
    return "on, with the IOMMU of this machine" if host.iommu else "on, without an IOMMU, which only root may do"
