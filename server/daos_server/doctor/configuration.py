# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The configuration, which says what is wanted of the machine.  Without one the machine is looked at all the same."""

from __future__ import annotations

import os
from shlex import quote
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.config.model import ServerConfig
    from daos_server.doctor.machine import Machine, Setting
    from daos_server.plan.host import Derived

SUBJECT = "configuration"
UNKNOWN = "what is wanted of this machine is not known: hugepages, SSDs and ports of the fabric are shown, not judged"


def load(path: str, *, named: bool) -> tuple[ServerConfig | None, Finding]:
    """Load a configuration, and say what there is to say of it.

    :param named: whether the administrator named this file; else it is the default, which need not exist yet.
    """
    from daos_server.config.load import validate

    if not named and not os.path.lexists(path):
        return None, Finding(
            subject=SUBJECT,
            found=f"there is no {path}",
            verdict="warning",
            why=UNKNOWN,
            advice=_making(path),
        )
    try:
        found = validate(path)
    except Fault as fault:
        return None, Finding.of_fault(SUBJECT, fault, why=UNKNOWN)
    if found.config is None:
        count = f"{len(found.problems)} problems, the first: " if len(found.problems) > 1 else ""
        return None, Finding(
            subject=SUBJECT,
            found=count + found.problems[0].text(found.path),
            verdict="stops",
            why=f"the server does not start with it; {UNKNOWN}",
            advice=f"see them all:\n  daos_server config check {quote(found.path)}",
        )
    engines = len(found.config.engines)
    return found.config, Finding(subject=SUBJECT, found=f"{found.path}, {engines} engine{'s' * (engines != 1)}", verdict="ok")


def _making(path: str) -> str:
    """Return how to make a configuration, by the command with the fewest options that works on this machine."""
    from daos_server.generate.build import command_line
    from daos_server.generate.host import read_facts
    from daos_server.generate.options import GenerateOptions
    from daos_server.generate.suggest import nearest

    plainest = GenerateOptions()
    try:
        options = nearest(plainest, read_facts(plainest))
    except Fault:
        options = None
    if options is None:
        return f"write one, or name another with --config; why none can be made for this machine, this says:\n  {command_line(plainest)}"
    return f"make one, or name another with --config:\n  {command_line(options)} > {quote(path)}"


def derived(config: ServerConfig | None, account: str) -> Derived | None:
    """Return what a configuration comes to on this machine; None without one, or if the machine cannot be read."""
    from daos_server.plan.host import derive
    from daos_server.storage.host_facts import read_host

    if config is None:
        return None
    try:
        return derive(config, read_host(user=account))
    except Fault:
        return None


def plan(_: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield why engines could not start with this configuration on this machine; what the IOMMU has to do with it is said there."""
    found = setting.derived
    if found is None:
        return
    faults = [fault for fault in found.faults if fault.code not in (codes.SERVER_IOMMU_DISABLED, codes.SERVER_VFIO_DISABLED)]
    for number, fault in enumerate(faults, 1):
        subject = "plan for this machine" + (f" ({number})" if len(faults) > 1 else "")
        yield Finding.of_fault(subject, fault, why="engines do not start with it")
    if not faults:
        yield Finding(subject="plan for this machine", found="memory, hugepages and NUMA nodes are enough for it", verdict="ok")


def metadata(_: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield whether the control metadata may live where the configuration puts it."""
    from daos_server.storage.filesystems import check_metadata_file_system

    wanted = setting.wanted
    if wanted is None or not wanted.metadata_root or wanted.metadata_device:
        return
    subject = f"control_metadata {wanted.metadata_root}"
    try:
        check_metadata_file_system(wanted.metadata_root)
    except Fault as fault:
        why = "the server's records must be on a disk of this machine that keeps them over a reboot"
        yield Finding.of_fault(subject, fault, why=why)
    else:
        yield Finding(subject=subject, found="on a local file system", verdict="ok")
