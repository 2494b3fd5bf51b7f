# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Waiting for what the kernel does in its own time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

PATIENCE_S = 60.0
"""Seconds after which what should happen counts as not happening."""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so; the test fails if it does not become so.

    :param condition: asked again and again.
    :param what: for the failure: what was waited for.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE_S:.0f} s in vain: {what}")
        os.sched_yield()
