# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every field that a caller can send to root's helper: who decides what it may say, and the tests that send what it may not.

Bounds are not written here: ``bound`` reads them off the message types, and finds no words for a type without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from checklist import BREACH, HOSTILE_VALUES, PREPARE, RACES, STORAGE
from msgspec import inspect

from daos_pbin import envelope, frames
from daos_pbin.messages import REQUESTS as STORAGE_REQUESTS
from daos_pbin.nvme_messages import NVME_REQUESTS
from daos_pbin.pmem_messages import PMEM_REQUESTS

REQUESTS = STORAGE_REQUESTS | NVME_REQUESTS | PMEM_REQUESTS

JUDGED = "unit/test_nvme_judgement.py::test_"
NVME = "host/test_nvme_methods.py::test_"
GUEST = "vm/inside/test_nvme_methods.py::test_"
SOCKET = "attack/test_socket.py::test_"


class Row(NamedTuple):
    """One row of the table; several fields that are treated alike share one.

    :param fields: MESSAGE.FIELD each.
    :param owner: who decides what it may say, and what is made of it.
    :param tests: FILE::FUNCTION below tests/, the first that shows it.  Beside these, ``HOSTILE_VALUES`` sends every hostile value in
        every field of every request, as the account, through the installed launcher.
    """

    fields: tuple[str, ...]
    owner: str
    tests: tuple[str, ...]


def each(field: str, *messages: str) -> tuple[str, ...]:
    """Return a field of several messages."""
    return tuple(f"{message}.{field}" for message in messages)


METADATA = ("MetadataNeedsFormat", "MetadataFormat", "MetadataMount", "MetadataUnmount")
RAM_OR_DISK = ("ScmCheckFormat", "ScmFormat", "ScmMount")
NVME_FIRMWARE = ("NvmeFirmwareQuery", "NvmeFirmwareUpdate")
PMEM_FIRMWARE = ("ScmFirmwareQuery", "ScmFirmwareUpdate")

