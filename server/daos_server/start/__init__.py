# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What comes before engines are started: options over configuration, checks of the host, and what follows from both."""
