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

Two columns are kept by the kernel itself, from the moment at which the step's own work begins: ``paths`` (Landlock), what it may reach by
name, and ``calls`` (seccomp, ``calls.py``), what it may ask the kernel for.  A kernel that lacks one runs with the other, and the audit
line says so.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["attach", "command", "program", "library", "descriptor"]
Identity = Literal["worker", "root"]
Held = Literal["nothing", "make folders", "remove files", "read again", "open again"]


class Paths(NamedTuple):
    """What a step may reach by name, and where its descriptors are; Landlock refuses everything else, whoever owns it.

    What was opened before stays usable.  A path that a machine does not have allows nothing.

    :param read: files, and folders with all that is in them, to read.
    :param execute: programs to execute, beside the step's own.
    :param write: files, devices and folders with both, to read and to write; nothing is made or removed there.
    :param change: folders in which files, folders and sockets may also be made and removed.
    :param held: what may be done at the step's own descriptors, or in the folders that they are.
    """

    read: tuple[str, ...] = ()
    execute: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    change: tuple[str, ...] = ()
    held: Held = "nothing"


class Row(NamedTuple):
    """What one step may do.

    :param step: name of the step, as in faults and audit lines.
    :param kind: see the module's text.
    :param identity: ``worker`` is the account daos_helper; ``root`` is uid 0.
    :param capabilities: permitted and effective during the step; everything else is gone for good.
    :param descriptors: what the monitor opens for the step before the drop, besides its log and result pipes.
    :param methods: the methods that use the step.
    :param reason: why the step needs what it has.
    :param paths: what it may reach by name; None is no such limit: Landlock forbids every change of mounts, so attach and its like
        have none.
    :param calls: name of the system calls that it may make (``calls.py``); what is not in that list fails.
    :param loads: modules that it imports after the drop and before these two limits count: code of ours and of the distribution's, while
        nothing from outside was looked at yet.
    :param threads: how many threads the step may start; 0 for nearly all, so that a worker is one thread and stays it.
    """

    step: str
    kind: Kind
    identity: Identity
    capabilities: frozenset[str]
    descriptors: tuple[str, ...]
    methods: tuple[str, ...]
    reason: str
    paths: Paths | None
    calls: str
    loads: tuple[str, ...] = ()
    threads: int = 0


NOTHING: Final[frozenset[str]] = frozenset()
NO_PATHS: Final = Paths()
"""The step lives on its descriptors alone."""
SYSFS: Final = Paths(read=("/sys",))
"""What the kernel says of devices.  libblkid finds some kinds of RAID only on what it can see to be a whole disk."""
LOADER: Final = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")
SYSTEM: Final = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")
"""Programs and libraries, and what comes with them."""
MKE2FS: Final = Paths(
    read=(*SYSTEM, "/etc/mke2fs.conf", "/sys", "/proc/swaps", "/proc/self/mounts"), execute=LOADER, held="open again"
)
"""The one device, and otherwise reading: its defaults, and what the kernel says of the device."""
SPDK_MEMORY: Final = ("/dev/hugepages", "/mnt/huge", "/run/dpdk", "/var/tmp")  # noqa: S108 - where they are
"""Hugepage files, DPDK's own folder, and SPDK's lock files."""
SPDK_VFIO_PATHS: Final = Paths(
    read=(*SYSTEM, "/proc", "/sys", "/etc/ssl", "/dev/null", "/dev/zero", "/dev/urandom"),
    write=("/dev/vfio", "/proc/self/task"),
    change=SPDK_MEMORY,
)
"""Wider than what was seen to be opened: with shared libraries, other releases and VMDs it may be more."""
SPDK_UIO_PATHS: Final = SPDK_VFIO_PATHS._replace(write=("/dev/uio*", "/sys/devices", "/proc/self/task"))
"""As above; registers of a drive are files below /sys/devices."""
NVDIMMS: Final = ("/dev/ndctl*", "/dev/nmem*")
NVDIMM_SETTINGS: Final = (
    *("/proc", "/run/udev", "/etc/ndctl", "/etc/ndctl.conf.d", "/etc/daxctl.conf.d", "/etc/modprobe.d", "/etc/ipmctl.conf"),
)
IPMCTL: Final = Paths(
    read=(*SYSTEM, *NVDIMM_SETTINGS, "/tmp/pbr"),  # noqa: S108 - where libipmctl looks for recordings of its own; reading alone
    write=(*NVDIMMS, "/sys"),
    change=("/var/log/ipmctl", "/dev/shm"),  # noqa: S108 - its log, and how it speaks to others of its kind
)
"""Wide on purpose: no machine with such modules was at hand, only a stand-in for the library."""
NDCTL_READS: Final = Paths(read=(*SYSTEM, *NVDIMM_SETTINGS, "/sys"), execute=LOADER, write=NVDIMMS)
NDCTL_WRITES: Final = Paths(read=(*SYSTEM, *NVDIMM_SETTINGS), execute=LOADER, write=("/sys", "/dev"))
"""All of /dev: the block device whose first bytes it clears is made only while it works, under a name that is not known before."""

