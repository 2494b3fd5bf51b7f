# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Installs the DAOS node control plane, or removes it again.  Standard library only; ``make install`` and ``make uninstall`` call it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from daos_install import actions
from daos_install.errors import InstallError
from daos_install.layout import SOURCE, Layout


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    defaults = Layout()
    parser = argparse.ArgumentParser(description="Install or remove the DAOS node control plane.", allow_abbrev=False)
    parser.add_argument("action", choices=("install", "uninstall", "own"), help="'own' is for the post-install script of a package")
    parser.add_argument("--prefix", default=defaults.prefix, help="folder of the programs (%(default)s)")
    parser.add_argument("--sysconfdir", default=defaults.sysconfdir, help="folder of the configuration (%(default)s)")
    parser.add_argument("--localstatedir", default=defaults.localstatedir, help="folder above state and log (%(default)s)")
    parser.add_argument("--rundir", default=defaults.rundir, help="folder of the helper's locks (%(default)s)")
    parser.add_argument("--destdir", default="", help="folder in front of every path, for package builds")
    parser.add_argument("--interpreter", default="", help="root-owned python3.11 or newer (default: the newest in /usr/bin)")
    parser.add_argument(
        "--build-dir", default=str(SOURCE / "build" / "install"), help="where finished parts of the build are kept (%(default)s)"
    )
    return parser.parse_args()


def main() -> int:
    """Run one action; 0 if it is done, 1 if it was refused."""
    given = arguments()
    os.umask(0o022)
    try:
        layout = Layout(given.prefix, given.sysconfdir, given.localstatedir, given.rundir, given.destdir)
        if given.action == "install":
            actions.install(layout, given.interpreter, Path(given.build_dir).absolute(), lambda text: say("install", text))
        elif given.action == "own":
            actions.own(layout, lambda text: say("own", text))
        else:
            actions.uninstall(layout, lambda text: say("uninstall", text))
    except InstallError as error:
        print(f"{given.action}: {error}", file=sys.stderr)
        return 1
    return 0


def say(action: str, text: str) -> None:
    """Print one line of progress."""
    print(f"{action}: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
