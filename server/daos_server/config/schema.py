# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The JSON Schema of ``daos_server.yml``, with which editors complete and check it while it is written.

Made from the model, and made stricter where the rules refuse a value whatever else the file says.  It takes what the server takes,
but for two kinds of words: text that looks like a number must be in quotes, and flags are true or false, not yes or on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

from daos_server.config.fault_domain import MOST_LEVELS
from daos_server.config.fields import BDEV_CLASSES, LOG_LEVELS, ROLES, SCM_CLASSES
from daos_server.config.keys import SECTIONS, fields_of, may_be_empty
from daos_server.config.legacy import CLASS_KEYS, IGNORED_KEYS, LEGACY_KEYS
from daos_server.config.model import EngineConfig, Section, ServerConfig, StorageTier
from daos_server.config.rules.engine import LOG_MASK_LIMIT
from daos_server.config.rules.parts import PORT_LIMIT
from daos_server.config.rules.server import HUGEPAGES_LIMIT, NAME_LIMIT
from daos_server.config.rules.tiers import SMALLEST_RAMDISK_GIB

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Object = dict[str, Json]


def _any_case(words: Iterable[str]) -> str:
    """Return a pattern for words in any case; JSON Schema has no flag for that."""
    spelled = ("".join(f"[{char.lower()}{char.upper()}]" for char in word) for word in words)
    return f"^({'|'.join(spelled)})$"


_LARGEST = (1 << 63) - 1
_PORT: Object = {"minimum": 0, "maximum": PORT_LIMIT}
# None takes away what pydantic says.
_STRICTER: dict[type[Section], dict[str, Object]] = {
    ServerConfig: {
        "name": {"minLength": 1, "maxLength": NAME_LIMIT},
        "access_points": {"uniqueItems": True},
        "port": {"minimum": 1, "maximum": PORT_LIMIT},
        "socket_dir": {"minLength": 1},
        "provider": {"pattern": "^[^,]*$", "examples": ["ofi+tcp", "ofi+verbs;ofi_rxm", "ucx+dc_x"]},
        "fabric_iface_port": _PORT,
        "telemetry_port": _PORT,
        "nr_hugepages": {"minimum": 0, "maximum": HUGEPAGES_LIMIT},
        "system_ram_reserved": {"minimum": 1},
        "control_log_mask": {"enum": None, "anyOf": [{"enum": [*LOG_LEVELS]}, {"pattern": _any_case(LOG_LEVELS)}]},
        "fault_path": {"pattern": f"^(/[^/]+){{0,{MOST_LEVELS}}}$", "examples": ["/rack1/host7"]},
    },
    EngineConfig: {
        "targets": {"minimum": 1},
        "nr_xs_helpers": {"minimum": 0},
        "first_core": {"minimum": 0},
        "fabric_iface_port": _PORT,
        "log_mask": {"maxLength": LOG_MASK_LIMIT, "pattern": "^[a-zA-Z,=_]*$", "examples": ["ERR", "INFO,VOS=DEBUG"]},
    },
    StorageTier: {
        "class": {"enum": ["ram", "dcpm", "nvme", "file", "kdev"]},
        "scm_mount": {"pattern": "^/"},
        "scm_size": {"anyOf": [{"const": 0}, {"minimum": SMALLEST_RAMDISK_GIB}]},
        "scm_list": {"maxItems": 1},
        "bdev_list": {"uniqueItems": True},
        "bdev_roles": {"items": {"type": "string", "anyOf": [{"enum": [*ROLES]}, {"pattern": _any_case(["na"])}]}},
        "bdev_busid_range": {"examples": ["0x80-0x8f", "128-143"]},
    },
}
_REQUIRED: dict[type[Section], tuple[str, ...]] = {EngineConfig: ("targets",), StorageTier: ("class",)}
_DEPRECATED: dict[type[Section], frozenset[str]] = {
    ServerConfig: frozenset(("enable_vmd", *IGNORED_KEYS)),
    EngineConfig: LEGACY_KEYS,
    StorageTier: frozenset({"bdev_number"}),
}


def schema() -> Object:
    """Return the schema (draft 2020-12) of the whole file, every key with its description and its default."""
    found = cast(Object, ServerConfig.model_json_schema())
    definitions = _at(found, "$defs")
    for section in SECTIONS.values():
        _finish(found if section is ServerConfig else _at(definitions, section.__name__), section)
    _add_old_keys(_at(definitions, EngineConfig.__name__), _at(definitions, StorageTier.__name__))
    _require_by_class(_at(definitions, StorageTier.__name__))
    return {"$schema": DIALECT, **found, "title": "daos_server.yml", "description": "Configuration of a DAOS server."}


def _at(parent: Object, *path: str) -> Object:
    for key in path:
        parent = cast(Object, parent[key])
    return parent


def _finish(definition: Object, section: type[Section]) -> None:
    definition["title"] = re.sub("(?<!^)([A-Z])", r" \1", section.__name__)
    definition["description"] = (section.__doc__ or "").replace("``", "")
    required = _REQUIRED.get(section, ())
    if required:
        definition["required"] = [*required]
    properties = _at(definition, "properties")
    for key, info in fields_of(section).items():
        value = _value(_at(properties, key)) | _STRICTER.get(section, {}).get(key, {})
        value = {name: limit for name, limit in value.items() if limit is not None}
        if may_be_empty(info.default) and key not in required:
            value = {"anyOf": [value, {"type": "null"}]}
        words: Object = {"description": info.description, "default": _at(properties, key)["default"]}
        if key in _DEPRECATED.get(section, ()):
            words["deprecated"] = True
        properties[key] = words | value


def _value(found: Object) -> Object:
    """Return what pydantic says about a value: without words, bounds of 64 bits, and the null of an optional one."""
    value: Object = {key: found[key] for key in found if key not in ("title", "description", "default")}
    if branches := value.get("anyOf"):
        (value,) = (branch for branch in cast(list[Object], branches) if branch != {"type": "null"})
    return {"type": "integer"} if value.get("maximum") == _LARGEST else value


def _add_old_keys(engine: Object, tier: Object) -> None:
    properties, today = _at(engine, "properties"), _at(tier, "properties")
    for key in (*CLASS_KEYS, *sorted(LEGACY_KEYS - {*CLASS_KEYS})):
        old: Object = dict(_at(today, key)) if key not in CLASS_KEYS else {"type": "string", "enum": _classes_of(key)}
        old["description"] = f"Old form of storage; write {'class' if key in CLASS_KEYS else key} in a tier of the storage list."
        properties[key] = old | {"deprecated": True}


def _classes_of(key: str) -> list[Json]:
    return ["", *sorted(SCM_CLASSES if key.startswith("scm") else BDEV_CLASSES)]


def _require_by_class(tier: Object) -> None:
    """Say which keys a tier must have, and must not, by its class."""
    tier["allOf"] = [
        _if_class(("ram", "dcpm"), needed=["scm_mount"]),
        _if_class(("ram",), empty=["scm_list"]),
        _if_class(("dcpm",), needed=["scm_list"]),
        _if_class(("nvme", "file", "kdev"), needed=["bdev_list"]),
        _if_class(("file",), needed=["bdev_size"]),
    ]


def _if_class(classes: Iterable[str], *, needed: Iterable[str] = (), empty: Iterable[str] = ()) -> Object:
    then: Object = {}
    if needed:
        then["required"] = [*needed]
    if empty:
        then["properties"] = {key: {"anyOf": [{"maxItems": 0}, {"type": "null"}]} for key in empty}
    return {"if": {"properties": {"class": {"enum": [*classes]}}, "required": ["class"]}, "then": then}
