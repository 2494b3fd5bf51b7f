# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Configurations as plain trees: the smallest that are valid, and a strategy that makes any valid one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hypothesis import strategies as st

from daos_pbin import codes
from daos_server.config.load import Validation, check
from daos_server.config.yaml_source import parse

Tree = dict[str, object]
DATA = Path(__file__).parent.parent / "data" / "config"
META: Tree = {"path": "/var/daos/meta"}
ALL_ROLES = ["data", "meta", "wal"]


def ram(**keys: object) -> Tree:
    """Return an SCM tier of RAM."""
    return {"class": "ram", "scm_mount": "/mnt/daos0", **keys}


def nvme(address: str = "0000:81:00.0", **keys: object) -> Tree:
    """Return a tier of one SSD."""
    return {"class": "nvme", "bdev_list": [address], **keys}


def files(path: str = "/var/daos/bdev", **keys: object) -> Tree:
    """Return a tier of one emulated SSD."""
    return {"class": "file", "bdev_list": [path], "bdev_size": 4, **keys}


def engine(*tiers: object, **keys: object) -> Tree:
    """Return an engine, of RAM alone if no tiers are given."""
    return {"targets": 1, "fabric_iface": "eth0", "fabric_iface_port": 31416, "storage": list(tiers) or [ram()], **keys}


def second(*tiers: object, **keys: object) -> Tree:
    """Return an engine that shares nothing with ``engine``."""
    return engine(*(tiers or (ram(scm_mount="/mnt/daos1"),)), **{"fabric_iface": "eth1", **keys})


def server(*engines: object, **keys: object) -> Tree:
    """Return a whole configuration."""
    return {"provider": "ofi+tcp", "engines": list(engines), **keys}


def checked(text: str) -> Validation:
    """Return what a text amounts to."""
    return check(parse(text, "t.yml"), "t.yml")


def checked_tree(tree: Tree) -> Validation:
    """Return what a tree amounts to: JSON is YAML."""
    return checked(json.dumps(tree, indent=1, ensure_ascii=False))


# Every key of the reference

def enabled_reference() -> str:
    """The reference's commented file with every key in force; of keys given as alternatives, the first."""
    lines = []
    for line in (DATA / "daos_server_reference.yml").read_text().splitlines():
        # Two hashes begin prose; one hash a key; one more inside, without a space after it, an alternative.
        lines.append(line if line.startswith("##") else re.sub("^( *)#(?=[a-z_]+: )", r"\1", line.removeprefix("#")))
    text = "\n".join(lines) + "\n"
    while doubled := {problem.line for problem in checked(text).problems if problem.code == codes.SERVER_CONFIG_SYNTAX}:
        text = "".join("#\n" if number in doubled else f"{line}\n" for number, line in enumerate(text.splitlines(), 1))
    return text


# Any valid configuration

_WORDS = st.sampled_from(
    ["a", "yes", "null", "~", "0x13", "1e3", "12:30", "a: b", "# x", "", " ", "ä", '"', "\\", "'", "- a", "[a]", "x,y"]
)
_PATHS = st.sampled_from(["/a", "/b/c", "/with blank", "/ümlaut", "/hash#", "/"])
_FLAGS = st.booleans()
_NATURAL = st.integers(0, (1 << 32) - 1)
_VARIABLES = st.lists(st.sampled_from(["A=1", "B=x y", "C", "D_PROVIDER_AUTH_KEY=s", "CRT_TIMEOUT=3", "DD_MASK=all"]), max_size=3)
_ACCELERATION = st.fixed_dictionaries(
    {}, optional={"engine": st.sampled_from(["none", "spdk", "dml"]), "options": st.lists(st.sampled_from(["move", "crc"]))}
)
_FAULTY = st.none() | st.fixed_dictionaries({}, optional={"enable": _FLAGS, "max_io_errs": _NATURAL, "max_csum_errs": _NATURAL})
_NETWORK: dict[str, st.SearchStrategy[object]] = {"crt_ctx_share_addr": _NATURAL, "crt_timeout": _NATURAL, "fabric_auth_key": _WORDS}
_TOP: dict[str, st.SearchStrategy[object]] = {
    "name": st.sampled_from(["daos_server", "yes", "007", "ä"]),
    "access_points": st.sampled_from([["a"], ["a:5", "b", "[::1]"], ["localhost:10001"]]),
    "port": st.integers(1, 65535),
    "transport_config": st.none() | st.fixed_dictionaries({}, optional={"allow_insecure": _FLAGS, "key": _PATHS, "cert": _WORDS}),
    "secondary_provider_endpoints": st.lists(st.integers(1, 9), max_size=2),
    "disable_srx": _FLAGS,
    "socket_dir": _PATHS,
    "bdev_exclude": st.sampled_from([None, [], ["0000:01:00.0"], ["0000:AA:00.0", "5d0505:01:00.0"]]),
    "disable_vfio": _FLAGS,
    "enable_hotplug": _FLAGS,
    "nr_hugepages": st.integers(0, (1 << 31) - 1),
    "system_ram_reserved": st.integers(1, 99),
    "control_log_mask": st.sampled_from(["ERROR", "debug", "Info"]),
    "control_log_file": _WORDS,
    "control_log_json": _FLAGS,
    "helper_log_file": _WORDS,
    "telemetry_port": st.integers(0, 65535),
    "core_dump_filter": st.integers(0, 255),
    "client_env_vars": _VARIABLES,
    "hyperthreads": _FLAGS,
    **_NETWORK,
}
_ENGINE: dict[str, st.SearchStrategy[object]] = {
    "log_mask": st.sampled_from(["", "ERR", "INFO,VOS=DEBUG"]),
    "modules": _WORDS,
    "env_vars": _VARIABLES,
    "env_pass_through": st.lists(_WORDS, max_size=2),
    "bypass_health_chk": st.none() | _FLAGS,
    "acceleration": _ACCELERATION,
    "spdk_rpc_server": st.fixed_dictionaries({}, optional={"enable": _FLAGS, "sock_addr": _PATHS}),
    "bdev_auto_faulty": _FAULTY,
    **_NETWORK,
}


