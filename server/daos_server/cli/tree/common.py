# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Options that several groups of commands share: each is declared once."""

from __future__ import annotations

from typing import Annotated

import typer

PORT_MAX = 65535

DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Show the plan and what it is based on; change nothing.")]
ForceUnasked = Annotated[bool, typer.Option("--force", "-f", help="Do it without asking.")]
SkipPrep = Annotated[bool, typer.Option("--skip-prep", help="Look at the SSDs as they are, preparing nothing.")]
IgnoreConfig = Annotated[bool, typer.Option("--ignore-config", help="Take nothing from the configuration file.")]
HelperLogFile = Annotated[
    str, typer.Option("--helper-log-file", "-l", metavar="FILE", help="Log file of the privileged helper.", show_default=False)
]
