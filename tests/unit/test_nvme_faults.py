# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The reference's faults about SSDs, each in the smallest situations that raise it: code, object, words, and what ``explain`` says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import pytest
from config_trees import META, Tree, engine, files, nvme, ram, server
from spdk_world import VERSIONS, Spdk, compile_in, make_libraries, pkg_config

from daos_bindings.linux import pci_address
from daos_bindings.linux.block import UsageTable
from daos_bindings.linux.pci import PciFunction, Scan
from daos_bindings.nvme import select, wipe
from daos_helper.context import Context
from daos_helper.methods import nvme_bind, nvme_firmware
from daos_helper.methods import nvme_machine as machine
from daos_pbin import codes
from daos_pbin.explanations import explain
from daos_pbin.faults import Fault
from daos_pbin.nvme import ControllerRecord
from daos_pbin.nvme_messages import (
    BdevBind,
    BdevScanResult,
    FormattedNamespace,
    NvmeFirmwareQuery,
    NvmeFirmwareResult,
    NvmeFirmwareUpdate,
    ScannedController,
)
from daos_server.cli.run import run
from daos_server.config.load import load
from daos_server.config.model import StorageTier
from daos_server.plan import nvme as plan_nvme
from daos_server.plan.access import Asked, at_start, for_prepare
from daos_server.plan.host import HostFacts, NodePages
from daos_server.plan.wanted import Bdevs, Engine, Wanted, _bdevs
from daos_server.storage import ssds

pytestmark = pytest.mark.unit

A, B = "0000:41:00.0", "0000:42:00.0"
NUMBERS = {*range(301, 312), 602, 614, 801, 802, 803}
NONE: tuple[PciFunction, ...] = ()
NOBODY = cast("Context", None)
"""For what comes to its end before it looks at anything."""
HOST = HostFacts(total_kib=1 << 28, available_kib=1 << 27, page_kib=2048, nodes=(NodePages(node=0),), user="daos_server")
MIXED = (nvme(bdev_roles=["wal"]), files(bdev_roles=["data", "meta"]))
WANTED = Wanted(
    hostname="host", engines=(Engine(index=0, targets=1, scm=None, bdevs=(Bdevs(tier=1, storage_class="nvme", devices=(A,)),)),)
)
HOST_WITH_IOMMU = replace(HOST, iommu=True)
WANTED_WITHOUT_VFIO = replace(WANTED, disable_vfio=True)


def function(kernel: str, group: int = -1) -> PciFunction:
    """Return a controller as sysfs would show it."""
    address = pci_address.parse(kernel)
    assert address is not None
    ids = (0x8086, 0x0A54)
    return PciFunction(kernel, address, f"/sys/devices/{kernel}", *ids, 0x010802, "nvme", "", 0, group, (), "", None)


def raised(found: Fault | None) -> Fault:
    assert found is not None
    return found


def caught(call: Callable[[], object]) -> Fault:
    with pytest.raises(Fault) as error:
        call()
    return error.value


def of_method(work: Generator[object, object, object]) -> Fault:
    """Return what a method of the helper says before it has any work done."""
    return caught(lambda: next(work))


def of_file(folder: Path, tree: Tree) -> Fault:
    path = folder / "daos_server.yml"
    path.write_text(json.dumps(tree))
    return caught(lambda: load(str(path)))


def without_health() -> Fault:
    row = ScannedController(A, A, record=ControllerRecord("model", "serial", "fw", 0x8086, ()))
    return raised(ssds.merge({}, BdevScanResult((row,)), health=True)[A].fault)


def unknown_class() -> Fault:
    tier = StorageTier.model_construct(storage_class="tape", bdev_list=(A,), bdev_busid_range=None)
    return caught(lambda: _bdevs(tier, 1))


def without_iommu() -> Fault:
    return caught(lambda: nvme_bind._check(function(A), BdevBind((A,)), Scan((function(A),), ()), UsageTable(()), 0, NOBODY))


def not_wiped() -> Fault:
    return raised(wipe.fault(A, (FormattedNamespace(1, 512, True), FormattedNamespace(2, 512, False, "Input/output error"))))


def not_behind() -> Fault:
    vmd = plan_nvme.Ssd(address="0000:5d:05.5", kernel="0000:5d:05.5", driver="vmd", is_vmd=True)
    return raised(plan_nvme.obstacle(vmd.address, {vmd.address: vmd}, vmd=True))


def nothing_matches(folder: Path) -> Fault:
    del folder
    return of_method(nvme_firmware.update(NvmeFirmwareUpdate(path="/etc/passwd", model="none such"), NOBODY))


class Case(NamedTuple):
    """A situation, and what it ends with.

    :param make: brings it about; is given a folder.
    :param object: how what the fault is about begins; without that, nothing of it is looked at.
    :param words: what the administrator must read somewhere in it.
    """

    code: int
    make: Callable[[Path], Fault]
    object: str
    words: str


