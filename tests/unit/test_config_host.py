# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A configuration held against a host: this one, and made-up ones for the hardware that it lacks."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from config_trees import ALL_ROLES, META, Tree, checked_tree, engine, files, nvme, ram, second, server

from daos_bindings.linux import block, mounts, numa
from daos_pbin import codes
from daos_server.config.certificates import certificate_problems
from daos_server.config.host_check import HostCheck, _no_block_device, check_host, unwritable
from daos_server.config.model import ServerConfig, TransportConfig
from daos_server.config.problems import Problem

pytestmark = pytest.mark.unit

INSECURE = {"allow_insecure": True}
OPENSSL = "/usr/bin/openssl"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A sysfs of two ethernet interfaces, an InfiniBand one, an SSD, a VMD, and nothing else."""
    made = tmp_path / "sys"
    for name, kind in (("eth0", 1), ("eth1", 1), ("ib0", 32)):
        folder = made / "class" / "net" / name
        folder.mkdir(parents=True)
        (folder / "type").write_text(f"{kind}\n")
    (made / "bus" / "pci" / "devices").mkdir(parents=True)
    for address in ("0000:81:00.0", "0000:5d:05.5"):
        (made / "devices" / address).mkdir(parents=True)
        (made / "bus" / "pci" / "devices" / address).symlink_to(f"../../../devices/{address}")
    return made


def config_of(tree: Tree) -> ServerConfig:
    found = checked_tree({"transport_config": INSECURE, **tree})
    assert found.problems == ()
    assert found.config is not None
    return found.config


def on_host(tree: Tree, sysfs: Path, account: str = "root") -> HostCheck:
    return check_host(config_of(tree), folder=str(sysfs.parent), account=account, sysfs=str(sysfs))


def findings(tree: Tree, sysfs: Path) -> list[tuple[int, str]]:
    return [(problem.code, problem.key) for problem in on_host(tree, sysfs).problems]


def assert_only(tree: Tree, sysfs: Path, code: int, key: str, *words: str) -> None:
    (problem,) = on_host(tree, sysfs).problems
    assert (problem.code, problem.key) == (code, key)
    assert all(word in problem.message for word in words)
    assert problem.remedy


MISMATCH = codes.SERVER_CONFIG_HOST_MISMATCH


def small(*tiers: object, **keys: object) -> Tree:
    """An engine that every machine can run."""
    return engine(*(tiers or (ram(scm_size=4),)), **keys)


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves memory out: how much the test machine has must not decide."""
    monkeypatch.setattr("daos_server.plan.host.derive", lambda config, facts: Nothing())


class Nothing:
    faults = ()
    notices = ()


@pytest.mark.usefixtures("roomy")
def test_a_configuration_that_fits(sysfs: Path) -> None:
    node = numa.with_memory()[0]
    assert findings(server(small(pinned_numa_node=node), second(fabric_iface="eth1")), sysfs) == []


def test_no_engines_fit_everywhere(sysfs: Path) -> None:
    assert findings({}, sysfs) == []


# Names


def test_access_point_that_does_not_resolve(sysfs: Path) -> None:
    tree: Tree = {"access_points": ["localhost", "no-such-host.invalid:5", "[::1]"]}
    assert_only(tree, sysfs, codes.SERVER_CONFIG_BAD_ACCESS_POINTS, "access_points[1]", "no-such-host.invalid: ")


def test_callback_of_the_fault_domain_is_run(sysfs: Path) -> None:
    tree: Tree = {"fault_cb": str(sysfs.parent / "none")}
    assert_only(tree, sysfs, codes.SERVER_CONFIG_FAULT_CALLBACK_NOT_FOUND, "fault_cb", "none")
    quiet = check_host(config_of(tree), folder=str(sysfs.parent), account="root", callback=False, sysfs=str(sysfs))
    assert quiet.problems == ()


# Folders and devices


@pytest.mark.usefixtures("roomy")
@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"socket_dir": "/nonexistent"}, "socket_dir"),
        ({"control_log_file": "/nonexistent/l"}, "control_log_file"),
        ({"helper_log_file": "/nonexistent/l"}, "helper_log_file"),
        (server(small(log_file="/nonexistent/l")), "engines[0].log_file"),
        (server(small(ram(), files("/nonexistent/bdev"))), "engines[0].storage[1].bdev_list"),
        (server(small(ram(), {"class": "kdev", "bdev_list": ["/nonexistent"]})), "engines[0].storage[1].bdev_list"),
        (server(small(ram(), {"class": "kdev", "bdev_list": ["/dev/null"]})), "engines[0].storage[1].bdev_list"),
        (
            server(
                small(ram(), nvme(bdev_roles=ALL_ROLES)), control_metadata={**META, "device": "/nonexistent"},
            ),
            "control_metadata.device",
        ),
        (server(small(fabric_iface="eth9")), "engines[0].fabric_iface"),
        (server(small(pinned_numa_node=1023)), "engines[0].pinned_numa_node"),
    ],
)
def test_what_this_host_does_not_have(tree: Tree, key: str, sysfs: Path) -> None:
    assert findings(tree, sysfs) == [(MISMATCH, key)]


