# SPDX-License-Identifier: BSD-2-Clause-Patent
"""NVMe: structures of the specification as typed records, and admin commands through the kernel's own driver."""
