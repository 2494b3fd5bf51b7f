# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Typed wrappers over the kernel and C libraries."""