def test_default_folder_of_sockets_is_the_units_to_make(sysfs: Path) -> None:
    assert findings({"socket_dir": "/var/run/daos_server"}, sysfs) == []


@pytest.mark.usefixtures("roomy")
def test_pmem_that_is_missing_has_its_own_code(sysfs: Path) -> None:
    tree = server(engine({"class": "dcpm", "scm_mount": "/a", "scm_list": ["/dev/nonexistent"]}))
    assert_only(tree, sysfs, codes.SCM_FORMAT_MISSING_DEVICE, "engines[0].storage[0].scm_list", "/dev/nonexistent")


@pytest.mark.usefixtures("roomy")
def test_ssds_that_are_missing_are_named(sysfs: Path) -> None:
    tier = {"class": "nvme", "bdev_list": ["0000:81:00.0", "0000:99:00.0", "5d0505:01:00.0", "640005:01:00.0"]}
    place = "engines[0].storage[1].bdev_list"
    assert_only(server(engine(ram(), tier)), sysfs, codes.BDEV_NOT_FOUND, place, "0000:99:00.0, 640005:01:00.0")


@pytest.mark.usefixtures("roomy")
def test_block_device_is_one(sysfs: Path) -> None:
    devices = [str(path) for path in Path("/dev").iterdir() if stat.S_ISBLK(path.stat().st_mode)] if os.path.isdir("/dev") else []
    if not devices:
        pytest.skip("this machine has no block device")
    assert findings(server(engine(ram(), {"class": "kdev", "bdev_list": devices[:1]})), sysfs) == []


# Hardware


@pytest.mark.usefixtures("roomy")
def test_interfaces_of_one_class(sysfs: Path) -> None:
    place = "engines[1].fabric_iface"
    tree = server(engine(), second(fabric_iface="ib0"))
    assert_only(tree, sysfs, codes.SERVER_CONFIG_INVALID_NET_DEV_CLASS, place, "ib0", "infiniband", "ethernet")


def test_memory_that_no_machine_has(sysfs: Path) -> None:
    tree = server(engine(ram(scm_size=(1 << 33) - 1)))
    assert_only(tree, sysfs, codes.SERVER_CONFIG_RAMDISK_OVER_MAX_MEM, "engines[0].storage[0].scm_size")


