# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What this machine is made of: NUMA nodes, cores, PCI devices, block devices, as the kernel shows them."""
