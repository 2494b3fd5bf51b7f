# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The real SPDK against its own NVMe/TCP target on loopback: no hugepages, no PCI, and bytes that can be looked at afterwards."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from spdk_world import SOURCE, Spdk

from daos_bindings.spdk import use

pytestmark = pytest.mark.host

NQN = "nqn.2026-01.io.example"
DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"
MIB = 1 << 20
LISTENING = b"Listening on"
MEMORY_MIB = "768"
Rows = list[dict[str, object]]


def target_program() -> str:
    """Return the path of SPDK's target: beside the libraries that pkg-config knows, or where programs are."""
    done = subprocess.run(["/usr/bin/pkg-config", "--libs-only-L", "spdk_nvme"], capture_output=True, text=True, check=False)
    beside = [Path(word[2:]).parent / "bin" / "nvmf_tgt" for word in done.stdout.split()]
    return next((str(path) for path in beside if path.exists()), "") or shutil.which("nvmf_tgt") or ""


@dataclass(frozen=True)
class Target:
    """A running target.

    :param disks: files behind the namespaces 1 (blocks of 512 bytes) and 7 (4096) of the subsystem ``a``; ``b`` has none.
    """

    port: int
    disks: tuple[Path, Path]

    def transport(self, name: str) -> str:
        """Return SPDK's text for a subsystem, or for the discovery service."""
        return f"trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:{self.port} subnqn:{name}"


def configuration(port: int, disks: tuple[Path, Path]) -> dict[str, object]:
    def call(method: str, **params: object) -> dict[str, object]:
        return {"method": method, "params": params}

    address = {"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": str(port)}
    sizes = (512, 4096)
    bdevs = [call("bdev_aio_create", filename=str(path), name=path.name, block_size=size) for path, size in zip(disks, sizes, strict=True)]
    nvmf = [call("nvmf_create_transport", trtype="TCP")]
    for name in ("a", "b"):
        nqn, model = f"{NQN}:{name}", f"MODEL {name.upper()}"
        nvmf.append(call("nvmf_create_subsystem", nqn=nqn, allow_any_host=True, serial_number=f"SERIAL{name}", model_number=model))
        nvmf.append(call("nvmf_subsystem_add_listener", nqn=nqn, listen_address=address))
    for path, number in zip(disks, (1, 7), strict=True):
        nvmf.append(call("nvmf_subsystem_add_ns", nqn=f"{NQN}:a", namespace={"nsid": number, "bdev_name": path.name}))
    nvmf.append(call("nvmf_subsystem_add_listener", nqn=DISCOVERY, listen_address=address))
    return {"subsystems": [{"subsystem": "bdev", "config": bdevs}, {"subsystem": "nvmf", "config": nvmf}]}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def spdk(tmp_path_factory: pytest.TempPathFactory) -> Spdk:
    if not use.available():
        pytest.skip("SPDK is not compiled in: install its development files, set PKG_CONFIG_PATH, then 'make build-ext' (docs/spdk.md)")
    return Spdk(SOURCE / "bindings" / "daos_bindings", tmp_path_factory.mktemp("log") / "calls.log")


@pytest.fixture
def target(spdk: Spdk, tmp_path: Path) -> Iterator[Target]:
    program = target_program()
    if not program:
        pytest.skip("SPDK's target nvmf_tgt was not found beside its libraries (pkg-config) nor among the programs")
    disks = tmp_path / "disk0", tmp_path / "disk1"
    for path in disks:
        path.write_bytes(b"\xa5" * 8 * MIB)
    port = free_port()
    file = tmp_path / "target.json"
    file.write_text(json.dumps(configuration(port, disks)))
    options = ["--no-huge", "-s", MEMORY_MIB, "--no-pci", "-m", "0x1", "-r", str(tmp_path / "rpc.sock"), "-c", str(file)]
    process = subprocess.Popen([program, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if LISTENING in line:
                break
        else:
            pytest.fail(f"{program} ended before it listened:\n{b''.join(said).decode(errors='replace')}")
        yield Target(port, disks)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def call(spdk: Spdk, transport: str, work: str) -> Rows:
    code = f"""
from daos_bindings.spdk import operations, sessions
with sessions.over_fabrics({transport!r}) as session:
    value = encode(operations.{work})
"""
    return cast(Rows, spdk.call(code)[0]["value"])


def test_discovery_finds_every_subsystem(spdk: Spdk, target: Target) -> None:
    rows = call(spdk, target.transport(DISCOVERY), "scan_session(session, health=True)")
    records = [cast("dict[str, object]", row["record"]) for row in rows]
    assert [(row["address"], row["fault"]) for row in rows] == [(f"{NQN}:a", None), (f"{NQN}:b", None)]
    assert [(record["model"], record["serial"]) for record in records] == [("MODEL A", "SERIALa"), ("MODEL B", "SERIALb")]
    assert [record["namespaces"] for record in records] == [[{"id": 1, "size": 8 * MIB}, {"id": 7, "size": 8 * MIB}], []]
    assert all(isinstance(record["health_stats"], dict) for record in records)


def test_a_wipe_takes_the_first_4_kib_and_no_more(spdk: Spdk, target: Target) -> None:
    rows = call(spdk, target.transport(f"{NQN}:a"), "wipe_session(session)")
    assert [(space["id"], space["done"]) for space in cast(Rows, rows[0]["namespaces"])] == [(1, True), (7, True)]
    assert rows[0]["fault"] is None
    for path in target.disks:
        assert path.read_bytes() == bytes(4096) + b"\xa5" * (8 * MIB - 4096)


def test_nobody_there_is_a_fault(spdk: Spdk) -> None:
    transport = Target(free_port(), (Path(), Path())).transport(DISCOVERY)
    found, _ = spdk.call(f"from daos_bindings.spdk import sessions\nwith sessions.over_fabrics({transport!r}) as value:\n    pass")
    assert cast("dict[str, object]", found["fault"])["code"] == 802
