# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whole files: the reference's own, every key of the model, old forms, and what planning asks of the result."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import get_args

import pytest
import yaml
from config_trees import DATA, checked, enabled_reference
from pydantic import BaseModel, ValidationError

from daos_pbin import codes
from daos_server.config.fields import ROLES, BusRange, Role, StorageClass
from daos_server.config.load import load, validate
from daos_server.config.model import Fabric, ServerConfig

pytestmark = pytest.mark.unit


def config_of(text: str) -> ServerConfig:
    found = checked(text)
    assert found.problems == ()
    assert found.config is not None
    return found.config


# The reference's files


def test_all_files_of_the_reference_load() -> None:
    names = sorted(path.name for path in DATA.glob("*.yml"))
    assert names == ["daos_server_local.yml", "daos_server_reference.yml", "daos_server_tcp.yml", "daos_server_verbs.yml"]
    for name in names:
        assert load(str(DATA / name)).path == str(DATA / name)


def test_local_example() -> None:
    config = load(str(DATA / "daos_server_local.yml")).config
    assert (config.name, config.access_points, config.provider, config.telemetry_port) == ("daos_server", ("localhost",), "ofi+tcp", 9191)
    assert config.transport_config.allow_insecure is True
    (engine,) = config.engines
    assert (engine.targets, engine.nr_xs_helpers, engine.pinned_numa_node, engine.fabric_iface_port) == (1, 0, 0, 31416)
    assert engine.environment == {"FI_SOCKETS_MAX_CONN_RETRY": "1", "FI_SOCKETS_CONN_TIMEOUT": "2000"}
    assert engine.scm_tier is not None
    assert (engine.scm_tier.storage_class, engine.scm_tier.scm_size, engine.scm_tier.scm_mount) == ("ram", 8, "/mnt/daos")
    (tier,) = engine.bdev_tiers
    assert (tier.storage_class, tier.bdev_size, tier.bdev_list, tier.bdev_roles) == ("file", 16, ("/tmp/daos-bdev",), ())  # noqa: S108 (as given)
    assert config.nvme_conf_path(0) == "/mnt/daos/daos_nvme.conf"
    assert config.data_path is None


@pytest.mark.parametrize(("name", "interfaces", "ports"), [("tcp", "eth", (31316, 31416)), ("verbs", "ib", (31416, 32416))])
def test_fabric_examples(name: str, interfaces: str, ports: tuple[int, int]) -> None:
    config = load(str(DATA / f"daos_server_{name}.yml")).config
    assert config.access_points == ("example",)
    for index, port in enumerate(ports):
        fabric = config.fabric(index)
        assert (fabric.provider, fabric.interface, fabric.port) == (f"ofi+{name}", f"{interfaces}{index}", port)
        engine = config.engines[index]
        assert [tier.storage_class for tier in engine.storage] == ["dcpm", "nvme"]
        assert engine.storage[0].scm_list == (f"/dev/pmem{index}",)
        assert engine.storage[1].bdev_list == (f"0000:8{index + 1}:00.0",)


def test_reference_with_every_key_enabled_is_refused_only_for_its_alternatives() -> None:
    found = checked(enabled_reference())
    assert sorted((problem.code, problem.key) for problem in found.problems) == [
        (codes.SERVER_CONFIG_BOTH_FAULT_PATH_AND_CB, "fault_path"),
        (codes.SERVER_CONFIG_FAULT_DOMAIN_TOO_MANY_LAYERS, "fault_path"),
        (codes.SERVER_CONFIG_INVALID, "engines[1].first_core"),
        (codes.SERVER_CONFIG_INVALID, "engines[1].storage[0].scm_list"),
    ]


