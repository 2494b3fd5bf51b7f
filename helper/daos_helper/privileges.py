# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The privilege table: what each step of each method may do, and why.  Review this page, and you have reviewed the helper.

The launcher's bounding set, which no descendant can ever leave, is generated from it (``packaging/generate_bounding.py``),
so nothing here may need a package from outside the standard library.

Four kinds of step exist, and a row is one of them:

attach, detach
    ``daos_helper`` with CAP_SYS_ADMIN, which is root in effect: the smallest code there is; it executes nothing, loads no
    library, and takes no path and no option from the caller.
program
    uid 0 without any capability, NOROOT locked: mke2fs opens its path again, so it cannot be another uid.
library
    ``daos_helper``, or uid 0 where the row says so, running foreign code on descriptors.
descriptor
    writes or makes things only through descriptors that the monitor opened before.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["attach", "program", "library", "descriptor"]
Identity = Literal["worker", "root"]


class Row(NamedTuple):
    """What one step may do.

    :param step: name of the step, as in faults and audit lines.
    :param kind: see the module's text.
    :param identity: ``worker`` is the account daos_helper; ``root`` is uid 0.
    :param capabilities: permitted and effective during the step; everything else is gone for good.
    :param descriptors: what the monitor opens for the step before the drop, besides its log and result pipes.
    :param methods: the methods that use the step.
    :param reason: why the step needs what it has.
    """

    step: str
    kind: Kind
    identity: Identity
    capabilities: frozenset[str]
    descriptors: tuple[str, ...]
    methods: tuple[str, ...]
    reason: str


NOTHING: Final[frozenset[str]] = frozenset()

ATTACH_TMPFS: Final = Row(
    "attach-tmpfs",
    "attach",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    ("mount point",),
    ("ScmFormat", "ScmMount"),
    "fsopen, fsmount and move_mount need CAP_SYS_ADMIN; the mount lands on the descriptor, so no path is looked up",
)
ATTACH_EXT4: Final = Row(
    "attach-ext4",
    "attach",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    ("mount point",),
    ("ScmFormat", "ScmMount", "MetadataFormat", "MetadataMount"),
    "as attach-tmpfs; the device is given by its kernel name and compared by number before it is attached",
)
INSPECT_EXT4: Final = Row(
    "inspect-ext4",
    "attach",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    (),
    ("MetadataNeedsFormat",),
    "a read-only mount that is never attached anywhere, to see whether daos_control is in it; gone with the descriptor",
)
DETACH: Final = Row(
    "detach",
    "attach",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    ("parent of the mount point",),
    ("ScmFormat", "ScmUnmount", "MetadataFormat", "MetadataUnmount"),
    "umount2 needs CAP_SYS_ADMIN; by parent descriptor and last component, after comparing the mount id; never lazily",
)
PROBE: Final = Row(
    "probe",
    "library",
    "worker",
    NOTHING,
    ("device, read only",),
    ("ScmCheckFormat", "ScmFormat", "ScmMount", "MetadataNeedsFormat", "MetadataFormat", "MetadataMount"),
    "libblkid parses bytes of the device, which may be hostile: it reads one descriptor and owns nothing",
)
MAKE_EXT4: Final = Row(
    "make-ext4",
    "program",
    "root",
    NOTHING,
    ("device, read only: reopened for writing by its descriptor",),
    ("ScmFormat", "MetadataFormat"),
    "mke2fs opens /proc/self/fd/N again and exclusively, which the device node's mode allows to uid 0; it needs no capability",
)
MAKE_MOUNT_POINT: Final = Row(
    "make-mount-point",
    "descriptor",
    "root",
    NOTHING,
    ("parent of the mount point",),
    ("ScmFormat", "ScmMount", "MetadataFormat", "MetadataMount"),
    "mkdirat of one component below a mount root of the policy, whose folders belong to root",
)
MAKE_ACCOUNT_DIRECTORY: Final = Row(
    "make-account-directory",
    "descriptor",
    "root",
    frozenset({"CAP_CHOWN"}),
    ("parent of the directory",),
    ("MetadataFormat",),
    "mkdirat as above, then fchown of the new, empty directory to the account, which is what the method is for",
)
SET_HUGEPAGES: Final = Row(
    "set-hugepages",
    "descriptor",
    "worker",
    NOTHING,
    ("nr_hugepages of each NUMA node",),
    ("BdevPrepare",),
    "sysfs checks at open, not at write: the per-node files are opened before the drop",
)
OWN_HUGETLBFS: Final = Row(
    "own-hugetlbfs",
    "descriptor",
    "root",
    frozenset({"CAP_CHOWN"}),
    ("root directory of hugetlbfs",),
    ("BdevPrepare",),
    "engines make their hugepage files as the target user: fchown of the one directory, not of what is in it",
)
CLEAN_HUGEPAGES: Final = Row(
    "clean-hugepages",
    "descriptor",
    "root",
    frozenset({"CAP_DAC_OVERRIDE"}),
    ("root directory of hugetlbfs",),
    ("BdevPrepare",),
    "unlinkat of spdk_pid<N>map files of dead processes in a directory that belongs to the target user, hence DAC_OVERRIDE",
)

TABLE: Final[tuple[Row, ...]] = (
    ATTACH_TMPFS,
    ATTACH_EXT4,
    INSPECT_EXT4,
    DETACH,
    PROBE,
    MAKE_EXT4,
    MAKE_MOUNT_POINT,
    MAKE_ACCOUNT_DIRECTORY,
    SET_HUGEPAGES,
    OWN_HUGETLBFS,
    CLEAN_HUGEPAGES,
)

MONITOR: Final[dict[str, str]] = {
    "CAP_SETUID": "a worker becomes daos_helper",
    "CAP_SETGID": "a worker leaves root's groups",
    "CAP_SETPCAP": "a worker locks NOROOT and cuts its own bounding set",
    "CAP_KILL": "the monitor kills a worker that runs under another uid, at its deadline",
}
"""What the monitor itself holds to start and stop workers, on top of what it hands on."""

BOUNDING: Final[frozenset[str]] = frozenset(MONITOR).union(*(row.capabilities for row in TABLE))
"""The union: what the launcher leaves in the bounding set, and so the most that any step could ever have."""

LAUNCHER: Final[dict[str, str]] = {
    "CAP_SYS_RESOURCE": "the launcher raises limits that the caller lowered, before it cuts the bounding set",
}
"""What only the launcher uses; gone before Python starts."""

EVER: Final[frozenset[str]] = BOUNDING.union(LAUNCHER)
"""All that the helper may ever need: what the server leaves in its own bounding set."""
