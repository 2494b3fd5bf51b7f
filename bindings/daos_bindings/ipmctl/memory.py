# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Modules, regions and goals."""

from __future__ import annotations

from typing import Final

from msgspec import ValidationError, convert

from daos_bindings._ipmctl import ffi
from daos_bindings.ipmctl.library import opened
from daos_bindings.ipmctl.raw import NO_MODULES, check, malformed, text
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import MODULES_LIMIT, REGIONS_LIMIT, Goal, Module, Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar

    T = TypeVar("T")

HEALTH: Final = {
    0: "Unknown",
    1: "Healthy",
    2: "Non-critical failure",
    3: "Critical failure",
    4: "Fatal failure",
    5: "Unmanageable",
    6: "Non-functional",
}
# The header has another meaning for 2; the library's source sets bits, 1 for interleaved and 2 for not (Core/Region.c).
REGION_TYPE: Final = {1: "AppDirect", 2: "AppDirectNotInterleaved"}
REGION_HEALTH: Final = {1: "Healthy", 2: "Error", 3: "Unknown", 4: "Pending", 5: "Locked"}
GOAL_STATUS: Final = {1: "unknown", 2: "new", 3: "bad-request", 4: "no-resources", 5: "firmware-error", 6: "failed"}

FROM_CONFIGURATION_DATA: Final = 0
"""``use_nfit`` of the calls about regions: their free capacity is known only from the modules' own data."""
APP_DIRECT: Final = 1
LABEL_VERSION: Final = (1, 2)
"""What the ipmctl program itself asks for."""


def modules() -> tuple[Module, ...]:
    """Return the modules of this machine by socket and place; empty if it truly has none.

    :raises Fault: 2160 without the library, 2 for a version that does not work, 2162 if not root, 2161 if it fails, 2163 if what
        it says cannot be true.
    """
    return _modules(opened())


def regions() -> tuple[Region, ...]:
    """Return the regions by socket; empty if there are none, or no modules.

    :raises Fault: as ``modules``.
    """
    library = opened()
    if not _count_modules(library):
        return ()  # asked for regions, the library then fails without a name for it
    count = ffi.new("uint8_t *")
    check("nvm_get_number_of_regions_ex", library.nvm_get_number_of_regions_ex(FROM_CONFIGURATION_DATA, count))
    if not count[0]:
        return ()
    # Room for as many as can be: between two calls there can be more of them.
    found, count[0] = ffi.new("struct region[]", REGIONS_LIMIT), REGIONS_LIMIT
    check("nvm_get_regions_ex", library.nvm_get_regions_ex(FROM_CONFIGURATION_DATA, found, count))
    decoded = [_region(found[index]) for index in range(count[0])]
    return tuple(sorted(decoded, key=lambda region: (region.socket_id, region.iset_id)))


def goals() -> tuple[Goal, ...]:
    """Return the goals that are stored on modules, pending and refused ones, by module.

    :raises Fault: as ``modules``.
    """
    library = opened()
    if not _count_modules(library):
        return ()
    # The library fills as many as there are, whatever room was given.
    found = ffi.new("struct config_goal[]", MODULES_LIMIT)
    check("nvm_get_config_goal", library.nvm_get_config_goal(ffi.NULL, 0, found))
    decoded = [_goal(entry) for entry in found if entry.dimm_uid[0] != b"\0" and entry.status]
    return tuple(sorted(decoded, key=lambda goal: goal.uid))


def create_goal(uids: tuple[str, ...]) -> None:
    """Ask the firmware for one interleaved AppDirect region per socket from the whole of these modules, at the next start.

    :param uids: all modules of the sockets concerned; never empty, which would mean every module.
    :raises Fault: as ``modules``; 2168 for a UID that no module has.
    :raises ValueError: for no module.
    """
    goal = ffi.new("struct config_goal_input *")
    goal.persistent_mem_type = APP_DIRECT
    goal.namespace_label_major, goal.namespace_label_minor = LABEL_VERSION
    library = opened()
    check("nvm_create_config_goal", library.nvm_create_config_goal(*_uids(library, uids), goal))


