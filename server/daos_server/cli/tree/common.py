# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Options that several groups of commands share."""

from __future__ import annotations

from typing import Annotated

import typer

IgnoreConfig = Annotated[bool, typer.Option("--ignore-config", help="Take nothing from the configuration file.")]
HelperLogFile = Annotated[
    str, typer.Option("--helper-log-file", "-l", metavar="FILE", help="Log file of the privileged helper.", show_default=False)
]
