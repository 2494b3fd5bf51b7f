# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every rule with the smallest file that breaks it, and it only."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from config_trees import ALL_ROLES, META, Tree, engine, files, nvme, ram, second, server

from daos_pbin import codes
from daos_pbin.catalogue import entry
from daos_pbin.faults import Fault
from daos_server.config.load import Validation, load, validate

pytestmark = pytest.mark.unit

INVALID = codes.SERVER_CONFIG_INVALID


def nvmes(*addresses: str) -> Tree:
    return {"class": "nvme", "bdev_list": list(addresses)}


CASES: list[tuple[str, Tree, int, str]] = [
    ("name empty", server(engine(), name=""), INVALID, "name"),
    ("name long", server(engine(), name="a" * 16), INVALID, "name"),
    ("name long in bytes", server(engine(), name="ä" * 8), INVALID, "name"),
    ("socket_dir empty", {"socket_dir": ""}, INVALID, "socket_dir"),
    ("port zero", server(engine(), port=0), 703, "port"),
    ("port negative", server(engine(), port=-1), 703, "port"),
    ("port high", server(engine(), port=65536, access_points=["h:1"]), 703, "port"),
    ("access point port zero", {"access_points": ["h:0"]}, 703, "access_points[0]"),
    ("access point port word", {"access_points": ["h:x"]}, 703, "access_points[0]"),
    ("access point port negative", {"access_points": ["h:-5"]}, 703, "access_points[0]"),
    ("telemetry", {"telemetry_port": -1}, 704, "telemetry_port"),
    ("access points none", server(engine(), access_points=[]), 705, "access_points"),
    ("access point bad", {"access_points": ["a b"]}, 705, "access_points[0]"),
    ("access point without host", {"access_points": [":10001"]}, 705, "access_points[0]"),
    ("access point bare IPv6", {"access_points": ["fe80::1"]}, 705, "access_points[0]"),
    ("access point twice", {"access_points": ["h", "H:10001", "i"]}, 705, "access_points[1]"),
    ("access points even", server(engine(), access_points=["a", "b"]), 706, "access_points"),
    ("provider none", {"engines": [engine(provider="ofi+tcp")]}, 707, "provider"),
    ("provider two", {"provider": "ofi+tcp,ofi+cxi"}, INVALID, "provider"),
    ("fabric twice", server(engine(), second(fabric_iface="eth0")), 709, "engines[1].fabric_iface"),
    ("log twice", server(engine(log_file="/l"), second(log_file="/x/../l")), 710, "engines[1].log_file"),
    ("mount twice", server(engine(), second(ram())), 711, "engines[1].storage[0].scm_mount"),
    (
        "scm device twice",
        server(
            engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["/dev/pmem0"]}),
            second({"class": "dcpm", "scm_mount": "/b", "scm_list": ["/dev/pmem0"]}),
        ),
        712,
        "engines[1].storage[0].scm_list",
    ),
    (
        "bdev twice",
        server(engine(ram(), nvme("0000:DA:00.0")), second(ram(scm_mount="/b"), nvme("0000:da:00.0"))),
        713,
        "engines[1].storage[1].bdev_list",
    ),
    (
        "bdev twice in one engine",
        server(
            engine(ram(), nvme(bdev_roles=["wal"]), nvme(bdev_roles=["data", "meta"])),
            control_metadata=META,
        ),
        INVALID,
        "engines[0].storage[2].bdev_list",
    ),
    ("targets differ", server(engine(), second(targets=2)), 715, "engines[1].targets"),
    ("helpers differ", server(engine(), second(nr_xs_helpers=1)), 716, "engines[1].nr_xs_helpers"),
    ("fault path without slash", {"fault_path": "rack1"}, 717, "fault_path"),
    ("fault path blank", {"fault_path": "  "}, 717, "fault_path"),
    ("fault path with an empty level", {"fault_path": "/a//b"}, 717, "fault_path"),
    ("fault path and callback", {"fault_path": "/a", "fault_cb": "/b"}, 722, "fault_path"),
    ("fault path deep", {"fault_path": "/a/b/c"}, 724, "fault_path"),
    ("hugepages negative", server(engine(), nr_hugepages=-1), 725, "nr_hugepages"),
    ("hugepages many", server(engine(), nr_hugepages=1 << 31), 725, "nr_hugepages"),
    ("hugepages disabled with files", server(engine(ram(), files()), disable_hugepages=True), 726, "disable_hugepages"),
    ("vmd both", {"enable_vmd": True, "disable_vmd": False}, 727, "enable_vmd"),
    ("metadata without path", {"control_metadata": {"device": "/dev/sdb1"}}, 729, "control_metadata.device"),
    ("metadata path relative", {"control_metadata": {"path": "meta"}}, INVALID, "control_metadata.path"),
    ("ram disk small", server(engine(ram(scm_size=3))), 730, "engines[0].storage[0].scm_size"),
    (
        "scm class differs",
        server(engine(), second({"class": "dcpm", "scm_mount": "/b", "scm_list": ["/dev/pmem0"]})),
        732,
        "engines[1].storage[0].class",
    ),
    (
        "roles in one engine",
        server(
            engine(ram(), nvme(bdev_roles=ALL_ROLES)),
            second(ram(scm_mount="/b"), nvme("0000:82:00.0")),
            control_metadata=META,
        ),
        733,
        "engines[1].storage",
    ),
    ("ram reserve zero", {"system_ram_reserved": 0}, 734, "system_ram_reserved"),
    ("ram reserve negative", {"system_ram_reserved": -1}, 734, "system_ram_reserved"),
    ("targets none", server(engine(targets=0)), INVALID, "engines[0].targets"),
    ("targets negative", server(engine(targets=-1)), INVALID, "engines[0].targets"),
    ("targets many", server(engine(targets=65537)), INVALID, "engines[0].targets"),
    ("targets of no type", server(engine(targets=10**30)), INVALID, "engines[0].targets"),
    ("helpers many", server(engine(nr_xs_helpers=65537)), INVALID, "engines[0].nr_xs_helpers"),
    ("helpers negative", server(engine(nr_xs_helpers=-1)), INVALID, "engines[0].nr_xs_helpers"),
    ("first core negative", server(engine(first_core=-1)), INVALID, "engines[0].first_core"),
    ("first core and pin", server(engine(first_core=1, pinned_numa_node=0)), INVALID, "engines[0].first_core"),
    ("interface none", server(engine(fabric_iface="")), INVALID, "engines[0].fabric_iface"),
    ("interfaces and providers", server(engine(provider="a,b")), INVALID, "engines[0].fabric_iface"),
    ("fabric port none", server(engine(fabric_iface_port=0)), INVALID, "engines[0].fabric_iface_port"),
    ("fabric port negative", server(engine(fabric_iface_port=-1)), INVALID, "engines[0].fabric_iface_port"),
    ("endpoints", server(engine(secondary_provider_endpoints=[1, 0])), INVALID, "engines[0].secondary_provider_endpoints[1]"),
    ("log mask characters", server(engine(log_mask="ERR;rm")), INVALID, "engines[0].log_mask"),
    ("log mask long", server(engine(log_mask="ERR," + "MEM=ERR," * 127 + "MEM=WARN")), INVALID, "engines[0].log_mask"),
    ("log mask level", server(engine(log_mask="LOUD")), INVALID, "engines[0].log_mask"),
    ("log mask bare level later", server(engine(log_mask="ERR,DEBUG")), INVALID, "engines[0].log_mask"),
    ("log mask subsystem", server(engine(log_mask="ERR,NOSUCH=DEBUG")), INVALID, "engines[0].log_mask"),
    ("log mask all", server(engine(log_mask="all=DEBUG")), INVALID, "engines[0].log_mask"),
    ("subsystem unknown", server(engine(env_vars=["A=b", "DD_SUBSYS=vos,nosuch"])), INVALID, "engines[0].env_vars[1]"),
    ("subsystem all and one", server(engine(env_vars=["DD_SUBSYS=all,vos"])), INVALID, "engines[0].env_vars[0]"),
    ("stream unknown", server(engine(env_vars=["DD_MASK=nosuch"])), INVALID, "engines[0].env_vars[0]"),
    ("pass through", server(engine(env_pass_through=["HOME", "FI_OFI_RXM_USE_SRX"])), INVALID, "engines[0].env_pass_through[1]"),
    ("srx differs", server(engine(), second(disable_srx=True)), INVALID, "engines[1].disable_srx"),
    ("storage none", server({**engine(), "storage": []}), INVALID, "engines[0].storage"),
    ("storage without scm", server(engine(files())), 216, "engines[0].storage"),
    ("scm second", server(engine(files(), ram())), INVALID, "engines[0].storage"),
    ("scm twice", server(engine(ram(), ram(scm_mount="/b"))), INVALID, "engines[0].storage"),
    (
        "real and emulated",
        server(
            engine(ram(), nvme(bdev_roles=["wal"]), files(bdev_roles=["data", "meta"])),
            control_metadata=META,
        ),
        309,
        "engines[0].storage",
    ),
    ("class none", server(engine(ram(), {"bdev_list": ["/a"]})), INVALID, "engines[0].storage[1].class"),
    ("scm mount none", server(engine({"class": "ram"})), INVALID, "engines[0].storage[0].scm_mount"),
    ("scm mount relative", server(engine(ram(scm_mount="mnt"))), INVALID, "engines[0].storage[0].scm_mount"),
    ("ram with list", server(engine(ram(scm_list=["/dev/pmem0"]))), INVALID, "engines[0].storage[0].scm_list"),
    ("dcpm without list", server(engine({"class": "dcpm", "scm_mount": "/a"})), INVALID, "engines[0].storage[0].scm_list"),
    (
        "dcpm with two",
        server(engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["/dev/pmem0", "/dev/pmem1"]})),
        INVALID,
        "engines[0].storage[0].scm_list",
    ),
    (
        "dcpm relative",
        server(engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["pmem0"]})),
        INVALID,
        "engines[0].storage[0].scm_list[0]",
    ),
    (
        "dcpm with size",
        server(engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["/dev/pmem0"], "scm_size": 8})),
        INVALID,
        "engines[0].storage[0].scm_size",
    ),
    (
        "dcpm with hugepages",
        server(engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["/dev/pmem0"], "scm_hugepages_disabled": True})),
        INVALID,
        "engines[0].storage[0].scm_hugepages_disabled",
    ),
    ("nvme with path", server(engine(ram(), nvme("/dev/nvme0n1"))), INVALID, "engines[0].storage[1].bdev_list"),
    ("nvme without list", server(engine(ram(), {"class": "nvme"})), INVALID, "engines[0].storage[1].bdev_list"),
    ("nvme address without domain", server(engine(ram(), nvme("81:00.0"))), INVALID, "engines[0].storage[1].bdev_list"),
    ("nvme address with colons only", server(engine(ram(), nvme("0000:81:00:0"))), INVALID, "engines[0].storage[1].bdev_list"),
    ("nvme address short", server(engine(ram(), nvmes("0000:81:00.0", "82:00.0"))), INVALID, "engines[0].storage[1].bdev_list"),
    ("file without list", server(engine(ram(), {"class": "file", "bdev_size": 1})), INVALID, "engines[0].storage[1].bdev_list"),
    ("kdev without list", server(engine(ram(), {"class": "kdev"})), INVALID, "engines[0].storage[1].bdev_list"),
    ("file relative", server(engine(ram(), files("bdev"))), INVALID, "engines[0].storage[1].bdev_list"),
    ("file without size", server(engine(ram(), files(bdev_size=0))), INVALID, "engines[0].storage[1].bdev_size"),
    ("file with address", server(engine(ram(), files("0000:81:00.0"))), INVALID, "engines[0].storage[1].bdev_list"),
    (
        "roles with dcpm",
        server(
            engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["/dev/pmem0"]}, nvme(bdev_roles=ALL_ROLES)),
            control_metadata=META,
        ),
        312,
        "engines[0].storage",
    ),
    ("role missing", server(engine(ram(), nvme(bdev_roles=["data", "meta"])), control_metadata=META), 313, "engines[0].storage"),
    (
        "role twice",
        server(engine(ram(), nvme(bdev_roles=ALL_ROLES), nvme("0000:82:00.0", bdev_roles=["meta"])), control_metadata=META),
        313,
        "engines[0].storage",
    ),
    (
        "roles on some, later",
        server(engine(ram(), nvme(bdev_roles=ALL_ROLES), nvme("0000:82:00.0")), control_metadata=META),
        314,
        "engines[0].storage[2].bdev_roles",
    ),
    (
        "roles on some, first",
        server(engine(ram(), nvme(), nvme("0000:82:00.0", bdev_roles=ALL_ROLES)), control_metadata=META),
        314,
        "engines[0].storage[1].bdev_roles",
    ),
    ("two tiers without roles", server(engine(ram(), nvme(), nvme("0000:82:00.0"))), 315, "engines[0].storage"),
    (
        "four tiers with roles",
        server(
            engine(
                ram(), *(nvme(f"0000:8{n}:00.0", bdev_roles=[role]) for n, role in enumerate([*ALL_ROLES, "data"])),
            ),
            control_metadata=META,
        ),
        316,
        "engines[0].storage",
    ),
    ("metadata without roles", server(engine(ram(), nvme()), control_metadata=META), 317, "engines[0].storage"),
    ("metadata without bdevs", server(engine(), control_metadata=META), 317, "engines[0].storage"),
    ("roles without metadata", server(engine(ram(), nvme(bdev_roles=ALL_ROLES))), 318, "engines[0].storage"),
    (
        "wal and data",
        server(
            engine(ram(), nvme(bdev_roles=["wal", "data"]), nvme("0000:82:00.0", bdev_roles=["meta"])),
            control_metadata=META,
        ),
        319,
        "engines[0].storage[1].bdev_roles",
    ),
    # Values that are refused where they are read.
    ("acceleration engine", server(engine(acceleration={"engine": "warp"})), 307, "engines[0].acceleration.engine"),
    (
        "acceleration option",
        server(engine(acceleration={"engine": "spdk", "options": ["fold"]})),
        308,
        "engines[0].acceleration.options[0]",
    ),
    ("role unknown", server(engine(ram(), nvme(bdev_roles=["Data"])), control_metadata=META), 308, "engines[0].storage[1].bdev_roles"),
    ("class unknown", server(engine(ram(), {"class": "ssd"})), INVALID, "engines[0].storage[1].class"),
    ("log level", {"control_log_mask": "LOUD"}, INVALID, "control_log_mask"),
    ("core dump filter", {"core_dump_filter": 256}, INVALID, "core_dump_filter"),
    ("timeout negative", {"crt_timeout": -1}, INVALID, "crt_timeout"),
    ("timeout large", {"crt_timeout": 1 << 32}, INVALID, "crt_timeout"),
    ("size negative", server(engine(ram(), files(bdev_size=-1))), INVALID, "engines[0].storage[1].bdev_size"),
    ("number quoted", {"port": "10001"}, INVALID, "port"),
    ("flag quoted", {"disable_vfio": "true"}, INVALID, "disable_vfio"),
    ("text is a list", {"name": ["a"]}, INVALID, "name"),
    ("list is a text", {"access_points": "a"}, INVALID, "access_points"),
    ("list is a map", {"access_points": {"a": 1}}, INVALID, "access_points"),
    ("entry is nothing", {"access_points": [None]}, INVALID, "access_points[0]"),
    ("section is a text", {"transport_config": "x"}, INVALID, "transport_config"),
    ("engines is a map", {"engines": {"targets": 1}}, INVALID, "engines"),
    ("storage is a number", server({**engine(), "storage": 5}), INVALID, "engines[0].storage"),
    ("name is a map", {"name": {"a": 1}}, INVALID, "name"),
    ("engine is a word", {"engines": ["x"]}, INVALID, "engines[0]"),
    ("bus range open", server(engine(ram(), nvme(bdev_busid_range="0x80"))), INVALID, "engines[0].storage[1].bdev_busid_range"),
    ("bus range wide", server(engine(ram(), nvme(bdev_busid_range="0-256"))), INVALID, "engines[0].storage[1].bdev_busid_range"),
    ("bus range three", server(engine(ram(), nvme(bdev_busid_range="1-2-3"))), INVALID, "engines[0].storage[1].bdev_busid_range"),
    ("bus range signed", server(engine(ram(), nvme(bdev_busid_range="+1-2"))), INVALID, "engines[0].storage[1].bdev_busid_range"),
    ("device empty", server(engine(ram(), nvme(""))), INVALID, "engines[0].storage[1].bdev_list"),
    ("device twice", server(engine(ram(), nvmes("0000:AA:00.0", "0000:aa:00.0"))), INVALID, "engines[0].storage[1].bdev_list"),
    ("address and path", server(engine(ram(), nvmes("0000:aa:00.0", "/a"))), INVALID, "engines[0].storage[1].bdev_list"),
    ("address bad", server(engine(ram(), nvme("0000:aa:00.x"))), INVALID, "engines[0].storage[1].bdev_list"),
    ("exclude no address", {"bdev_exclude": ["/dev/nvme0n1"]}, INVALID, "bdev_exclude"),
    ("port without value", {"port": None}, 703, "port"),
    ("access points without value", {"access_points": None}, 705, "access_points"),
    ("reserve without value", {"system_ram_reserved": None}, 734, "system_ram_reserved"),
    ("level without value", {"control_log_mask": None}, INVALID, "control_log_mask"),
    ("old section", {"servers": [{"targets": 1}]}, INVALID, "servers"),
    ("unknown key", {"hyperthread": True}, INVALID, "hyperthread"),
    ("unknown key in a tier", server(engine(ram(storage_class="ram"))), INVALID, "engines[0].storage[0].storage_class"),
    ("engine empty", {"provider": "ofi+tcp", "engines": [engine(), None]}, 0, "engines[1].targets"),
]