ATTACH_TMPFS: Final = Row(
    "attach-tmpfs",
    "attach",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    ("mount point",),
    ("ScmFormat", "ScmMount"),
    "fsopen, fsmount and move_mount need CAP_SYS_ADMIN; the mount lands on the descriptor, so no path is looked up",
    paths=None,
    calls="attach",
)
ATTACH_EXT4: Final = Row(
    "attach-ext4",
    "attach",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    ("mount point",),
    ("ScmFormat", "ScmMount", "MetadataFormat", "MetadataMount"),
    "as attach-tmpfs; the device is given by its kernel name and compared by number before it is attached",
    paths=None,
    calls="attach",
)
INSPECT_EXT4: Final = Row(
    "inspect-ext4",
    "attach",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    (),
    ("MetadataNeedsFormat",),
    "a read-only mount that is never attached anywhere, to see whether daos_control is in it; gone with the descriptor",
    paths=None,
    calls="inspect",
)
DETACH: Final = Row(
    "detach",
    "attach",
    "worker",
    frozenset({"CAP_SYS_ADMIN"}),
    ("parent of the mount point",),
    ("ScmFormat", "ScmUnmount", "MetadataFormat", "MetadataUnmount"),
    "umount2 needs CAP_SYS_ADMIN; by parent descriptor and last component, after comparing the mount id; never lazily",
    paths=None,
    calls="detach",
)
PROBE: Final = Row(
    "probe",
    "library",
    "worker",
    NOTHING,
    ("device, read only",),
    ("ScmCheckFormat", "ScmFormat", "ScmMount", "MetadataNeedsFormat", "MetadataFormat", "MetadataMount"),
    "libblkid parses bytes of the device, which may be hostile: it reads one descriptor and owns nothing",
    paths=SYSFS,
    calls="libblkid",
    loads=("daos_bindings.linux.signatures",),
)
MAKE_EXT4: Final = Row(
    "make-ext4",
    "program",
    "root",
    NOTHING,
    ("device, read only: reopened for writing by its descriptor",),
    ("ScmFormat", "MetadataFormat"),
    "mke2fs opens /proc/self/fd/N again and exclusively, which the device node's mode allows to uid 0; it needs no capability",
    paths=MKE2FS,
    calls="mke2fs",
)
MAKE_MOUNT_POINT: Final = Row(
    "make-mount-point",
    "descriptor",
    "root",
    NOTHING,
    ("parent of the mount point",),
    ("ScmFormat", "ScmMount", "MetadataFormat", "MetadataMount"),
    "mkdirat of one component below a mount root of the policy, whose folders belong to root",
    paths=Paths(held="make folders"),
    calls="one folder",
)
MAKE_ACCOUNT_DIRECTORY: Final = Row(
    "make-account-directory",
    "descriptor",
    "root",
    frozenset({"CAP_CHOWN"}),
    ("parent of the directory",),
    ("MetadataFormat",),
    "mkdirat as above, then fchown of the new, empty directory to the account, which is what the method is for",
    paths=Paths(held="make folders"),
    calls="one folder to own",
)
SET_HUGEPAGES: Final = Row(
    "set-hugepages",
    "descriptor",
    "worker",
    NOTHING,
    ("nr_hugepages of each NUMA node",),
    ("BdevPrepare",),
    "sysfs checks at open, not at write: the per-node files are opened before the drop",
    paths=NO_PATHS,
    calls="open descriptors",
)
OWN_HUGETLBFS: Final = Row(
    "own-hugetlbfs",
    "descriptor",
    "root",
    frozenset({"CAP_CHOWN"}),
    ("root directory of hugetlbfs",),
    ("BdevPrepare",),
    "engines make their hugepage files as the target user: fchown of the one directory, not of what is in it",
    paths=NO_PATHS,
    calls="owner of a descriptor",
)
CLEAN_HUGEPAGES: Final = Row(
    "clean-hugepages",
    "descriptor",
    "root",
    frozenset({"CAP_DAC_OVERRIDE"}),
    ("root directory of hugetlbfs",),
    ("BdevPrepare",),
    "unlinkat of spdk_pid<N>map files of dead processes in a directory that belongs to the target user, hence DAC_OVERRIDE",
    paths=Paths(held="remove files"),
    calls="stale files",
)

