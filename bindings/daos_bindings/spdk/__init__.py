# SPDX-License-Identifier: BSD-2-Clause-Patent
"""NVMe controllers that a userspace driver has, driven by SPDK; ``operations`` is the way in, in a worker of the helper only.

SPDK is C that owns hardware: it can crash, hang and exit, and works once per process.  Only ``use`` and ``locks`` are for other processes.
"""