def written(folder: Path, tree: Tree) -> str:
    path = folder / "c.yml"
    path.write_text(json.dumps(tree, indent=1))
    return str(path)


def checked(folder: Path, tree: Tree) -> Validation:
    return validate(written(folder, tree))


@pytest.mark.parametrize(("tree", "code", "key"), [case[1:] for case in CASES if case[2]], ids=[case[0] for case in CASES if case[2]])
def test_smallest_file_raises_it_and_only_it(tmp_path: Path, tree: Tree, code: int, key: str) -> None:
    found = checked(tmp_path, tree)
    assert [(problem.code, problem.key) for problem in found.problems] == [(code, key)]
    assert found.config is None
    problem = found.problems[0]
    assert problem.message
    assert problem.remedy
    assert problem.line >= 1
    with pytest.raises(Fault) as caught:
        load(found.path)
    fault = caught.value
    assert fault.code == code
    text = f"{fault.description} {fault.object} {fault.cause}"
    assert key in text
    assert f"{found.path}:{problem.line}" in text
    assert problem.remedy in text
    assert "{" not in fault.resolution


def test_base_cases_are_valid(tmp_path: Path) -> None:
    trees: list[Tree] = [
        server(engine()),
        server(engine(), second()),
        server(engine(ram(), nvme())),
        server(engine(ram(), files()), second(ram(scm_mount="/b"), files("/c"))),
        server(engine(ram(), nvme(bdev_roles=ALL_ROLES)), control_metadata=META),
        server(
            engine(ram(), *(nvme(f"0000:8{n}:00.0", bdev_roles=[role]) for n, role in enumerate(ALL_ROLES))),
            control_metadata=META,
        ),
        server(engine(ram(), nvme(bdev_roles=["wal"]), nvme("0000:82:00.0", bdev_roles=["meta", "data"])), control_metadata=META),
        server(engine(log_mask="ERR,vos=debug,MEM=WARN", env_vars=["DD_MASK=all"])),
        server(engine(log_mask="vos=debug", env_vars=["DD_SUBSYS=vos,mem"])),
        server(engine(provider="a,b", fabric_iface="eth0,eth1", secondary_provider_endpoints=[1])),
        server(engine(), access_points=["a", "b:1", "[fe80::1]:10001"]),
        server(engine(ram(scm_size=4), nvme(bdev_busid_range="0x00-0xff"))),
        server(engine(), second(), fabric_iface_port=1, disable_srx=True, fault_path="/a/b"),
        server(engine(first_core=1), disable_hugepages=True),
        {"port": 0},
        {"nr_hugepages": -1},
    ]
    for tree in trees:
        assert checked(tmp_path, tree).problems == ()


