# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The configuration in force: what each value is, where it comes from, and that it can be used in place of the file."""

from __future__ import annotations

import json

import pytest
from config_trees import DATA, Tree, checked, checked_tree, engine, ram, server, valid_trees
from hypothesis import given, settings

from daos_server.config.effective import Leaf, effective, leaves, plain
from daos_server.config.keys import SECTIONS, fields_of, names_of
from daos_server.config.legacy import IGNORED_KEYS
from daos_server.config.load import Validation, validate
from daos_server.config.model import ServerConfig
from daos_server.config.yaml_text import yaml_lines

pytestmark = pytest.mark.unit


def found_in(found: Validation, *, secrets: bool = True) -> dict[str, Leaf]:
    assert found.problems == ()
    return {leaf.key: leaf for leaf in leaves(effective(found, secrets=secrets).tree)}


def text_of(found: Validation, *, secrets: bool = True) -> str:
    return "\n".join(yaml_lines(effective(found, secrets=secrets).tree)) + "\n"


def in_force(config: ServerConfig) -> object:
    """What the rest of the server asks a configuration."""
    engines = range(len(config.engines))
    return (
        [config.fabric(index) for index in engines],
        [config.nvme_conf_path(index) for index in engines],
        [(each.environment, each.storage, each.acceleration.effective_options) for each in config.engines],
        config.access_point_addresses,
        config.vmd_disabled,
    )


def assert_can_replace_the_file(found: Validation) -> None:
    assert found.config is not None
    made = effective(found, secrets=True)
    text = "\n".join(yaml_lines(made.tree)) + "\n"
    again = checked(text)
    assert again.problems == ()
    assert again.config == made.config
    assert in_force(made.config) == in_force(found.config)
    # Nothing is told about it that was not told about the file, and showing it once more changes nothing.
    assert {notice.message for notice in again.notices} <= {notice.message for notice in found.notices}
    assert plain(effective(again, secrets=True).tree) == plain(made.tree)


@given(valid_trees())
@settings(max_examples=60, deadline=None)
def test_any_configuration_shown_can_replace_its_file(tree: Tree) -> None:
    found = checked_tree(tree)
    assert found.problems == ()
    assert_can_replace_the_file(found)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.yml")), ids=lambda path: path.name)
def test_files_of_the_reference_shown_can_replace_them(path: object) -> None:
    assert_can_replace_the_file(validate(str(path)))


def test_every_key_is_shown() -> None:
    tiers = [ram(), {"class": "file", "bdev_list": ["/a"], "bdev_size": 4}]
    found = checked_tree(server(engine(*tiers, bdev_auto_faulty={"enable": True})))
    dcpm = checked_tree(server(engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["/dev/pmem0"]})))
    shown = {names_of(leaf.where) for each in (found, dcpm) for leaf in found_in(each).values()}
    known = {(*names, key) for names, section in SECTIONS.items() for key in fields_of(section)} - set(SECTIONS)
    without_meaning = {("enable_vmd",), *((key,) for key in IGNORED_KEYS)}
    assert known - shown == without_meaning
    assert shown <= known | {("engines", "bdev_auto_faulty")}  # shown whole where it is not set


FILE = """name: yes
port: 5
access_points: [a, 'b:7', c]
provider: ofi+verbs
crt_timeout: 30
fabric_auth_key: foo:bar
enable_vmd: false
engines:
- targets: 1
  fabric_iface: ib0
  fabric_iface_port: 31416
  env_vars: [D_PROVIDER_AUTH_KEY=foo, A=1]
  scm_class: ram
  scm_mount: /mnt/a
  bdev_class: file
  bdev_list: [/c, /b]
  bdev_size: 4
- targets: 1
  provider: ofi+a,ofi+b
  fabric_iface: ib1,ib2
  fabric_iface_port: 31416
  crt_timeout: 7
  acceleration: {engine: spdk}
  storage: [{class: ram, scm_mount: /mnt/b}, {class: file, bdev_list: [/d, /e], bdev_size: 4}]
"""


