# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The contract between daos_server and its privileged helper: frames, messages, faults, sessions."""

PROTOCOL_VERSION = 1
VERSION = "0.1.0"