def test_reference_with_every_key_enabled_has_the_values_written() -> None:
    text = enabled_reference()
    for alternative in ("fault_cb: .*", "pinned_numa_node: 1", "scm_list: .*"):
        text, count = re.subn(f"^ *{alternative}$", "", text, flags=re.MULTILINE)
        assert count == 1, alternative
    config = config_of(text.replace("/vcdu0/rack1/hostname", "/rack1/hostname"))
    assert config.core_dump_filter == 19
    assert config.control_metadata.device == "/dev/sdb1"
    assert config.fabric_auth_key == "foo:bar"
    assert config.bdev_exclude == ("0000:81:00.1",)
    assert (config.crt_timeout, config.system_ram_reserved, config.control_log_mask) == (30, 5, "ERROR")
    first, second = config.engines
    assert first.storage[1].bdev_busid_range == BusRange(0x80, 0x8F)
    assert first.storage[1].bdev_roles == second.storage[1].bdev_roles == ("data", "meta", "wal")
    assert first.storage[1].bdev_list == ("0000:81:00.0", "0000:82:00.0")
    assert second.storage[1].bdev_list == ("/tmp/daos-bdev1", "/tmp/daos-bdev2")  # noqa: S108 (as given)
    assert first.bdev_auto_faulty is not None
    assert first.bdev_auto_faulty.max_csum_errs == 200
    assert config.nvme_conf_path(1) == "/home/daos_server/control_meta/daos_control/engine1/daos_nvme.conf"


# Every key of the model

KEYS: dict[str, tuple[str, object]] = {
    "name": ("daos", "daos"),
    "access_points": ("[a, 'b:5', c]", ("a", "b:5", "c")),
    "port": ("10002", 10002),
    "transport_config.allow_insecure": ("yes", True),
    "transport_config.client_cert_dir": ("/c", "/c"),
    "transport_config.ca_cert": ("/ca", "/ca"),
    "transport_config.cert": ("/x", "/x"),
    "transport_config.key": ("/k", "/k"),
    "provider": ("ofi+verbs;ofi_rxm", "ofi+verbs;ofi_rxm"),
    "fabric_iface": ("eth7", "eth7"),
    "fabric_iface_port": ("31417", 31417),
    "bypass_health_chk": ("true", True),
    "secondary_provider_endpoints": ("[2, 3]", (2, 3)),
    "crt_ctx_share_addr": ("1", 1),
    "crt_timeout": ("30", 30),
    "disable_srx": ("on", True),
    "fabric_auth_key": ("foo:bar", "foo:bar"),
    "socket_dir": ("./.daos/daos_server", "./.daos/daos_server"),
    "bdev_exclude": ("['0000:DA:00.0', 0000:81:00.0]", ("0000:81:00.0", "0000:da:00.0")),
    "disable_vfio": ("true", True),
    "disable_vmd": ("true", True),
    "enable_vmd": ("false", False),
    "enable_hotplug": ("true", True),
    "nr_hugepages": ("4096", 4096),
    "system_ram_reserved": ("5", 5),
    "disable_hugepages": ("true", True),
    "control_log_mask": ("debug", "DEBUG"),
    "control_log_file": ("/l", "/l"),
    "control_log_json": ("true", True),
    "helper_log_file": ("/h", "/h"),
    "firmware_helper_log_file": ("/f", "/f"),
    "fault_path": ("/rack1/host7", "/rack1/host7"),
    "fault_cb": ("/etc/daos/cb", "/etc/daos/cb"),
    "telemetry_port": ("9191", 9191),
    "core_dump_filter": ("0x13", 19),
    "client_env_vars": ("[foo=bar]", ("foo=bar",)),
    "control_metadata.path": ("/m", "/m"),
    "control_metadata.device": ("/dev/sdb1", "/dev/sdb1"),
    "hyperthreads": ("true", True),
    "recreate_superblocks": ("true", True),
    "engines.targets": ("16", 16),
    "engines.nr_xs_helpers": ("4", 4),
    "engines.first_core": ("22", 22),
    "engines.pinned_numa_node": ("1", 1),
    "engines.log_mask": ("'ERR,vos=DEBUG'", "ERR,vos=DEBUG"),
    "engines.log_file": ("/e", "/e"),
    "engines.modules": ("'vos,rdb'", "vos,rdb"),
    "engines.env_vars": ("[CRT_TIMEOUT=30]", ("CRT_TIMEOUT=30",)),
    "engines.env_pass_through": ("[HOME]", ("HOME",)),
    "engines.provider": ("ofi+cxi", "ofi+cxi"),
    "engines.fabric_iface": ("ib0", "ib0"),
    "engines.fabric_iface_port": ("20000", 20000),
    "engines.bypass_health_chk": ("false", False),
    "engines.secondary_provider_endpoints": ("[1]", (1,)),
    "engines.crt_ctx_share_addr": ("2", 2),
    "engines.crt_timeout": ("3", 3),
    "engines.disable_srx": ("true", True),
    "engines.fabric_auth_key": ("12", "12"),
    "engines.acceleration.engine": ("spdk", "spdk"),
    "engines.acceleration.options": ("[move, crc]", ("crc", "move")),
    "engines.spdk_rpc_server.enable": ("true", True),
    "engines.spdk_rpc_server.sock_addr": ("/s", "/s"),
    "engines.bdev_auto_faulty.enable": ("true", True),
    "engines.bdev_auto_faulty.max_io_errs": ("100", 100),
    "engines.bdev_auto_faulty.max_csum_errs": ("4294967295", 4294967295),
    "engines.storage.class": ("kdev", "kdev"),
    "engines.storage.scm_mount": ("/mnt/daos0", "/mnt/daos0"),
    "engines.storage.scm_size": ("100", 100),
    "engines.storage.scm_hugepages_disabled": ("true", True),
    "engines.storage.scm_list": ("[/dev/pmem0]", ("/dev/pmem0",)),
    "engines.storage.bdev_list": ("[0000:82:00.0, 0000:81:00.0]", ("0000:81:00.0", "0000:82:00.0")),
    "engines.storage.bdev_size": ("16", 16),
    "engines.storage.bdev_number": ("2", 2),
    "engines.storage.bdev_busid_range": ("0x80-0x8f", BusRange(128, 143)),
    "engines.storage.bdev_roles": ("[wal, data]", ("data", "wal")),
}
LISTS = {"engines", "storage"}


