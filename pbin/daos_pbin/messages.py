# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every request that the helper answers, and the type of each answer, declared once for both sides.

Unknown fields are refused, and every number, text and list is bounded, before a value reaches any code.  What a field may
*mean* (which path, which device) is decided by the helper's policy.  ``Ping`` has no payload, so that it needs none of this.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Generic, TypeVar

from msgspec import Meta, Struct

MAX_NUMA_NODES = 256
GIB_LIMIT = 1 << 20

PathText = Annotated[str, Meta(max_length=4095)]
"""An absolute, canonical path: the grammar is checked by the helper (``paths.py``), which names what is wrong."""
NumaNode = Annotated[int, Meta(ge=0, le=1023)]
PageCount = Annotated[int, Meta(ge=0, le=2**31 - 1)]
GibCount = Annotated[int, Meta(ge=0, le=GIB_LIMIT)]
UserName = Annotated[str, Meta(max_length=32, pattern=r"^([a-z_][a-z0-9_-]*)?$")]
"""A name as useradd accepts it, or nothing."""
Words = Annotated[str, Meta(max_length=4096)]
"""Text for people: a reason, a finding."""

ResultT = TypeVar("ResultT", bound="Result")
ResultT_co = TypeVar("ResultT_co", bound="Result", covariant=True)


