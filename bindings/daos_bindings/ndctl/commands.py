# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Argument vectors for ndctl, and what its end means.  Names and numbers have been checked to be the kernel's own before."""

from __future__ import annotations

import os
import re
from typing import Final

from daos_bindings.linux.kernelfiles import printable
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem_layout import ALIGNMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uuid import UUID

    from daos_pbin.pmem import KernelRegion

NDCTL: Final = "/usr/bin/ndctl"

LIST: Final = (NDCTL, "list", "-R", "-N", "-i", "-v")
"""Regions, each with its namespaces; ``-i`` because one that is switched off holds data and capacity all the same."""


def require() -> None:
    """Make sure that there is an ndctl.

    :raises Fault: 1 if not.
    """
    if not os.access(NDCTL, os.X_OK):
        raise Fault(codes.MISSING_SOFTWARE_DEPENDENCY, object=NDCTL)


def create(region: KernelRegion, size: int, identifier: UUID) -> tuple[str, ...]:
    """Make a namespace of the default mode, fsdax, on a region.

    :param size: in bytes, that it takes of the region; a multiple of 2 MiB.
    :param identifier: that its label gets, so that it is known again whatever comes in between.
    :raises ValueError: for any other size.
    """
    if size <= 0 or size % ALIGNMENT:
        raise ValueError(f"{size} is not a multiple of {ALIGNMENT}")
    return (NDCTL, "create-namespace", "--region", region.dev, "--size", str(size), "--uuid", str(identifier))


def disable(namespace: str) -> tuple[str, ...]:
    """Take a namespace from its driver: its block device goes."""
    return (NDCTL, "disable-namespace", _name(namespace))


def destroy(namespace: str) -> tuple[str, ...]:
    """Delete a disabled namespace; what was in it is lost.  On a region without labels ndctl says that it deleted none, and
    ends with status 0: look afterwards."""
    return (NDCTL, "destroy-namespace", _name(namespace))


def _name(namespace: str) -> str:
    if not re.fullmatch(r"namespace[0-9]{1,6}\.[0-9]{1,6}", namespace, re.ASCII):
        raise ValueError(f"not the name of a namespace: {printable(namespace)}")
    return namespace


def check(command: tuple[str, ...], what: str, status: int, output: str) -> None:
    """Check how ndctl ended.

    :param what: region or namespace that it was for.
    :param status: exit status; below 0 the signal that ended it.
    :param output: what it printed, for the fault.
    :raises Fault: 2164 unless it ended with 0.
    """
    if status:
        ending = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
        cause = "; ".join(printable(line) for line in output.splitlines() if line.strip())
        raise Fault(codes.SCM_NDCTL_FAILED, object=what, cause=cause, command=" ".join(command), what=what, status=ending)