def keys_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    """All keys that hold values, as dotted names, from the model's own JSON schema."""
    schema = model.model_json_schema()
    definitions = schema["$defs"]

    def section(found: dict[str, object]) -> dict[str, object] | None:
        for name, definition in definitions.items():
            if f"'#/$defs/{name}'" in str(found):
                return dict(definition)
        return None

    def walk(properties: dict[str, dict[str, object]], prefix: str) -> set[str]:
        keys: set[str] = set()
        for key, found in properties.items():
            below = section(found)
            keys |= walk(below["properties"], f"{prefix}{key}.") if below else {f"{prefix}{key}"}  # type: ignore[arg-type] # plain JSON
        return keys

    return walk(schema["properties"], prefix)


def test_every_key_of_the_model_has_a_case() -> None:
    assert keys_of(ServerConfig) == set(KEYS)


def test_every_key_of_the_reference_is_in_the_model() -> None:
    found: set[str] = set()

    def walk(value: object, prefix: str) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                walk(below, f"{prefix}.{key}" if prefix else str(key))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                walk(item, prefix)
        else:
            found.add(prefix)

    walk(yaml.safe_load(enabled_reference()), "")
    assert found <= set(KEYS)
    assert len(found) > 50


@pytest.mark.parametrize("key", KEYS)
def test_key_takes_its_value(key: str) -> None:
    written, value = KEYS[key]
    *sections, last = key.split(".")
    text = f"{last}: {written}"
    for section in reversed(sections):
        text = f"{section}: [{{{text}}}]" if section in LISTS else f"{section}: {{{text}}}"
    # The rules miss other keys in most of these; what matters is what was read.
    model: object = checked(text).draft
    for section in sections:
        model = getattr(model, section)
        model = model[0] if isinstance(model, tuple) else model
    assert getattr(model, "storage_class" if last == "class" else last) == value


def test_defaults() -> None:
    config = config_of("")
    assert (config.name, config.access_points, config.port) == ("daos_server", ("localhost:10001",), 10001)
    assert (config.socket_dir, config.system_ram_reserved, config.control_log_mask) == ("/var/run/daos_server", 16, "INFO")
    assert (config.core_dump_filter, config.nr_hugepages, config.telemetry_port, config.engines) == (0x13, 0, 0, ())
    assert config.transport_config.model_dump() == {
        "allow_insecure": False,
        "client_cert_dir": "/etc/daos/certs/clients",
        "ca_cert": "/etc/daos/certs/daosCA.crt",
        "cert": "/etc/daos/certs/server.crt",
        "key": "/etc/daos/certs/server.key",
    }


def test_words_that_look_like_something_else_stay_text() -> None:
    config = config_of("name: 0x13\nsocket_dir: yes\ncontrol_log_file: 1e3\nhelper_log_file: 12:30:45\n")
    assert (config.name, config.socket_dir, config.control_log_file, config.helper_log_file) == ("0x13", "yes", "1e3", "12:30:45")


