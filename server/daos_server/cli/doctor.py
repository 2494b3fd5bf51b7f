# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``doctor``: everything on this machine that would stop an engine, at once.  Needs no root, no helper and no configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_server.cli.output import emit, envelope, note

if TYPE_CHECKING:
    from daos_server.cli.options import Invocation


def doctor(invocation: Invocation) -> None:
    """Print every finding about this machine; fail if any would stop an engine."""
    from daos_server.cli.storage import config_path
    from daos_server.doctor import configuration
    from daos_server.doctor.examine import examine
    from daos_server.doctor.finding import count_text
    from daos_server.doctor.machine import Machine, Setting
    from daos_server.doctor.show import group_text, width

    config, of_configuration = configuration.load(config_path(invocation), named=bool(invocation.config))
    setting = Setting(invocation.installation, config, configuration.derived(config, invocation.installation.account))
    groups = tuple(examine(Machine(), setting, of_configuration))
    points = tuple(point for group in groups for point in group.findings)
    stops = sum(point.verdict == "stops" for point in points)
    error = f"{stops} of {len(points)} checks found what would stop an engine" if stops else None
    if invocation.json:
        findings = [point for group in groups for point in group.as_json()]
        emit(envelope({"ready": not stops, "findings": findings}, error))
    else:
        columns = width()
        texts = [group_text(group.title, group.findings, columns) for group in groups]
        emit("\n".join([*texts, f"{count_text(points)}.\n"]))
        if os.geteuid() and any(point.verdict == "unknown" for point in points):
            note("Some things only root can see: to know them as well, run it again as root.")
    if error:
        note(f"ERROR: {error}")
        invocation.exit_code = 1
