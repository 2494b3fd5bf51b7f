# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The Linux kernel as this project sees it: mounts, block devices, hugepages, privileges."""
