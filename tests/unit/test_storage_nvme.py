# SPDX-License-Identifier: BSD-2-Clause-Patent
"""SSDs in the storage commands, from configuration to report, over a model of the helper; and as sysfs shows them."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from storage_world import World
from sysfs_tree import Tree

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Request, Result
from daos_pbin.nvme import ControllerRecord, NamespaceRecord
from daos_pbin.nvme_messages import (
    BdevBind,
    BdevBindResult,
    BdevFormat,
    BdevFormatResult,
    BdevRestore,
    BdevScan,
    BdevScanResult,
    DeviceResult,
    FormattedController,
    FormattedNamespace,
    ScannedController,
    WireFault,
)
from daos_server.plan.nvme import Ssd
from daos_server.storage import commands, ssds
from daos_server.storage.commands import Context
from daos_server.storage.host_facts import read_host
from daos_server.storage.report import Outcome, Report

pytestmark = pytest.mark.unit

FIRST, SECOND = "0000:41:00.0", "0000:c1:00.0"
RECORD = ControllerRecord("model-1", "serial-1", "fw-1", 0x8086, (NamespaceRecord(1, 1 << 30),))
CONFIG = "nr_hugepages: 8\ndisable_hugepages: false\nengines:" + "".join(
    f"""
  - targets: 1
    nr_xs_helpers: 0
    pinned_numa_node: 0
    fabric_iface: eth{index}
    fabric_iface_port: {31416 + 1000 * index}
    log_file: /tmp/daos_engine.{index}.log
    storage:
      - {{class: ram, scm_size: 4, scm_mount: @/mnt/daos{index}}}
      - {{class: nvme, bdev_list: ['{address}']}}
"""
    for index, address in enumerate((FIRST, SECOND))
)


class SsdWorld(World):
    """A world with two SSDs."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ssds = {address: Ssd(address=address, kernel=address, driver="nvme", group=3) for address in (FIRST, SECOND)}
        self.refused: dict[str, Fault] = {}
        """Why an SSD answers nothing, and takes nothing."""

    def _answer(self, request: Request[Result]) -> Result:
        match request:
            case BdevScan():
                rows = (self._scanned(address) for address in request.devices or self.ssds)
                return BdevScanResult(tuple(rows))
            case BdevFormat():
                return BdevFormatResult(tuple(self._formatted(address) for address in request.devices))
            case BdevBind():
                return BdevBindResult(tuple(self._moved(address, request.driver) for address in request.devices))
            case BdevRestore():
                return BdevBindResult(tuple(self._moved(address, "nvme") for address in request.devices or self.ssds))
        return super()._answer(request)

    def _wire(self, address: str) -> WireFault | None:
        return WireFault.of(self.refused[address]) if address in self.refused else None

    def _scanned(self, address: str) -> ScannedController:
        driver, fault = self.ssds[address].driver, self._wire(address)
        return ScannedController(address, address, driver, 0, 3, record=None if fault else RECORD, fault=fault)

    def _formatted(self, address: str) -> FormattedController:
        fault = self._wire(address)
        return FormattedController(address, () if fault else (FormattedNamespace(1, 1 << 30, True),), fault)

    def _moved(self, address: str, driver: str) -> DeviceResult:
        before = self.ssds[address].driver
        if address in self.refused:
            return DeviceResult(address, address, "failed", before, before, 3, "", self._wire(address))
        self.ssds[address] = replace(self.ssds[address], driver=driver, owner="daos_server" if driver == "vfio-pci" else "")
        return DeviceResult(address, address, "done", before, driver, 3)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SsdWorld:
    for name in ("mnt", "state", "dev", "store", "files"):
        (tmp_path / name).mkdir()
    world = SsdWorld(tmp_path)
    world._save({"mounts": {}, "devices": {}})
    world.install(monkeypatch)
    host = replace(read_host(), iommu=True, user="daos_server", available_kib=1 << 30, total_kib=1 << 30)
    monkeypatch.setattr(commands, "read_host", lambda _account: host)
    monkeypatch.setattr(ssds, "read", lambda: dict(world.ssds))
    return world


@pytest.fixture
def context(world: SsdWorld) -> Context:
    return world.context(CONFIG)


def became(report: Report, subject: str) -> Outcome:
    return next(row.outcome for row in report.rows if row.subject.endswith(subject))


def test_scm_then_ssds_then_the_engines_configuration(context: Context, world: SsdWorld) -> None:
    report = asyncio.run(commands.format_storage(context))
    assert report.fault() is None
    assert {became(report, subject) for subject in (FIRST, SECOND, "daos0", "daos1")} == {Outcome.DONE}
    order = [type(request).__name__ for request in world.requests]
    assert order[-3:] == ["ScmFormat", "ScmFormat", "BdevFormat"]
    assert world.requests[-1] == BdevFormat(devices=(FIRST, SECOND), vmd=True)
    conf = json.loads((world.mnt / "daos1/daos_nvme.conf").read_text())
    assert conf["subsystems"][0]["config"][-1]["params"] == {"trtype": "PCIe", "name": "Nvme_hostfoo_0_1_0", "traddr": SECOND}


