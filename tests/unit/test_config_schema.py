# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The JSON Schema: every key in it, every real file valid by it, and as strict as the loader where a schema can be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import jsonschema
import pytest
from config_trees import DATA, META, Tree, checked_tree, enabled_reference, engine, files, nvme, ram, server, valid_trees
from hypothesis import given, settings

from daos_server.config.keys import SECTIONS, fields_of
from daos_server.config.legacy import IGNORED_KEYS, LEGACY_KEYS
from daos_server.config.model import EngineConfig, ServerConfig
from daos_server.config.scalars import as_flag, as_whole, is_null
from daos_server.config.schema import Json, Object, schema
from daos_server.config.yaml_source import Mapping, Node, Sequence, parse

pytestmark = pytest.mark.unit

SCHEMA = schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def errors(tree: object) -> list[str]:
    return [error.json_path for error in VALIDATOR.iter_errors(tree)]


def as_json(node: Node | None) -> Json:
    """What an editor makes of YAML; only true and false are flags there."""
    if isinstance(node, Mapping):
        return {entry.key: as_json(entry.value) for entry in node.entries}
    if isinstance(node, Sequence):
        return [as_json(item) for item in node.items]
    if node is None or is_null(node):
        return None
    whole = as_whole(node)
    return whole if whole is not None else flag if (flag := as_flag(node)) is not None else node.text


def definition(name: str) -> Object:
    found = SCHEMA if name == ServerConfig.__name__ else cast(Object, cast(Object, SCHEMA["$defs"])[name])
    return cast(Object, found["properties"])


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("section", SECTIONS.values(), ids=lambda section: section.__name__)
def test_every_key_is_in_it_with_words_and_default(section: type[ServerConfig]) -> None:
    properties = definition(section.__name__)
    old = LEGACY_KEYS if section.__name__ == EngineConfig.__name__ else frozenset()
    assert set(properties) == set(fields_of(section)) | old
    for key, found in properties.items():
        assert isinstance(found, dict)
        assert len(str(found["description"])) > 5, key
        assert "default" in found or key in ("scm_class", "bdev_class")
    whole = SCHEMA if section is ServerConfig else cast(Object, cast(Object, SCHEMA["$defs"])[section.__name__])
    assert whole["additionalProperties"] is False


def test_old_keys_are_marked() -> None:
    def marked(name: str) -> set[str]:
        return {key for key, found in definition(name).items() if cast(Object, found).get("deprecated")}

    assert marked("ServerConfig") == {"enable_vmd", *IGNORED_KEYS}
    assert marked("EngineConfig") == LEGACY_KEYS
    assert marked("StorageTier") == {"bdev_number"}


@pytest.mark.parametrize("path", sorted(DATA.glob("*.yml")), ids=lambda path: path.name)
def test_files_of_the_reference_are_valid(path: Path) -> None:
    assert errors(as_json(parse(path.read_text(), str(path))) or {}) == []


def test_reference_with_every_key_enabled_is_valid_but_for_its_alternatives() -> None:
    # A device list for class ram, and a fault domain of three levels: the rules refuse the same two.
    assert errors(as_json(parse(enabled_reference(), "r.yml"))) == ["$.engines", "$.fault_path"]


@given(valid_trees())
@settings(max_examples=60, deadline=None)
def test_what_the_server_takes_the_schema_takes(tree: Tree) -> None:
    assert checked_tree(tree).problems == ()
    assert errors(tree) == []


WRONG: list[tuple[Tree, str]] = [
    ({"prot": 1}, "$"),
    ({"name": ""}, "$.name"),
    ({"name": "a" * 16}, "$.name"),
    ({"port": 65536}, "$.port"),
    ({"port": "10001"}, "$.port"),
    ({"port": None}, "$.port"),
    ({"access_points": ["a", "a"]}, "$.access_points"),
    ({"provider": "a,b"}, "$.provider"),
    ({"telemetry_port": -1}, "$.telemetry_port"),
    ({"nr_hugepages": 1 << 31}, "$.nr_hugepages"),
    ({"system_ram_reserved": 0}, "$.system_ram_reserved"),
    ({"control_log_mask": "LOUD"}, "$.control_log_mask"),
    ({"core_dump_filter": 256}, "$.core_dump_filter"),
    ({"fault_path": "/a/b/c"}, "$.fault_path"),
    ({"fault_path": "rack"}, "$.fault_path"),
    ({"transport_config": {"certs": "/a"}}, "$.transport_config"),
    (server({}), "$.engines"),
    (server(None), "$.engines"),
    (server(engine(targets=0)), "$.engines"),
    (server(engine(first_core=-1)), "$.engines"),
    (server(engine(log_mask="a b")), "$.engines"),
    (server(engine(acceleration={"engine": "warp"})), "$.engines"),
    (server(engine(ram(storage_class="ram"))), "$.engines"),
    (server(engine({"scm_mount": "/a"})), "$.engines"),
    (server(engine({"class": "ssd"})), "$.engines"),
    (server(engine({"class": "ram"})), "$.engines"),
    (server(engine(ram(scm_size=3))), "$.engines"),
    (server(engine(ram(scm_list=["/dev/pmem0"]))), "$.engines"),
    (server(engine(ram(scm_mount="mnt"))), "$.engines"),
    (server(engine({"class": "dcpm", "scm_mount": "/a"})), "$.engines"),
    (server(engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["/a", "/b"]})), "$.engines"),
    (server(engine(ram(), {"class": "nvme"})), "$.engines"),
    (server(engine(ram(), {"class": "file", "bdev_list": ["/a"]})), "$.engines"),
    (server(engine(ram(), files(bdev_roles=["Data"])), control_metadata=META), "$.engines"),
    (server(engine(ram(), nvme(bdev_list=["0000:81:00.0", "0000:81:00.0"]))), "$.engines"),
]


@pytest.mark.parametrize(("tree", "place"), WRONG, ids=[str(index) for index in range(len(WRONG))])
def test_what_the_schema_refuses_the_server_refuses(tree: Tree, place: str) -> None:
    assert {re.match(r"\$(\.\w+)?", path).group() for path in errors(tree)} == {place}  # type: ignore[union-attr] # it always matches
    if "engines" not in tree:
        tree = server(engine(), **{"provider": "ofi+tcp", **tree})  # Some rules hold only with engines.
    assert checked_tree(tree).problems