ELSEWHERE = {
    # Nothing raises these two: what has no code of its own is 2306, and a server without engines is in discovery mode.
    codes.SERVER_CONFIG_UNKNOWN: "",
    codes.SERVER_BAD_CONFIG: "",
    codes.SERVER_CONFIG_NO_ENGINES: "",
    codes.SERVER_CONFIG_BDEV_COUNT_MISMATCH: "test_config_rules.py",  # a notice; below
    codes.SERVER_NO_CONFIG_PATH: "test_config_yaml.py",
    # What only a host can tell.
    codes.SERVER_CONFIG_FAULT_CALLBACK_NOT_FOUND: "test_config_fault_domain.py",
    codes.SERVER_CONFIG_FAULT_CALLBACK_INSECURE: "test_config_fault_domain.py",
    codes.SERVER_CONFIG_FAULT_CALLBACK_BAD_PERMS: "test_config_fault_domain.py",
    codes.SERVER_CONFIG_FAULT_CALLBACK_FAILED: "test_config_fault_domain.py",
    codes.SERVER_CONFIG_FAULT_CALLBACK_EMPTY: "test_config_fault_domain.py",
    codes.SERVER_CONFIG_ENGINE_NUMA_IMBALANCE: "test_config_host.py",
    codes.SERVER_CONFIG_RAMDISK_OVER_MAX_MEM: "test_config_host.py",
}
"""Codes of the configuration that no file raises by itself, and the test that raises them."""
CONSTANTS = {number: name for name, number in vars(codes).items() if isinstance(number, int)}


