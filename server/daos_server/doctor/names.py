# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the configuration names and this machine has not: interfaces, devices, folders, hosts, certificates."""

from __future__ import annotations

import os
from itertools import groupby
from shlex import quote
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_server.doctor import units
from daos_server.doctor.finding import AS_ROOT, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.config.problems import Problem
    from daos_server.doctor.machine import Machine, Setting

SAID_ELSEWHERE = frozenset({codes.BDEV_NOT_FOUND})
"""Every SSD has a finding of its own."""
WHY = "the server does not start without it"


def check(machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield everything that is missing, each key once; one finding if all is there."""
    from daos_server.config.host_check import missing_things, unfit_hardware
    from daos_server.storage.host_facts import read_host

    config = setting.config
    if config is None:
        return
    nobody_makes = tuple(_socket_folder(machine, setting.installation.account, config.socket_dir))
    yield from nobody_makes
    facts = read_host(setting.installation.account, machine.sys)
    problems = [*missing_things(config, machine.sys), *unfit_hardware(config, facts, machine.sys)]
    said = {"socket_dir"} if nobody_makes else set[str]()
    found = [problem for problem in problems if problem.code not in SAID_ELSEWHERE and problem.key not in said]
    for key, group in groupby(sorted(found, key=lambda problem: problem.key), key=lambda problem: problem.key):
        yield _finding(key, list(group), setting)
    if not (found or nobody_makes):
        yield Finding(subject="what it names", found="hosts, interfaces, devices, folders and certificates are there", verdict="ok")


def _finding(key: str, problems: list[Problem], setting: Setting) -> Finding:
    found = "; ".join(dict.fromkeys(problem.message for problem in problems))
    if all(problem.code == codes.SECURITY_UNREADABLE_CERT_FILE for problem in problems) and os.geteuid() not in (0, setting.uid):
        return Finding(subject=key, found=found, verdict="unknown", advice=AS_ROOT)
    advice = "\n".join(dict.fromkeys(problem.remedy for problem in problems))
    return Finding(subject=key, found=found, verdict="stops", why=WHY, advice=advice)


def _socket_folder(machine: Machine, account: str, path: str) -> Iterator[Finding]:
    """A unit makes its folder when it starts; without one, nobody does, and /run is empty after a reboot."""
    if units.unit_file(machine) or os.path.isdir(f"{machine.root}{path}"):
        return
    yield Finding(
        subject=f"socket_dir {path}",
        found=f"does not exist, and there is no {units.SERVICE} that would make it",
        verdict="stops",
        why=WHY,
        advice=f"  install -d -o {account} -g {account} {quote(path)}",
    )
