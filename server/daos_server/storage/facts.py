# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Looks at the storage that a configuration names: mounts and files; what only root sees, through the helper.

Changes nothing.  What cannot be looked at becomes a fault in the facts, so that a scan can say so and a plan can refuse.
"""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING, Protocol

from daos_bindings.linux import block, kernelfiles, mounts
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Dcpm, MetadataNeedsFormat, Ramdisk, ScmCheckFormat
from daos_server.plan import nvme
from daos_server.plan.access import at_start
from daos_server.plan.facts import EngineState, FileState, MetadataState, Mounted, ScmState, Storage
from daos_server.plan.units import bytes_text
from daos_server.storage import files, nvme_conf, ssds
from daos_server.storage.filesystems import OURS, check_metadata_file_system
from daos_server.storage.host_facts import kernel_files
from daos_server.storage.topology import buses_of_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from daos_bindings.linux.mounts import Mount
    from daos_pbin.envelope import Progress
    from daos_pbin.messages import Request, ResultT
    from daos_server.plan.host import HostFacts
    from daos_server.plan.nvme import Ssd
    from daos_server.plan.wanted import Engine, Scm, Wanted

NAMES_LIMIT = 16
"""Most names of a mounted root that are kept."""
SUPERBLOCK = "superblock"
LOST_AND_FOUND = "lost+found"

ASK_S = 60.0
"""Seconds that a question to the helper may take."""


class Helper(Protocol):
    """What is needed of a helper session."""

    async def call(
        self, request: Request[ResultT], *, deadline_s: float = ..., on_progress: Callable[[Progress], None] | None = None
    ) -> ResultT:
        """Make a request and return its result; raises ``Fault``."""


async def gather(wanted: Wanted, helper: Helper, host: HostFacts, *, ask: bool = True) -> Storage:
    """Look at everything that a format, a reset or a scan of this configuration is about.

    :param ask: ask its SSDs what they are, too; the helper is needed for that.
    """
    with kernel_files():
        table = mounts.read()
    metadata, *states = await asyncio.gather(_metadata(wanted, helper, table), *(_scm(engine, helper, table) for engine in wanted.engines))
    scms = [state for state in states if isinstance(state, ScmState)]
    return Storage(
        host=host,
        metadata=metadata if isinstance(metadata, MetadataState) else MetadataState(),
        metadata_mount=mounted(wanted.metadata_root, table) if wanted.metadata_root else Mounted(),
        engines=tuple(_engine(wanted, engine, scm) for engine, scm in zip(wanted.engines, scms, strict=True)),
        ssds=await _ssds(wanted, helper, host, ask=ask) if wanted.nvme_devices else {},
    )


async def _ssds(wanted: Wanted, helper: Helper, host: HostFacts, *, ask: bool) -> dict[str, Ssd]:
    found = ssds.read()
    vmd = at_start(wanted, host).vmd
    named = [address for address in wanted.nvme_devices if nvme.obstacle(address, found, vmd=vmd) is None]
    if not ask or not named:
        return found
    try:
        return (await ssds.ask(found, helper, named, vmd=vmd, health=False))[0]
    except Fault as fault:
        return ssds.unasked(found, fault)


def mounted(path: str, table: tuple[Mount, ...]) -> Mounted:
    """Look at a canonical path: is something mounted exactly there, and what is in it."""
    mount = mounts.at(table, path) if path else None
    if mount is None:
        return Mounted()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return Mounted(kind=mount.fs_type, content=None)
    try:
        status = os.fstatvfs(descriptor)
        is_ours = mount.fs_type in OURS and os.fstat(descriptor).st_uid == os.geteuid()
        names = sorted(name for name in os.listdir(descriptor) if name != LOST_AND_FOUND)
    except OSError:
        return Mounted(kind=mount.fs_type, content=None)
    finally:
        os.close(descriptor)
    content = tuple(kernelfiles.printable(name) for name in names[:NAMES_LIMIT])
    return Mounted(kind=mount.fs_type, content=content, size=status.f_blocks * status.f_frsize, is_ours=is_ours)


def describe_mount(mount: Mounted) -> str:
    """Return a mount in words, such as ``tmpfs of 8.0 GiB, mounted, with daos_nvme.conf``."""
    size = f" of {bytes_text(mount.size)}" if mount.size else ""
    if mount.content is None:
        inside = "with content that the server's account cannot list"
    elif not mount.content:
        inside = "empty"
    else:
        more = len(mount.content) - 3
        inside = "with " + ", ".join(mount.content[:3]) + (f" and {'more' if more + 3 == NAMES_LIMIT else more} others" if more > 0 else "")
    return f"{mount.kind}{size}, mounted, {inside}"


# SCM


async def _scm(engine: Engine, helper: Helper, table: tuple[Mount, ...]) -> ScmState:
    scm = engine.scm
    if scm is None:
        return ScmState()
    here = mounted(scm.mount, table)
    device = os.path.realpath(scm.device) if scm.device else ""
    if here.kind and not here.is_ours:
        foreign = Fault(codes.STORAGE_MOUNT_FOREIGN, object=scm.mount, target=scm.mount, found=describe_mount(here))
        return ScmState(formatted=True, mounted=True, device=device, mount=here, fault=foreign)
    if here.kind:
        return ScmState(formatted=True, mounted=True, found=describe_mount(here), device=device, mount=here)
    if scm.storage_class == "ram":
        return await _ramdisk(scm, helper)
    return await _device(scm, device, helper)


async def _ramdisk(scm: Scm, helper: Helper) -> ScmState:
    """Ask only whether the helper may mount there: better known before other things are destroyed than after."""
    try:
        await helper.call(ScmCheckFormat(mountpoint=scm.mount, ramdisk=Ramdisk(size_gib=max(scm.size_gib, 1))), deadline_s=ASK_S)
    except Fault as fault:
        return ScmState(found="nothing is mounted", fault=fault)
    return ScmState(found="nothing is mounted")


async def _device(scm: Scm, device: str, helper: Helper) -> ScmState:
    try:
        found = await helper.call(ScmCheckFormat(mountpoint=scm.mount, dcpm=Dcpm(device=device)), deadline_s=ASK_S)
    except Fault as fault:
        return ScmState(device=device, fault=fault)
    return ScmState(formatted=found.formatted, mounted=found.mounted, mountable=found.mountable, found=found.found, device=device)


# Control metadata


async def _metadata(wanted: Wanted, helper: Helper, table: tuple[Mount, ...]) -> MetadataState:
    root = wanted.metadata_root
    if not root:
        return MetadataState(needs_format=False)
    if wanted.metadata_device:
        return await _metadata_device(root, os.path.realpath(wanted.metadata_device), helper)
    try:
        check_metadata_file_system(root, table)
    except Fault as fault:
        return MetadataState(fault=fault)
    return await _metadata_folder(wanted, helper)


async def _metadata_folder(wanted: Wanted, helper: Helper) -> MetadataState:
    root, data = wanted.metadata_root, wanted.data_path
    try:
        found = os.stat(root, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            reason = "it is not a directory"
            return MetadataState(fault=Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=root, path=root, reason=reason))
        names = os.listdir(data)
    except FileNotFoundError:
        missing = data if os.path.isdir(root) else root
        return MetadataState(reason=f"{missing} does not exist")
    except PermissionError:
        return await _ask_metadata(root, "", helper)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        return MetadataState(fault=Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=data, path=data, reason=reason))
    inside = f"{data} with {len(names)} entries" if names else f"{data}, empty"
    return MetadataState(needs_format=False, reason=f"{data} exists", formatted=bool(names), found=inside)


async def _ask_metadata(root: str, device: str, helper: Helper) -> MetadataState:
    try:
        found = await helper.call(MetadataNeedsFormat(root_path=root, device=device), deadline_s=ASK_S)
    except Fault as fault:
        return MetadataState(device=device, fault=fault)
    return MetadataState(
        needs_format=found.needs_format,
        reason=found.reason,
        mounted=found.mounted,
        formatted=not found.needs_format,
        mountable=not found.needs_format,
        found=found.reason,
        device=device,
    )


async def _metadata_device(root: str, device: str, helper: Helper) -> MetadataState:
    state = await _ask_metadata(root, device, helper)
    if state.fault is not None or not state.needs_format:
        return state
    try:
        # It needs a format; whether there is anything on it that a format destroys is the same question as for SCM.
        found = await helper.call(ScmCheckFormat(mountpoint=root, dcpm=Dcpm(device=device)), deadline_s=ASK_S)
    except Fault as fault:
        return MetadataState(device=device, fault=fault)
    return MetadataState(
        needs_format=True,
        reason=state.reason,
        mounted=state.mounted or found.mounted,
        formatted=found.formatted,
        mountable=found.mountable or found.mounted,
        found=found.found,
        device=device,
    )


# Engines


def _engine(wanted: Wanted, engine: Engine, scm: ScmState) -> EngineState:
    return EngineState(
        scm=scm,
        files={
            device: _bdev(tier.storage_class, device) for tier in engine.bdevs for device in tier.devices if tier.storage_class != "nvme"
        },
        nvme_conf=nvme_conf.read(engine.nvme_conf) if engine.nvme_conf else None,
        superblock=_has_superblock(engine),
        buses=buses_of_node(engine.numa_node) if wanted.enable_hotplug else None,
    )


def _has_superblock(engine: Engine) -> bool | None:
    folder = engine.metadata_dir or (engine.scm.mount if engine.scm else "")
    try:
        os.stat(f"{folder}/{SUPERBLOCK}", follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    return True


def _bdev(storage_class: str, device: str) -> FileState:
    if storage_class == "file":
        return files.inspect(device)
    try:
        found = os.stat(device)
    except FileNotFoundError:
        return FileState(problem=Fault(codes.STORAGE_DEVICE_NOT_BLOCK, object=device, path=device, what="missing"))
    except OSError as error:
        what = f"out of reach ({os.strerror(error.errno or 0)})"
        return FileState(problem=Fault(codes.STORAGE_DEVICE_NOT_BLOCK, object=device, path=device, what=what))
    if not stat.S_ISBLK(found.st_mode):
        return FileState(problem=Fault(codes.STORAGE_DEVICE_NOT_BLOCK, object=device, path=device, what="something else"))
    return FileState(exists=True, problem=_used(device, found.st_rdev))


def _used(device: str, number: int) -> Fault | None:
    """Return fault 2100 for a device that is in use: the engine writes to all of it."""
    with kernel_files():
        identity = block.by_number(os.major(number), os.minor(number))
        for usage in () if identity is None else block.usage(identity, block.UsageTable(mounts.read())):
            found = f"{usage.kind} {kernelfiles.printable(usage.detail)} on {usage.device}"
            return Fault(codes.STORAGE_DEVICE_IN_USE, object=device, device=device, found=found)
    return None