def test_model_is_frozen_and_comes_back_as_yaml() -> None:
    config = load(str(DATA / "daos_server_verbs.yml")).config
    with pytest.raises(ValidationError):
        config.port = 5
    again = config_of(yaml.safe_dump(config.model_dump(by_alias=True, mode="json", exclude_defaults=True)))
    assert again == config


def test_models_can_be_made_from_values() -> None:
    made = ServerConfig.model_validate(
        {
            "port": 5,
            "disable_vfio": True,
            "engines": [{"targets": 2, "storage": [{"class": "nvme", "bdev_list": ["0000:81:00.0"], "bdev_busid_range": BusRange(1, 2)}]}],
        }
    )
    tier = made.engines[0].storage[0]
    assert (made.port, made.disable_vfio, made.engines[0].targets, tier.bdev_busid_range) == (5, True, 2, BusRange(1, 2))
    for wrong in ({"port": "5"}, {"port": True}, {"disable_vfio": 1}, {"name": 5}, {"storage_class": "ram"}):
        with pytest.raises(ValidationError):
            ServerConfig.model_validate(wrong)


def test_classes_and_roles_are_complete() -> None:
    assert set(get_args(StorageClass)) == {"", "dcpm", "ram", "nvme", "file", "kdev"}
    assert get_args(Role) == ROLES == ("data", "meta", "wal")


# Old and empty forms

ENGINE = "provider: ofi+tcp\nengines:\n- targets: 1\n  fabric_iface: eth0\n  fabric_iface_port: 1\n  log_file: /l\n"


def test_old_storage_keys_become_tiers() -> None:
    found = checked(
        ENGINE + "  scm_class: ram\n  scm_mount: /mnt/a\n  scm_size: 8\n  scm_hugepages_disabled: true\n"
        "  bdev_class: nvme\n  bdev_list: [0000:81:00.0]\n  bdev_busid_range: 0x80-0x8f\n  bdev_roles: [data]\n  storage: [{class: dcpm}]\n"
    )
    assert found.problems == ()
    assert found.config is not None
    scm, bdev = found.config.engines[0].storage
    assert (scm.storage_class, scm.scm_mount, scm.scm_size, scm.scm_hugepages_disabled) == ("ram", "/mnt/a", 8, False)
    assert (bdev.storage_class, bdev.bdev_list, bdev.bdev_roles) == ("nvme", ("0000:81:00.0",), ())
    assert bdev.bdev_busid_range == BusRange(128, 143)
    assert {notice.key for notice in found.notices} >= {
        "engines[0]", "engines[0].storage", "engines[0].scm_hugepages_disabled", "engines[0].bdev_roles",
    }  # fmt: skip


def test_old_form_keeps_the_lines_of_its_values() -> None:
    found = checked(ENGINE + "  scm_class: ram\n  scm_mount: /mnt/a\n  scm_size: many\n")
    assert [(problem.line, problem.key) for problem in found.problems] == [(9, "engines[0].storage[0].scm_size")]


@pytest.mark.parametrize("devices", ["", "  bdev_list: []\n", "  bdev_list:\n"])
def test_old_nvme_without_devices_is_left_out(devices: str) -> None:
    config = config_of(ENGINE + "  scm_class: ram\n  scm_mount: /mnt/a\n  bdev_class: nvme\n" + devices)
    assert [tier.storage_class for tier in config.engines[0].storage] == ["ram"]


def test_old_bdev_class_alone_leaves_scm_missing() -> None:
    found = checked(ENGINE + "  bdev_class: kdev\n  bdev_list: [/dev/sdc]\n  scm_mount: /mnt/a\n")
    assert [problem.code for problem in found.problems] == [codes.SCM_CONFIG_TIER_MISSING]


def test_empty_tiers_are_dropped_and_numbered_anew() -> None:
    found = checked(ENGINE + "  storage:\n  -\n  - class: ram\n    scm_mount: /mnt/a\n  - ~\n  - class: kdev\n    bdev_list: [x]\n")
    assert [(problem.line, problem.key) for problem in found.problems] == [(13, "engines[0].storage[1].bdev_list")]


def test_sections_without_keys_are_their_defaults() -> None:
    config = config_of("transport_config:\ncontrol_metadata:\nbdev_exclude:\nname: a\n")
    assert config == config_of("name: a\n")


# What planning asks