@pytest.mark.parametrize("fault", [Fault(codes.BDEV_FORMAT_FAILURE, object=FIRST, dev=FIRST, err="it carries ext4"), None])
def test_an_ssd_that_is_refused_costs_its_engine_its_configuration_and_the_next_run_completes_it(
    context: Context, world: SsdWorld, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    if fault is None:  # it shows before anything is done
        world.ssds[FIRST] = replace(world.ssds[FIRST], in_use=("nvme0n1: mounted on /srv",))
    else:  # it shows when its turn comes
        monkeypatch.setattr(world, "_scanned", lambda address: ScannedController(address, address, "nvme", record=RECORD))
        world.refused[FIRST] = fault
    report = asyncio.run(commands.format_storage(context))
    assert (became(report, FIRST), became(report, SECOND)) == (Outcome.FAILED, Outcome.DONE)
    assert became(report, "daos0/daos_nvme.conf") is Outcome.SKIPPED
    assert became(report, "daos1/daos_nvme.conf") is Outcome.DONE
    world.refused.clear()
    world.ssds[FIRST] = replace(world.ssds[FIRST], in_use=())
    again = asyncio.run(commands.format_storage(context))
    assert again.fault() is None
    assert became(again, FIRST) is Outcome.DONE
    assert (world.mnt / "daos0/daos_nvme.conf").exists()


def test_an_ssd_that_does_not_answer_fails_alone(context: Context, world: SsdWorld) -> None:
    world.refused[SECOND] = Fault(codes.NVME_COMMAND_FAILED, object=SECOND, address=SECOND, command="Identify", reason="no answer")
    for report in (asyncio.run(commands.scan(context)), asyncio.run(commands.format_storage(context))):
        fault = report.fault()
        assert fault is not None
        assert fault.code == codes.NVME_COMMAND_FAILED


def test_a_scan_says_what_each_ssd_is(context: Context, world: SsdWorld) -> None:
    report = asyncio.run(commands.scan(context))
    details = {row.subject: row.detail for row in report.rows}
    assert details[FIRST] == "model-1 of 1.1 GB, bound to nvme"
    del world.ssds[FIRST]
    fault = asyncio.run(commands.scan(context)).fault()
    assert fault is not None
    assert fault.code == codes.BDEV_NOT_FOUND


def test_a_scan_without_a_helper_fails_no_ssd(context: Context, world: SsdWorld) -> None:
    world.fails["start"] = Fault(codes.PRIVILEGED_HELPER_NOT_AVAILABLE, helper="/opt/daos/bin/daos_server_helper")
    assert became(asyncio.run(commands.scan(context)), FIRST) is Outcome.UNKNOWN


def test_prepare_and_reset_twice(context: Context, world: SsdWorld) -> None:
    assert became(asyncio.run(commands.prepare(context)), FIRST) is Outcome.DONE
    assert world.ssds[FIRST].driver == "vfio-pci"
    assert became(asyncio.run(commands.prepare(context)), FIRST) is Outcome.ALREADY
    assert became(asyncio.run(commands.reset(context)), FIRST) is Outcome.DONE
    assert world.ssds[FIRST].driver == "nvme"
    assert became(asyncio.run(commands.reset(context)), FIRST) is Outcome.ALREADY


def test_a_dry_run_foresees_what_cannot_be_done(context: Context, world: SsdWorld) -> None:
    world.ssds[FIRST] = replace(world.ssds[FIRST], in_use=("nvme0n1: swap space",))
    plan = asyncio.run(commands.plan_prepare(context))
    foreseen = commands.foreseen(plan)
    assert foreseen is not None
    assert (foreseen.code, commands.refusal_of(plan)) == (codes.NVME_CONTROLLER_IN_USE, None)
    del world.ssds[SECOND]
    foreseen = commands.foreseen(asyncio.run(commands.plan_prepare(context)))
    assert foreseen is not None
    assert foreseen.code == codes.SERVER_PARTIAL_FAILURE


# As sysfs shows them


def test_what_everybody_can_see(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "sys")
    first, second = (tree.function(f"pci0000:40/{address}", node="1") for address in (FIRST, SECOND))
    ids = {"class": "0x010802", "vendor": "0x8086", "device": "0x0a54"}
    for folder, driver, override in ((first, "nvme", "(null)"), (second, "vfio-pci", "vfio-pci")):
        for name, text in {**ids, "driver_override": override}.items():
            tree.write(f"{folder}/{name}", text)
        tree.link(f"{folder}/driver", f"bus/pci/drivers/{driver}")
    tree.link(f"{first}/iommu_group", "kernel/iommu_groups/7")
    controller = {"dev": "245:3", "state": "live", "model": "a model  ", "serial": "S\x1b1", "firmware_rev": "fw"}
    spaces = {f"nvme0n{nsid}/{name}": text for nsid in (1, 2) for name, text in (("nsid", str(nsid)), ("size", "2048"))}
    blocks = {f"nvme0n{nsid}/queue/logical_block_size": "4096" for nsid in (1, 2)}
    for name, text in {**controller, **spaces, **blocks}.items():
        tree.write(f"{first}/nvme/nvme0/{name}", text)
    found = ssds.read(str(tree.root), str(tmp_path / "vfio"))
    assert list(found) == [FIRST, SECOND]
    one, other = found.values()
    assert (one.driver, one.group, one.numa_node, one.source, one.owner) == ("nvme", 7, 1, "kernel", "")
    assert one.record is not None
    assert (one.record.model, one.record.fw_rev, [space.id for space in one.record.namespaces]) == ("a model", "fw", [1, 2])
    assert "\x1b" not in one.record.serial
    assert (other.driver, other.override, other.record, other.group) == ("vfio-pci", "vfio-pci", None, -1)


def test_a_group_belongs_to_one_user_or_to_none(tmp_path: Path) -> None:
    assert ssds._owner(str(tmp_path / "none")) == ""
    (tmp_path / "file").touch(mode=0o600)
    assert ssds._owner(str(tmp_path / "file")) == ""
    assert ssds._owner(os.devnull) == ""  # everybody's