def is_about_the_configuration(code: int) -> bool:
    """Whether a code is one of the configuration's: its own block, and those of storage that are named for it."""
    name = CONSTANTS[code]
    return 700 <= code < 800 or (200 <= code < 400 and ("_CONFIG_" in name or "_ACCEL_" in name))


def test_every_code_of_the_configuration_has_a_case() -> None:
    wanted = {code for code in CONSTANTS if is_about_the_configuration(code)}
    assert {case[2] for case in CASES} - {0, INVALID} == wanted - set(ELSEWHERE)
    assert set(ELSEWHERE) <= wanted
    assert all(entry(code).code == code for code in wanted)


@pytest.mark.parametrize(("code", "module"), [(code, module) for code, module in ELSEWHERE.items() if module])
def test_code_that_no_file_raises_is_raised_elsewhere(code: int, module: str) -> None:
    assert f"codes.{CONSTANTS[code]}" in Path(__file__).with_name(module).read_text()


def test_empty_engine_is_an_engine(tmp_path: Path) -> None:
    found = checked(tmp_path, {"provider": "ofi+tcp", "engines": [engine(), None]})
    assert {problem.key for problem in found.problems} == {
        "engines[1].targets", "engines[1].fabric_iface", "engines[1].fabric_iface_port", "engines[1].storage",
    }  # fmt: skip


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    tree = server(engine(ram(scm_size=1), targets=-1), telemetry_port=-1, nr_hugepages="x", prot=1)
    found = checked(tmp_path, tree)
    assert [(problem.code, problem.key) for problem in found.problems] == [
        (INVALID, "engines[0].targets"), (730, "engines[0].storage[0].scm_size"), (704, "telemetry_port"), (INVALID, "nr_hugepages"),
        (INVALID, "prot"),
    ]  # fmt: skip
    with pytest.raises(Fault) as caught:
        load(found.path)
    assert caught.value.code == INVALID
    for problem in found.problems:
        assert problem.text(found.path) in caught.value.description


