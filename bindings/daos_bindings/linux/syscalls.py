# SPDX-License-Identifier: BSD-2-Clause-Patent
"""System calls that Python's ``os`` lacks, one function per call.

Each raises ``OSError(errno, strerror, what)``, where *what* is the path or option concerned, else the name of the call.
Constants are the kernel's own (``include/uapi/linux/openat2.h``, ``mount.h``); their values are ABI.
"""

from __future__ import annotations

import errno
import os

import msgspec

from daos_bindings._linux import ffi, lib

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

MOUNT_ATTR_RDONLY = 0x00000001
MOUNT_ATTR_NOSUID = 0x00000002
MOUNT_ATTR_NODEV = 0x00000004
MOUNT_ATTR_NOEXEC = 0x00000008
MOUNT_ATTR_RELATIME = 0x00000000
MOUNT_ATTR_NOATIME = 0x00000010
MOUNT_ATTR_NODIRATIME = 0x00000080
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000

OPEN_TRIES = 64
"""A racer who renames all the time can make an open fail, but not last."""

CONTEXT_MESSAGE_LIMIT = 8192
CONTEXT_MESSAGES = 16
"""More than the kernel keeps for one context (8, ``struct fc_log``), so that reading ends for certain."""


class MountIdentity(msgspec.Struct, frozen=True):
    """Which mount a descriptor is on.

    :param mount_id: the ``mount_id`` of mountinfo; the kernel may use it again once the mount is gone.
    :param is_mount_root: whether the descriptor is the root of that mount, so that unmounting its path would unmount this.
    :param major: device number of the file system.
    :param minor: device number of the file system.
    """

    mount_id: int
    is_mount_root: bool
    major: int
    minor: int


class CapSets(msgspec.Struct, frozen=True):
    """The calling thread's capability sets, as bit masks."""

    effective: int
    permitted: int
    inheritable: int


class Thread(msgspec.Struct, frozen=True):
    """Of the calling thread: bounding and ambient set as masks, the file system's ids, and whether it can gain nothing."""

    bounding: int
    ambient: int
    fsuid: int
    fsgid: int
    no_new_privs: bool


def _checked(rc: int, what: str) -> int:
    """Return *rc*, or raise the error that a negative one is."""
    if rc < 0:
        raise OSError(-rc, os.strerror(-rc), what)
    return rc


def _text(text: str) -> bytes:
    """Encode an argument; C would silently stop at a NUL, so there must be none."""
    if "\0" in text:
        raise ValueError("a system call argument contains a NUL byte")
    return os.fsencode(text)


def openat2(dirfd: int, path: str, flags: int, *, resolve: int) -> int:
    """Open *path* below *dirfd* (or ``AT_FDCWD``, -100) as ``RESOLVE_*`` allows.  The descriptor is close-on-exec.

    :raises OSError: ``ELOOP`` for a refused link, ``EXDEV`` for leaving the tree or file system, ``EAGAIN`` when
        renames elsewhere never stop, and those of open(2).
    """
    target = _text(path)
    tries = 0
    while (rc := int(lib.daos_openat2(dirfd, target, flags, resolve))) == -errno.EAGAIN and tries < OPEN_TRIES:
        # A rename elsewhere can keep the kernel from proving RESOLVE_BENEATH; openat2(2) says to try again.
        tries += 1
    return _checked(rc, path)


def fsopen(fs_type: str) -> int:
    """Start a file system of *fs_type*; returns the context's descriptor."""
    return _checked(int(lib.daos_fsopen(_text(fs_type))), f"fsopen {fs_type}")


def fsconfig_flag(fd: int, key: str) -> None:
    """Give the context *fd* an option without a value."""
    _checked(int(lib.daos_fsconfig_flag(fd, _text(key))), f"fsconfig {key}")


def fsconfig_string(fd: int, key: str, value: str) -> None:
    """Give the context *fd* the option *key*; ``source`` is the device."""
    _checked(int(lib.daos_fsconfig_string(fd, _text(key), _text(value))), f"fsconfig {key}={value}")


def fsconfig_create(fd: int) -> None:
    """Make the file system that the context *fd* describes."""
    _checked(int(lib.daos_fsconfig_create(fd)), "fsconfig create")


