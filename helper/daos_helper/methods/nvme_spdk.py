# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Controllers on a userspace driver, by way of SPDK, in a worker of its own for each driver: SPDK starts once in a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Struct, to_builtins

from daos_bindings.linux import pci_address
from daos_bindings.linux.pci import PciFunction
from daos_bindings.spdk import use
from daos_helper.context import Context
from daos_helper.privileges import SPDK_UIO, SPDK_VFIO, Row
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Result, Words
from daos_pbin.nvme import NAMESPACES_LIMIT, U32, U64
from daos_pbin.nvme_messages import (
    MAX_CONTROLLERS,
    BdevFormatResult,
    BdevScanResult,
    FormattedController,
    FormattedNamespace,
    PciText,
    ScannedController,
    WireFault,
)

ROWS = {"vfio-pci": SPDK_VFIO, "uio_pci_generic": SPDK_UIO}
"""The worker for each driver."""

DPDK: Final = "/run/dpdk"
"""Where DPDK, as uid 0, makes a folder for each of its processes."""

R = TypeVar("R", bound=Result)
Addresses = Mapping[str, Sequence[str]]
"""Addresses of controllers, and of VMDs, by the driver that has them."""


class CopiedNamespace(Struct, frozen=True, forbid_unknown_fields=True):
    """The copy of both ends of a namespace in a memory file.

    :param offset: where it begins there.
    :param reason: why there is none; empty if there is.
    """

    id: U32
    size: U64
    offset: Annotated[int, Meta(ge=0, le=2**62)] = 0
    reason: Words = ""


class CopiedController(Struct, frozen=True, forbid_unknown_fields=True):
    """A controller whose namespaces were copied, or why they could not be."""

    address: PciText
    namespaces: Annotated[tuple[CopiedNamespace, ...], Meta(max_length=NAMESPACES_LIMIT)] = ()
    fault: WireFault | None = None


class AllCopied(Result, frozen=True, forbid_unknown_fields=True):
    """A row for each controller."""

    controllers: Annotated[tuple[CopiedController, ...], Meta(max_length=MAX_CONTROLLERS)] = ()


def by_driver(functions: Iterable[PciFunction]) -> Addresses:
    """Return the addresses of functions."""
    found: dict[str, list[str]] = {}
    for one in functions:
        found.setdefault(one.driver, []).append(str(one.address))
    return found


def scan(
    addresses: Addresses, context: Context, *, vmd: bool, health: bool
) -> Work[tuple[tuple[ScannedController, ...], dict[str, Fault]]]:
    """Read controllers: a row for each, several for a VMD, and why there is none, by address."""

    def run(devices: list[str]) -> Built:
        from daos_bindings.spdk import operations

        rows = (
            ScannedController(one.address, "", "", one.numa_node, source="spdk", record=one.record, fault=wire(one.fault))
            for one in operations.scan(devices, vmd=vmd, health=health)
        )
        return {"controllers": [to_builtins(row) for row in rows]}

    answers, faults = yield from _with_each_driver(addresses, context, run, BdevScanResult)
    return tuple(row for answer in answers for row in answer.controllers), faults


def look(addresses: Addresses, file: int, context: Context, *, vmd: bool) -> Work[tuple[tuple[CopiedController, ...], dict[str, Fault]]]:
    """Copy both ends of every namespace of controllers into a memory file; otherwise as ``scan``."""

    def run(devices: list[str]) -> Built:
        from daos_bindings.spdk import operations

        rows = (
            CopiedController(
                one.address,
                tuple(CopiedNamespace(space.id, space.size, space.offset, space.reason[:4096]) for space in one.namespaces),
                wire(one.fault),
            )
            for one in operations.look(devices, file, vmd=vmd)
        )
        return {"controllers": [to_builtins(row) for row in rows]}

    answers, faults = yield from _with_each_driver(addresses, context, run, AllCopied, keep=(file,))
    return tuple(row for answer in answers for row in answer.controllers), faults


def wipe(
    addresses: Addresses, looked: Sequence[CopiedController], file: int, context: Context
) -> Work[tuple[tuple[FormattedController, ...], dict[str, Fault]]]:
    """Wipe controllers, each namespace only if it is still what was looked at; otherwise as ``scan``.

    :param addresses: of controllers; those behind VMDs by their own.
    :param looked: what is in the file.
    """

    def run(devices: list[str]) -> Built:
        from daos_bindings.spdk import looking, operations

        seen = [
            operations.Looked(row.address, tuple(looking.Copied(one.id, one.size, one.offset, one.reason) for one in row.namespaces))
            for row in looked
        ]
        rows = (
            FormattedController(
                one.address,
                tuple(FormattedNamespace(space.id, space.size, space.done, space.reason[:4096]) for space in one.namespaces),
                wire(one.fault),
            )
            for one in operations.wipe(devices, vmd=any(map(vmd_of, devices)), file=file, looked=seen)
        )
        return {"controllers": [to_builtins(row) for row in rows]}

    answers, faults = yield from _with_each_driver(addresses, context, run, BdevFormatResult, keep=(file,))
    return tuple(row for answer in answers for row in answer.controllers), faults


def vmd_of(address: str) -> str:
    """Return the address of the VMD that a controller is behind; empty for none."""
    parsed = pci_address.parse(address)
    return parsed.vmd_endpoint if parsed else ""


def wire(fault: Fault | None) -> WireFault | None:
    """Return a fault as a value, if there is one."""
    return None if fault is None else WireFault.of(fault)


def _with_each_driver(
    addresses: Addresses, context: Context, work: Callable[[list[str]], Built], result: type[R], *, keep: tuple[int, ...] = ()
) -> Work[tuple[list[R], dict[str, Fault]]]:
    answers: list[R] = []
    faults: dict[str, Fault] = {}
    for driver, row in ROWS.items():
        group = list(addresses.get(driver, ()))
        if not group:
            continue
        try:
            use.check()
            answers.append((yield from _with_spdk(row, group, work, result, keep)))
        except Fault as fault:
            if fault.code == codes.HELPER_CANCELLED:
                raise
            context.log(f"SPDK could not be asked: {fault}")
            faults |= dict.fromkeys(group, fault)
    return answers, faults


def _with_spdk(row: Row, addresses: list[str], work: Callable[[list[str]], Built], result: type[R], keep: tuple[int, ...]) -> Work[R]:
    def run(_io: WorkerIO) -> Built:
        return work(addresses)

    with suppress(FileExistsError):
        os.mkdir(DPDK, 0o700)  # as DPDK would: its worker can make things in it, and not it
    return (yield from perform(Step(row, ", ".join(addresses)[:256], keep=keep, run=run), result))
