# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The types that the keys of the configuration have: how each is read from a YAML word, and what it refuses.

Every reader takes a ``Scalar`` (from a file) as well as a Python value (from code), so that models can be made by both.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from daos_bindings.linux.pci_address import looks_like_pci
from daos_bindings.linux.pci_address import parse as parse_pci
from daos_pbin import codes
from daos_server.config.scalars import as_flag, as_whole, is_null, whole_number
from daos_server.config.yaml_source import Scalar

REFUSED = "config"
"""Type of the pydantic errors made here; their context has what, remedy, code and values."""

Role = Literal["data", "meta", "wal"]
ROLES: tuple[Role, ...] = ("data", "meta", "wal")
StorageClass = Literal["", "dcpm", "ram", "nvme", "file", "kdev"]
SCM_CLASSES = frozenset({"dcpm", "ram"})
BDEV_CLASSES = frozenset({"nvme", "file", "kdev"})
EMULATED_CLASSES = frozenset({"file", "kdev"})
ACCELERATION_OPTIONS = ("crc", "move")
LOG_LEVELS = ("DISABLED", "TRACE", "DEBUG", "INFO", "NOTICE", "ERROR")


def refusal(what: str, remedy: str, code: int = codes.SERVER_CONFIG_INVALID, **values: object) -> PydanticCustomError:
    """Return the error by which a reader refuses a value."""
    return PydanticCustomError(REFUSED, "{what}", {"what": what, "remedy": remedy, "code": code, "values": values})


def quoted(value: object) -> str:
    """Return a value for a message, cut to a length that a terminal can bear."""
    text = value.text if isinstance(value, Scalar) else str(value)
    return f'"{text[:80]}..."' if len(text) > 80 else f'"{text}"'


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Scalar) and is_null(value):
        return "nothing"
    return quoted(value)


def to_text(value: object) -> object:
    """Read text: any single word as written."""
    if isinstance(value, Scalar) and not is_null(value):
        return value.text
    if isinstance(value, str):
        return value
    raise refusal(f"takes one text, and has {_kind(value)}", "give one text, in quotes if it has special characters")


def to_flag(value: object) -> object:
    """Read a flag."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Scalar) and (flag := as_flag(value)) is not None:
        return flag
    raise refusal(f"takes true or false, and has {_kind(value)}", "write true or false, without quotes")


def to_whole(value: object) -> object:
    """Read a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Scalar) and (number := as_whole(value)) is not None:
        return number
    raise refusal(f"takes a whole number, and has {_kind(value)}", "write the number in digits, without quotes or unit")


def to_items(value: object) -> Sequence[object]:
    """Read a list; what its entries are is checked by their own type."""
    if isinstance(value, list | tuple):
        return value
    raise refusal(f"takes a list, and has {_kind(value)}", "write one entry per line after a dash, or [a, b]")


def to_section(value: object) -> object:
    """Read a map; its keys are checked by the model."""
    if isinstance(value, Scalar | list | tuple | str | int):
        raise refusal(f"takes keys with values, and has {_kind(value)}", "write its keys indented below it, each as key: value")
    return value


def one_of(names: Sequence[str], *, fold: bool = False, code: int = codes.SERVER_CONFIG_INVALID) -> Callable[[object], object]:
    """Return a reader of one of these words; ``fold`` takes them in any case and returns them as given here."""

    def read(value: object) -> object:
        text = str(to_text(value))
        if fold:
            text = next((name for name in names if name.casefold() == text.casefold()), text)
        if text in names:
            return text
        known = ", ".join(name for name in names if name)
        near = get_close_matches(text[:64].casefold(), [name.casefold() for name in names])
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise refusal(f"{quoted(text)} is not known{hint}", f"use one of: {known}", code, input=text[:80], options=known)

    return read