def test_engines_spread_unevenly(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two nodes and memory for both are what few machines have.
    from daos_server.plan.host import HostFacts, NodePages

    facts = HostFacts(
        total_kib=1 << 30,
        available_kib=1 << 30,
        page_kib=2048,
        nodes=(NodePages(node=0), NodePages(node=1)),
        interfaces={"eth0": 0, "eth1": 1, "eth2": 1},
    )
    monkeypatch.setattr("daos_server.storage.host_facts.read_host", lambda account, sysfs: facts)
    engines = [
        engine(ram(scm_mount=f"/{index}", scm_size=4), nvme(f"5d0505:0{index}:00.0"), fabric_iface=f"eth{index}") for index in range(3)
    ]
    assert (codes.SERVER_CONFIG_ENGINE_NUMA_IMBALANCE, "engines") in findings(server(*engines), sysfs)


def test_an_interface_that_is_not_there_is_told_once(sysfs: Path) -> None:
    found = on_host(server(small(fabric_iface="ib7")), sysfs)
    assert [problem.key for problem in found.problems if "ib7" in problem.message] == ["engines[0].fabric_iface"]
    assert not [notice for notice in found.notices if "ib7" in notice.message]


def test_notices_of_the_planning_are_told(sysfs: Path) -> None:
    found = on_host(server(small(ram(scm_size=4), files(str(sysfs.parent / "bdev")), pinned_numa_node=0), nr_hugepages=1), sysfs)
    assert any("nr_hugepages" in notice.message for notice in found.notices)


# Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server's certificate by it, and one by another CA; made by OpenSSL itself."""
    if not os.path.exists(OPENSSL):
        pytest.skip(f"needs {OPENSSL}")
    folder = tmp_path_factory.mktemp("certs")

    def openssl(*arguments: str) -> None:
        subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        key = (*KEY, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt")
        openssl("req", "-x509", *key, "-days", "10", "-subj", f"/O=DAOS/CN={name}", "-addext", "keyUsage=critical,keyCertSign")
    for name, authority in (("server", "ca"), ("stranger", "other")):
        openssl("req", *KEY, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/O=DAOS/CN=server")
        signer = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial")
        openssl("x509", "-req", "-in", f"{name}.csr", *signer, "-days", "10", "-out", f"{name}.crt")
    openssl("ec", "-aes256", "-passout", "pass:secret", "-in", "server.key", "-out", "locked.key")
    for path in folder.glob("*.key"):
        path.chmod(0o400)
    for path in folder.glob("*.crt"):
        path.chmod(0o644)
    (folder / "clients").mkdir(mode=0o700)
    return folder


def transport(folder: Path, **others: str) -> TransportConfig:
    names = {"ca_cert": "ca.crt", "cert": "server.crt", "key": "server.key", "client_cert_dir": "clients", **others}
    return TransportConfig.model_validate({key: str(folder / name) for key, name in names.items()})


def told(config: TransportConfig) -> list[Problem]:
    return list(certificate_problems(config))


def test_good_certificates(certificates: Path) -> None:
    assert told(transport(certificates)) == []


def test_none_are_needed_without_tls(tmp_path: Path) -> None:
    config = TransportConfig(allow_insecure=True, key=str(tmp_path / "none"))
    assert told(config) == []


@pytest.mark.parametrize("key", ["ca_cert", "cert", "key", "client_cert_dir"])
def test_missing_file(certificates: Path, key: str) -> None:
    (problem,) = told(transport(certificates, **{key: "none"}))
    assert (problem.code, problem.key) == (codes.SECURITY_MISSING_CERT_FILE, f"transport_config.{key}")


@pytest.mark.parametrize(("key", "mode"), [("key", 0o440), ("key", 0o600), ("cert", 0o666), ("ca_cert", 0o777), ("client_cert_dir", 0o755)])
def test_file_open_too_wide(certificates: Path, key: str, mode: int) -> None:
    config = transport(certificates)
    path = Path(str(getattr(config, key)))
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        (problem,) = told(config)
    finally:
        path.chmod(before)
    assert (problem.code, problem.key) == (codes.SECURITY_UNREADABLE_CERT_FILE, f"transport_config.{key}")
    assert f"{mode:04o}" in problem.message
    assert "chmod" in problem.remedy


def test_file_that_this_user_may_not_read(certificates: Path) -> None:
    euid = os.geteuid()
    config = transport(certificates, cert="clients/server.crt")
    if euid == 0:
        os.seteuid(65534)
    else:
        (certificates / "clients").chmod(0)
    try:
        found = {problem.code for problem in told(config)}
    finally:
        os.seteuid(euid)
        (certificates / "clients").chmod(0o700)
    assert found == {codes.SECURITY_UNREADABLE_CERT_FILE}


@pytest.mark.parametrize(
    ("others", "key", "word"),
    [
        ({"ca_cert": "ca.key"}, "ca_cert", ""),
        ({"cert": "clients"}, "cert", "not a file"),
        ({"client_cert_dir": "ca.crt"}, "client_cert_dir", "not a folder"),
        ({"key": "ca.key"}, "cert", "key values mismatch"),
        ({"key": "locked.key"}, "cert", ""),
        ({"cert": "stranger.crt", "key": "stranger.key"}, "cert", "issuer"),
    ],
)
def test_what_tls_cannot_use(certificates: Path, others: dict[str, str], key: str, word: str) -> None:
    (problem,) = [each for each in told(transport(certificates, **others)) if each.code == codes.SECURITY_INVALID_CERT]
    assert problem.key == f"transport_config.{key}"
    assert word in problem.message


def test_fifo_and_endless_file_are_not_read(certificates: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 30)
    for path in (tmp_path / "fifo", tmp_path / "huge", Path("/dev/zero")):
        assert [problem.code for problem in told(transport(certificates, ca_cert=str(path)))] == [codes.SECURITY_INVALID_CERT]


def mounted_device() -> tuple[str, str]:
    """A block device of this machine that is mounted, and where."""
    for mount in mounts.read():
        identity = block.by_number(mount.major, mount.minor)
        if identity is not None and os.path.exists(identity.path):
            return identity.path, mount.mount_point
    pytest.skip("no block device is mounted here")


@pytest.mark.usefixtures("roomy")
def test_a_device_that_is_in_use_is_told_unless_it_is_mounted_where_it_belongs(sysfs: Path) -> None:
    device, point = mounted_device()
    tree: Tree = {"control_metadata": {**META, "device": device}}
    assert_only(tree, sysfs, MISMATCH, "control_metadata.device", device, "in use", f"is mounted on {point}")  # the first one
    places = {mount.mount_point for mount in mounts.read() if block.by_number(mount.major, mount.minor) == block.by_name(device[5:])}
    told = [problem for own in places for problem in _no_block_device(("here",), device, own=own)]
    assert len(told) == (0 if len(places) == 1 else len(places))


def test_what_the_account_may_not_write_is_told() -> None:
    file, log = "/etc/bdev", "/etc/control.log"
    config = config_of(server(small(ram(scm_size=4), files(file), log_file="/tmp/engine.log"), control_log_file=log))  # noqa: S108
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        os.write(writing, "\n".join(f"{problem.key} {problem.message}" for problem in unwritable(config)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    found = os.read(reading, 4096).decode().splitlines()
    os.close(reading)
    os.close(writing)
    assert [line.split()[0] for line in found] == ["control_log_file", "engines[0].storage[1].bdev_list"]
    assert log in found[0]
    assert file in found[1]
