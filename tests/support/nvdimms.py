# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The NVDIMMs of a guest: what ndctl lists, and making them empty."""

from __future__ import annotations

import subprocess
from pathlib import Path

from daos_bindings.ndctl import commands
from daos_bindings.ndctl.listing import Listing, decode

DEVICES = Path("/sys/bus/nd/devices")
POWERLESS = ("/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def ndctl(command: tuple[str, ...], what: str = "") -> bytes:
    """Run ndctl as a step of kind 'program' does: as root without its powers."""
    done = subprocess.run([*POWERLESS, *command], capture_output=True, check=False)
    commands.check(command, what, done.returncode, done.stderr.decode())
    return done.stdout


def listing() -> Listing:
    """Return what there is."""
    return decode(ndctl(commands.LIST))


def tool(*words: str) -> None:
    """Do with ndctl what only a test needs."""
    subprocess.run([commands.NDCTL, *words], check=True, capture_output=True)


def clear() -> None:
    """Leave regions with labels and nothing on them: at boot each holds one namespace and has no labels."""
    for one in listing().namespaces:
        if one.enabled:
            ndctl(commands.disable(one.dev), one.dev)
        ndctl(commands.destroy(one.dev), one.dev)
    for number, region in enumerate(listing().regions):
        if not region.iset_id:
            tool("disable-region", region.dev)
            tool("init-labels", "-f", (DEVICES / region.dev / "mapping0").read_text().partition(",")[0])
            tool("enable-region", region.dev)
        assert listing().regions[number].available_size == region.size
