# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the helper may ever need of root, as both sides see it.

The server cuts its own bounding set to this before it gives root up, and the kernel imposes that on the helper which it starts
later.  The launcher's set is generated from the helper's privilege table; a test holds the two equal.
"""

HELPER_BOUNDING = frozenset(
    {
        "CAP_SYS_ADMIN",  # attach and detach file systems, ask NVMe controllers
        "CAP_SETUID",  # the launcher becomes uid 0 in full, a worker gives it up
        "CAP_SETGID",
        "CAP_SETPCAP",  # bounding set and NOROOT are dropped in the worker
        "CAP_KILL",  # the monitor ends workers that run as another uid
        "CAP_CHOWN",  # the one directory that the helper makes gets its owner, and so do the nodes of IOMMU groups
        "CAP_DAC_OVERRIDE",  # reach a mount point below folders of the account that shut root out; SPDK: what is the target user's
        "CAP_IPC_LOCK",  # SPDK pins the memory that drives write to
        "CAP_SYS_RESOURCE",  # raise limits that the caller lowered
    }
)
"""Capability names as in ``linux/capability.h``."""