ROWS: tuple[Row, ...] = (
    Row(
        ("frame.length",),
        "caller; the header alone refuses more, and nothing is read ahead of it",
        ("attack/test_sessions.py::test_stream_without_end_is_read_no_further_than_its_first_bad_frame",),
    ),
    Row(
        ("socket.peer",),
        "kernel (SO_PEERCRED); the caller sends nothing for it, and descriptors that it passes are never taken",
        (f"{SOCKET}account_is_the_account_whatever_it_calls_itself",),
    ),
    Row(each("type", "request", "cancel"), "caller; one of these two", (BREACH,)),
    Row(
        each("id", "request", "cancel"),
        "caller; one that is open is not taken again, a cancel of one that is not open does nothing",
        (BREACH,),
    ),
    Row(("request.method",), "caller, among those of the dispatch table that the policy does not switch off", (BREACH,)),
    Row(("request.payload",), "caller; of exactly the method's type, as below", (BREACH,)),
    Row(("request.deadline_s",), "caller; the worker is killed then, and what it had begun is undone", (BREACH,)),
    Row(
        (*each("mountpoint", "ScmCheckFormat", "ScmFormat"), *each("target", "ScmMount", "ScmUnmount"), *each("root_path", *METADATA)),
        "caller, at or below `mount_roots`; canonical; opened without following links, and held while it is used",
        (HOSTILE_VALUES, f"{RACES}folder_that_turns_into_a_link_leads_nowhere"),
    ),
    Row(
        (*each("ramdisk", *RAM_OR_DISK), *each("dcpm", *RAM_OR_DISK)),
        "caller; exactly one of the two",
        (HOSTILE_VALUES,),
    ),
    Row(
        ("Ramdisk.size_gib",),
        "caller; 1 at least, and no more than the machine has",
        (f"{STORAGE}ramdisk_larger_than_memory_is_refused",),
    ),
    Row(
        ("Ramdisk.numa_node", "Ramdisk.disable_hugepages"),
        "caller; mount options are made from them",
        (f"{STORAGE}ramdisk_options_are_those_of_the_request",),
    ),
    Row(
        ("Dcpm.device", *each("device", *METADATA)),
        (
            "caller, below /dev, if it is in no use; never the system's disk, nor what `devices_deny` names; a spare partition of that "
            "disk, and loop, nbd and ublk devices, only by `devices_allow`; opened once, and known by its number"
        ),
        (f"{STORAGE}device_that_is_denied_although_it_is_allowed", f"{STORAGE}device_under_another_name_is_the_same_device"),
    ),
    Row(
        each("force", "ScmFormat", "MetadataFormat"),
        "caller; covers what DAOS made, anything else only on what `devices_allow` names",
        (f"{STORAGE}data_without_a_signature_is_not_empty",),
    ),
    Row(
        ("BdevPrepare.hugepages", "NodePages.node", "NodePages.count"),
        "caller; nodes that there are, and 1 GiB or a twentieth of the memory is left; read back, and put back if it is less",
        (PREPARE,),
    ),
    Row(
        ("BdevPrepare.clean_hugepages_only",),
        "caller; files named spdk_pid*N*map_*M* of dead processes, in the one hugetlbfs",
        (f"{STORAGE}only_hugepage_files_of_dead_processes_are_removed",),
    ),
    Row(("BdevPrepare.reset",), "caller; takes back what is on our record", (f"{STORAGE}hugepages_that_somebody_added_meanwhile_stay",)),
    Row(
        each("target_user", "BdevPrepare", "BdevBind"),
        "caller, the account itself or a name in `target_users`, of which the uid there counts",
        (f"{STORAGE}target_user_must_be_in_the_policy", f"{NVME}a_stranger_gets_no_controller"),
    ),
    Row(
        ("BdevBind.devices", "BdevBind.all_devices"),
        (
            "caller, if nothing uses them, `devices_deny` names none of them and nothing in their IOMMU group, all their namespaces can be "
            "looked at, and what is there is of engines; else `devices_allow` must name them"
        ),
        (f"{JUDGED}what_nobody_can_look_into_is_taken_only_by_root_s_leave", f"{GUEST}what_is_used_is_refused_and_stays_byte_for_byte"),
    ),
    Row(("BdevBind.blocked",), "caller; can only leave out", (f"{GUEST}only_what_was_named_is_touched",)),
    Row(("BdevBind.driver",), "caller; nothing is loaded for it", (f"{GUEST}without_an_iommu_vfio_is_refused_and_uio_takes_them",)),
    Row(
        each("vmd", "BdevBind", "BdevRestore", "BdevScan", "BdevFormat"),
        "caller; a VMD counts as everything behind it, for the policy as well",
        (f"{JUDGED}an_ssd_that_is_denied_keeps_the_vmd_that_hides_it", f"{JUDGED}all_behind_a_vmd_must_be_seen_before_it_is_bound"),
    ),
    Row(
        ("BdevRestore.devices",),
        (
            "caller, what is on our record, or was given to the account, or nobody has; to the driver on that record, or the kernel's own; "
            "never away from a driver of the kernel's"
        ),
        (f"{JUDGED}what_the_kernel_has_again_is_not_taken_from_it", f"{JUDGED}an_ssd_in_the_place_of_one_on_record_is_another"),
    ),
    Row(
        (*each("devices", "BdevScan", "NvmeFirmwareQuery"), "BdevScan.health"),
        "caller; commands of ours that only read",
        (f"{GUEST}every_controller_is_described",),
    ),
    Row(
        ("BdevFormat.devices",),
        "caller; each namespace as `Dcpm.device`, claimed exclusively before it is looked at",
        (f"{GUEST}what_is_used_is_refused_and_stays_byte_for_byte",),
    ),
    Row(("BdevFormat.force",), "caller; as `ScmFormat.force`", (f"{GUEST}all_are_formatted_twice_and_data_only_with_force",)),
    Row(
        ("NvmeFirmwareUpdate.devices",),
        "caller, if `methods_on` has the method; none that `devices_deny` names; the system's own SSD only by `devices_allow`",
        (f"{JUDGED}what_root_denies_gets_no_firmware",),
    ),
    Row(
        (*each("model", *NVME_FIRMWARE), *each("fw_rev", *NVME_FIRMWARE), *each("model", *PMEM_FIRMWARE), *each("fw_rev", *PMEM_FIRMWARE)),
        "caller; compared, nothing else",
        (HOSTILE_VALUES,),
    ),
    Row(
        each("path", "NvmeFirmwareUpdate", "ScmFirmwareUpdate"),
        "caller, if `methods_on` has the method; a file of root's own with one name; opened once, without following links",
        (f"{NVME}an_image_is_roots_own_file",),
    ),
    Row(each("socket", "ScmScan", "ScmPrepare"), "caller; can only leave out", (HOSTILE_VALUES,)),
    Row(
        ("ScmPrepare.reset", "ScmPrepare.seen"),
        "caller; each namespace as `Dcpm.device` with force, and none if there is one that `seen` leaves out",
        (HOSTILE_VALUES,),
    ),
    Row(("ScmPrepare.namespaces_per_socket", "ScmPrepare.plan_only"), "caller", (HOSTILE_VALUES,)),
    Row(each("uids", *PMEM_FIRMWARE), "caller, if `methods_on` has the method; can only leave out", (HOSTILE_VALUES,)),
)

