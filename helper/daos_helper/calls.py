# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The system calls that each kind of step may make, one list for a way of working: the column ``calls`` of the privilege table.

What is not in a step's list fails with EPERM, and the kernel logs it; what is in ``NEVER`` ends the worker with SIGSYS, which the caller
is told as a fault.  Calls with arguments behind them are let through only as written.  seccomp does not see what a pointer points to: so
no step opens files by openat2, whose flags are behind one.

The worker has loaded all its code before its list counts (``Row.loads``): no list but those of foreign programs and libraries can map
code, and most can open nothing at all.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

from daos_bindings.linux.seccomp import OWN_PID, When

WHOLE: Final = 0xFFFFFFFF
"""All bits of an argument."""
CLONE_VM, CLONE_THREAD = 0x00000100, 0x00010000
CLONE_NEW: Final = 0x7E020080
"""Every namespace that clone can make (include/uapi/linux/sched.h)."""
UMOUNT_NOFOLLOW: Final = 0x00000008
KIND, BLOCK = 0xFF00, 0x1200
"""Which driver's an ioctl is: 0x12 are those of block devices (include/uapi/linux/fs.h)."""
NVME_ADMIN_CMD: Final = 0xC0484E41
"""include/uapi/linux/nvme_ioctl.h"""
OPENS: Final = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
AF_UNIX, AF_NETLINK = 1, 16

Calls = tuple[str | When, ...]