def fscontext_messages(fd: int) -> tuple[str, ...]:
    """Take the kernel's explanations out of the context *fd*, oldest first, each like ``e tmpfs: Bad value for 'size'``."""
    messages: list[str] = []
    for _ in range(CONTEXT_MESSAGES):
        try:
            message = os.read(fd, CONTEXT_MESSAGE_LIMIT)
        except OSError:
            # ENODATA ends the list; whatever else goes wrong must not hide the error that is being explained.
            break
        messages.append(message.decode("utf-8", "backslashreplace").strip())
    return tuple(messages)


def fsmount(fd: int, attributes: int) -> int:
    """Make a detached mount of the created context *fd* with ``MOUNT_ATTR_*``; returns its descriptor.

    Closing the descriptor before ``move_mount`` makes the mount vanish.
    """
    return _checked(int(lib.daos_fsmount(fd, attributes)), "fsmount")


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the mount *mount_fd* on the directory that *target_fd* is, both by descriptor alone."""
    _checked(int(lib.daos_move_mount(mount_fd, target_fd)), "move_mount")


def umount_nofollow(path: str) -> None:
    """Unmount what is mounted at *path*, whose last component must not be a link.  Never lazily: busy is ``EBUSY``."""
    _checked(int(lib.daos_umount_nofollow(_text(path))), path)


def statx_mount(fd: int) -> MountIdentity:
    """Tell which mount *fd* is on.

    :raises OSError: ``ENOTSUP`` on a kernel older than 5.8, which cannot say.
    """
    found = ffi.new("struct daos_mount_identity *")
    _checked(int(lib.daos_statx_mount(fd, found)), "statx")
    return MountIdentity(int(found.mount_id), bool(found.is_mount_root), int(found.major), int(found.minor))


def capget() -> CapSets:
    """Read the calling thread's capability sets."""
    found = ffi.new("struct daos_capability_sets *")
    _checked(int(lib.daos_capget(found)), "capget")
    return CapSets(int(found.effective), int(found.permitted), int(found.inheritable))


def capset(*, effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's capability sets.

    :raises OSError: ``EPERM`` if a set would gain what it may not have.
    """
    wanted = ffi.new("struct daos_capability_sets *", (effective, permitted, inheritable))
    _checked(int(lib.daos_capset(wanted)), "capset")


def bounding_has(capability: int) -> bool:
    """Tell whether the bounding set has *capability*.

    :raises OSError: ``EINVAL`` if the kernel knows no such capability.
    """
    return bool(_checked(int(lib.daos_bounding_read(capability)), "prctl PR_CAPBSET_READ"))


def bounding_drop(capability: int) -> None:
    """Take *capability* out of the bounding set, for good.  Needs CAP_SETPCAP."""
    _checked(int(lib.daos_bounding_drop(capability)), "prctl PR_CAPBSET_DROP")


def ambient_clear() -> None:
    """Empty the ambient set."""
    _checked(int(lib.daos_ambient_clear()), "prctl PR_CAP_AMBIENT_CLEAR_ALL")


def ambient_raise(capability: int) -> None:
    """Put *capability* into the ambient set.  Only ``privileges.prove`` asks for it, to be refused."""
    _checked(int(lib.daos_ambient_raise(capability)), "prctl PR_CAP_AMBIENT_RAISE")


def set_dumpable(dumpable: bool) -> None:
    """Say whether this process may dump core and be traced by its own uid."""
    _checked(int(lib.daos_set_dumpable(int(dumpable))), "prctl PR_SET_DUMPABLE")


def set_securebits(bits: int) -> None:
    """Set the thread's secure bits.  Needs CAP_SETPCAP.  (python-prctl refuses the two bits about the ambient set.)"""
    _checked(int(lib.daos_set_securebits(bits)), "prctl PR_SET_SECUREBITS")


def read_thread(last_capability: int) -> Thread:
    """Read what the kernel holds of the calling thread, as /proc/self/status would say."""
    found = ffi.new("struct daos_thread *")
    _checked(int(lib.daos_read_thread(last_capability, found)), "prctl")
    return Thread(int(found.bounding), int(found.ambient), int(found.fsuid), int(found.fsgid), bool(found.no_new_privs))


def capability_that_comes_back(held: int, last_capability: int) -> tuple[int, bool] | None:
    """Ask the kernel for every capability outside *held*, for the thread and for its children.

    Returns the first that is granted, and whether it is for children; None if all are refused.

    In one call, because it is some eighty refusals in the start of every worker.
    """
    number = int(lib.daos_capability_that_comes_back(held, last_capability))
    return None if number < 0 else (number % 64, number >= 64)
