# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Network interfaces and fabric providers of this machine."""