@pytest.mark.parametrize(
    ("tree", "remedy"),
    [
        ({"prot": 1}, "did you mean port?"),
        (server(engine(targtes=1)), "did you mean targets?"),
        (server(engine(ram(bdev_lst=[]))), "did you mean bdev_list?"),
        ({"scm_hugepages_disabled": True}, "it belongs below engines.storage; check the indentation"),
        ({"mgmt_svc_replicas": ["a"]}, "write access_points"),
        ({"disable_hotplug": True}, "write enable_hotplug, the other way round"),
        ({"qqqq": True}, "remove it, or see the example configuration files for the keys of this version"),
    ],
)
def test_unknown_key_gets_the_nearest_known_one(tmp_path: Path, tree: Tree, remedy: str) -> None:
    assert [problem.remedy for problem in checked(tmp_path, tree).problems] == [remedy]


def test_misspelt_key_is_not_missing_as_well(tmp_path: Path) -> None:
    wrong = engine(log_fil="/l", fabrc_iface="eth0")
    del wrong["fabric_iface"]
    found = checked(tmp_path, server(wrong, acess_points=["a", "b"]))
    assert [problem.key for problem in found.problems] == ["engines[0].log_fil", "engines[0].fabrc_iface", "acess_points"]
    assert found.notices == ()
    twice = checked(tmp_path, server(engine(targets=0, targtes=1)))
    assert [problem.key for problem in twice.problems] == ["engines[0].targets", "engines[0].targtes"]


