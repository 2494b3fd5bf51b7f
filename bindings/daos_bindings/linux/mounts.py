# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Mounts of a process, from ``/proc/<pid>/mountinfo`` (proc_pid_mountinfo(5)).  Reads only.

A list is enough for every question here: the kernel walks it with a cursor (since 5.8), so that a mount which exists
all the time is listed once, whatever comes and goes meanwhile.
"""

from __future__ import annotations

import msgspec

from daos_bindings.linux import kernelfiles
from daos_bindings.linux.kernelfiles import MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "mountinfo"

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.ceph-fuse",
        "fuse.curlftpfs",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "wekafs",
    }
)
"""Types whose data is on other machines, or shared with them."""


class Mount(msgspec.Struct, frozen=True):
    """One line of mountinfo, decoded.

    Texts are what ``os.fsdecode`` makes of the kernel's bytes: print them through ``kernelfiles.printable``.

    :param mount_id: the mount's number, unique while it exists.
    :param parent_id: the mount that it is on; its own number, or one not in the list, for the topmost ones.
    :param major: device number of the file system; 0 for one without a single block device (tmpfs, btrfs, nfs).
    :param minor: device number of the file system.
    :param root: the directory of the file system that is mounted.
    :param mount_point: where, as the process sees it.
    :param options: per-mount options, such as ``nosuid``.
    :param propagation: such as ``shared:3`` or ``master:1``; empty for a private mount.
    :param fs_type: such as ``ext4`` or ``fuse.sshfs``.
    :param source: the device, or whatever the file system was given instead; may be empty.
    :param super_options: options of the file system itself.
    """

    mount_id: int
    parent_id: int
    major: int
    minor: int
    root: str
    mount_point: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    fs_type: str
    source: str
    super_options: tuple[str, ...]

    @property
    def is_slave(self) -> bool:
        """Whether it takes mounts over from a place that does not see what is mounted here."""
        return any(tag.startswith("master:") for tag in self.propagation)


def parse(data: bytes) -> tuple[Mount, ...]:
    """Parse the text of a mountinfo file, in its order.

    :raises MalformedError: if any line is not as the kernel writes it.
    """
    if not data:
        return ()
    if not data.endswith(b"\n"):
        raise MalformedError(FILE, "its last line is not complete")
    return tuple(_parse_line(line) for line in data[:-1].split(b"\n"))


def _parse_line(line: bytes) -> Mount:
    # Every field may hold " - " only in escaped form, so the first one ends the optional fields.
    front, separator, back = line.partition(b" - ")
    fields = front.split(b" ")
    # A source may be empty, and options of the file system are last, so that a blank in them does no harm.
    tail = back.split(b" ", 2)
    if not separator or len(fields) < 6 or len(tail) != 3:
        raise MalformedError(FILE, f"fields are missing: {kernelfiles.printable(line)}")
    major, colon, minor = fields[2].partition(b":")
    mount_point = kernelfiles.unescape(FILE, fields[4], strict=True)
    if not colon or not mount_point.startswith("/"):
        raise MalformedError(FILE, f"no device number or no absolute mount point: {kernelfiles.printable(line)}")
    return Mount(
        mount_id=_number(fields[0]),
        parent_id=_number(fields[1]),
        major=_number(major),
        minor=_number(minor),
        root=kernelfiles.unescape(FILE, fields[3], strict=True),
        mount_point=mount_point,
        options=_options(fields[5]),
        propagation=tuple(kernelfiles.unescape(FILE, field) for field in fields[6:] if field),
        fs_type=kernelfiles.unescape(FILE, tail[0]),
        source=kernelfiles.unescape(FILE, tail[1]),
        super_options=_options(tail[2]),
    )


def _number(digits: bytes) -> int:
    return kernelfiles.decimal(FILE, digits.decode("ascii", "replace"))


def _options(field: bytes) -> tuple[str, ...]:
    """Split, then decode: a comma within a value is escaped."""
    return tuple(kernelfiles.unescape(FILE, option) for option in field.split(b",") if option)


def read(pid: int | str = "self") -> tuple[Mount, ...]:
    """Read the mounts that the process *pid* sees.

    :raises OSError: if there is no such process, or no /proc.
    :raises MalformedError: if the file is not as the kernel writes it, or longer than 4 MiB.
    """
    return parse(kernelfiles.read(f"/proc/{pid}/{FILE}"))


def containing(mounts: Iterable[Mount], path: str) -> Mount | None:
    """Return the mount that the canonical absolute *path* is on, walking as the kernel does: hidden mounts do not count.

    ``None`` only in a chroot whose root is not on a listed mount.

    :raises ValueError: if *path* is not absolute.
    """
    if not path.startswith("/"):
        raise ValueError("only an absolute path is on a mount for certain")
    children: dict[int, list[Mount]] = {}
    listed = tuple(mounts)
    known = {mount.mount_id for mount in listed}
    for mount in listed:
        topmost = mount.parent_id not in known or mount.parent_id == mount.mount_id
        children.setdefault(-1 if topmost else mount.parent_id, []).append(mount)
    current, here = None, -1
    while True:
        steps = [mount for mount in children.pop(here, ()) if _is_within(path, mount.mount_point)]
        if not steps:
            return current
        # The shortest is met first on the way down; of two at one place the later one is on top.
        current = min(reversed(steps), key=lambda mount: len(mount.mount_point))
        here = current.mount_id


def _is_within(path: str, directory: str) -> bool:
    return directory == "/" or path == directory or path.startswith(directory + "/")


def at(mounts: Iterable[Mount], path: str) -> Mount | None:
    """Return the topmost mount exactly at the canonical absolute *path*, or ``None``.

    :raises ValueError: if *path* is not absolute.
    """
    found = containing(mounts, path)
    return found if found is not None and found.mount_point == path else None
