# SPDX-License-Identifier: BSD-2-Clause-Patent
"""nvme scan and its tables; what the nvme commands take from options and configuration.  SSDs are of a made-up sysfs."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme import ControllerRecord, HealthStats, NamespaceRecord
from daos_pbin.nvme_messages import BdevScanResult, ScannedController, WireFault
from daos_server.cli import nvme as cli_nvme
from daos_server.cli.nvme import _as_json, _as_text
from daos_server.cli.options import Invocation
from daos_server.cli.options_nvme import NvmeOptions
from daos_server.cli.run import run
from daos_server.installation import Installation
from daos_server.plan.nvme import Ssd
from daos_server.storage import ssds
from daos_server.storage.commands import Context
from daos_server.storage.facts import Helper
from daos_server.storage.nvme_commands import Scan, scan
from daos_server.storage.report import Reporter

pytestmark = pytest.mark.unit

FIRST, SECOND, THIRD = "0000:41:00.0", "0000:42:00.0", "0000:43:00.0"
VMD, BEHIND = "0000:5d:05.5", "5d0505:01:00.0"
RECORD = ControllerRecord("model-1", "serial-1", "fwRev-1", 0x8086, (NamespaceRecord(1, 2_000_000_000_000),), HealthStats(temperature=300))
GONE = Fault(codes.NVME_COMMAND_FAILED, object=SECOND, address=SECOND, command="Identify", reason="it did not answer in time")
KEYS = (  # the reference's, then ours
    "info model serial pci_addr fw_rev vendor_id pci_type socket_id health_stats namespaces smd_devices dev_state led_state "
    "driver kernel_address iommu_group vmd_endpoint source in_use fault"
)


def test_the_first_table_is_the_reference_s() -> None:
    found = Scan(ssds=(Ssd(address="0000:01:00.0", driver="nvme", numa_node=1, record=RECORD),), places={"0000:01:00.0": (None, None)})
    lines = _as_text(found).splitlines()
    assert lines[:3] == [
        "NVMe PCI     Model   FW Revision Socket Capacity Role(s) Rank ",
        "--------     -----   ----------- ------ -------- ------- ---- ",
        "0000:01:00.0 model-1 fwRev-1     1      2.0 TB   NA      None ",
    ]
    assert lines[3] == ""
    assert lines[6].split() == ["0000:01:00.0", "serial-1", "nvme", "-", "1:", "2.0", "TB", "-", "free"]


def test_no_ssds_at_all() -> None:
    assert _as_text(Scan(places={})) == "  No NVMe devices found\n"


@pytest.mark.parametrize(
    ("ssd", "words"),
    [
        (Ssd(address=FIRST, driver="nvme", in_use=("nvme0n1: mounted on /",)), "in use: nvme0n1: mounted on /"),
        (Ssd(address=FIRST, driver="nvme", fault=GONE), "did not answer in time (2125)"),
        (Ssd(address=FIRST), "daos_server nvme reset"),
        (Ssd(address=FIRST, driver="vfio-pci", is_vmd=True), "nobody sees behind it"),
    ],
)
def test_the_state_of_an_ssd(ssd: Ssd, words: str) -> None:
    assert words in _as_text(Scan(ssds=(ssd,), places={FIRST: (0, 1)}))


def test_json_has_the_reference_s_keys_and_values() -> None:
    found = _as_json(Ssd(address=FIRST, kernel=FIRST, driver="nvme", numa_node=1, group=7, source="kernel", record=RECORD))
    assert " ".join(found) == KEYS
    assert (found["dev_state"], found["led_state"], found["smd_devices"], found["socket_id"]) == ("UNKNOWN", "NA", None, 1)
    assert found["namespaces"] == [{"id": 1, "size": 2_000_000_000_000}]
    health = found["health_stats"]
    assert isinstance(health, dict)
    assert (len(health), health["temperature"]) == (41, 300)
    assert set(health) == set(HealthStats.__struct_fields__)
    bare = _as_json(Ssd(address=FIRST, fault=GONE))
    assert (bare["health_stats"], bare["namespaces"], bare["iommu_group"]) == (None, None, None)
    assert json.loads(json.dumps(bare))["fault"]["code"] == codes.NVME_COMMAND_FAILED


# Scanning


class Told(AbstractAsyncContextManager[Helper]):
    """In place of a helper: one answer."""

    def __init__(self, answer: BdevScanResult | Fault) -> None:
        self.answer = answer

    def __call__(self, _reporter: Reporter) -> Told:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def call(self, request: object, **_: object) -> BdevScanResult:
        if isinstance(self.answer, Fault):
            raise self.answer
        return self.answer


def row(address: str, driver: str = "nvme", fault: Fault | None = None, vmd: str = "") -> ScannedController:
    wire = None if fault is None else WireFault.of(fault)
    return ScannedController(address, address, driver, 1, 7, vmd, "none" if fault else "kernel", None if fault else RECORD, (), wire)


CONFIG = """
name: daos_server
access_points: [a]
provider: ofi+tcp
transport_config: {allow_insecure: true}
engines:
- targets: 1
  fabric_iface: lo
  pinned_numa_node: 0
  fabric_iface_port: 31416
  log_file: /tmp/e.log
  storage: [{class: ram, scm_mount: /mnt/daos0, scm_size: 4}, {class: nvme, bdev_list: ['%s']}]
