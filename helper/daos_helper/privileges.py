# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The privilege table: what each step of each method may do, and why.  Review this page, and you have reviewed the helper.

The launcher's bounding set, which no descendant can ever leave, is generated from it (``packaging/generate_bounding.py``),
so nothing here may need a package from outside the standard library.

Five kinds of step exist, and a row is one of them:

attach, detach
    ``daos_helper`` with CAP_SYS_ADMIN, which is root in effect: the smallest code there is; it executes nothing, loads no
    library, and takes no path and no option from the caller.
command
    ``daos_helper`` with CAP_SYS_ADMIN, root in effect like attach: sends NVMe commands of ours to controllers that were opened
    before; it executes nothing, loads no library, and takes no command and no address from the caller.
program
    uid 0 without any capability, NOROOT locked: mke2fs opens its path again, so it cannot be another uid.
library
    ``daos_helper``, or uid 0 where the row says so, running foreign code on descriptors.
descriptor
    writes or makes things only through descriptors that the monitor opened before.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["attach", "command", "program", "library", "descriptor"]
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
    :param threads: how many threads the step may start; 0 for nearly all, so that a worker is one thread and stays it.
    """

    step: str
    kind: Kind
    identity: Identity
    capabilities: frozenset[str]
    descriptors: tuple[str, ...]
    methods: tuple[str, ...]
    reason: str
    threads: int = 0


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

BIND_DRIVER: Final = Row(
    "bind-driver",
    "descriptor",
    "worker",
    NOTHING,
    ("sysfs: each function's folder and driver_override", "sysfs: bind and unbind of the drivers", "sysfs: drivers_probe"),
    ("BdevBind", "BdevRestore"),
    "sysfs checks at open, not at write; letting go of an SSD is waiting for it, so a thread for each of several",
    threads=12,
)
OWN_VFIO_GROUP: Final = Row(
    "own-vfio-group",
    "descriptor",
    "root",
    frozenset({"CAP_CHOWN"}),
    ("/dev/vfio/GROUP of each controller, as a place only",),
    ("BdevBind",),
    "engines drive SSDs as the target user: the group's node becomes theirs, mode 0600; the device itself is not opened",
)
PROBE_NAMESPACES: Final = Row(
    "probe-namespaces",
    "library",
    "worker",
    NOTHING,
    ("block device of each namespace, read only",),
    ("BdevBind", "BdevFormat"),
    "as probe, for many devices: in threads, because one that hangs must not hide what the others carry",
    threads=16,
)
ASK_CONTROLLER: Final = Row(
    "ask-controller",
    "command",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    ("character device of each controller, and its folder in sysfs", "a memory file for the answers"),
    ("BdevScan", "BdevFormat", "NvmeFirmwareQuery", "NvmeFirmwareUpdate"),
    "the kernel wants CAP_SYS_ADMIN for log pages; fixed commands that only read; answers are passed on as they came; in threads, "
    "because one controller that hangs must not hide the others",
    threads=16,
)
READ_ANSWERS: Final = Row(
    "read-answers",
    "library",
    "worker",
    NOTHING,
    ("the memory file with the answers",),
    ("BdevScan", "BdevFormat", "NvmeFirmwareQuery", "NvmeFirmwareUpdate"),
    "a drive's bytes are hostile: who takes them apart has nothing but them",
)
AWAIT_CONTROLLER: Final = Row(
    "await-controller",
    "descriptor",
    "worker",
    NOTHING,
    (),
    ("BdevScan", "BdevFormat", "NvmeFirmwareQuery", "NvmeFirmwareUpdate"),
    "looks into sysfs until controllers that were just bound are ready: the monitor itself never waits",
)
WIPE_NAMESPACE: Final = Row(
    "wipe-namespace",
    "descriptor",
    "worker",
    NOTHING,
    ("block device of each namespace, exclusively, for direct and synchronous writing",),
    ("BdevFormat",),
    "writes zeros through descriptors; all controllers at the same time, and one that hangs must not keep the others",
    threads=16,
)
UPDATE_FIRMWARE: Final = Row(
    "update-firmware",
    "command",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    ("character device of each controller, and its folder in sysfs", "the image, read only"),
    ("NvmeFirmwareUpdate",),
    "Firmware Image Download and Commit need CAP_SYS_ADMIN; the image is root's own file, and passed on as it is",
    threads=16,
)
SPDK_VFIO: Final = Row(
    "spdk-vfio",
    "library",
    "root",
    frozenset({"CAP_DAC_OVERRIDE", "CAP_IPC_LOCK"}),
    (),
    ("BdevScan", "BdevFormat", "NvmeFirmwareUpdate"),
    "SPDK opens hugepage files and /dev/vfio/GROUP, which belong to the target user, hence DAC_OVERRIDE; it pins the memory "
    "that drives write to, hence IPC_LOCK; DPDK starts a thread for its interrupts (docs/spdk.md tells what was tried with less)",
    threads=1,
)
SPDK_UIO: Final = Row(
    "spdk-uio",
    "library",
    "root",
    frozenset({"CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"}),
    (),
    ("BdevScan", "BdevFormat", "NvmeFirmwareUpdate"),
    "as spdk-vfio; without an IOMMU drives are given physical addresses, which /proc/self/pagemap tells to SYS_ADMIN alone",
    threads=1,
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
    BIND_DRIVER,
    OWN_VFIO_GROUP,
    PROBE_NAMESPACES,
    ASK_CONTROLLER,
    READ_ANSWERS,
    AWAIT_CONTROLLER,
    WIPE_NAMESPACE,
    UPDATE_FIRMWARE,
    SPDK_VFIO,
    SPDK_UIO,
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
