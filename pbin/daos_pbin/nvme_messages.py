# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Requests about NVMe controllers, and their answers; apart from the others, so that a session without any never pays for them.

Addresses in requests are in DAOS' spelling; a row of an answer has the kernel's beside it.  Every request answers with a row
for each controller that it was about: what one of them refuses does not keep the others from what was asked.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from daos_pbin.messages import PathText, Request, Result, UserName, Words
from daos_pbin.nvme import NAMESPACES_LIMIT, U32, U64, ControllerRecord
from daos_pbin.wire_fault import WireFault as WireFault

MAX_CONTROLLERS = 1024

PciText = Annotated[str, Meta(max_length=14, pattern=r"^([0-9a-f]{4}|[0-9a-f]{6}):[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]{1,2}(?!\n)$")]
"""A PCI address in DAOS' spelling, lower case: six digits in front for an SSD behind a VMD."""
PciTexts = Annotated[tuple[PciText, ...], Meta(max_length=MAX_CONTROLLERS)]
KernelText = Annotated[str, Meta(max_length=18)]
"""The same in the kernel's spelling: the name in /sys/bus/pci/devices; empty if there is no such function."""
DriverName = Annotated[str, Meta(max_length=64)]
"""Name of a kernel driver; empty for none."""
GroupNumber = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
"""Number of an IOMMU group; -1 for none."""
Reasons = Annotated[tuple[Words, ...], Meta(max_length=64)]

UserDriver = Literal["vfio-pci", "uio_pci_generic"]
Outcome = Literal["done", "already", "skipped", "failed"]
Source = Literal["kernel", "spdk", "none"]