"""


def scan_with(
    monkeypatch: pytest.MonkeyPatch, seen: tuple[Ssd, ...], answer: BdevScanResult | Fault, config: Path | None = None, *, vmd: bool = True
) -> Scan:
    from daos_server.config.load import load

    monkeypatch.setattr(ssds, "read", lambda: {one.address: one for one in seen})
    context = Context(None if config is None else load(str(config)), Installation(), session=Told(answer))
    return asyncio.run(scan(context, vmd=vmd))


SEEN = (Ssd(address=FIRST, driver="nvme"), Ssd(address=SECOND, driver="nvme"))


def test_what_the_helper_reads_stands_beside_what_everybody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    used = replace(SEEN[0], in_use=("nvme0n1: swap space",))
    found = scan_with(monkeypatch, (used, SEEN[1]), BdevScanResult((row(FIRST), row(SECOND, fault=GONE)), ("a note",)))
    assert [(one.address, one.record, one.in_use) for one in found.ssds] == [(FIRST, RECORD, ("nvme0n1: swap space",)), (SECOND, None, ())]
    assert (found.notes, found.fault()) == (("a note",), GONE)


def test_without_a_helper_there_are_rows_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scan_with(monkeypatch, SEEN, Fault(codes.PRIVILEGED_HELPER_NOT_AVAILABLE, helper="/opt/daos/bin/daos_server_helper"))
    assert [one.address for one in found.ssds] == [FIRST, SECOND]
    assert "could not be asked" in found.notes[0]
    assert (found.fault(), found.ssds[0].fault) == (None, None)


def test_a_build_without_spdk_says_so_at_each_row_and_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Fault(codes.SPDK_MISSING, object=FIRST, reason="this build has none")
    found = scan_with(monkeypatch, SEEN, BdevScanResult((row(FIRST, "vfio-pci", lacking), row(SECOND))))
    assert (found.ssds[0].fault, found.fault()) == (lacking, None)


def test_an_ssd_that_is_silent_about_its_health(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = ScannedController(FIRST, FIRST, "nvme", source="kernel", record=replace_health(RECORD))
    fault = scan_with(monkeypatch, SEEN, BdevScanResult((silent, row(SECOND)))).fault()
    assert fault is not None
    assert (fault.code, fault.object) == (codes.SPDK_CTRLR_NO_HEALTH, FIRST)


def replace_health(record: ControllerRecord) -> ControllerRecord:
    return ControllerRecord(record.model, record.serial, record.fw_rev, record.vendor, record.namespaces)


def test_several_that_fail_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Fault(codes.SPDK_CTRLR_NO_HEALTH, object=FIRST)
    fault = scan_with(monkeypatch, SEEN, BdevScanResult((row(FIRST, fault=other), row(SECOND, fault=GONE)))).fault()
    assert fault is not None
    assert fault.code == codes.SERVER_PARTIAL_FAILURE
    assert f"{FIRST} (801)" in fault.description


@pytest.mark.parametrize(("configured", "listed", "code"), [(FIRST, [FIRST], 0), (THIRD, [], codes.BDEV_NOT_FOUND)])
def test_a_configuration_narrows_the_list(
    configured: str, listed: list[str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "c.yml"
    config.write_text(CONFIG % configured)
    found = scan_with(monkeypatch, SEEN, BdevScanResult((row(FIRST), row(SECOND))), config)
    assert [one.address for one in found.ssds] == listed
    fault = found.fault()
    assert (fault.code if fault else 0) == code
    assert any("--ignore-config" in note for note in found.notes)
    assert all(found.places[address] == (0, 1) for address in listed)


@pytest.mark.parametrize(("vmd", "listed"), [(True, [BEHIND]), (False, [])])
def test_ssds_stand_in_place_of_the_vmd_that_they_are_behind(vmd: bool, listed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = (Ssd(address=VMD, driver="vfio-pci", is_vmd=True),)
    answer = BdevScanResult((row(BEHIND, "vfio-pci", vmd=VMD), row(VMD, "vfio-pci")) if vmd else ())
    assert [one.address for one in scan_with(monkeypatch, seen, answer, vmd=vmd).ssds] == listed


# The commands


def test_a_missing_configuration_is_none_and_a_broken_one_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("daos_server.cli.storage.become_account", lambda _invocation: None)
    monkeypatch.setattr("daos_server.cli.logs.start_log", lambda _invocation: None)
    where = Installation(config_file=str(tmp_path / "c.yml"))
    assert cli_nvme._begin(Invocation(installed=where), NvmeOptions(), changes=False) is None
    (tmp_path / "c.yml").write_text("engines: 5\n")
    with pytest.raises(Fault):
        cli_nvme._begin(Invocation(installed=where), NvmeOptions(ignore_config=True), changes=False)
    (tmp_path / "c.yml").write_text(CONFIG % FIRST)
    assert cli_nvme._begin(Invocation(installed=where), NvmeOptions(ignore_config=True), changes=False) is None
    assert cli_nvme._begin(Invocation(installed=where), NvmeOptions(), changes=False) is not None


def test_nobody_named_an_ssd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("daos_server.cli.storage.become_account", lambda _invocation: None)
    monkeypatch.setattr("daos_server.cli.logs.start_log", lambda _invocation: None)
    where = Installation(config_file=str(tmp_path / "c.yml"), state_dir=str(tmp_path))
    assert run(["nvme", "prepare", "--dry-run"], where) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("Plan of nvme prepare:\n")
    assert "--all" in printed.err
    assert f"explain {codes.NVME_NONE_NAMED}" in printed.err


def test_a_scan_that_is_stopped_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from collections.abc import Coroutine

    from daos_server.cli import execute

    async def stopped(work: Coroutine[object, object, object]) -> object:
        work.close()
        raise execute.StopError("SIGTERM")

    monkeypatch.setattr("daos_server.cli.storage.become_account", lambda _invocation: None)
    monkeypatch.setattr("daos_server.cli.logs.start_log", lambda _invocation: None)
    monkeypatch.setattr(execute, "until_stopped", stopped)
    assert run(["nvme", "scan"], Installation(config_file=str(tmp_path / "c.yml"))) == 1
    assert f"explain {codes.HELPER_CANCELLED}" in capsys.readouterr().err
