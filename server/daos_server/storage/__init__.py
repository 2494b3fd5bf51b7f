# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the server does about storage: gathers facts, runs plans, and does itself what needs no root."""