class Result(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all answers."""


class Request(Struct, Generic[ResultT_co], frozen=True, forbid_unknown_fields=True):
    """Base of all requests; the method's name on the wire is the class's name."""

    result_type: ClassVar[type[Result]]


class Ramdisk(Struct, frozen=True, forbid_unknown_fields=True):
    """A tmpfs that stands for SCM.

    :param size_gib: size in GiB, above 0 (0 is refused with fault 201, as the reference does).
    :param numa_node: the node whose memory is preferred (``mpol=prefer``).
    :param disable_hugepages: leave out ``huge=always``.
    """

    size_gib: GibCount
    numa_node: NumaNode = 0
    disable_hugepages: bool = False


class Dcpm(Struct, frozen=True, forbid_unknown_fields=True):
    """A block device that carries SCM in ext4, with ``dax`` where the device has it."""

    device: PathText


class ScmFormatResult(Result, frozen=True, forbid_unknown_fields=True):
    """State of one SCM mount point.

    :param formatted: something is there that a format without force would refuse to destroy.
    :param mounted: the mount point carries a mount.
    :param mountable: the device carries an ext4 file system that can be mounted without a format.
    :param changed: this request changed something.
    :param found: what was found, in words: signature, label, mount, holders.
    :param options: the mount options in force when mounted, as the kernel reports them.
    """

    mountpoint: PathText
    formatted: bool
    mounted: bool
    mountable: bool
    changed: bool = False
    found: Words = ""
    options: Words = ""


class ScmCheckFormat(Request[ScmFormatResult], frozen=True, forbid_unknown_fields=True):
    """Report whether an SCM mount point needs a format; changes nothing."""

    result_type: ClassVar[type[Result]] = ScmFormatResult
    mountpoint: PathText
    ramdisk: Ramdisk | None = None
    dcpm: Dcpm | None = None


class ScmFormat(Request[ScmFormatResult], frozen=True, forbid_unknown_fields=True):
    """Format and mount SCM; the root directory of the new file system belongs to the account, mode 0755."""

    result_type: ClassVar[type[Result]] = ScmFormatResult
    mountpoint: PathText
    force: bool = False
    ramdisk: Ramdisk | None = None
    dcpm: Dcpm | None = None


class MountResult(Result, frozen=True, forbid_unknown_fields=True):
    """State of one mount point after a mount or unmount.

    :param changed: False if it already was as asked.
    :param options: the mount options in force, as the kernel reports them; empty when unmounted.
    """

    target: PathText
    mounted: bool
    changed: bool
    options: Words = ""


class ScmMount(Request[MountResult], frozen=True, forbid_unknown_fields=True):
    """Mount SCM that is already formatted (a device), or a new empty tmpfs (a ramdisk)."""

    result_type: ClassVar[type[Result]] = MountResult
    target: PathText
    ramdisk: Ramdisk | None = None
    dcpm: Dcpm | None = None


class ScmUnmount(Request[MountResult], frozen=True, forbid_unknown_fields=True):
    """Unmount SCM.  The content of a tmpfs is lost with it."""

    result_type: ClassVar[type[Result]] = MountResult
    target: PathText


class MetadataNeedsFormatResult(Result, frozen=True, forbid_unknown_fields=True):
    """Whether the control metadata must be formatted, and the reason in words."""

    needs_format: bool
    reason: Words
    mounted: bool = False


class MetadataNeedsFormat(Request[MetadataNeedsFormatResult], frozen=True, forbid_unknown_fields=True):
    """Report whether the control metadata needs a format; changes nothing.

    :param device: the partition to be mounted on ``root_path``; empty for a plain directory.
    """

    result_type: ClassVar[type[Result]] = MetadataNeedsFormatResult
    root_path: PathText
    device: PathText = ""


class MetadataFormat(Request[MountResult], frozen=True, forbid_unknown_fields=True):
    """Make the metadata root: an ext4 file system that is left mounted on ``root_path``, or a directory of the account's.

    The server makes ``daos_control`` and the engines' folders in it, and unmounts a device afterwards.
    """

    result_type: ClassVar[type[Result]] = MountResult
    root_path: PathText
    device: PathText = ""
    force: bool = False


class MetadataMount(Request[MountResult], frozen=True, forbid_unknown_fields=True):
    """Mount the metadata device; with no device it is a no-op that answers ``mounted`` False."""

    result_type: ClassVar[type[Result]] = MountResult
    root_path: PathText
    device: PathText = ""


class MetadataUnmount(Request[MountResult], frozen=True, forbid_unknown_fields=True):
    """Unmount the metadata device; a root that is not mounted is a success that changed nothing."""

    result_type: ClassVar[type[Result]] = MountResult
    root_path: PathText
    device: PathText = ""


class NodePages(Struct, frozen=True, forbid_unknown_fields=True):
    """How many hugepages of the default size one NUMA node shall have at least."""

    node: NumaNode
    count: PageCount


class NodeGrant(Struct, frozen=True, forbid_unknown_fields=True):
    """Hugepages of one NUMA node: before, asked for, and read back from the kernel afterwards."""

    node: NumaNode
    before: PageCount
    wanted: PageCount
    granted: PageCount


class BdevPrepareResult(Result, frozen=True, forbid_unknown_fields=True):
    """What a prepare or reset did.

    :param removed: names of the stale hugepage files that were removed.
    :param hugetlbfs_owner: uid that owns the hugetlbfs root after the request; empty if none is mounted.
    """

    hugepages: Annotated[tuple[NodeGrant, ...], Meta(max_length=MAX_NUMA_NODES)] = ()
    removed: Annotated[tuple[PathText, ...], Meta(max_length=4096)] = ()
    hugetlbfs_owner: Annotated[str, Meta(max_length=10)] = ""
    changed: bool = False


class BdevPrepare(Request[BdevPrepareResult], frozen=True, forbid_unknown_fields=True):
    """Give every named NUMA node its hugepages, or (``reset``) take back what earlier requests added.

    :param hugepages: the wanted count of each node; a node that has more keeps it.
    :param clean_hugepages_only: only remove hugepage files whose owner is dead.
    :param reset: restore the counts, and the owner of the hugetlbfs root, that were there before the first prepare.
    :param target_user: who may use the hugepages; empty is the account itself.  Others must be in the policy.
    """

    result_type: ClassVar[type[Result]] = BdevPrepareResult
    hugepages: Annotated[tuple[NodePages, ...], Meta(max_length=MAX_NUMA_NODES)] = ()
    clean_hugepages_only: bool = False
    reset: bool = False
    target_user: UserName = ""


class PolicyEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One key of root's policy.

    :param from_file: the policy file sets it; otherwise it is the default.
    :param values: what is in force, one by one; a target user is ``name = uid``.
    """

    key: Annotated[str, Meta(max_length=64)]
    from_file: bool
    values: Annotated[tuple[PathText, ...], Meta(max_length=1024)]


class HelperPolicyResult(Result, frozen=True, forbid_unknown_fields=True):
    """The policy in force.

    :param path: of the policy file.
    :param present: there is one.
    """

    path: PathText
    present: bool
    entries: Annotated[tuple[PolicyEntry, ...], Meta(max_length=64)]


class HelperPolicy(Request[HelperPolicyResult], frozen=True, forbid_unknown_fields=True):
    """Report root's policy as it is in force; changes nothing."""

    result_type: ClassVar[type[Result]] = HelperPolicyResult


REQUESTS: dict[str, type[Request[Result]]] = {
    request.__name__: request
    for request in (
        ScmCheckFormat,
        ScmFormat,
        ScmMount,
        ScmUnmount,
        MetadataNeedsFormat,
        MetadataFormat,
        MetadataMount,
        MetadataUnmount,
        BdevPrepare,
        HelperPolicy,
    )
}
"""All methods with a payload, by their name on the wire."""
