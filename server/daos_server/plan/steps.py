# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a plan is made of.  A step says what it will do before it is done; sending it to whoever does it is not its business."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from daos_server.plan.units import GIB, bytes_text, pages_text

if TYPE_CHECKING:
    from daos_pbin.faults import Fault


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to be done.

    :param key: a name that is the same in every run of one configuration, such as ``scm:0``.
    :param subject: what it is done to: a path or a node.
    :param engine: index of the engine; None for what all engines share.
    :param tier: index of the storage tier; None if it is no tier.
    :param force: destroy what is there: given for this command, or for the interrupted one that is being completed.
    :param lost: what is destroyed, in words; empty if nothing is there.
    :param needs: keys of the steps of this plan without which it is skipped.
    """

    action: ClassVar[str] = ""

    key: str
    subject: str
    engine: int | None = None
    tier: int | None = None
    force: bool = False
    lost: str = ""
    needs: tuple[str, ...] = ()

    @property
    def destructive(self) -> bool:
        """Whether data that is there now is lost by it."""
        return bool(self.lost)

    @property
    def where(self) -> str:
        """The step's place in the configuration; empty for what all engines share."""
        if self.engine is None:
            return ""
        return f"engine {self.engine}" if self.tier is None else f"engine {self.engine} tier {self.tier}"

    def describe(self) -> str:
        """Return one line that says what will be done, to what, and what is lost."""
        text = self._describe()
        place = f"{self.where}: " if self.where else ""
        return f"{place}{text}" + (f"; DESTROYS what is there: {self.lost}" if self.lost else "")

    def _describe(self) -> str:
        return f"{self.action} {self.subject}"


@dataclass(frozen=True, kw_only=True)
class FormatMetadata(Step):
    """Make the root of the control metadata; a device is left mounted for the steps that follow.

    :param device: canonical path of the device; empty for a plain directory.
    """

    action: ClassVar[str] = "format control metadata"
    device: str = ""

    def _describe(self) -> str:
        if self.device:
            return f"make an ext4 file system on {self.device} and mount it on {self.subject} for the control metadata"
        return f"make the folder {self.subject} for the control metadata"


@dataclass(frozen=True, kw_only=True)
class MountMetadata(Step):
    """Mount the control metadata, which is formatted already, for the steps that follow."""

    action: ClassVar[str] = "mount control metadata"
    device: str

    def _describe(self) -> str:
        return f"mount {self.device} on {self.subject} to reach the control metadata"


@dataclass(frozen=True, kw_only=True)
class MakeMetadataFolders(Step):
    """Make the metadata folder anew, with one folder per engine; ``subject`` is ``<root>/daos_control``."""

    action: ClassVar[str] = "make metadata folders"
    root: str
    engines: tuple[int, ...]

    def _describe(self) -> str:
        names = ", ".join(f"engine{index}" for index in self.engines)
        return f"make {self.subject}, owned by the server's account, with the folders {names}; anything in it before is removed"


@dataclass(frozen=True, kw_only=True)
class UnmountMetadata(Step):
    """Unmount the metadata device: at the end of a format, or in a reset."""

    action: ClassVar[str] = "unmount control metadata"
    device: str = ""

    def _describe(self) -> str:
        return f"unmount the control metadata from {self.subject}"


@dataclass(frozen=True, kw_only=True)
class FormatRam(Step):
    """Mount a new tmpfs as SCM.

    :param size_gib: size in GiB, above 0.
    :param numa_node: the node whose memory is preferred.
    """

    action: ClassVar[str] = "format SCM (ram)"
    size_gib: int
    numa_node: int = 0
    disable_hugepages: bool = False

    def _describe(self) -> str:
        pages = "without huge pages" if self.disable_hugepages else "in huge pages"
        return f"mount a new tmpfs of {bytes_text(self.size_gib * GIB)} on {self.subject}, {pages}, from NUMA node {self.numa_node} first"


