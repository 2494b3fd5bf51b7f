# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The unprivileged control plane: command line, configuration, planning, storage orchestration."""
