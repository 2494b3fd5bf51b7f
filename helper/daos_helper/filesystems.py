# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The two file systems that we make: their options, made from numbers, never from a caller's text (storage facts A.5, A.6)."""

from __future__ import annotations

import os
from typing import Final

from daos_helper.accounts import Identity
from daos_helper.content import LABEL
from daos_pbin.messages import Ramdisk

Option = tuple[str, str | None]
"""A mount option: key and value, or None for a flag."""

MKFS: Final = "/usr/sbin/mkfs.ext4"

SCM_MOUNT_OPTIONS: Final[tuple[Option, ...]] = (("nodelalloc", None),)
DAX: Final[Option] = ("dax", None)


def tmpfs_options(ramdisk: Ramdisk, owner: Identity) -> tuple[tuple[Option, ...], tuple[str, ...]]:
    """Return a ramdisk's mount options, and what had to be left out because this kernel lacks it.

    The root directory is born with its owner, mode 0755.
    """
    options: list[Option] = [
        ("size", f"{ramdisk.size_gib}g"),
        ("mode", "0755"),
        ("uid", str(owner.uid)),
        ("gid", str(owner.gid)),
    ]
    left_out: list[str] = []
    if os.path.exists(f"/sys/devices/system/node/node{ramdisk.numa_node}"):
        options.append(("mpol", f"prefer:{ramdisk.numa_node}"))
    else:
        left_out.append(f"mpol=prefer:{ramdisk.numa_node}: this kernel shows no NUMA node {ramdisk.numa_node}")
    if not ramdisk.disable_hugepages:
        if os.path.exists("/sys/kernel/mm/transparent_hugepage/shmem_enabled"):
            options.append(("huge", "always"))
        else:
            left_out.append("huge=always: this kernel has no transparent huge pages for tmpfs")
    return tuple(options), tuple(left_out)


def scm_mkfs(path: str, identifier: str, owner: Identity) -> tuple[str, ...]:
    """Return the command that makes SCM's ext4, with the full option list, on an open device (``/proc/self/fd/N``)."""
    extended = f"stride=512,lazy_itable_init=0,lazy_journal_init=0,nodiscard,packed_meta_blocks=1,root_owner={owner.uid}:{owner.gid}"
    features = "flex_bg,^uninit_bg,^resize_inode,^extra_isize,sparse_super2,^metadata_csum"
    sizes = ("-m", "0", "-b", "4096", "-I", "128", "-i", "67108864")
    return (MKFS, "-F", "-q", "-D", "-L", LABEL, "-U", identifier, *sizes, "-E", extended, "-O", features, "-G", "128", path)


def metadata_mkfs(path: str, identifier: str, owner: Identity) -> tuple[str, ...]:
    """Return the command that makes the control metadata's ext4: the distribution's defaults, our label and owner."""
    return (MKFS, "-F", "-q", "-L", LABEL, "-U", identifier, "-E", f"root_owner={owner.uid}:{owner.gid}", path)