BIND_DRIVER: Final = Row(
    "bind-driver",
    "descriptor",
    "worker",
    NOTHING,
    ("sysfs: each function's folder and driver_override", "sysfs: bind and unbind of the drivers", "sysfs: drivers_probe"),
    ("BdevBind", "BdevRestore"),
    "sysfs checks at open, not at write; letting go of an SSD is waiting for it, so a thread for each of several",
    paths=NO_PATHS,
    calls="driver files",
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
    paths=NO_PATHS,
    calls="owner of a node",
)
PROBE_NAMESPACES: Final = Row(
    "probe-namespaces",
    "library",
    "worker",
    NOTHING,
    ("block device of each namespace, read only; or the memory file with copies of namespaces",),
    ("BdevBind", "BdevFormat", "ScmPrepare"),
    "as probe, for many devices: in threads, because one that hangs must not hide what the others carry",
    paths=SYSFS,
    calls="libblkid, in threads",
    loads=("daos_bindings.linux.signatures",),
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
    paths=NO_PATHS,
    calls="NVMe commands",
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
    paths=NO_PATHS,
    calls="open descriptors",
)
AWAIT_CONTROLLER: Final = Row(
    "await-controller",
    "descriptor",
    "worker",
    NOTHING,
    (),
    ("BdevScan", "BdevFormat", "NvmeFirmwareQuery", "NvmeFirmwareUpdate"),
    "looks into sysfs until controllers that were just bound are ready: the monitor itself never waits",
    paths=SYSFS,
    calls="files, to read",
)
WIPE_NAMESPACE: Final = Row(
    "wipe-namespace",
    "descriptor",
    "worker",
    NOTHING,
    ("block device of each namespace, exclusively, for direct and synchronous writing",),
    ("BdevFormat",),
    "writes zeros through descriptors; all controllers at the same time, and one that hangs must not keep the others",
    paths=NO_PATHS,
    calls="block devices",
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
    paths=NO_PATHS,
    calls="NVMe commands",
    threads=16,
)
SPDK_VFIO: Final = Row(
    "spdk-vfio",
    "library",
    "root",
    frozenset({"CAP_DAC_OVERRIDE", "CAP_IPC_LOCK"}),
    ("a memory file for copies of namespaces",),
    ("BdevScan", "BdevFormat"),
    "SPDK opens /dev/vfio/GROUP, which belongs to the target user, hence DAC_OVERRIDE; it pins the memory "
    "that drives write to, hence IPC_LOCK; DPDK starts a thread for its interrupts (docs/spdk.md tells what was tried with less)",
    paths=SPDK_VFIO_PATHS,
    calls="SPDK",
    loads=("daos_bindings.spdk.operations", "daos_bindings.spdk.looking"),
    threads=1,
)
SPDK_UIO: Final = Row(
    "spdk-uio",
    "library",
    "root",
    frozenset({"CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"}),
    ("a memory file for copies of namespaces",),
    ("BdevScan", "BdevFormat"),
    "as spdk-vfio; without an IOMMU drives are given physical addresses, which /proc/self/pagemap tells to SYS_ADMIN alone",
    paths=SPDK_UIO_PATHS,
    calls="SPDK",
    loads=("daos_bindings.spdk.operations", "daos_bindings.spdk.looking"),
    threads=1,
)

