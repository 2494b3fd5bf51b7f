# SPDX-License-Identifier: BSD-2-Clause-Patent
"""From facts to a list of typed steps: pure functions that touch nothing."""