CASES = (
    Case(301, lambda _: unknown_class(), "tier 1", "'tape'"),
    Case(302, lambda _: not_wiped(), A, "namespaces [2] are not wiped (namespace 2: Input/output error)"),
    Case(303, lambda _: caught(lambda: for_prepare(Asked(allow="41.0"), HOST)), "41.0", "'41.0' is not a PCI address"),
    Case(303, lambda _: caught(lambda: select.parse_list(["nvme0n1"])), "nvme0n1", "'nvme0n1' is not a PCI address"),
    Case(304, lambda _: raised(plan_nvme.obstacle(A, {}, vmd=False)), A, A),
    Case(304, lambda _: not_behind(), "0000:5d:05.5", "VMD"),
    Case(304, lambda _: machine.missing(A, vmd=False), A, A),
    Case(304, lambda _: caught(lambda: select.select(NONE, select.parse_list([A, B]), vmd=True)), "", f"{A}, {B}"),
    Case(305, lambda _: of_method(nvme_firmware.update(NvmeFirmwareUpdate(path="/fw", devices=(A, A)), NOBODY)), "", "more than once"),
    Case(306, nothing_matches, "", "filter"),
    Case(307, lambda it: of_file(it, server(engine(acceleration={"engine": "warp"}))), "/", "'warp' is not known"),
    Case(308, lambda it: of_file(it, server(engine(acceleration={"engine": "dml", "options": ["zip"]}))), "/", "use only these: crc, move"),
    Case(308, lambda it: of_file(it, server(engine(ram(), nvme(bdev_roles=["Data"])))), "/", "use only these: "),
    Case(309, lambda it: of_file(it, server(engine(ram(), *MIXED), control_metadata=META)), "/", "mixed"),
    Case(310, lambda _: for_prepare(Asked(disable_vfio=True), HOST_WITH_IOMMU).faults[0], "daos_server", "VFIO is switched off"),
    Case(311, lambda _: for_prepare(Asked(), HOST).faults[0], "daos_server", "IOMMU"),
    Case(311, lambda _: without_iommu(), A, "IOMMU"),
    Case(602, lambda _: at_start(WANTED, HOST).faults[0], "", "the server is not root"),
    Case(614, lambda _: at_start(WANTED_WITHOUT_VFIO, HOST_WITH_IOMMU).faults[0], "disable_vfio", "disable_vfio: true"),
    Case(801, lambda _: without_health(), A, "delivers no health data"),
)


def check_words(fault: Fault, capsys: pytest.CaptureFixture[str]) -> None:
    """Hold a fault against the reference's list, and what its words promise against ``explain``."""
    rows = csv.DictReader((Path(__file__).parents[1] / "data" / "fault_codes.csv").read_text().splitlines())
    (row,) = [row for row in rows if row["code"] == str(fault.code)]
    assert (fault.name, fault.domain) == (row["name"], row["domain"])
    assert fault.description
    assert fault.resolution
    assert "{" not in fault.description + fault.resolution, "every field has its value"
    assert run(["explain", str(fault.code)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(f"{fault.code} {fault.name} ")
    assert " ".join(explain(fault.code).split()) in said


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}-{number}" for number, case in enumerate(CASES)])
def test_each_has_a_situation(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "read", lambda: Scan((), ()))
    fault = case.make(tmp_path)
    assert fault.code == case.code
    assert fault.object.startswith(case.object)
    assert case.words in f"{fault.description} {fault.cause} {fault.resolution}"
    check_words(fault, capsys)


@pytest.mark.parametrize(
    ("code", "more", "words"),
    [
        (codes.SPDK_BINDING_RET_NULL, {"STANDIN_DRIVES": f"{B}/no-probe"}, "spdk_nvme_probe_async_ext()"),
        (codes.SPDK_BINDING_FAILED, {"STANDIN_INIT": "-22"}, "spdk_env_init(): Invalid argument"),
    ],
)
def test_what_spdk_returns(code: int, more: dict[str, str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spdk = standin(tmp_path)
    call = f"""
from daos_bindings.spdk import locks, operations
locks.FOLDER = {str(tmp_path)!r}
value = operations.scan([{A!r}])
if value[0].fault is not None:
    raise value[0].fault
"""
    found = cast("dict[str, object]", spdk.call(call, **more)[0]["fault"])
    assert (found["code"], words in str(found["text"])) == (code, True), found
    fault = Fault(code, object=A, rc=-22, msg=words) if code == codes.SPDK_BINDING_FAILED else Fault(code, object=A, msg=words)
    check_words(fault, capsys)


def standin(folder: Path) -> Spdk:
    return compile_in(folder, pkg_config(folder, VERSIONS, make_libraries(folder, shared=False)))


@pytest.mark.parametrize("driver", ["vfio-pci", "uio_pci_generic"])
def test_firmware_of_an_ssd_on_a_userspace_driver_is_refused_with_the_way(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = msgspec.structs.replace(function(A), driver=driver)
    monkeypatch.setattr(machine, "read", lambda: Scan((taken,), ()))
    monkeypatch.setattr(nvme_firmware, "_refused", lambda *_: {})
    for work in (
        nvme_firmware.query(NvmeFirmwareQuery(), NOBODY),
        nvme_firmware.update(NvmeFirmwareUpdate(path="/etc/passwd", devices=(A,)), NOBODY),
    ):
        with pytest.raises(StopIteration) as end:
            next(work)
        (row,) = cast("NvmeFirmwareResult", end.value.value).controllers
        assert row.fault is not None
        assert (row.address, row.updated, row.fault.code) == (A, False, codes.NVME_UNUSABLE)
        assert driver in row.fault.description
        assert "daos_server nvme reset" in row.fault.resolution


def test_none_is_left_out() -> None:
    assert {case.code for case in CASES} | {codes.SPDK_BINDING_RET_NULL, codes.SPDK_BINDING_FAILED} == NUMBERS
