# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Steps about SSDs and what the helper answers: one request for all, a row for each, and nothing believed that does not add up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from daos_pbin import codes
from daos_pbin.envelope import Progress
from daos_pbin.faults import Fault
from daos_pbin.messages import Request, Result, ResultT
from daos_pbin.nvme_messages import (
    BdevBind,
    BdevBindResult,
    BdevFormat,
    BdevFormatResult,
    BdevRestore,
    DeviceResult,
    FormattedController,
    FormattedNamespace,
    WireFault,
)
from daos_server.plan.steps import BindSsd, CleanHugepages, Plan, RestoreSsd, Standing, Step, WipeSsd
from daos_server.storage import patience
from daos_server.storage.report import Outcome, Report, Silent
from daos_server.storage.runner import Runner

pytestmark = pytest.mark.unit

FIRST, SECOND = "0000:41:00.0", "0000:42:00.0"
VMD, BEHIND = "0000:5d:05.5", "5d0505:01:00.0"
IN_USE = Fault(codes.NVME_CONTROLLER_IN_USE, address=FIRST, found="nvme0n1: swap space")


class Answers:
    """In place of a helper: the answers, in their order, and the requests that came."""

    def __init__(self, *answers: Result | Fault) -> None:
        self.answers = list(answers)
        self.requests: list[Request[Result]] = []

    async def call(
        self, request: Request[ResultT], *, deadline_s: float = 1.0, on_progress: Callable[[Progress], None] | None = None
    ) -> ResultT:
        self.requests.append(cast("Request[Result]", request))
        if on_progress is not None:
            on_progress(Progress(id=1, done=1, total=2, unit="SSDs", what=SECOND))
        answer = self.answers.pop(0)
        if isinstance(answer, Fault):
            raise answer
        return cast("ResultT", answer)