def test_refused_key_brings_no_second_problem(tmp_path: Path) -> None:
    tree = server(engine(ram(), nvme(bdev_roles=["Data"]), targets="many"), second(targets=3), provider=["x"], control_metadata=META)
    assert sorted(problem.key for problem in checked(tmp_path, tree).problems) == [
        "engines[0].storage[1].bdev_roles", "engines[0].targets", "engines[1].storage", "provider",
    ]  # fmt: skip


def test_many_problems_are_counted_in_the_fault(tmp_path: Path) -> None:
    tree = {f"key{number}": 1 for number in range(100)}
    with pytest.raises(Fault, match="and 60 more"):
        load(written(tmp_path, dict(tree)))


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        (server(engine()), "access_points"),
        (server(engine(ram(), nvme()), second()), "engines[1].storage"),
        (server(engine(ram(bdev_size=1))), "engines[0].storage[0].bdev_size"),
        (server(engine(ram(), nvme(bdev_size=1))), "engines[0].storage[1].bdev_size"),
        (server(engine()), "engines[0].log_file"),
        (server(engine(env_vars=["A", "B="])), "engines[0].env_vars[1]"),
        (server(engine(env_vars=["A=1", "A=2"])), "engines[0].env_vars[1]"),
        ({"client_env_vars": ["A"]}, "client_env_vars[0]"),
        ({"enable_vmd": True}, "enable_vmd"),
        ({"recreate_superblocks": True}, "recreate_superblocks"),
        (server(engine(ram(), None)), "engines[0].storage"),
        (server(engine(bdev_list=["/a"])), "engines[0].bdev_list"),
        ({}, "engines"),
        (server(engine(provider="ofi+cxi")), "engines[0].provider"),
        (server(engine(), provider="\u201cofi+tcp\u201d"), "provider"),
        (server(engine(), provider="ofi+tcp#old"), "provider"),
        (server(engine(provider="ofi+tcp,verbs", fabric_iface="eth0,eth1")), "engines[0].provider"),
        (server(engine(env_vars=["A=1", "CRT_TIMEOUT=3"])), "engines[0].env_vars[1]"),
        (server(engine(env_vars=["D_LOG_MASK=ERR"], log_mask="ERR")), "engines[0].env_vars[0]"),
        (server(engine(disable_srx=False), disable_srx=True), "engines[0].disable_srx"),
    ],
)
def test_notices_do_not_refuse(tmp_path: Path, tree: Tree, key: str) -> None:
    found = checked(tmp_path, tree)
    assert found.problems == ()
    assert key in [notice.key for notice in found.notices]
    assert any(f": {key}: " in text for text in load(found.path).notices)


