# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What ``ndctl list`` prints, made regions and namespaces of ours (storage facts C.2).

Its JSON is nothing at all on a machine without NVDIMMs, one object or an array of them; with ``-R -N`` an object whose regions hold their
namespaces, below the buses if there are several.  An ``iset_id`` above 2**63 comes out as a negative number.  With ``-i`` each region
has a namespace of size 0 as well, the kernel's place for the next one, which is left out here.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import DecodeError, Meta, Struct, ValidationError, convert
from msgspec.json import Decoder

from daos_bindings.linux.kernelfiles import printable
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import NAMESPACES_LIMIT, REGIONS_LIMIT, KernelRegion, Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT: Final = 1024 * 1024
NO_UUID: Final = "00000000-0000-0000-0000-000000000000"
BITS: Final = 2**64


class _Namespace(Struct, frozen=True):
    """Fields that are used; ndctl prints more, and each version others."""

    dev: str
    size: int
    mode: str = ""
    uuid: str = ""
    raw_uuid: str = ""
    blockdev: str = ""
    numa_node: int = -1
    state: str = ""


class _Region(Struct, frozen=True):
    dev: str
    size: int
    available_size: int
    align: int = 0
    iset_id: int = 0
    numa_node: int = -1
    type: str = ""
    persistence_domain: str = ""
    namespaces: Annotated[tuple[_Namespace, ...], Meta(max_length=NAMESPACES_LIMIT)] = ()


class _Bus(Struct, frozen=True):
    regions: Annotated[tuple[_Region, ...], Meta(max_length=REGIONS_LIMIT)] = ()


class Listing(Struct, frozen=True):
    """Regions and namespaces by number."""

    regions: tuple[KernelRegion, ...] = ()
    namespaces: tuple[Namespace, ...] = ()


def decode(data: bytes) -> Listing:
    """Return what ``commands.LIST`` printed on standard output.

    :raises Fault: 2163 if it is not what ndctl prints, or cannot be true.
    """
    if len(data) > LIMIT:
        raise _malformed(f"more than {LIMIT} bytes")
    try:
        found = list(_regions(data))
        regions = [_region(region) for region in found]
        namespaces = [_namespace(one) for region in found for one in region.namespaces if one.size]
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(printable(str(error))) from error
    for region in regions:
        if region.available_size > region.size:
            raise _malformed(f"{region.dev} has {region.available_size} of {region.size} bytes free")
    for kind in (regions, namespaces):
        if len({one.dev for one in kind}) != len(kind):
            raise _malformed("one name stands for two")
    if any(region.dev != f"region{one.dev[9:].partition('.')[0]}" for region in found for one in region.namespaces):
        raise _malformed("a namespace is on another region than its name says")
    return Listing(tuple(sorted(regions, key=lambda one: int(one.dev[6:]))), tuple(sorted(namespaces, key=_number)))


def _number(namespace: Namespace) -> tuple[int, int]:
    return namespace.region, int(namespace.dev.partition(".")[2])


def _regions(data: bytes) -> Iterator[_Region]:
    if not data.strip():
        return
    top: object = Decoder().decode(data)
    for entry in top if isinstance(top, list) else [top]:
        if isinstance(entry, dict) and "regions" not in entry and "dev" not in entry:
            raise _malformed("neither a region nor a list of them")
        if isinstance(entry, dict) and "regions" in entry:
            yield from convert(entry, _Bus).regions
        else:
            yield convert(entry, _Region)


def _region(found: _Region) -> KernelRegion:
    if not -BITS // 2 <= found.iset_id < BITS:
        raise _malformed(f"{found.dev} has the interleave set {found.iset_id}")
    fields = {name: getattr(found, name) for name in KernelRegion.__struct_fields__}
    return convert({**fields, "iset_id": found.iset_id % BITS}, KernelRegion)


def _namespace(found: _Namespace) -> Namespace:
    fields = {name: getattr(found, name) for name in Namespace.__struct_fields__ if name != "enabled"}
    uuids = {name: "" if fields[name] == NO_UUID else fields[name] for name in ("uuid", "raw_uuid")}
    return convert({**fields, **uuids, "enabled": found.state != "disabled"}, Namespace)


def _malformed(reason: str) -> Fault:
    return Fault(codes.SCM_DATA_MALFORMED, object="ndctl", program="ndctl", reason=reason)