class Heard(Silent):
    """Which step progress was shown for, and what else was said."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.lines: list[str] = []

    def progress(self, step: Step, done: int, total: int, unit: str, what: str) -> None:
        self.steps.append(step.subject)

    def log(self, level: str, text: str) -> None:
        self.lines.append(text)


def run(steps: tuple[Step, ...], *answers: Result | Fault, standing: tuple[Standing, ...] = ()) -> tuple[Report, Answers, Heard]:
    helper, heard = Answers(*answers), Heard()
    report = asyncio.run(Runner(Plan(command="x", steps=steps, standing=standing), helper, heard).run())
    return report, helper, heard


def outcomes(report: Report) -> list[tuple[str, str, int]]:
    return [(row.subject, row.outcome.value, row.fault.code if row.fault else 0) for row in report.rows]


def bind(address: str, *, free: bool = False) -> BindSsd:
    return BindSsd(key=f"bind:{address}", subject=address, before="nvme", driver="vfio-pci", user="daos_server", only_if_free=free)


def result(address: str, outcome: str = "done", driver: str = "vfio-pci", fault: Fault | None = None, reason: str = "") -> DeviceResult:
    wire = None if fault is None else WireFault.of(fault)
    return DeviceResult(address, address, outcome, "nvme", driver, 7, reason, wire)  # type: ignore[arg-type]


def test_all_ssds_are_bound_by_one_request() -> None:
    report, helper, heard = run((bind(FIRST), bind(SECOND)), BdevBindResult((result(FIRST), result(SECOND, "already"))))
    assert helper.requests == [BdevBind(devices=(FIRST, SECOND))]
    assert outcomes(report) == [(FIRST, "done", 0), (SECOND, "already", 0)]
    assert report.rows[0].detail == "nvme -> vfio-pci, IOMMU group 7"
    assert heard.steps == [SECOND]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (result(FIRST, "failed", "nvme", IN_USE), codes.NVME_CONTROLLER_IN_USE),
        (result(FIRST, "skipped", "nvme", reason="in use"), codes.NVME_UNUSABLE),
        (result(FIRST, "done", "nvme"), codes.NVME_BINDING_FAILED),
        (result(FIRST, "done", ""), codes.NVME_BINDING_FAILED),
        (result(SECOND), codes.NVME_ANSWER_INCOMPLETE),
    ],
)
def test_only_the_driver_that_was_meant_is_success(answer: DeviceResult, code: int) -> None:
    report, _, _ = run((bind(FIRST),), BdevBindResult((answer,)))
    assert (report.rows[0].outcome, report.rows[0].fault and report.rows[0].fault.code) == (Outcome.FAILED, code)


def test_an_ssd_that_nobody_named_may_be_in_use() -> None:
    report, _, _ = run((bind(FIRST, free=True),), BdevBindResult((result(FIRST, "failed", "nvme", IN_USE),)))
    assert outcomes(report) == [(FIRST, "skipped", 0)]
    assert "swap space" in report.rows[0].detail


def test_another_user_is_asked_for_by_name() -> None:
    step = BindSsd(key="b", subject=FIRST, driver="uio_pci_generic", user="root", account=False)
    _, helper, _ = run((step,), BdevBindResult((result(FIRST, driver="uio_pci_generic"),)))
    assert helper.requests == [BdevBind(devices=(FIRST,), driver="uio_pci_generic", target_user="root")]


def test_a_request_that_fails_fails_every_ssd() -> None:
    report, _, _ = run((bind(FIRST), bind(SECOND)), Fault(codes.HELPER_WORKER_CRASHED, step="bind-driver", signal="SIGSEGV"))
    assert [code for _, _, code in outcomes(report)] == [codes.HELPER_WORKER_CRASHED] * 2


def test_a_part_that_cannot_be_done_fails_the_command() -> None:
    missing = Fault(codes.BDEV_NOT_FOUND, variant="ssd", addresses=FIRST)
    part = Standing(subject=FIRST, action="x", already=False, detail="gone", fault=missing)
    report, _, _ = run((bind(SECOND),), BdevBindResult((result(SECOND),)), standing=(part,))
    fault = report.fault()
    assert fault is not None
    assert fault.code == codes.BDEV_NOT_FOUND


# Back


def back(address: str, *, kind: str = "SSD", everything: bool = True) -> RestoreSsd:
    return RestoreSsd(key=f"restore:{address}", subject=address, kind=kind, before="vfio-pci", vmd=True, all_on_record=everything)


def test_everything_on_record_goes_back_and_what_is_not_stays() -> None:
    answer = BdevBindResult((result(FIRST, driver="nvme"), result("0000:99:00.0", driver="nvme")))
    report, helper, _ = run((back(FIRST), back(SECOND)), answer)
    assert helper.requests == [BdevRestore(vmd=True)]
    assert outcomes(report) == [(FIRST, "done", 0), (SECOND, "skipped", 0), ("0000:99:00.0", "done", 0)]
    assert "left alone" in report.rows[1].detail


def test_named_ssds_go_back_by_name() -> None:
    report, helper, _ = run((back(FIRST, everything=False),), BdevBindResult(()))
    assert helper.requests == [BdevRestore(devices=(FIRST,), vmd=True)]
    assert outcomes(report) == [(FIRST, "failed", codes.NVME_ANSWER_INCOMPLETE)]


@pytest.mark.parametrize("answer", [result(FIRST, "failed", ""), result(FIRST, "done", "")])
def test_no_ssd_is_left_without_a_driver_unsaid(answer: DeviceResult) -> None:
    report, _, _ = run((back(FIRST),), BdevBindResult((answer,)))
    assert outcomes(report) == [(FIRST, "failed", codes.NVME_BINDING_FAILED)]


def test_what_comes_to_light_behind_a_vmd_goes_back_too() -> None:
    first = BdevBindResult((result(VMD, driver="vmd"),))
    second = BdevBindResult((result(BEHIND, driver="nvme"), result(VMD, "already", "vmd")))
    report, helper, _ = run((back(VMD, kind="VMD"),), first, second)
    assert helper.requests == [BdevRestore(vmd=True), BdevRestore()]
    assert outcomes(report) == [(VMD, "done", 0), (BEHIND, "done", 0)]


def test_stale_hugepage_files_that_stay_fail_nothing() -> None:
    step = CleanHugepages(key="clean", subject="/dev/hugepages", files=("f",), optional=True)
    report, _, _ = run((step,), Fault(codes.HELPER_WORKER_CRASHED, step="clean-hugepages", signal="SIGSEGV"))
    assert (report.rows[0].outcome, report.fault()) == (Outcome.SKIPPED, None)


# Formats


def wipe(address: str, *, force: bool = False, superblock: str = "") -> WipeSsd:
    return WipeSsd(key=f"ssd:{address}", subject=address, engine=0, tier=1, force=force, superblock=superblock)


def wiped(address: str, *done: bool, fault: Fault | None = None) -> FormattedController:
    spaces = tuple(FormattedNamespace(number, 1 << 26, ok, "" if ok else "it is gone") for number, ok in enumerate(done, 1))
    return FormattedController(address, spaces, None if fault is None else WireFault.of(fault))


def test_every_namespace_is_accounted_for() -> None:
    report, _, _ = run((wipe(FIRST), wipe(SECOND)), BdevFormatResult((wiped(FIRST, True, True), wiped(SECOND, True, False))))
    assert outcomes(report) == [(FIRST, "done", 0), (SECOND, "failed", codes.BDEV_FORMAT_FAILURE)]
    assert report.rows[0].detail == "namespace 1 (64 MiB) wiped, namespace 2 (64 MiB) wiped"
    assert "namespace 2 (64 MiB) not wiped: it is gone" in report.rows[1].detail


def test_consent_reaches_only_what_it_was_given_for() -> None:
    answers = (BdevFormatResult((wiped(SECOND, True),)), BdevFormatResult((wiped(FIRST, True),)))
    _, helper, _ = run((wipe(FIRST, force=True), wipe(SECOND)), *answers)
    assert helper.requests == [BdevFormat(devices=(SECOND,)), BdevFormat(devices=(FIRST,), force=True)]


def test_ssds_behind_a_vmd_are_its_rows() -> None:
    report, _, _ = run((wipe(VMD),), BdevFormatResult((wiped(BEHIND, True), wiped("5d0505:03:00.0", False))))
    assert outcomes(report) == [(VMD, "failed", codes.BDEV_FORMAT_FAILURE)]
    assert BEHIND in report.rows[0].detail


def test_an_ssd_that_was_not_mentioned_is_a_fault() -> None:
    report, _, _ = run((wipe(FIRST),), BdevFormatResult(()))
    assert outcomes(report) == [(FIRST, "failed", codes.NVME_ANSWER_INCOMPLETE)]


def test_a_superblock_that_came_to_light_keeps_the_ssd(tmp_path: Path) -> None:
    (tmp_path / "superblock").touch()
    report, helper, _ = run((wipe(FIRST, superblock=str(tmp_path / "superblock")),))
    assert (outcomes(report), helper.requests) == ([(FIRST, "already", 0)], [])


def test_what_a_failed_step_was_needed_for_is_skipped() -> None:
    needing = WipeSsd(key="w", subject=SECOND, needs=(f"ssd:{FIRST}",))
    report, _, _ = run((wipe(FIRST), CleanHugepages(key="c", subject="x", needs=(f"ssd:{FIRST}",)), needing), BdevFormatResult(()))
    assert sorted(code for _, code, _ in outcomes(report)) == ["failed", "skipped", "skipped"]


# What was not asked for, and what is held by another


def test_what_an_earlier_command_left_behind_is_told_apart() -> None:
    left = result(SECOND, driver="nvme", reason="an earlier run was cut short and had left it without a driver")
    report, _, _ = run((bind(FIRST),), BdevBindResult((left, result(FIRST))))
    assert [(row.subject, row.action, row.outcome.value) for row in report.rows] == [
        (FIRST, BindSsd.action, "done"),
        (SECOND, "give back besides", "done"),
    ]
    assert "an earlier run was cut short" in report.rows[1].detail
    assert report.notes == (
        f"{SECOND}: not among those of this command, but taken by an earlier one and seen to on the way ('give back besides')",
    )
    assert run((bind(FIRST),), BdevBindResult((result(FIRST),)))[0].notes == ()


BUSY = Fault(codes.HELPER_RESOURCE_BUSY, resource=FIRST, holder="a request of process 7")


def test_a_request_waits_for_what_another_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0)
    report, helper, heard = run((bind(FIRST),), BUSY, BUSY, BdevBindResult((result(FIRST),)))
    assert outcomes(report) == [(FIRST, "done", 0)]
    assert helper.requests == [BdevBind(devices=(FIRST,))] * 3
    assert len(heard.lines) == 2
    assert "trying again" in heard.lines[0]


def test_it_does_not_wait_for_ever_nor_for_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0)
    report, helper, _ = run((bind(FIRST),), *[BUSY] * patience.TRIES)
    assert outcomes(report) == [(FIRST, "failed", codes.HELPER_RESOURCE_BUSY)]
    assert len(helper.requests) == patience.TRIES
    report, helper, _ = run((bind(FIRST),), IN_USE)
    assert (outcomes(report), len(helper.requests)) == ([(FIRST, "failed", codes.NVME_CONTROLLER_IN_USE)], 1)