@dataclass(frozen=True, kw_only=True)
class FormatDcpm(Step):
    """Make ext4 on a block device and mount it as SCM; ``device`` is its canonical path."""

    action: ClassVar[str] = "format SCM (dcpm)"
    device: str

    def _describe(self) -> str:
        return f"make an ext4 file system on {self.device} and mount it on {self.subject}"


@dataclass(frozen=True, kw_only=True)
class CreateFile(Step):
    """Make the file that stands for an SSD.

    :param size: size in bytes, a multiple of 4096.
    :param superblock: path of the engine's superblock: if it turns out to be there, the file is left as it is.
    """

    action: ClassVar[str] = "create bdev file"
    size: int
    superblock: str = ""

    def _describe(self) -> str:
        unless = f", unless {self.superblock} is there" if self.superblock else ""
        return f"make the file {self.subject} of {bytes_text(self.size)}, mode 0600, its blocks allocated{unless}"


@dataclass(frozen=True, kw_only=True)
class WriteNvmeConf(Step):
    """Write the engine's NVMe configuration.

    :param content: the whole file.
    :param folder: the engine's metadata folder, made if it is missing; empty if the file goes into SCM.
    """

    action: ClassVar[str] = "write NVMe configuration"
    content: str = field(repr=False)
    folder: str = ""

    def _describe(self) -> str:
        return f"write the NVMe configuration {self.subject} ({len(self.content.encode())} bytes)"


@dataclass(frozen=True, kw_only=True)
class SetHugepages(Step):
    """Give NUMA nodes their hugepages.

    :param nodes: (node, pages there now, pages wanted) of every node concerned.
    :param page_kib: size of one page in KiB.
    """

    action: ClassVar[str] = "set hugepages"
    nodes: tuple[tuple[int, int, int], ...]
    page_kib: int

    def _describe(self) -> str:
        parts = [f"node {node}: {have} -> {max(have, want)} pages ({pages_text(want, self.page_kib)})" for node, have, want in self.nodes]
        return "give hugepages to " + "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class CleanHugepages(Step):
    """Remove the hugepage files of processes that are gone.

    :param optional: if it fails, nothing else does.
    """

    action: ClassVar[str] = "remove stale hugepage files"
    files: tuple[str, ...] = ()
    optional: bool = False

    def _describe(self) -> str:
        return f"remove {len(self.files)} hugepage file(s) whose owner is dead: {', '.join(self.files)}"


@dataclass(frozen=True, kw_only=True)
class ReturnHugepages(Step):
    """Give back the hugepages that earlier prepares added."""

    action: ClassVar[str] = "give hugepages back"

    def _describe(self) -> str:
        return "give back the hugepages that earlier prepares added, as far as nothing uses them"


@dataclass(frozen=True, kw_only=True)
class BindSsd(Step):
    """Give an NVMe SSD, or a VMD with all that is behind it, to a userspace driver.

    :param kind: ``SSD`` or ``VMD``.
    :param before: its driver now; empty for none.
    :param behind: the SSDs behind a VMD, as far as they are seen.
    :param user: who may open it then.
    :param account: that is the server's own account, of which the helper knows by itself.
    :param vmd: whether VMDs are used.
    :param only_if_free: nobody named it: if it turns out to be in use, that is no failure.
    """

    action: ClassVar[str] = "give to userspace"
    kind: str = "SSD"
    before: str = ""
    driver: str
    behind: tuple[str, ...] = ()
    user: str = ""
    account: bool = True
    vmd: bool = False
    only_if_free: bool = False

    def _describe(self) -> str:
        with_it = f" with {', '.join(self.behind)} behind it" if self.behind else ""
        before = self.before or "no driver"
        return f"bind the {self.kind} {self.subject}{with_it} to {self.driver} for {self.user} (it has {before} now)"


