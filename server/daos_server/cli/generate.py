# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``config generate``: the configuration on standard output and nothing else; what is worth knowing about it on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.cli.output import emit, escape, note

if TYPE_CHECKING:
    from daos_server.cli.options import Invocation
    from daos_server.generate.options import GenerateOptions


def generate(invocation: Invocation, options: GenerateOptions) -> None:
    """Print a configuration for this machine.

    :raises Fault: if the machine and the options do not allow one; nothing is printed then.
    """
    from daos_server.cli.inform import CONFIG_UNUSED
    from daos_server.generate.host import read_facts
    from daos_server.generate.suggest import generate_or_suggest

    if invocation.config:
        note(CONFIG_UNUSED)
    made = generate_or_suggest(options, read_facts(options))
    for notice in made.notices:
        note(f"NOTICE: {escape(notice)}")
    emit(made.text)
