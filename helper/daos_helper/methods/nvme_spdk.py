# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Controllers on a userspace driver, by way of SPDK, in a worker of its own for each driver: SPDK starts once in a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import to_builtins

from daos_bindings.linux.pci import PciFunction
from daos_bindings.spdk import use
from daos_helper.context import Context
from daos_helper.privileges import SPDK_UIO, SPDK_VFIO, Row
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Result
from daos_pbin.nvme_messages import (
    BdevFormatResult,
    BdevScanResult,
    FormattedController,
    FormattedNamespace,
    ScannedController,
    WireFault,
)

ROWS = {"vfio-pci": SPDK_VFIO, "uio_pci_generic": SPDK_UIO}
"""The worker for each driver."""

R = TypeVar("R", bound=Result)


def scan(
    functions: Sequence[PciFunction], context: Context, *, vmd: bool, health: bool
) -> Work[tuple[tuple[ScannedController, ...], dict[str, Fault]]]:
    """Read controllers: a row for each, several for a VMD, and why there is none, by the kernel's address."""

    def run(addresses: list[str]) -> Built:
        from daos_bindings.spdk import operations

        rows = (
            ScannedController(one.address, "", "", one.numa_node, source="spdk", record=one.record, fault=wire(one.fault))
            for one in operations.scan(addresses, vmd=vmd, health=health)
        )
        return {"controllers": [to_builtins(row) for row in rows]}

    answers, faults = yield from _with_each_driver(functions, context, run, BdevScanResult)
    return tuple(row for answer in answers for row in answer.controllers), faults


def wipe(
    functions: Sequence[PciFunction], context: Context, *, vmd: bool
) -> Work[tuple[tuple[FormattedController, ...], dict[str, Fault]]]:
    """Wipe controllers; as ``scan``."""

    def run(addresses: list[str]) -> Built:
        from daos_bindings.spdk import operations

        rows = (
            FormattedController(
                one.address,
                tuple(FormattedNamespace(space.id, space.size, space.done, space.reason[:4096]) for space in one.namespaces),
                wire(one.fault),
            )
            for one in operations.wipe(addresses, vmd=vmd)
        )
        return {"controllers": [to_builtins(row) for row in rows]}

    answers, faults = yield from _with_each_driver(functions, context, run, BdevFormatResult)
    return tuple(row for answer in answers for row in answer.controllers), faults


def wire(fault: Fault | None) -> WireFault | None:
    """Return a fault as a value, if there is one."""
    return None if fault is None else WireFault.of(fault)


def _with_each_driver(
    functions: Sequence[PciFunction], context: Context, work: Callable[[list[str]], Built], result: type[R]
) -> Work[tuple[list[R], dict[str, Fault]]]:
    answers: list[R] = []
    faults: dict[str, Fault] = {}
    for driver, row in ROWS.items():
        group = [function for function in functions if function.driver == driver]
        if not group:
            continue
        try:
            use.check()
            answers.append((yield from _with_spdk(row, group, work, result)))
        except Fault as fault:
            if fault.code == codes.HELPER_CANCELLED:
                raise
            context.log(f"SPDK could not be asked: {fault}")
            faults |= {function.kernel: fault for function in group}
    return answers, faults


def _with_spdk(row: Row, functions: Sequence[PciFunction], work: Callable[[list[str]], Built], result: type[R]) -> Work[R]:
    addresses = [str(function.address) for function in functions]

    def run(_io: WorkerIO) -> Built:
        return work(addresses)

    return (yield from perform(Step(row, ", ".join(addresses)[:256], run=run), result))
