# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Making ext4 on an open device, and making sure that it was made."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from daos_bindings.linux import mounts
from daos_helper.accounts import Identity
from daos_helper.consent import mark_unfinished
from daos_helper.content import probe
from daos_helper.context import Context
from daos_helper.device import Device, check_exclusive, udev_lock
from daos_helper.filesystems import MKFS
from daos_helper.privileges import MAKE_EXT4
from daos_helper.steps import Exit, Step, Work, perform
from daos_pbin import codes
from daos_pbin.faults import Fault

Command = Callable[[str, str, Identity], tuple[str, ...]]
"""Makes the argument vector from the path of the open device, the file system's UUID, and the owner of the root directory."""


def make_ext4(device: Device, command: Command, context: Context) -> Work[str]:
    """Run mkfs, then look: a program that says it succeeded is not evidence.

    A record is kept until the file system is about to be mounted, so that a run after a crash knows what nobody has used yet
    from somebody's file system.

    :returns: the UUID of the file system.
    :raises Fault: 2107 if mkfs fails, 2109 if what is there afterwards is not an ext4 file system of ours.
    """
    if not os.access(MKFS, os.X_OK):
        cause = f"{MKFS} is missing: install e2fsprogs"
        raise Fault(codes.STORAGE_MKFS_FAILED, object=device.path, cause=cause, device=device.path, status="could not be started")
    identifier = str(uuid.uuid4())
    arguments = command(f"/proc/self/fd/{device.descriptor}", identifier, context.account)
    check_exclusive(device)
    context.log(f"{device.path}: {' '.join(arguments[:-1])} {device.path}")
    with udev_lock(device):
        mark_unfinished(device, identifier, context.run)
        ended = yield from perform(Step(MAKE_EXT4, device.path, keep=(device.descriptor,), program=arguments), Exit)
    if ended.status != 0:
        status = f"ended with status {ended.status}"
        raise Fault(codes.STORAGE_MKFS_FAILED, object=device.path, cause=ended.output.strip(), device=device.path, status=status)
    probed = yield from probe(device)
    if not probed.is_ours or probed.signatures[0].uuid != identifier:
        raise Fault(codes.STORAGE_FORMAT_UNVERIFIED, object=device.path, device=device.path, found=str(probed))
    return identifier


@contextmanager
def first_mount(device: Device, identifier: str, context: Context) -> Iterator[None]:
    """Put a new file system on record again if it cannot be mounted, so that the next format need not be forced.

    :param identifier: its UUID.
    """
    try:
        yield
    except (Fault, OSError):
        with suppress(OSError):  # without a record the next format must be forced; why this one failed is what is told
            if all((mount.major, mount.minor) != device.number for mount in mounts.read()):
                mark_unfinished(device, identifier, context.run)
        raise
