# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the model knows about a place in the file: which keys may stand there, and what they default to."""

from __future__ import annotations

from functools import cache
from typing import cast

from pydantic.fields import FieldInfo

from daos_server.config.model import (
    Acceleration,
    BdevAutoFaulty,
    ControlMetadata,
    EngineConfig,
    Section,
    ServerConfig,
    SpdkRpcServer,
    StorageTier,
    TransportConfig,
)
from daos_server.config.problems import Where

SECTIONS: dict[Where, type[Section]] = {
    (): ServerConfig,
    ("transport_config",): TransportConfig,
    ("control_metadata",): ControlMetadata,
    ("engines",): EngineConfig,
    ("engines", "storage"): StorageTier,
    ("engines", "acceleration"): Acceleration,
    ("engines", "spdk_rpc_server"): SpdkRpcServer,
    ("engines", "bdev_auto_faulty"): BdevAutoFaulty,
}
"""The parts of the file, by their keys without the places in lists."""


def names_of(where: Where) -> Where:
    """Return a place without the places in lists."""
    return tuple(part for part in where if isinstance(part, str))


def fields_of(section: type[Section]) -> dict[str, FieldInfo]:
    """Return the fields of a section by their keys."""
    return {str(info.validation_alias or name): info for name, info in section.model_fields.items()}


@cache
def _fields_at(names: Where) -> dict[str, FieldInfo]:
    section = SECTIONS.get(names)
    return fields_of(section) if section else {}


@cache
def keys_at(names: Where) -> frozenset[str]:
    """Return the keys that may stand in a section; none if there is no such section."""
    return frozenset(_fields_at(names))


def default_at(where: Where) -> object:
    """Return the default of a key; None if there is no such key."""
    info = _fields_at(names_of(where[:-1])).get(str(where[-1]))
    return cast(object, info.default) if info else None


def may_be_empty(default: object) -> bool:
    """Return whether a key with this default may stand there without a value: nothing is then what leaving it out means."""
    return default in (None, 0, "", False, ()) or isinstance(default, Section)
