# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The privileged helper: monitor, worker, policy and the storage methods."""