def test_unequal_numbers_of_devices_are_a_notice_with_the_code(tmp_path: Path) -> None:
    found = checked(tmp_path, server(engine(ram(), nvme(), log_file="/l"), second(log_file="/m"), access_points=["a", "b", "c"]))
    assert [(notice.code, notice.key) for notice in found.notices] == [(codes.SERVER_CONFIG_BDEV_COUNT_MISMATCH, "engines[1].storage")]


@pytest.mark.parametrize(
    ("tree", "missing"),
    [
        ({}, "provider and control_metadata.path"),
        ({"provider": "ofi+tcp"}, "it needs control_metadata.path as well"),
        ({"control_metadata": META}, "it needs provider as well"),
    ],
)
def test_discovery_mode_says_what_a_start_needs(tmp_path: Path, tree: Tree, missing: str) -> None:
    (notice,) = checked(tmp_path, tree).notices
    assert missing in notice.message


def test_discovery_mode_that_can_start_is_only_named(tmp_path: Path) -> None:
    (notice,) = checked(tmp_path, {"provider": "ofi+tcp", "control_metadata": META}).notices
    assert notice.message == "is empty: the server only looks at the hardware"


def test_a_quiet_file_has_no_notices(tmp_path: Path) -> None:
    quiet = engine(log_file="/l", env_vars=["D_LOG_MASK=ERR", "A=1"])
    assert checked(tmp_path, server(quiet, access_points=["a", "b", "c"])).notices == ()
    for provider in ("ofi+tcp", "ofi+verbs;ofi_rxm", "ofi+tcp;ofi_rxm", "ucx+dc_x", "ofi+cxi", "ofi+opx", "ucx+rc"):
        one = server(engine(log_file="/l"), provider=provider, access_points=["a", "b", "c"])
        assert checked(tmp_path, one).notices == ()


Change = Callable[[Tree], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(engines=[]),
        lambda tree: tree.pop("engines"),
        lambda tree: tree.update(engines=None),
    ],
)
def test_no_engines_is_discovery_and_asks_for_no_provider(tmp_path: Path, change: Change) -> None:
    tree = deepcopy(server())
    del tree["provider"]
    change(tree)
    assert checked(tmp_path, tree).problems == ()