@st.composite
def valid_trees(draw: st.DrawFn, *, legacy: bool = True) -> Tree:
    """Make a valid configuration of up to three engines; some engines have storage in the old form, unless *legacy* is off."""
    tree: Tree = draw(st.fixed_dictionaries({}, optional=_TOP))
    tree |= draw(st.sampled_from([{}, {"fault_path": "/a/b"}, {"fault_cb": "/etc/daos/cb"}]))
    tree |= draw(st.sampled_from([{}, {"disable_vmd": True}, {"disable_vmd": False}, {"enable_vmd": False}, {"enable_vmd": True}]))
    count = draw(st.integers(0, 3))
    if not count:
        return tree
    with_roles = draw(_FLAGS)
    tree |= {"provider": draw(st.sampled_from(["ofi+tcp", "ofi+verbs", "ofi+verbs;ofi_rxm"]))}
    if with_roles:
        tree["control_metadata"] = META
    shared_port = draw(_FLAGS)
    if shared_port:
        tree["fabric_iface_port"] = 31416
    kind = "ram" if with_roles else draw(st.sampled_from(["ram", "dcpm"]))
    bdev = draw(st.sampled_from(["nvme", "file", "kdev"])) if with_roles else draw(st.sampled_from(["", "nvme", "file", "kdev"]))
    targets, helpers = draw(st.integers(1, 32)), draw(st.integers(0, 8))
    engines = []
    for index in range(count):
        made: Tree = draw(st.fixed_dictionaries({}, optional=_ENGINE))
        made |= {"targets": targets, "nr_xs_helpers": helpers, "fabric_iface": f"eth{index}", "log_file": f"/log/{index}"}
        made |= draw(st.sampled_from([{}, {"first_core": 3}, {"pinned_numa_node": index}, {"pinned_numa_node": None}]))
        if not shared_port:
            made["fabric_iface_port"] = 31416 + index
        if draw(_FLAGS):
            made |= {"provider": "ofi+a,ofi+b", "fabric_iface": f"eth{index},ib{index}"}
        tiers = [_scm_tier(draw, kind, index), *_bdev_tiers(draw, bdev, index, with_roles=with_roles)]
        if legacy and not with_roles and draw(_FLAGS):
            for tier in tiers:
                tier[f"{'scm' if 'scm_mount' in tier else 'bdev'}_class"] = tier.pop("class")
                made |= tier
        else:
            made["storage"] = tiers
        engines.append(made)
    return tree | {"engines": engines}


def _scm_tier(draw: st.DrawFn, kind: str, index: int) -> Tree:
    tier: Tree = {"class": kind, "scm_mount": f"/mnt/daos{index}"}
    if kind == "dcpm":
        return tier | {"scm_list": [f"/dev/pmem{index}"]}
    return tier | draw(st.sampled_from([{}, {"scm_size": 0}, {"scm_size": 16}, {"scm_list": []}]))


def _bdev_tiers(draw: st.DrawFn, kind: str, index: int, *, with_roles: bool) -> list[Tree]:
    if not kind:
        return []
    split = draw(st.sampled_from([[ALL_ROLES], [["wal"], ["meta", "data"]], [["wal"], ["meta"], ["data", "na"]]])) if with_roles else [[]]
    return [_bdev_tier(draw, kind, f"{index}{place}", roles) for place, roles in enumerate(split)]


def _bdev_tier(draw: st.DrawFn, kind: str, number: str, roles: list[str]) -> Tree:
    if kind == "nvme":
        tier: Tree = {"class": kind, "bdev_list": [f"0000:{number}:0B.0", f"5D0505:{number}:00.0", f"0000:{number}:00.0"]}
        tier |= draw(st.sampled_from([{}, {"bdev_busid_range": "128-143"}, {"bdev_busid_range": None}]))
    else:
        tier = {"class": kind, "bdev_list": [f"/dev/{number}b", f"/dev/{number}a"]}
    if kind == "file":
        tier["bdev_size"] = draw(st.integers(1, 99))
    return tier | ({"bdev_roles": roles} if roles else {})
