# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What can go wrong with a guest."""

from __future__ import annotations


class UnavailableError(Exception):
    """This machine cannot run guests; the text says what is missing.  Tests become a loud skip."""


class GuestError(Exception):
    """A guest that should run did not boot, died, or kept silent past its deadline.  The text ends with its console."""
