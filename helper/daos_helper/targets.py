# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Mount points: what is mounted on one now, making a missing one, and taking mounts away, all by descriptor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from msgspec import Struct

from daos_bindings.linux import mounts, syscalls
from daos_bindings.linux.kernelfiles import printable
from daos_bindings.linux.mounts import Mount
from daos_helper.attach import detach
from daos_helper.context import Context
from daos_helper.paths import belongs_to_root, open_directory, split
from daos_helper.privileges import MAKE_ACCOUNT_DIRECTORY, MAKE_MOUNT_POINT, Row
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.envelope import clean
from daos_pbin.faults import Fault

OURS: Final = frozenset({"tmpfs", "ext4"})
"""The file systems that we mount; anything else on a mount root is somebody else's and stays."""
MOUNT_LIMIT: Final = 4096
"""Mounts of the whole machine above which the helper adds none."""
STACK_LIMIT: Final = 8
"""Mounts on top of each other that are taken away before we give up."""


class Made(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a directory was made; False if it had been there."""

    made: bool


def mount_at(path: str) -> Mount | None:
    """Return the topmost mount on exactly this directory, or None.

    :raises Fault: 2105 if a component is a symbolic link.
    :raises FileNotFoundError: if there is no such directory.
    """
    descriptor = open_directory(path)
    try:
        identity = syscalls.statx_mount(descriptor)
    finally:
        os.close(descriptor)
    if not identity.is_mount_root:
        return None
    return by_id(identity.mount_id)


def mount_if_any(path: str) -> Mount | None:
    """As ``mount_at``, with None for a directory that does not exist."""
    try:
        return mount_at(path)
    except FileNotFoundError:
        return None


def by_id(mount_id: int) -> Mount | None:
    """Return the mount with that id."""
    return next((mount for mount in mounts.read() if mount.mount_id == mount_id), None)


def options_of(mount: Mount | None) -> str:
    """Return the options in force, as the kernel shows them."""
    if mount is None:
        return ""
    return clean(",".join(dict.fromkeys((*mount.options, *mount.super_options))))


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open a directory for as long as the block lasts.

    :raises Fault: 2114 if it does not exist, 2105 if a component is a symbolic link.
    """
    try:
        descriptor = open_directory(path)
    except FileNotFoundError as error:
        raise Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=path, path=path, reason="it does not exist") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_in_place(path: str, root: str) -> Iterator[int]:
    """Open a directory that stays where the policy allows it for as long as the block lasts.

    :param root: the mount root that contains it.
    :raises Fault: as ``opened``; 2105 if somebody else than root could move it out of the mount root, 2181 if what is mounted on
        it would be seen only from here.
    """
    with _held_parents(path, root), opened(path) as descriptor:
        _check_seen_by_all(descriptor, path)
        yield descriptor


def _check_seen_by_all(descriptor: int, path: str) -> None:
    """Refuse a place on a slave mount: what is mounted there, or taken away, is so only for us.

    :raises Fault: 2181.
    """
    mount = by_id(syscalls.statx_mount(descriptor).mount_id)
    if mount is not None and mount.is_slave:
        raise Fault(codes.STORAGE_MOUNT_HIDDEN, object=path, path=path, mount=printable(mount.mount_point))


@contextmanager
def _held_parents(path: str, root: str) -> Iterator[int]:
    """Hold all folders from the mount root to the parent of the path, and yield the parent.

    A descriptor keeps its directory when that is renamed.  So every folder must be root's alone, down to the first that is a
    mount of its own: no rename leads out of a mount, and one that is held open cannot be unmounted.  What is above the mount
    root was root's choice when it wrote the policy.
    """
    parent, _ = split(path)
    with ExitStack() as held:
        if path == root:
            yield held.enter_context(opened(parent))
            return
        below = parent.removeprefix(root).split("/")
        folders = [root + "/".join(below[:count]) for count in range(1, len(below) + 1)]
        descriptors = [held.enter_context(opened(folder)) for folder in folders]
        for folder, descriptor in zip(folders, descriptors, strict=True):
            if syscalls.statx_mount(descriptor).is_mount_root:
                break
            if not belongs_to_root(descriptor):
                reason = f"{folder} is not root's alone, so the account or others could move it out of {root} meanwhile"
                raise Fault(codes.STORAGE_PATH_UNSAFE, object=path, path=path, reason=reason)
        yield descriptors[-1]


