# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The ndctl program: how it is called, and what its JSON says.  It runs as a step of its own; nothing here starts it."""