@pytest.mark.parametrize(
    ("key", "value", "kind", "text"),
    [
        ("name", "yes", "file", "line 1"),
        ("socket_dir", "/var/run/daos_server", "default", "default"),
        ("access_points", ("a:5", "b:7", "c:5"), "computed", "line 3, with the port of this server"),
        ("disable_vmd", True, "converted", "converted from enable_vmd (line 7)"),
        ("provider", "ofi+verbs", "file", "line 4; at start: ofi+verbs;ofi_rxm"),
        ("nr_hugepages", 0, "default", "default; at start: from the targets"),
        ("fault_path", "", "default", "default; at start: /<hostname>"),
        ("engines[0].provider", "ofi+verbs", "inherited", "inherited from provider (line 4); at start: ofi+verbs;ofi_rxm"),
        ("engines[0].crt_timeout", 30, "inherited", "inherited from crt_timeout (line 5)"),
        ("engines[0].storage[0].class", "ram", "converted", "converted from scm_class (line 13)"),
        ("engines[0].storage[0].scm_mount", "/mnt/a", "converted", "converted from scm_mount (line 14)"),
        ("engines[0].storage[0].scm_size", 0, "default", "default; at start: from the memory"),
        ("engines[0].storage[1].class", "file", "converted", "converted from bdev_class (line 15)"),
        ("engines[0].storage[1].bdev_list", ("/b", "/c"), "converted", "converted from bdev_list (line 16)"),
        ("engines[0].secondary_provider_endpoints", (), "default", "default"),
        ("engines[1].provider", "ofi+a,ofi+b", "file", "line 19; at start: ofi+verbs;ofi_rxm"),
        ("engines[1].crt_timeout", 7, "file", "line 22"),
        ("engines[1].secondary_provider_endpoints", (1,), "computed", "computed: one for each secondary provider"),
        ("engines[1].acceleration.options", ("crc", "move"), "computed", "computed: all of them"),
        ("engines[1].bdev_auto_faulty", None, "default", "default"),
    ],
)
def test_value_and_origin(key: str, value: object, kind: str, text: str) -> None:
    leaf = found_in(checked(FILE))[key]
    assert (leaf.value, leaf.origin.kind, leaf.origin.text) == (value, kind, text)
    assert leaf.origin.line == (int(found) if (found := text.partition("line ")[2].partition(";")[0].partition(",")[0].rstrip(")")) else 0)


def test_hugepages_follow_from_the_targets_only_with_block_devices() -> None:
    def text(**more: object) -> str:
        return found_in(checked_tree(server(engine(ram()), **more)))["nr_hugepages"].origin.text

    assert text() == "default; at start: a few, as no engine has block devices"
    assert text(disable_hugepages=True) == "default"
    assert text(nr_hugepages=64).startswith("line ")
    assert "at start" not in text(nr_hugepages=64)


def test_access_points_by_default_have_the_port() -> None:
    leaf = found_in(checked("port: 5\n"))["access_points"]
    assert (leaf.value, leaf.origin) == (("localhost:5",), ("computed", 0, "with the port of this server"))


def test_options_without_an_engine_are_none() -> None:
    leaf = found_in(checked_tree(server(engine(acceleration={"options": ["crc"]}))))["engines[0].acceleration.options"]
    assert (leaf.value, leaf.origin.text) == ((), "computed: no acceleration engine")


def test_fault_domain_of_a_callback() -> None:
    assert found_in(checked("fault_cb: /etc/daos/cb\n"))["fault_path"].origin.text == "default; at start: printed by fault_cb"


def test_secrets_are_hidden_unless_asked_for() -> None:
    text = text_of(checked(FILE), secrets=False)
    assert "foo" not in text
    assert checked(text).problems == ()
    shown = found_in(checked(FILE), secrets=False)
    assert (shown["fabric_auth_key"].value, shown["engines[0].fabric_auth_key"].value) == ("hidden", "hidden")
    assert shown["engines[0].env_vars"].value == ("D_PROVIDER_AUTH_KEY=hidden", "A=1")
    assert shown["fabric_auth_key"].origin.text == "line 6; a secret"
    assert found_in(checked(""), secrets=False)["fabric_auth_key"].value == ""


def test_a_variable_that_sounds_like_a_secret_is_hidden_as_well() -> None:
    text = "client_env_vars: [MY_TOKEN=foo, A=token, B_PASSWORD=]\nengines:\n- env_vars: [AWS_SECRET_KEY=foo=bar]\n"
    tree = server(engine(env_vars=["AWS_SECRET_KEY=foo=bar"]), client_env_vars=["MY_TOKEN=foo", "A=token", "B_PASSWORD="])
    shown = found_in(checked_tree(tree), secrets=False)
    assert shown["engines[0].env_vars"].value == ("AWS_SECRET_KEY=hidden",)
    assert shown["client_env_vars"].value == ("MY_TOKEN=hidden", "A=token", "B_PASSWORD=")
    assert "foo" not in " ".join(notice.message for notice in checked(text.replace("=foo", ":foo")).notices)


def test_values_are_plain_json_after_all() -> None:
    assert json.dumps(plain(effective(checked(FILE), secrets=True).tree))


def test_file_with_problems_is_none() -> None:
    with pytest.raises(ValueError, match="not valid"):
        effective(checked("port: x\n"), secrets=True)
