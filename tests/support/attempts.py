# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a worker that was taken over would try, each a function of its own.  Tests only; loaded before the worker is confined."""

from __future__ import annotations

import _socket
import ctypes
import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Sequence

from daos_bindings.linux import seccomp, syscalls
from daos_helper.calls import NVME_ADMIN_CMD
from daos_helper.steps import Built, WorkerIO

LIBC = ctypes.CDLL(None, use_errno=True)
BLKGETSIZE64 = 0x80081272
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
CLONE_NEWUSER = 0x10000000


class World:
    """What there is to try it on.

    :ivar public: a folder where everybody may do everything, with the file ``victim`` and the empty folder ``empty``.
    :ivar folder: a descriptor that the step holds, of that folder; -100, which is none, for one that holds only files.
    :ivar file: another, of the file ``held`` in it, opened for reading.
    """

    def __init__(self, public: str, folder: int, file: int) -> None:
        self.public = public
        self.folder = folder
        self.file = file
        self.victim = f"{public}/victim"

    def inside(self, name: str) -> str:
        """Return how to name something in the folder from the descriptor."""
        return name if self.folder >= 0 else f"{self.public}/{name}"


def raw(name: str, *arguments: int) -> int:
    """Make a system call."""
    number = seccomp.number(name)
    if number is None:
        raise OSError(errno.ENOSYS, name)
    found = int(LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(one) for one in arguments)))
    if found < 0:
        raise OSError(ctypes.get_errno(), name)
    return found


def closed(descriptor: int) -> None:
    os.close(descriptor)


def start_thread() -> None:
    thread = threading.Thread(target=lambda: None)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EPERM, "clone") from error
    thread.join()


def start_process() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def use(file: int) -> None:
    """As wiping does, and as plain reading; the file is open for reading alone, so that writing is EBADF once it is let through."""
    os.preadv(file, [bytearray(1)], 0)
    os.pread(file, 1, 0)
    for in_pieces in (True, False):
        try:
            os.pwritev(file, [b"x"], 0) if in_pieces else os.pwrite(file, b"x", 0)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise


def open_for_all(world: World) -> None:
    closed(syscalls.openat2(world.folder, world.inside("victim"), os.O_WRONLY, resolve=0))


ATTEMPTS: dict[str, Callable[[World], object]] = {
    "read and write what it holds": lambda world: use(world.file),
    "read a file": lambda world: closed(os.open(world.victim, os.O_RDONLY)),
    "read /etc/shadow": lambda world: closed(os.open("/etc/shadow", os.O_RDONLY)),
    "read sysfs": lambda world: os.listdir("/sys/class"),
    "write a file": lambda world: closed(os.open(world.victim, os.O_WRONLY)),
    "write below what it holds": lambda world: closed(os.open(world.inside("victim"), os.O_WRONLY, dir_fd=world.folder)),
    "write by openat2": open_for_all,
    "make a file": lambda world: closed(os.open(f"{world.public}/made", os.O_WRONLY | os.O_CREAT)),
    "hold a place": lambda world: closed(os.open(world.inside("victim"), os.O_PATH, dir_fd=world.folder)),
    "list what it holds": lambda world: os.listdir(world.folder if world.folder >= 0 else world.public),
    "open again what it holds": lambda world: closed(os.open(f"/proc/self/fd/{world.file}", os.O_RDWR)),
    "make a folder where it holds one": lambda world: os.mkdir(world.inside("made"), dir_fd=world.folder),
    "make a folder elsewhere": lambda world: os.mkdir("/dev/shm/daos-test-made"),  # noqa: S108 - everybody may, and that is the point
    "remove a file where it holds one": lambda world: os.unlink(world.inside("victim"), dir_fd=world.folder),
    "remove a file elsewhere": lambda world: os.unlink("/dev/shm/daos-test-removed"),  # noqa: S108 - as above
    "change an owner": lambda world: os.chown(world.victim, os.geteuid(), -1),
    "change the owner of what it holds": lambda world: os.fchown(world.file, os.geteuid(), -1),
    "change a mode": lambda world: os.chmod(world.victim, 0o600),
    "change the mode of what it holds": lambda world: os.fchmod(world.file, 0o666),
    "truncate": lambda world: os.truncate(world.victim, 0),
    "rename": lambda world: os.rename(world.victim, f"{world.public}/renamed"),
    "link": lambda world: os.link(world.victim, f"{world.public}/linked"),
    "make a symbolic link": lambda world: os.symlink("/etc/passwd", f"{world.public}/symbolic"),
    "set times": lambda world: os.utime(world.victim, (0, 0)),
    "set an attribute": lambda world: os.setxattr(world.victim, "user.daos", b"x"),
    "execute": lambda world: os.execve("/usr/bin/true", ["true"], {}),  # noqa: S606 - an absolute path
    "start a process": lambda world: start_process(),
    "start a thread": lambda world: start_thread(),
    "map code": lambda world: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "speak to the network": lambda world: closed(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).detach()),
    "make a local socket": lambda world: closed(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM).detach()),
    "signal its monitor": lambda world: os.kill(os.getppid(), 0),
    "signal itself": lambda world: os.kill(os.getpid(), 0),
    "begin a mount": lambda world: closed(syscalls.fsopen("tmpfs")),
    "attach a mount": lambda world: raw("move_mount", -1, 0, -1, 0, 0),
    "detach a mount": lambda world: raw("umount2", 0, UMOUNT_NOFOLLOW),
    "detach a mount lazily": lambda world: raw("umount2", 0, UMOUNT_NOFOLLOW | MNT_DETACH),
    "ask a block device": lambda world: fcntl.ioctl(world.file, BLKGETSIZE64, bytes(8)),
    "command a drive": lambda world: fcntl.ioctl(world.file, NVME_ADMIN_CMD, bytes(72)),
    "type into a terminal": lambda world: fcntl.ioctl(world.file, 0x5412, b"x"),
    "make a namespace": lambda world: raw("clone", CLONE_NEWUSER | 17),
    "lower the limits of others": lambda world: raw("prlimit64", os.getppid(), 7, 0, 0),
}


def run(names: Sequence[str], public: str, folder: int, file: int, _io: WorkerIO) -> Built:
    """Try what is named; say for each the kernel's answer.  A name with ``call:`` before it is a system call with zeros."""
    world = World(public, folder, file)
    said: dict[str, object] = {}
    for name in names:
        try:
            if name.startswith("call:"):
                raw(name.removeprefix("call:"), 0, 0, 0, 0, 0, 0)
            else:
                ATTEMPTS[name](world)
            said[name] = "worked"
        except OSError as error:
            said[name] = errno.errorcode.get(error.errno or 0, str(error))
    return {"said": said}
