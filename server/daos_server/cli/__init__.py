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

    from daos_server.cli.run import run

    sys.exit(run(sys.argv[1:], installation))
