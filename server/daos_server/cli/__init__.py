# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The command line.  ``main`` is what the installed program calls; the rest is imported when a command needs it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from daos_server.installation import Installation


def main(installation: Installation | None = None) -> NoReturn:
    """Run the command line of this process and end it with the command's exit code.

    :param installation: where everything is; the defaults of a packaged system if left out.
    """
    import sys

    _open_closed_streams()
    from daos_server.cli.run import run

    sys.exit(run(sys.argv[1:], installation))


def _open_closed_streams() -> None:
    """Point standard streams that the caller closed at nothing: else the next file or pipe would get their numbers."""
    import os
    import sys

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 (open to the end)
