# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Fixtures of the tests inside a guest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from installed import Installation, installation_at
from vmlab.inside import INSTALLATION


@pytest.fixture(scope="session")
def installation() -> Installation:
    """The project, installed by the host: inside, installing takes a minute."""
    return installation_at(Path(os.environ[INSTALLATION]))
