# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The rows of the dispatch table that are about persistent memory; loaded with the first request for one of them."""

from __future__ import annotations

from typing import Final

from daos_helper.methods import pmem_firmware, pmem_prepare, pmem_scan
from daos_helper.methods import pmem_machine as machine
from daos_helper.methods.table import Method, method
from daos_helper.paths import components
from daos_pbin.pmem_messages import ScmFirmwareQuery, ScmFirmwareUpdate, ScmPrepare, ScmScan


def _place(socket: int | None) -> str:
    return machine.SUBJECT if socket is None else f"{machine.SUBJECT} on socket {socket}"


def _prepare_subject(request: ScmPrepare) -> str:
    what = "reset of" if request.reset else "prepare of"
    return f"{'plan for ' if request.plan_only else ''}{what} {_place(request.socket)}"


def _modules(uids: tuple[str, ...]) -> str:
    return uids[0] if len(uids) == 1 else f"{len(uids) or 'all'} modules"


TABLE: Final[dict[str, Method]] = {
    row.request.__name__: row
    for row in (
        method(
            ScmScan,
            authorise=lambda _request, _context: None,
            resources=lambda _request: (),
            changes=False,
            subject=lambda request: _place(request.socket),
            work=pmem_scan.scan,
        ),
        method(
            ScmPrepare,
            authorise=lambda _request, _context: None,  # what may be destroyed is asked of the policy namespace by namespace
            resources=lambda request: machine.resources(destroys=request.reset and not request.plan_only),
            changes=True,
            subject=_prepare_subject,
            work=pmem_prepare.prepare,
        ),
        method(
            ScmFirmwareQuery,
            authorise=lambda _request, _context: None,  # off by default: see policy.OFF_BY_DEFAULT
            resources=lambda _request: (),
            changes=False,
            subject=lambda request: _modules(request.uids),
            work=pmem_firmware.query,
        ),
        method(
            ScmFirmwareUpdate,
            authorise=lambda request, _context: components(request.path),
            resources=lambda _request: ("pmem",),
            changes=True,
            subject=lambda request: f"{request.path} for {_modules(request.uids)}",
            work=pmem_firmware.update,
        ),
    )
}
"""All methods of ``PMEM_METHODS``, by name."""
