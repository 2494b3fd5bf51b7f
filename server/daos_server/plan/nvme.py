# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Which NVMe SSDs get which driver: the part of a plan that is about SSDs and VMDs, one step or one reason for each.

The server sees what sysfs shows to everybody; the helper looks at everything again, signatures on the SSDs included, before
it changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.access import vmd_endpoint
from daos_server.plan.steps import BindSsd, RestoreSsd, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Literal

    from daos_pbin.nvme import ControllerRecord
    from daos_server.plan.access import Access
    from daos_server.plan.wanted import Wanted

    Place = tuple[int | None, int | None]
    """Engine and tier that name an SSD first."""
    Ssds = Mapping[str, "Ssd"]
    """SSDs and VMDs by address, in the order of the addresses."""

VFIO = "vfio-pci"
UIO = "uio_pci_generic"
USERSPACE = frozenset({VFIO, UIO})
KERNEL = frozenset({"nvme", "vmd"})
NOWHERE: Place = (None, None)
BLOCKED = "is on the block list"


@dataclass(frozen=True, kw_only=True)
class Ssd:
    """An NVMe controller, or a VMD, as it was found.  Addresses are in DAOS' spelling.

    :param kernel: its address as the kernel spells it; empty if only the helper sees it.
    :param driver: empty for none.
    :param override: the only driver that may have it; empty for any.
    :param group: its IOMMU group; -1 for none.
    :param owner: name of the one user that may open its group; empty if there is none, or not one alone.
    :param shared: the members of its group because of which VFIO would refuse it, in words; empty for none.
    :param vmd: the VMD that it is behind; empty for none.
    :param behind: the SSDs that are seen behind it, if it is a VMD.
    :param in_use: what uses it, in words.
    :param record: what it says of itself, as far as anybody asked.
    :param fault: why it could not say it.
    """

    address: str
    kernel: str = ""
    driver: str = ""
    override: str = ""
    numa_node: int = -1
    group: int = -1
    owner: str = ""
    shared: str = ""
    is_vmd: bool = False
    vmd: str = ""
    behind: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()
    source: Literal["kernel", "spdk", "none"] = "none"
    record: ControllerRecord | None = None
    fault: Fault | None = None

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return "VMD" if self.is_vmd else "SSD"


@dataclass
class Part:
    """The part of a plan that is about SSDs."""

    steps: list[BindSsd | RestoreSsd] = field(default_factory=list)
    standing: list[Standing] = field(default_factory=list)


def places(wanted: Wanted | None) -> dict[str, Place]:
    """Return where the configuration names each SSD first."""
    found: dict[str, Place] = {}
    for engine in wanted.engines if wanted else ():
        for tier in engine.bdevs:
            for device in tier.devices if tier.storage_class == "nvme" else ():
                found.setdefault(device, (engine.index, tier.tier))
    return found


def missing(address: str) -> Fault:
    """Return the fault that there is no SSD at an address: 304."""
    return Fault(codes.BDEV_NOT_FOUND, object=address, variant="ssd", addresses=address)


def backing(ssds: Ssds) -> dict[str, tuple[str, ...]]:
    """Return the SSDs behind each VMD that any are seen behind."""
    found = {one.address: one.behind for one in ssds.values() if one.is_vmd and one.behind}
    for one in ssds.values():
        if one.vmd and one.address not in found.get(one.vmd, ()):
            found[one.vmd] = (*found.get(one.vmd, ()), one.address)
    return found


def obstacle(address: str, ssds: Ssds, *, vmd: bool) -> Fault | None:
    """Return why an SSD that was named cannot be used, as far as everybody can see; None if nothing is known against it.

    :param vmd: whether VMDs are to be used.
    """
    ssd = ssds.get(address)
    endpoint = vmd_endpoint(address)
    if ssd is None and not (vmd and endpoint in ssds):
        return missing(address)
    if ssd is None:
        return None
    if (ssd.is_vmd or endpoint) and not vmd:
        return Fault(
            codes.NVME_UNUSABLE,
            object=address,
            address=address,
            reason="it is a VMD, or behind one, and VMD is off" if endpoint else "it is a VMD, and VMD is off",
            remedy="see the plan for why VMD is off; take the address out of 'bdev_list', or switch VMD on in daos_server.yml",
        )
    if ssd.is_vmd and ssd.driver == "vmd" and not ssd.behind:
        return Fault(codes.BDEV_NOT_FOUND, object=address, variant="vmd", addresses=address)
    if ssd.in_use:
        return Fault(codes.NVME_CONTROLLER_IN_USE, object=address, address=address, found="; ".join(ssd.in_use))
    return None


# To userspace


