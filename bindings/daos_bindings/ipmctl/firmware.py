# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The firmware of modules: what they have, and giving them another."""

from __future__ import annotations

from typing import Final

from msgspec import ValidationError, convert

from daos_bindings._ipmctl import ffi
from daos_bindings.ipmctl.library import opened
from daos_bindings.ipmctl.raw import check, malformed, text
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import FirmwareInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from daos_pbin.pmem import Module

NOTHING_STAGED: Final = "00.00.00.0000"
UPDATE_STATUS: Final = {0: "Unknown", 1: "Staged", 2: "Success", 3: "Failed"}
PATH_LIMIT: Final = 4096
FORCE: Final = 1
"""As the reference does: without it an older minor version is refused."""


def query(uid: str) -> FirmwareInfo:
    """Return what a module says about its firmware.

    :param uid: of a module that there is, as for ``update``: the library crashes on another.
    :raises Fault: as ``memory.modules``.
    """
    info = ffi.new("struct device_fw_info *")
    check("nvm_get_device_fw_image_info", opened().nvm_get_device_fw_image_info(uid.encode("ascii"), info))
    staged = text(info.staged_fw_revision, "a staged firmware revision")
    try:
        return convert(
            {
                "active_version": text(info.active_fw_revision, "a firmware revision"),
                "staged_version": "" if staged == NOTHING_STAGED else staged,
                "image_max_size": int(info.FWImageMaxSize),  # the library makes bytes of its blocks since 02.00.00.3791
                "update_status": UPDATE_STATUS.get(int(info.fw_update_status), "Unknown"),
            },
            FirmwareInfo,
        )
    except ValidationError as error:
        raise malformed(f"firmware of {uid}: {error}") from error


def update(uid: str, path: str) -> None:
    """Hand an image to a module, which starts it with the next power cycle.

    :param path: absolute; the library opens it, so whoever calls has made sure whose file it is.
    :raises Fault: as ``memory.modules``.
    """
    name = path.encode("utf-8")
    if not 0 < len(name) < PATH_LIMIT:
        raise ValueError("the path of an image has 1 to 4095 bytes")
    check("nvm_update_device_fw", opened().nvm_update_device_fw(uid.encode("ascii"), name, len(name), FORCE))


def chosen(
    modules: tuple[Module, ...], uids: tuple[str, ...] = (), model: str = "", revision: str = "", *, strict: bool
) -> tuple[Module, ...]:
    """Return the modules that a request is about, in their order.

    :param uids: empty for all.
    :param model: part number, and ``revision`` of the firmware: whole, whatever the case; empty for any.
    :param strict: for an update: a UID that no module has is a fault, and so is nothing left; a query passes over both.
    :raises Fault: 211 without modules, 209 for a UID given twice, 2168 and 210 if strict.
    """
    if not modules:
        raise Fault(codes.SCM_NO_PMEM)
    if len(set(uids)) != len(uids):
        raise Fault(codes.SCM_DUPLICATES_IN_DEVICE_LIST, object=next(uid for uid in uids if uids.count(uid) > 1))
    if strict:
        for uid in sorted(set(uids) - {module.uid for module in modules}):
            raise Fault(codes.SCM_MODULE_UNKNOWN, object=uid, uid=uid)
    left = tuple(
        module
        for module in modules
        if (not uids or module.uid in uids)
        and (not model or model.casefold() == module.part_number.casefold())
        and (not revision or revision.casefold() == module.firmware_revision.casefold())
    )
    if strict and not left:
        raise Fault(codes.SCM_NO_DEVICES_MATCH_FILTER)
    return left
