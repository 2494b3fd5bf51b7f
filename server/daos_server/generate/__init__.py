# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A configuration made for this machine, with the reasons for every value."""
