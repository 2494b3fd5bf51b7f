# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Checks of this machine: what would stop an engine, why it matters, and the command that repairs it."""
