# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The storage methods, one module per family."""