@dataclass(frozen=True, kw_only=True)
class RestoreSsd(Step):
    """Give an NVMe SSD, or a VMD, back to the driver that it had before it was first taken.

    :param kind: ``SSD`` or ``VMD``.
    :param before: its driver now; empty for none.
    :param vmd: whether VMDs are given back.
    :param all_on_record: of everything that was ever taken, and not of this one alone.
    """

    action: ClassVar[str] = "give back to the kernel"
    kind: str = "SSD"
    before: str = ""
    vmd: bool = False
    all_on_record: bool = False

    def _describe(self) -> str:
        now = f"{self.before} has it now" if self.before else "nothing drives it now"
        return f"give the {self.kind} {self.subject} back to the driver that it had before it was first taken ({now})"


@dataclass(frozen=True, kw_only=True)
class WipeSsd(Step):
    """Write zeros over the first 4 KiB of every namespace of an NVMe SSD, or of those behind a VMD.

    :param vmd: whether VMDs are used.
    :param superblock: path of the engine's superblock: if it turns out to be there, the SSD is left as it is.
    """

    action: ClassVar[str] = "format SSD"
    vmd: bool = False
    superblock: str = ""

    def _describe(self) -> str:
        unless = f", unless {self.superblock} is there" if self.superblock else ""
        carries = "" if self.force else "; it is refused if it carries anything"
        return f"write zeros over the first 4 KiB of every namespace of the SSD {self.subject}{unless}{carries}"


@dataclass(frozen=True, kw_only=True)
class UnmountScm(Step):
    """Unmount SCM.

    :param kind: file system type of the mount.
    """

    action: ClassVar[str] = "unmount SCM"
    kind: str = ""

    def _describe(self) -> str:
        return f"unmount the {self.kind} on {self.subject}"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A part that needs no step: it is as it should be, or is left alone for a reason.

    :param already: True if it is as it should be; False if it is left out.
    :param fault: it was asked for and cannot be done, while the rest of the plan can: the command fails in the end.
    """

    subject: str
    action: str
    already: bool
    detail: str
    engine: int | None = None
    tier: int | None = None
    fault: Fault | None = None

    def describe(self) -> str:
        """Return one line that says what is left alone and why."""
        place = (
            "" if self.engine is None else f"engine {self.engine}: " if self.tier is None else f"engine {self.engine} tier {self.tier}: "
        )
        return f"{place}{self.subject} {'cannot be used' if self.fault else 'stays as it is'}: {self.detail}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a command will do, complete and exact; nothing has been done.

    :param command: ``prepare``, ``format`` or ``reset``.
    :param group: the group of commands that it belongs to: ``storage`` or ``nvme``.
    :param steps: in the order in which they are done; SCM of all engines runs side by side, and so do SSDs.
    :param standing: the parts that need no step.
    :param notes: arithmetic and findings, each a line.
    :param refusals: why the command does nothing at all; empty if it may run.
    :param digest: fingerprint of what the configuration asks for.
    """

    command: str
    group: str = "storage"
    steps: tuple[Step, ...] = ()
    standing: tuple[Standing, ...] = ()
    notes: tuple[str, ...] = ()
    refusals: tuple[Fault, ...] = ()
    force: bool = False
    digest: str = ""

    @property
    def destructive(self) -> bool:
        """Whether any step loses data that is there now."""
        return any(step.destructive for step in self.steps)

    def describe(self) -> tuple[str, ...]:
        """Return the plan as lines: the steps in their order, then what stays as it is."""
        return (*(step.describe() for step in self.steps), *(part.describe() for part in self.standing))

    def as_json(self) -> dict[str, object]:
        """Return the plan as the value that ``--json`` prints."""
        return {
            "command": self.command,
            "steps": [
                {
                    "engine": step.engine,
                    "tier": step.tier,
                    "subject": step.subject,
                    "action": step.action,
                    "destructive": step.destructive,
                    "description": step.describe(),
                }
                for step in self.steps
            ],
            "standing": [
                {
                    "engine": part.engine,
                    "tier": part.tier,
                    "subject": part.subject,
                    "action": part.action,
                    "already": part.already,
                    "detail": part.detail,
                    "fault": None if part.fault is None else part.fault.to_wire(),
                }
                for part in self.standing
            ],
            "notes": list(self.notes),
            "refusals": [fault.to_wire() for fault in self.refusals],
        }
