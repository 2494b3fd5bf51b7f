# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Collecting what support asks for: logs, configuration and state of a host, without its secrets."""