class DeviceResult(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one controller, or VMD, that was to get another driver.

    :param outcome: ``already`` means that nothing was to be done; ``skipped`` that it was left alone, ``failed`` that it was
        asked for by its address, or was tried, and did not get there.
    :param before: its driver when the request came.
    :param driver: its driver now.
    :param group: its IOMMU group.
    :param reason: why it was skipped, or what else is to be known; in words.
    :param fault: of a failed one.
    """

    address: PciText
    kernel_address: KernelText
    outcome: Outcome
    before: DriverName = ""
    driver: DriverName = ""
    group: GroupNumber = -1
    reason: Words = ""
    fault: WireFault | None = None


class BdevBindResult(Result, frozen=True, forbid_unknown_fields=True):
    """A row for each function that was asked for, or is on record."""

    devices: Annotated[tuple[DeviceResult, ...], Meta(max_length=MAX_CONTROLLERS)] = ()


class BdevBind(Request[BdevBindResult], frozen=True, forbid_unknown_fields=True):
    """Give controllers to a userspace driver, and the nodes of their IOMMU groups to the target user.

    :param devices: the controllers; a VMD stands for all that is behind it.
    :param all_devices: every controller that nothing uses, instead of named ones.
    :param blocked: never these, however they were meant.
    :param vmd: bind VMDs themselves; a controller behind one stands for it.
    :param target_user: who may open /dev/vfio/GROUP; empty is the account itself.  Others must be in the policy.
    """

    result_type: ClassVar[type[Result]] = BdevBindResult
    devices: PciTexts = ()
    all_devices: bool = False
    blocked: PciTexts = ()
    driver: UserDriver = "vfio-pci"
    vmd: bool = False
    target_user: UserName = ""


class BdevRestore(Request[BdevBindResult], frozen=True, forbid_unknown_fields=True):
    """Give controllers back to the driver that they had before they were first bound; idempotent.

    :param devices: empty for all that are on record.
    :param vmd: as in ``BdevBind``.
    """

    result_type: ClassVar[type[Result]] = BdevBindResult
    devices: PciTexts = ()
    vmd: bool = False


class ScannedController(Struct, frozen=True, forbid_unknown_fields=True):
    """One controller, as it was found.

    :param numa_node: -1 if unknown.
    :param vmd_endpoint: address of the VMD that it is behind; empty for none.
    :param source: who was asked: the kernel's driver, SPDK, or nobody.
    :param record: None if it could not be read; ``fault`` says why.
    :param in_use: what uses it, in words; empty if nothing is known to.
    """

    address: PciText
    kernel_address: KernelText
    driver: DriverName = ""
    numa_node: Annotated[int, Meta(ge=-1, le=1023)] = -1
    iommu_group: GroupNumber = -1
    vmd_endpoint: Annotated[str, Meta(max_length=14)] = ""
    source: Source = "none"
    record: ControllerRecord | None = None
    in_use: Reasons = ()
    fault: WireFault | None = None


class BdevScanResult(Result, frozen=True, forbid_unknown_fields=True):
    """A row for each controller.

    :param notes: what else is to be known, in words.
    """

    controllers: Annotated[tuple[ScannedController, ...], Meta(max_length=MAX_CONTROLLERS)] = ()
    notes: Reasons = ()


class BdevScan(Request[BdevScanResult], frozen=True, forbid_unknown_fields=True):
    """Describe controllers, each through the driver that it is bound to; changes nothing.

    :param devices: empty for all.
    :param vmd: a VMD in ``devices`` stands for all that is behind it; look behind those that SPDK has.
    """

    result_type: ClassVar[type[Result]] = BdevScanResult
    devices: PciTexts = ()
    vmd: bool = False
    health: bool = True


class FormattedNamespace(Struct, frozen=True, forbid_unknown_fields=True):
    """A namespace that was to be wiped.

    :param id: 0 if the controller as a whole was refused.
    :param size: in bytes.
    :param reason: why it was not.
    """

    id: U32
    size: U64
    done: bool
    reason: Words = ""


class FormattedController(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one controller that was to be wiped.

    :param fault: 302 if any of its namespaces was not.
    """

    address: PciText
    namespaces: Annotated[tuple[FormattedNamespace, ...], Meta(max_length=NAMESPACES_LIMIT)] = ()
    fault: WireFault | None = None


class BdevFormatResult(Result, frozen=True, forbid_unknown_fields=True):
    """A row for each controller that was named."""

    controllers: Annotated[tuple[FormattedController, ...], Meta(max_length=MAX_CONTROLLERS)] = ()


class BdevFormat(Request[BdevFormatResult], frozen=True, forbid_unknown_fields=True):
    """Write zeros over the first 4 KiB of every active namespace of the named controllers.

    :param devices: at least one; with ``vmd`` a VMD stands for all that is behind it.
    :param force: also where DAOS' own data, or a signature on a device that the policy names, would be lost.
    """

    result_type: ClassVar[type[Result]] = BdevFormatResult
    devices: PciTexts
    force: bool = False
    vmd: bool = False


ModelText = Annotated[str, Meta(max_length=40)]
RevisionText = Annotated[str, Meta(max_length=8)]


class FirmwareController(Struct, frozen=True, forbid_unknown_fields=True):
    """A controller and its firmware.

    :param updatable: whether it takes new firmware.
    :param updated: whether it took it; always false in a query.
    :param needs: what starts the new firmware, in words.
    """

    address: PciText
    model: ModelText = ""
    fw_rev: RevisionText = ""
    updatable: bool = False
    updated: bool = False
    needs: Words = ""
    fault: WireFault | None = None


class NvmeFirmwareResult(Result, frozen=True, forbid_unknown_fields=True):
    """A row for each controller that was chosen."""

    controllers: Annotated[tuple[FirmwareController, ...], Meta(max_length=MAX_CONTROLLERS)] = ()


class NvmeFirmwareQuery(Request[NvmeFirmwareResult], frozen=True, forbid_unknown_fields=True):
    """Tell which firmware controllers have; off unless the policy switches it on.

    :param devices: empty for all.
    :param model: only controllers of that model, whatever the case; empty for all.
    :param fw_rev: only controllers with that firmware, likewise.
    """

    result_type: ClassVar[type[Result]] = NvmeFirmwareResult
    devices: PciTexts = ()
    model: ModelText = ""
    fw_rev: RevisionText = ""


class NvmeFirmwareUpdate(Request[NvmeFirmwareResult], frozen=True, forbid_unknown_fields=True):
    """Give controllers new firmware, to be started by their next reset; off unless the policy switches it on.

    :param path: of the image: a regular file that belongs to root and that nobody else may write to.
    """

    result_type: ClassVar[type[Result]] = NvmeFirmwareResult
    path: PathText
    devices: PciTexts = ()
    model: ModelText = ""
    fw_rev: RevisionText = ""


NVME_REQUESTS: dict[str, type[Request[Result]]] = {
    request.__name__: request for request in (BdevBind, BdevRestore, BdevScan, BdevFormat, NvmeFirmwareQuery, NvmeFirmwareUpdate)
}
"""All methods about controllers, by their name on the wire."""