Text = Annotated[str, BeforeValidator(to_text)]
Flag = Annotated[bool, BeforeValidator(to_flag)]
Whole = Annotated[int, Field(ge=-(1 << 63), le=(1 << 63) - 1), BeforeValidator(to_whole)]
Natural = Annotated[int, Field(ge=0, le=(1 << 32) - 1), BeforeValidator(to_whole)]
Byte = Annotated[int, Field(ge=0, le=255), BeforeValidator(to_whole)]
# Kept as bytes in 63 bits, so fewer GiB than that.
Gibibytes = Annotated[int, Field(ge=0, le=(1 << 33) - 1), BeforeValidator(to_whole)]
Texts = Annotated[tuple[Text, ...], Field(strict=False), BeforeValidator(to_items)]
Wholes = Annotated[tuple[Whole, ...], Field(strict=False), BeforeValidator(to_items)]
Class = Annotated[StorageClass, BeforeValidator(one_of(("", "dcpm", "ram", "nvme", "file", "kdev")))]
LogLevel = Annotated[Literal["DISABLED", "TRACE", "DEBUG", "INFO", "NOTICE", "ERROR"], BeforeValidator(one_of(LOG_LEVELS, fold=True))]
AccelerationEngine = Annotated[
    Literal["none", "spdk", "dml"], BeforeValidator(one_of(("none", "spdk", "dml"), code=codes.BDEV_ACCEL_ENGINE_UNKNOWN))
]
AccelerationOption = Annotated[
    Literal["crc", "move"], BeforeValidator(one_of(ACCELERATION_OPTIONS, code=codes.BDEV_CONFIG_OPT_FLAG_UNKNOWN))
]


def _sorted_once(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(options)))


AccelerationOptions = Annotated[
    tuple[AccelerationOption, ...], Field(strict=False), BeforeValidator(to_items), AfterValidator(_sorted_once)
]


_ROLE = one_of(ROLES, code=codes.BDEV_CONFIG_OPT_FLAG_UNKNOWN)


def _to_roles(value: object) -> object:
    roles: set[str] = set()
    for item in to_items(value):
        text = str(to_text(item))
        if text.casefold() == "na":
            break  # As the reference: "not applicable" ends the list.
        roles.add(str(_ROLE(text)))
    return tuple(sorted(roles))


Roles = Annotated[tuple[Role, ...], BeforeValidator(_to_roles)]


def canonical_devices(devices: tuple[str, ...]) -> tuple[str, ...]:
    """Return devices in the order and spelling of the engine's files: PCI addresses by address in lower case, paths by name.

    :raises PydanticCustomError: for an address that is none, for a device given twice, for addresses and paths in one list.
    """
    addresses = [(device, parse_pci(device)) for device in devices]
    found = [address for _, address in addresses if address is not None]
    for device, address in addresses:
        if not device:
            raise refusal("has an empty entry", "remove it")
        if address is None and (looks_like_pci(device) or (found and "/" not in device)):
            raise refusal(f"{quoted(device)} is not a PCI address", "write it as domain:bus:device.function, such as 0000:81:00.0")
    if found and len(found) != len(devices):
        raise refusal("has both PCI addresses and paths", "put NVMe SSDs and paths into different tiers")
    names = [str(address) for address in sorted(found)] if found else sorted(posixpath.normpath(device) for device in devices)
    if twice := next((name for name, following in pairwise(names) if name == following), ""):
        raise refusal(f"has {twice} twice", "keep one of them")
    return tuple(names)


Devices = Annotated[Texts, AfterValidator(canonical_devices)]


def canonical_addresses(devices: tuple[str, ...]) -> tuple[str, ...]:
    """As ``canonical_devices``, for a list that may hold PCI addresses only."""
    if path := next((device for device in devices if parse_pci(device) is None), ""):
        raise refusal(f"{quoted(path)} is not a PCI address", "write it as domain:bus:device.function, such as 0000:81:00.0")
    return canonical_devices(devices)


Addresses = Annotated[Texts, AfterValidator(canonical_addresses)]


class BusRange(NamedTuple):
    """PCI buses whose hotplug events an engine takes, both ends included."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"0x{self.begin:02x}-0x{self.end:02x}"


def _to_bus_range(value: object) -> BusRange | None:
    if value is None or isinstance(value, BusRange):
        return value
    text = str(to_text(value))
    ends = [whole_number(part) if part.isalnum() else None for part in text.split("-")]
    match ends:
        case [int(begin), int(end)] if begin <= end <= 0xFF:
            # The reference keeps "unset" as zeros, so a range of bus 0 alone has always meant every bus.
            return BusRange(begin, end) if end else None
    raise refusal(f"{quoted(text)} is not a range of PCI buses", "write first-last, each 0x00 to 0xff, such as 0x80-0x8f or 128-143")


OptionalBusRange = Annotated[
    BusRange | None,
    PlainValidator(_to_bus_range),
    PlainSerializer(lambda found: None if found is None else str(found)),
    WithJsonSchema({"anyOf": [{"type": "string", "examples": ["0x80-0x8f", "128-143"]}, {"type": "null"}]}),
]