def make_mount_point(path: str, root: str) -> Work[bool]:
    """Make the directory if it is missing, and the policy's mount root above it; nothing in between.

    :returns: whether the directory was made.
    :raises Fault: 2114 if a folder above it is missing.
    """
    check_count(path)
    made = False
    for directory in dict.fromkeys((root, path)):
        if not _exists(directory):
            made = yield from _make(directory, root, MAKE_MOUNT_POINT, owner=None)
    return made


def make_ready(path: str, context: Context) -> Work[None]:
    """Make the mount point, and make sure that it can be used, before anything is destroyed for its sake.

    :raises Fault: as ``make_mount_point`` and ``opened_in_place``.
    """
    root = context.file.check_target(context.policy, path)
    yield from make_mount_point(path, root)
    with opened_in_place(path, root):
        return


def make_account_directory(path: str, root: str, context: Context) -> Work[bool]:
    """Make a directory that belongs to the account; one that is there must belong to it already.

    :raises Fault: 2114 if it belongs to somebody else or a folder above it is missing, 2105 if its folder is not root's alone.
    """
    if _exists(path):
        with opened(path) as descriptor:
            owner = os.fstat(descriptor).st_uid
        if owner != context.account.uid:
            reason = f"it belongs to uid {owner}, not to the account (uid {context.account.uid})"
            raise Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=path, path=path, reason=reason)
        return False
    if root != path and not _exists(root):
        yield from _make(root, root, MAKE_MOUNT_POINT, owner=None)
    with opened(split(path)[0]) as parent:
        if not belongs_to_root(parent):
            reason = "the folder that it would be made in is not root's alone: make it there as the account"
            raise Fault(codes.STORAGE_PATH_UNSAFE, path=path, reason=reason)
    return (yield from _make(path, root, MAKE_ACCOUNT_DIRECTORY, owner=(context.account.uid, context.account.gid)))


def _exists(path: str) -> bool:
    try:
        os.close(open_directory(path))
    except FileNotFoundError:
        return False
    return True


def _make(path: str, root: str, row: Row, *, owner: tuple[int, int] | None) -> Work[bool]:
    _, name = split(path)
    with _held_parents(path, root) as parent_fd:

        def run(_io: WorkerIO) -> Built:
            os.umask(0o022)
            try:
                os.mkdir(name, 0o755, dir_fd=parent_fd)
            except FileExistsError:
                return {"made": False}
            if owner is not None:
                made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
                if os.fstat(made).st_uid != 0 or os.listdir(made):
                    raise Fault(codes.STORAGE_PATH_UNSAFE, path=path, reason="it was replaced while it was being made")
                os.fchown(made, *owner)
            return {"made": True}

        return (yield from perform(Step(row, path, keep=(parent_fd,), run=run), Made)).made


def unmount(path: str, context: Context) -> Work[bool]:
    """Take away whatever of ours is mounted on the directory.

    :returns: whether anything was.
    :raises Fault: 2106 for a mount that is not ours, 2103 if it is busy, 2181 if only we would see it gone.
    """
    changed = False
    for _ in range(STACK_LIMIT):
        mount = mount_if_any(path)
        if mount is None:
            return changed
        _check_ours(path, mount, context)
        parent, name = split(path)
        with opened(parent) as parent_fd:
            _check_seen_by_all(parent_fd, path)
            detached = yield from detach(path, parent_fd, name, mount.mount_id)
        changed = changed or detached.detached
    raise Fault(codes.STORAGE_MOUNT_BUSY, object=path, target=path, cause=f"{STACK_LIMIT} mounts on top of each other")


def _check_ours(path: str, mount: Mount, context: Context) -> None:
    """Refuse to take away a mount that we did not make: another kind, or a root directory that is not the account's.

    :raises Fault: 2106.
    """
    with opened(path) as descriptor:
        owner = os.fstat(descriptor).st_uid
    if mount.fs_type not in OURS or owner != context.account.uid:
        found = printable(f"{mount.fs_type} from {mount.source}, owned by uid {owner}")
        raise Fault(codes.STORAGE_MOUNT_FOREIGN, object=path, target=path, found=found)


def check_count(path: str) -> None:
    """Refuse to add a mount to a machine that has far more than storage needs: the kernel's table is everybody's.

    :raises Fault: 2114.
    """
    count = len(mounts.read())
    if count >= MOUNT_LIMIT:
        reason = f"this machine has {count} mounts already, and the helper adds none above {MOUNT_LIMIT}"
        raise Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=path, path=path, reason=reason)
