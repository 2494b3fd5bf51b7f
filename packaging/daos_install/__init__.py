# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The installer's parts.  Standard library only: they run before anything is installed."""