IPMCTL_READ: Final = Row(
    "ipmctl-read",
    "library",
    "root",
    NOTHING,
    (),
    ("ScmScan", "ScmPrepare", "ScmFirmwareQuery", "ScmFirmwareUpdate"),
    "libipmctl tells nobody but uid 0 anything, and opens /dev/ndctlN and the firmware's tables itself, which belong to root; it may "
    "hang or crash, so it is in a worker of its own that ends without calling its tidying up, which would write under /usr/share",
    paths=IPMCTL,
    calls="libipmctl",
    loads=("daos_bindings.ipmctl.memory", "daos_bindings.ipmctl.firmware"),
)
IPMCTL_GOAL: Final = Row(
    "ipmctl-goal",
    "library",
    "root",
    NOTHING,
    (),
    ("ScmPrepare",),
    "as ipmctl-read; it stores on modules, found by their UIDs, what the firmware is to make at the next start, or takes that back",
    paths=IPMCTL,
    calls="libipmctl",
    loads=("daos_bindings.ipmctl.memory",),
)
IPMCTL_FIRMWARE: Final = Row(
    "ipmctl-firmware",
    "library",
    "root",
    NOTHING,
    ("the image, read only",),
    ("ScmFirmwareUpdate",),
    "as ipmctl-read; one module at a time, and the image is root's own file, opened before and given by its descriptor",
    paths=IPMCTL._replace(held="read again"),
    calls="libipmctl",
    loads=("daos_bindings.ipmctl.firmware",),
)
NDCTL_LIST: Final = Row(
    "ndctl-list",
    "program",
    "root",
    NOTHING,
    ("a memory file for what it prints",),
    ("ScmScan", "ScmPrepare"),
    "a fixed command that only reads; sysfs tells some of it to uid 0 alone, and it needs no capability",
    paths=NDCTL_READS,
    calls="ndctl",
)
READ_LISTING: Final = Row(
    "read-listing",
    "library",
    "worker",
    NOTHING,
    ("the memory file with the listing",),
    ("ScmScan", "ScmPrepare"),
    "what a program printed is hostile until it is decoded: who does that has nothing but it",
    paths=NO_PATHS,
    calls="open descriptors",
)
NDCTL_CHANGE: Final = Row(
    "ndctl-change",
    "program",
    "root",
    NOTHING,
    (),
    ("ScmPrepare",),
    "makes, switches off or deletes one namespace by the kernel's name: it writes to sysfs and to the namespace's own first bytes, "
    "which belong to uid 0, and needs no capability",
    paths=NDCTL_WRITES,
    calls="ndctl",
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
    IPMCTL_READ,
    IPMCTL_GOAL,
    IPMCTL_FIRMWARE,
    NDCTL_LIST,
    READ_LISTING,
    NDCTL_CHANGE,
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
