# SPDX-License-Identifier: BSD-2-Clause-Patent
"""SPDK's environment: memory, and the PCI functions that it may touch.  Once per process, and until its end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from daos_bindings.spdk import use
from daos_bindings.spdk.raw import CData, check, ffi, lib
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daos_bindings.linux.pci_address import PciAddress

NAME: Final = "daos_server_helper"
FIRST: Final = ("eal", "malloc", "ring", "mempool", "timer")
SECOND: Final = (
    *("hash", "lpm", "kni", "acl", "power", "meter", "sched", "port", "table", "pipeline", "mbuf"),
    *("cryptodev", "efd", "eventdev", "gso"),
)
QUIET: Final = " ".join(
    (
        *(f"--log-level=lib.{name}:4" for name in FIRST),
        "--log-level=pmd:4",
        *(f"--log-level=lib.{name}:4" for name in SECOND),
        *(f"--log-level=user{number}:4" for number in range(1, 9)),
        "--no-telemetry",
    )
)
"""For DPDK, as the reference passes it: errors only (level 4), and no telemetry socket."""
NO_FILES: Final = "--in-memory"
"""For DPDK: take hugepages without files.  Otherwise it opens files, with names that can be guessed, in the root of hugetlbfs, which
belongs to the engines' user: a file that waits there would be root's memory, and that user's."""
FABRICS_MIB: Final = 256
"""Ordinary memory for controllers over a network, which need no hugepages."""

_started: list[bool] = []


def start(allowed: Sequence[PciAddress], *, vmd: bool = False) -> None:
    """Start the environment.

    :param allowed: the only functions that SPDK may touch; for SSDs behind a VMD, DPDK wants the VMD's address.
    :param vmd: look behind the VMDs among them.
    :raises Fault: 803 if it does not start, 2140 if *vmd* is wanted and SPDK was built without.
    :raises RuntimeError: the second time: a defect of the caller.
    """
    if vmd and not lib.DAOS_HAVE_VMD:
        raise Fault(codes.SPDK_MISSING, object=use.MODULE, reason="it was built without spdk_vmd, which looks behind VMDs")
    functions = list(dict.fromkeys(_function(address) for address in allowed))
    array = ffi.new("struct spdk_pci_addr[]", functions)
    options = _options()
    options.num_pci_addr, options.pci_allowed = len(functions), array
    _start(options)
    if vmd:
        check(lib.spdk_vmd_init(), "spdk_vmd_init()")


def start_for_fabrics() -> None:
    """Start an environment without PCI and hugepages, which suffices for controllers over a network.

    :raises Fault: 803 if it does not start.
    """
    options = _options()
    options.no_pci = options.no_huge = True
    options.mem_size = FABRICS_MIB
    _start(options)


def _function(address: PciAddress) -> tuple[int, int, int, int]:
    """Return domain, bus, device and function of what DPDK knows: of the VMD, if it is behind one."""
    if address.vmd_endpoint:
        return (0, *address.vmd)
    return address.domain, address.bus, address.device, address.function


def _options() -> CData:
    options = ffi.new("struct spdk_env_opts *")
    options.opts_size = ffi.sizeof("struct spdk_env_opts")
    lib.spdk_env_opts_init(options)
    return options


def _start(options: CData) -> None:
    if _started:
        raise RuntimeError("SPDK can be started only once in a process")
    _started.append(True)
    processors = os.sched_getaffinity(0)
    arguments = QUIET if options.no_huge else f"{QUIET} {NO_FILES}"
    texts = [ffi.new("char[]", text.encode()) for text in (NAME, f"0@{min(processors)}", arguments)]
    # Not the default, processor 0 by its number: it may not be ours to run on.
    options.name, options.lcore_map, options.core_mask, options.env_context = texts[0], texts[1], ffi.NULL, texts[2]
    lib.daos_spdk_log_errors_only()
    try:
        check(lib.spdk_env_init(options), "spdk_env_init()")
    finally:
        os.sched_setaffinity(0, processors)  # DPDK pins the thread that starts it
