# SPDX-License-Identifier: BSD-2-Clause-Patent
"""systemd's units with the paths of this installation.  Installing them enables nothing."""

from __future__ import annotations

import os
import runpy

from daos_install.errors import InstallError
from daos_install.layout import SOURCE, Layout
from daos_install.place import Item

UNITS = SOURCE / "packaging" / "systemd"
BOUNDING = SOURCE / "pbin" / "daos_pbin" / "bounding.py"


def items(layout: Layout) -> list[Item]:
    """Return the unit files."""
    values = {
        "@SOCKET@": layout.socket,
        "@HELPER@": layout.helper,
        "@ACCOUNT@": layout.account,
        "@CAPABILITIES@": " ".join(sorted(runpy.run_path(str(BOUNDING))["HELPER_BOUNDING"])),
    }
    found = []
    for path in sorted(UNITS.iterdir()):
        text = path.read_text(encoding="ascii")
        for name, value in values.items():
            text = text.replace(name, value)
        found.append(Item(f"{layout.units}/{path.name}", content=text.encode("ascii")))
    return found


def refuse_socket(layout: Layout) -> None:
    """Refuse while systemd listens for the helper: it would go on to start what is not there.

    :raises InstallError: naming the socket.
    """
    if os.path.lexists(layout.socket):
        raise InstallError(
            f"{layout.socket} is there: stop what listens on it first (systemctl stop daos_server_helper.socket); "
            "if nothing does, remove it"
        )
