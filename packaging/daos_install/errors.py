# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The one error of the installer."""

from __future__ import annotations


class InstallError(Exception):
    """Why nothing more was done, and what to do: printed as it is, without a traceback."""