def planned() -> ServerConfig:
    return config_of(
        """
provider: ofi+tcp
fabric_iface_port: 31416
crt_timeout: 7
disable_srx: true
control_metadata: {path: /var/daos/meta}
engines:
- targets: 1
  fabric_iface: eth0
  storage:
  - {class: ram, scm_mount: /mnt/a}
  - {class: nvme, bdev_list: ["5d0505:03:00.0", "0000:DA:00.0", "5D0505:01:00.0"], bdev_roles: [wal]}
  - {class: nvme, bdev_list: [0000:82:00.0], bdev_roles: [meta, data, na, anything]}
"""
    )


def test_paths_roles_and_order() -> None:
    config = planned()
    (engine,) = config.engines
    assert engine.has_meta_role
    assert engine.bdev_count == 4
    assert [index for index, _ in engine.indexed_bdev_tiers] == [1, 2]
    wal, data = engine.bdev_tiers
    assert wal.bdev_list == ("0000:da:00.0", "5d0505:01:00.0", "5d0505:03:00.0")
    assert (wal.bdev_roles, data.bdev_roles) == (("wal",), ("data", "meta"))
    assert config.data_path == "/var/daos/meta/daos_control"
    assert config.engine_metadata_dir(3) == "/var/daos/meta/daos_control/engine3"
    assert config.nvme_conf_path(0) == "/var/daos/meta/daos_control/engine0/daos_nvme.conf"


def test_engine_without_block_devices_has_no_nvme_file() -> None:
    assert config_of(ENGINE + "  storage: [{class: ram, scm_mount: /a}]\n").nvme_conf_path(0) is None


def test_paths_are_sorted_by_name() -> None:
    config = config_of(ENGINE + "  storage: [{class: ram, scm_mount: /a}, {class: kdev, bdev_list: [/dev/sdd, /dev/sdc]}]\n")
    assert config.engines[0].bdev_tiers[0].bdev_list == ("/dev/sdc", "/dev/sdd")


def test_engines_inherit_the_servers_network() -> None:
    assert planned().fabric(0) == Fabric("ofi+tcp", "eth0", 31416, None, (), 0, 7, True, "")


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", ("localhost:10001",)),
        ("port: 5", ("localhost:5",)),
        ("port: 5\naccess_points: [a, 'b:7', '[::1]', '[::1]:9']", ("a:5", "b:7", "[::1]:5", "[::1]:9")),
    ],
)
def test_access_points_have_ports(text: str, addresses: tuple[str, ...]) -> None:
    assert config_of(text).access_point_addresses == addresses


@pytest.mark.parametrize(
    ("text", "off"), [("", False), ("disable_vmd: true", True), ("enable_vmd: false", True), ("enable_vmd: true", False)]
)
def test_vmd(text: str, off: bool) -> None:
    assert config_of(text).vmd_disabled is off


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("{}", ()),
        ("{engine: none, options: [crc]}", ()),
        ("{engine: dml}", ("crc", "move")),
        ("{engine: spdk, options: [move]}", ("move",)),
    ],
)
def test_acceleration(text: str, options: tuple[str, ...]) -> None:
    config = config_of(ENGINE + f"  acceleration: {text}\n  storage: [{{class: ram, scm_mount: /a}}]\n")
    assert config.engines[0].acceleration.effective_options == options


@pytest.mark.parametrize(("text", "found"), [("0x00-0x00", None), ("128-143", BusRange(128, 143)), ("0x0-0XFF", BusRange(0, 255))])
def test_bus_ranges(text: str, found: BusRange | None) -> None:
    tier = f"{{class: nvme, bdev_list: [0000:81:00.0], bdev_busid_range: {text}}}"
    config = config_of(ENGINE + f"  storage: [{{class: ram, scm_mount: /a}}, {tier}]\n")
    assert config.engines[0].bdev_tiers[0].bdev_busid_range == found
    assert str(BusRange(128, 143)) == "0x80-0x8f"


def test_first_of_equal_variables_counts() -> None:
    config = config_of(ENGINE + "  env_vars: [A=1, A=2, B=, C, 'D=x=y']\n  storage: [{class: ram, scm_mount: /a}]\n")
    assert config.engines[0].environment == {"A": "1", "D": "x=y"}


def test_package_alone_imports_nothing_heavy() -> None:
    code = "import sys, daos_server.config; print([name for name in ('pydantic', 'yaml') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_relative_and_absolute_paths_name_the_same_file() -> None:
    assert validate(str(DATA / "daos_server_local.yml")).path == str(DATA / "daos_server_local.yml")