OF_THE_ENVELOPE: dict[str, str] = {
    "frame.length": f"1 to {frames.REQUEST_LIMIT} bytes",
    "socket.peer": "a uid",
    "request.type": "text, one word",
    "cancel.type": "text, one word",
    "request.id": f"1 to {envelope.MAX_ID}",
    "cancel.id": f"1 to {envelope.MAX_ID}",
    "request.method": f"1 to {envelope.METHOD_LIMIT} letters",
    "request.payload": f"map, depth {frames.MAX_DEPTH} at most",
    "request.deadline_s": f"above 0, {envelope.MAX_DEADLINE_S} at most",
}
"""Bounds of what the envelope's own parser checks, by hand."""


def fields_of_messages() -> dict[str, str]:
    """Return the bound of every field of every request, and of the maps in them, by MESSAGE.FIELD."""
    found: dict[str, str] = {}
    for request in REQUESTS.values():
        for struct in _structs(inspect.type_info(request)):
            found |= {f"{struct.cls.__name__}.{field.encode_name}": bound(field.type) for field in struct.fields}
    return found


def _structs(kind: inspect.Type) -> Iterator[inspect.StructType]:
    if isinstance(kind, inspect.StructType):
        yield kind
        for field in kind.fields:
            yield from _structs(field.type)
    elif isinstance(kind, inspect.UnionType):
        for option in kind.types:
            yield from _structs(option)
    elif isinstance(kind, inspect.VarTupleType):
        yield from _structs(kind.item_type)


def bound(kind: inspect.Type) -> str:
    """Say what values a type has.

    :raises ValueError: if there is no end to them.
    """
    match kind:
        case inspect.BoolType():
            return "bool"
        case inspect.StructType():
            return f"map {kind.cls.__name__}"
        case inspect.UnionType(types=types):
            return ", or ".join("nothing" if isinstance(one, inspect.NoneType) else bound(one) for one in types)
        case inspect.LiteralType(values=values):
            return " or ".join(str(value) for value in values)
        case inspect.StrType(max_length=int(most), pattern=pattern):
            return f"text, {most} at most" + (", one grammar" if pattern else "")
        case inspect.IntType(ge=least, le=most) if least is not None and most is not None:
            return f"{least} to {most}"
        case inspect.VarTupleType(item_type=item, max_length=int(most)):
            return f"{most} at most of: {bound(item)}"
    raise ValueError(f"no bound: {kind}")


def line(row: Row) -> str:
    """Return a row as SECURITY.md has it."""
    bounds = OF_THE_ENVELOPE | fields_of_messages()
    texts = "; ".join(dict.fromkeys(bounds[field] for field in row.fields))
    return f"| {_names(row.fields)} | {texts} | {row.owner} | {', '.join(_shown(test) for test in row.tests)} |"


def _names(fields: tuple[str, ...]) -> str:
    """Return the fields, those of the same name together."""
    messages: dict[str, list[str]] = {}
    for field in fields:
        message, _, name = field.partition(".")
        messages.setdefault(name, []).append(message)
    return ", ".join(f"{'/'.join(owners)}.**{name}**" for name, owners in messages.items())


def _shown(test: str) -> str:
    file, _, function = test.partition("::")
    return f"{file.removesuffix('.py')} `{function.removeprefix('test_')}`"