def delete_goals(uids: tuple[str, ...]) -> None:
    """Take back the goals of these modules; those without one are left as they are.

    :raises Fault: as ``modules``; 2168 for a UID that no module has.
    :raises ValueError: for no module.
    """
    library = opened()
    check("nvm_delete_config_goal", library.nvm_delete_config_goal(*_uids(library, uids)))


def _uids(library: Any, uids: tuple[str, ...]) -> tuple[Any, int]:  # noqa: ANN401 - the raw layer speaks C
    """Return UIDs as the library takes them: it crashes on one that no module has."""
    if not uids:
        raise ValueError("no module is named, which libipmctl takes for all of them")
    known = {module.uid for module in _modules(library)}
    for uid in uids:
        if uid not in known:
            raise Fault(codes.SCM_MODULE_UNKNOWN, object=uid, uid=uid)
    return ffi.new("NVM_UID[]", [uid.encode("ascii") for uid in uids]), len(uids)


def _count_modules(library: Any) -> int:  # noqa: ANN401 - the raw layer speaks C
    count = ffi.new("unsigned int *")
    result = library.nvm_get_number_of_devices(count)
    if result == NO_MODULES:
        return 0
    check("nvm_get_number_of_devices", result)
    if count[0] > MODULES_LIMIT:
        raise malformed(f"it has {count[0]} modules")
    return int(count[0])


def _modules(library: Any) -> tuple[Module, ...]:  # noqa: ANN401 - the raw layer speaks C
    count = _count_modules(library)
    if not count:
        return ()
    found = ffi.new("struct device_discovery[]", count)
    check("nvm_get_devices", library.nvm_get_devices(found, count))
    decoded = [_module(library, found[index]) for index in range(count)]
    if len({module.uid for module in decoded}) != len(decoded):
        raise malformed("two modules have one UID")
    return tuple(sorted(decoded, key=lambda one: (one.socket_id, one.controller_id, one.channel_id, one.channel_position, one.uid)))


def _module(library: Any, found: Any) -> Module:  # noqa: ANN401 - the raw layer speaks C
    uid = text(found.uid, "the UID of a module")
    status = ffi.new("struct device_status *")
    check("nvm_get_device_status", library.nvm_get_device_status(found.uid, status))
    return _converted(
        Module,
        {
            "uid": uid,
            "socket_id": int(found.socket_id),
            "controller_id": int(found.memory_controller_id),
            "channel_id": int(found.channel_id),
            "channel_position": int(found.channel_pos),
            "physical_id": int(found.physical_id),
            "capacity": int(found.capacity),
            "part_number": text(found.part_number, "a part number"),
            "firmware_revision": text(found.fw_revision, "a firmware revision"),
            "health": HEALTH.get(int(status.health), "Unknown"),
        },
    )


def _region(found: Any) -> Region:  # noqa: ANN401 - the raw layer speaks C
    free, capacity = int(found.free_capacity), int(found.capacity)
    if free > capacity or not capacity:
        raise malformed(f"{free} of {capacity} bytes of a region on socket {int(found.socket_id)} are free")
    return _converted(
        Region,
        {
            "socket_id": int(found.socket_id),
            "iset_id": int(found.isetId),
            "type": REGION_TYPE.get(int(found.type), "Unknown"),
            "capacity": capacity,
            "free_capacity": free,
            "health": REGION_HEALTH.get(int(found.health), "Unknown"),
        },
    )


def _goal(found: Any) -> Goal:  # noqa: ANN401 - the raw layer speaks C
    status = GOAL_STATUS.get(int(found.status), "unknown")
    return _converted(Goal, {"uid": text(found.dimm_uid, "the UID of a goal"), "socket_id": int(found.socket_id), "status": status})


def _converted(kind: type[T], fields: Mapping[str, str | int]) -> T:
    try:
        return convert(fields, kind)
    except ValidationError as error:
        raise malformed(f"{kind.__name__.lower()}: {error}") from error
