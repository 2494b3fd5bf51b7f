# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether SPDK was compiled in: found out without loading it, for processes that must not."""

from __future__ import annotations

from importlib.util import find_spec

from daos_pbin import codes
from daos_pbin.faults import Fault

MODULE = "daos_bindings._spdk"


def available() -> bool:
    """Return whether this installation has SPDK in it."""
    return find_spec(MODULE) is not None


def check() -> None:
    """Raise a Fault unless ``available``.

    :raises Fault: 2140.
    """
    if not available():
        raise Fault(codes.SPDK_MISSING, object=MODULE, reason="it was not there when this software was installed")