BASE: Final[Calls] = (
    # what it has open
    *("read", "readv", "write", "writev", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2"),
    *("lseek", "close", "close_range", "fcntl"),
    *("dup", "dup2", "dup3", "poll", "ppoll", "select", "pselect6", "pause", "fdatasync", "fsync", "fadvise64"),
    # what a file is; nothing in it
    *("fstat", "newfstatat", "stat", "lstat", "statx", "fstatfs", "getcwd"),
    # its memory, which it cannot run
    *("munmap", "mremap", "madvise", "brk", "msync", "mincore"),
    When("mmap", 2, mmap.PROT_EXEC, (0,)),
    When("mprotect", 2, mmap.PROT_EXEC, (0,)),
    # its time, signals and end; a C library's last words are a signal to itself
    *("futex", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time", "restart_syscall", "sched_yield"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack", "exit", "exit_group"),
    When("tgkill", 0, WHOLE, (OWN_PID,)),
    When("kill", 0, WHOLE, (OWN_PID,)),
    # what it is
    *("getpid", "getppid", "gettid", "getpgrp", "getsid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups"),
    *("getrlimit", "getrusage", "times", "sched_getaffinity", "getcpu", "sysinfo", "uname", "getrandom", "umask"),
    When("prlimit64", 0, WHOLE, (0,)),  # of itself: limits that it may lower
    # what glibc does at the start of a thread or of a program
    *("set_robust_list", "get_robust_list", "rseq", "set_tid_address", "membarrier", "arch_prctl"),
)
"""Reading and writing what is open, memory, time: every step."""

THREADS: Final[Calls] = (When("clone", 0, CLONE_VM | CLONE_THREAD | CLONE_NEW, (CLONE_VM | CLONE_THREAD,)),)
"""Threads, and neither processes nor namespaces."""
BLOCK_DEVICE: Final[Calls] = (When("ioctl", 1, KIND, (BLOCK,)),)
DRIVES: Final[Calls] = (When("ioctl", 1, WHOLE, (0x80280215, 0x5326, 0x5331, 0x5395)),)
"""FDGETFDCSTAT, CDROM_DRIVE_STATUS, CDROM_GET_CAPABILITY, CDROM_LAST_WRITTEN: libblkid asks each device whether it is such a drive."""
A_PLACE: Final[Calls] = (When("openat", 2, OPENS | os.O_PATH, (os.O_PATH,)),)
"""Holding a place in the file system, whose content stays closed."""
FOLDERS: Final[Calls] = (When("openat", 2, OPENS | os.O_DIRECTORY, (os.O_DIRECTORY,)), "getdents64")
"""Listing a folder."""
FILES: Final[Calls] = (
    *(When("openat", 2, OPENS, (os.O_RDONLY,)), When("open", 1, OPENS, (os.O_RDONLY,))),
    *("getdents64", "readlink", "readlinkat", "access", "faccessat", "faccessat2", "statfs", "chdir", "fchdir"),
)
"""Reading files and folders by name."""
CODE: Final[Calls] = ("mmap", "mprotect")
"""Mapping code: a program, or a library that loads more of itself."""
EVENTS: Final[Calls] = (
    *("epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "timerfd_create", "timerfd_settime"),
    *("pipe", "pipe2"),
)
"""Waiting for several things at a time."""
MOUNTS: Final[Calls] = ("fsopen", "fsconfig", "fsmount")
"""Making a mount that is nowhere yet."""

LISTS: Final[dict[str, Calls]] = {
    "attach": (*BASE, *MOUNTS, "move_mount"),
    "inspect": (*BASE, *MOUNTS),
    "detach": (*BASE, *A_PLACE, "fchdir", When("umount2", 1, WHOLE, (UMOUNT_NOFOLLOW,))),
    "open descriptors": BASE,
    "libblkid": (*BASE, *FILES, *BLOCK_DEVICE, *DRIVES),
    "libblkid, in threads": (*BASE, *FILES, *BLOCK_DEVICE, *DRIVES, *THREADS),
    "block devices": (*BASE, *BLOCK_DEVICE, *THREADS),
    "driver files": (*BASE, *THREADS, "readlinkat"),
    "NVMe commands": (*BASE, *THREADS, When("ioctl", 1, WHOLE, (NVME_ADMIN_CMD,))),
    "one folder": (*BASE, "mkdir", "mkdirat"),
    "one folder to own": (*BASE, *FOLDERS, "mkdir", "mkdirat", "fchown"),
    "owner of a descriptor": (*BASE, "fchown"),
    "owner of a node": (*BASE, "chown", "fchownat", "chmod", "fchmodat"),
    "stale files": (*BASE, *FOLDERS, "unlink", "unlinkat", When("kill", 1, WHOLE, (0,))),
    "files, to read": (*BASE, *FILES),
    "mke2fs": (
        *BASE,
        *FILES,
        *CODE,
        *BLOCK_DEVICE,
        *DRIVES,
        When("ioctl", 1, WHOLE, (0x5401, 0x5450, 0x5451, 0x0301)),  # TCGETS, FIONCLEX, FIOCLEX, HDIO_GETGEO
        When("prctl", 0, WHOLE, (3,)),  # PR_GET_DUMPABLE
        *(When("openat", 2, os.O_CREAT, (0,)), When("open", 1, os.O_CREAT, (0,))),
        *("execve", "fallocate", "ftruncate", "alarm"),
    ),
    "SPDK": (
        *BASE,
        *FILES,
        *CODE,
        *THREADS,
        *("open", "openat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "ftruncate", "fallocate", "flock", "ioctl", "memfd_create"),
        *(When("socket", 0, WHOLE, (AF_UNIX, AF_NETLINK)), "socketpair", "bind", "listen", "connect", "accept4", "getsockname"),
        *("getsockopt", "setsockopt", "sendto", "sendmsg", "recvfrom", "recvmsg", "shutdown"),
        *EVENTS,
        *("mlock", "mlock2", "mlockall", "munlock", "munlockall", "mbind", "get_mempolicy", "set_mempolicy", "move_pages"),
        *("sched_setaffinity", "sched_getparam", "sched_getscheduler", "sched_get_priority_min", "sched_get_priority_max"),
        *("prctl", "getpriority", "copy_file_range"),
        When("kill", 1, WHOLE, (0,)),
    ),
    "ndctl": (
        *(*BASE, *FILES, *CODE, "open", "openat", "ioctl", "execve", "flock", "fallocate", "ftruncate", "prctl"),
        *EVENTS,
    ),
    "libipmctl": (
        *(*BASE, *FILES, *CODE, *THREADS, "open", "openat", "ioctl", "flock", "fallocate", "ftruncate", "prctl"),
        *("unlink", "unlinkat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "rmdir"),
        *("shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semctl"),
    ),
}
"""By the name that the privilege table has in its column ``calls``."""

NEVER: Final = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"),  # into other processes
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "bpf"),  # into the kernel
    *("setns", "unshare", "mount", "mount_setattr", "open_tree", "pivot_root", "chroot"),  # to another view of the machine
    *("keyctl", "add_key", "request_key"),
    *("perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),  # large parts of the kernel
    *("open_by_handle_at", "swapon", "swapoff", "acct", "quotactl", "settimeofday", "clock_settime", "sethostname", "setdomainname"),
)
"""What no step has ever a reason to try: who does was taken over."""
NOT_HERE: Final = ("clone3",)
"""Whose arguments are behind a pointer: glibc then uses clone."""