def bind(access: Access, ssds: Ssds, *, place: Mapping[str, Place], everything: bool = False) -> Part:
    """Return what gives SSDs to a userspace driver: those that are allowed, or, with ``everything``, all that nothing uses.

    An SSD that was named and cannot be used is a part that fails; of all others the reason is told.
    """
    binder = _Binder(access, ssds, place, everything=everything)
    for address in _all(ssds, access) if everything else access.allowed:
        binder.add(address)
    return binder.part


def _all(ssds: Ssds, access: Access) -> Iterable[str]:
    """Return every SSD of this machine, and the VMDs in place of those behind them."""
    occupied = backing(ssds)
    for one in ssds.values():
        if not one.vmd and (not one.is_vmd or (access.vmd and (one.address in occupied or one.driver in USERSPACE))):
            yield one.address


class _Binder:
    def __init__(self, access: Access, ssds: Ssds, place: Mapping[str, Place], *, everything: bool) -> None:
        self.part = Part()
        self._access = access
        self._ssds = ssds
        self._place = place
        self._everything = everything
        self._driver = UIO if access.disable_vfio else VFIO
        self._seen: set[str] = set()

    def add(self, named: str) -> None:
        endpoint = vmd_endpoint(named)
        address = endpoint if endpoint in self._ssds and self._access.vmd else named
        if address in self._seen:
            return
        self._seen.add(address)
        if {address, named, endpoint} & set(self._access.blocked):
            self._stand(named, address, BLOCKED)
            return
        fault = obstacle(address, self._ssds, vmd=self._access.vmd) or self._group_shared(address)
        if fault is not None:
            self._stand(named, address, fault.description, fault=None if self._everything else fault)
            return
        self._bind(named, self._ssds[address])

    def _group_shared(self, address: str) -> Fault | None:
        ssd = self._ssds[address]
        if self._driver != VFIO or not ssd.shared:
            return None
        return Fault(codes.NVME_GROUP_SHARED, object=address, address=address, group=ssd.group, members=ssd.shared)

    def _bind(self, named: str, ssd: Ssd) -> None:
        if ssd.driver == self._driver and (self._driver == UIO or ssd.owner == self._access.user):
            self._stand(named, ssd.address, f"has {ssd.driver} already, for {self._access.user}", already=True)
            return
        engine, tier = self._place.get(named, NOWHERE)
        self.part.steps.append(
            BindSsd(
                key=f"bind:{ssd.address}",
                subject=ssd.address,
                engine=engine,
                tier=tier,
                kind=ssd.kind,
                before=ssd.driver,
                driver=self._driver,
                behind=ssd.behind,
                user=self._access.user,
                account=self._access.account,
                vmd=self._access.vmd,
                only_if_free=self._everything,
            )
        )

    def _stand(self, named: str, address: str, detail: str, *, already: bool = False, fault: Fault | None = None) -> None:
        engine, tier = self._place.get(named, NOWHERE)
        self.part.standing.append(
            Standing(engine=engine, tier=tier, subject=address, action=BindSsd.action, already=already, detail=detail, fault=fault)
        )


# Back


def restore(
    ssds: Ssds, *, named: Sequence[str] = (), blocked: Sequence[str] = (), vmd: bool = True, place: Mapping[str, Place] | None = None
) -> Part:
    """Return what gives SSDs back to the drivers that they had before they were first taken.

    :param named: none for all that this system took.
    :param blocked: these are left alone.
    """
    part = Part()
    for address in dict.fromkeys(_present(each, ssds) for each in named or ssds):
        ssd = ssds.get(address)
        engine, tier = (place or {}).get(address, NOWHERE)
        detail, fault = _why_left(address, ssd, blocked)
        if not detail and ssd is not None:
            part.steps.append(
                RestoreSsd(
                    key=f"restore:{address}",
                    subject=address,
                    engine=engine,
                    tier=tier,
                    kind=ssd.kind,
                    before=ssd.driver,
                    vmd=vmd,
                    all_on_record=not named and not blocked,
                )
            )
        elif named:
            already = fault is None and detail != BLOCKED
            part.standing.append(
                Standing(engine=engine, tier=tier, subject=address, action=RestoreSsd.action, already=already, detail=detail, fault=fault)
            )
    return part


def _why_left(address: str, ssd: Ssd | None, blocked: Sequence[str]) -> tuple[str, Fault | None]:
    """Return why there is nothing to give back; empty if there is."""
    if address in blocked or (ssd is not None and ssd.vmd in blocked):
        return BLOCKED, None
    if ssd is None:
        fault = missing(address)
        return fault.description, fault
    return (f"has {ssd.driver}", None) if ssd.driver in KERNEL and not ssd.override else ("", None)


def _present(address: str, ssds: Ssds) -> str:
    """Return the address itself, or that of the VMD that it is behind, if only that is to be seen."""
    endpoint = vmd_endpoint(address)
    return endpoint if address not in ssds and endpoint in ssds else address
