# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Builds ``daos_bindings._linux``: the system calls that Python's ``os`` does not have.

Only libc and kernel headers are needed.  Every call goes through ``syscall(2)``, so that glibc 2.34 (EL9), which has no wrapper
for most of them, is enough.  Each C function answers with the result, or with ``-errno``; ``syscalls.py`` makes that an OSError.
"""

from pathlib import Path

from cffi import FFI

CALLS = """
accept4 access acct add_key alarm arch_prctl bind bpf brk chdir chmod chown chroot clock_getres clock_gettime clock_nanosleep
clock_settime clone clone3 close close_range connect copy_file_range delete_module dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
epoll_pwait epoll_wait eventfd2 execve exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmodat fchown fchownat fcntl
fdatasync finit_module flock fsconfig fsmount fsopen fstat fstatfs fsync ftruncate futex get_mempolicy get_robust_list getcpu getcwd
getdents64 getegid geteuid getgid getgroups getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid
getsockname getsockopt gettid gettimeofday getuid init_module io_uring_enter io_uring_register io_uring_setup ioctl kcmp kexec_file_load
kexec_load keyctl kill landlock_create_ruleset landlock_restrict_self listen lseek lstat madvise mbind membarrier memfd_create mincore
mkdir mkdirat mlock mlock2 mlockall mmap mount mount_setattr move_mount move_pages mprotect mremap msync munlock munlockall munmap
nanosleep newfstatat open open_by_handle_at open_tree openat pause perf_event_open pidfd_getfd pipe pipe2 pivot_root poll ppoll prctl
pread64 preadv preadv2 prlimit64 process_madvise process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 quotactl
read readlink readlinkat readv reboot recvfrom recvmsg rename renameat renameat2 request_key restart_syscall rmdir rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigreturn rt_sigtimedwait sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam
sched_getscheduler sched_setaffinity sched_yield seccomp select semctl semget semop sendmsg sendto set_mempolicy set_robust_list
set_tid_address setdomainname sethostname setns setsockopt settimeofday shmat shmctl shmdt shmget shutdown sigaltstack socket socketpair
stat statfs statx swapoff swapon sysinfo tgkill time timerfd_create timerfd_settime times umask umount2 uname unlink unlinkat unshare
userfaultfd write writev
"""
"""System calls whose numbers ``seccomp.py`` can tell: those that the helper's lists name, and nothing else."""

DECLARATIONS = """
long daos_openat2(int directory, const char *path, uint64_t flags, uint64_t resolve);
long daos_fsopen(const char *fs_type);
long daos_fsconfig_flag(int fs, const char *key);
long daos_fsconfig_string(int fs, const char *key, const char *value);
long daos_fsconfig_create(int fs);
long daos_fsmount(int fs, unsigned int attributes);
long daos_move_mount(int mount, int target);
long daos_umount_nofollow(const char *path);

struct daos_mount_identity {
    uint64_t mount_id;
    int is_mount_root;
    uint32_t major;
    uint32_t minor;
};
long daos_statx_mount(int fd, struct daos_mount_identity *found);

struct daos_capability_sets {
    uint64_t effective;
    uint64_t permitted;
    uint64_t inheritable;
};
long daos_capget(struct daos_capability_sets *found);
long daos_capset(const struct daos_capability_sets *wanted);

long daos_bounding_read(unsigned long capability);
long daos_bounding_drop(unsigned long capability);
long daos_ambient_clear(void);
long daos_ambient_raise(unsigned long capability);
long daos_set_dumpable(int dumpable);
long daos_set_securebits(unsigned long bits);

struct daos_thread {
    uint64_t bounding;
    uint64_t ambient;
    uint32_t fsuid;
    uint32_t fsgid;
    int no_new_privs;
};
long daos_read_thread(int last_capability, struct daos_thread *found);
long daos_capability_that_comes_back(uint64_t held, int last_capability);

struct daos_clock {
    int state;
    int status;
    int64_t max_error_us;
};
long daos_read_clock(struct daos_clock *found);

long daos_landlock_version(void);
long daos_landlock_ruleset(uint64_t fs, uint64_t net, uint64_t scoped);
long daos_landlock_allow(int ruleset, int place, uint64_t fs);
long daos_landlock_restrict(int ruleset, uint32_t flags);

#define DAOS_SECCOMP_ARCH ...
long daos_seccomp_available(void);
long daos_seccomp_load(const char *code, unsigned short instructions);
long daos_call_number(const char *name);
"""

SOURCE = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>

/* Numbers newer than the oldest headers this may be built with; the same on every architecture unless said otherwise. */
#ifndef SYS_move_mount             /* include/uapi/asm-generic/unistd.h, Linux 5.2 */
#define SYS_move_mount 429
#endif
#ifndef SYS_fsopen                 /* as above */
#define SYS_fsopen 430
#endif
#ifndef SYS_fsconfig               /* as above */
#define SYS_fsconfig 431
#endif
#ifndef SYS_fsmount                /* as above */
#define SYS_fsmount 432
#endif
#ifndef SYS_openat2                /* as above, Linux 5.6 */
#define SYS_openat2 437
#endif
#ifndef SYS_close_range            /* as above, Linux 5.9 */
#define SYS_close_range 436
#endif
#ifndef SYS_faccessat2             /* as above, Linux 5.8 */
#define SYS_faccessat2 439
#endif
#ifndef SYS_mount_setattr          /* as above, Linux 5.12 */
#define SYS_mount_setattr 442
#endif
#ifndef SYS_landlock_create_ruleset /* as above, Linux 5.13 */
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#ifndef UMOUNT_NOFOLLOW            /* include/linux/fs.h; glibc has it in sys/mount.h, which clashes with linux/mount.h */
#define UMOUNT_NOFOLLOW 0x00000008
#endif
#ifndef AT_EMPTY_PATH              /* include/uapi/linux/fcntl.h */
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef STATX_MNT_ID               /* include/uapi/linux/stat.h, Linux 5.8 */
#define STATX_MNT_ID 0x00001000U
#endif
#ifndef STATX_ATTR_MOUNT_ROOT      /* include/uapi/linux/stat.h, Linux 5.8 */
#define STATX_ATTR_MOUNT_ROOT 0x00002000
#endif
#ifndef PR_CAP_AMBIENT             /* include/uapi/linux/prctl.h, Linux 4.3 */
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_IS_SET 1
#define PR_CAP_AMBIENT_RAISE 2
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

/* This machine's kind of system calls, as a filter is told it (include/uapi/linux/audit.h); a filter refuses every other kind. */
#if defined(__x86_64__)
#define DAOS_SECCOMP_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define DAOS_SECCOMP_ARCH AUDIT_ARCH_AARCH64
#else
#error "the numbers of system calls were only looked at for x86_64 and aarch64"
#endif

struct daos_mount_identity {
    uint64_t mount_id;
    int is_mount_root;
    uint32_t major;
    uint32_t minor;
};

struct daos_capability_sets {
    uint64_t effective;
    uint64_t permitted;
    uint64_t inheritable;
};

struct daos_thread {
    uint64_t bounding;
    uint64_t ambient;
    uint32_t fsuid;
    uint32_t fsgid;
    int no_new_privs;
};

struct daos_clock {
    int state;
    int status;
    int64_t max_error_us;
};

static long result(long rc)
{
    return rc < 0 ? -(long)errno : rc;
}

static long daos_openat2(int directory, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how;

    memset(&how, 0, sizeof(how));
    how.flags = flags | O_CLOEXEC;
    how.resolve = resolve;
    return result(syscall(SYS_openat2, directory, path, &how, sizeof(how)));
}

static long daos_fsopen(const char *fs_type)
{
    return result(syscall(SYS_fsopen, fs_type, FSOPEN_CLOEXEC));
}

static long daos_fsconfig_flag(int fs, const char *key)
{
    return result(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0));
}

static long daos_fsconfig_string(int fs, const char *key, const char *value)
{
    return result(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0));
}

static long daos_fsconfig_create(int fs)
{
    return result(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}

static long daos_fsmount(int fs, unsigned int attributes)
{
    return result(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes));
}

static long daos_move_mount(int mount, int target)
{
    return result(syscall(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static long daos_umount_nofollow(const char *path)
{
    return result(syscall(SYS_umount2, path, UMOUNT_NOFOLLOW));
}

static long daos_statx_mount(int fd, struct daos_mount_identity *found)
{
    struct statx status;

    memset(&status, 0, sizeof(status));
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0)
        return -(long)errno;
    /* An older kernel leaves out what it does not know, without an error. */
    if (!(status.stx_mask & STATX_MNT_ID) || !(status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
        return -(long)ENOTSUP;
    found->mount_id = status.stx_mnt_id;
    found->is_mount_root = (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    found->major = status.stx_dev_major;
    found->minor = status.stx_dev_minor;
    return 0;
}

static long daos_capget(struct daos_capability_sets *found)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct half[_LINUX_CAPABILITY_U32S_3];

    memset(half, 0, sizeof(half));
    if (syscall(SYS_capget, &header, half) < 0)
        return -(long)errno;
    found->effective = half[0].effective | (uint64_t)half[1].effective << 32;
    found->permitted = half[0].permitted | (uint64_t)half[1].permitted << 32;
    found->inheritable = half[0].inheritable | (uint64_t)half[1].inheritable << 32;
    return 0;
}

static long daos_capset(const struct daos_capability_sets *wanted)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct half[_LINUX_CAPABILITY_U32S_3];

    half[0].effective = (uint32_t)wanted->effective;
    half[0].permitted = (uint32_t)wanted->permitted;
    half[0].inheritable = (uint32_t)wanted->inheritable;
    half[1].effective = (uint32_t)(wanted->effective >> 32);
    half[1].permitted = (uint32_t)(wanted->permitted >> 32);
    half[1].inheritable = (uint32_t)(wanted->inheritable >> 32);
    return result(syscall(SYS_capset, &header, half));
}

static long daos_bounding_read(unsigned long capability)
{
    return result(prctl(PR_CAPBSET_READ, capability, 0UL, 0UL, 0UL));
}

static long daos_bounding_drop(unsigned long capability)
{
    return result(prctl(PR_CAPBSET_DROP, capability, 0UL, 0UL, 0UL));
}

static long daos_ambient_clear(void)
{
    return result(prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL));
}

static long daos_ambient_raise(unsigned long capability)
{
    return result(prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_RAISE, capability, 0UL, 0UL));
}

static long daos_set_dumpable(int dumpable)
{
    return result(prctl(PR_SET_DUMPABLE, (unsigned long)(dumpable != 0), 0UL, 0UL, 0UL));
}

static long daos_set_securebits(unsigned long bits)
{
    return result(prctl(PR_SET_SECUREBITS, bits, 0UL, 0UL, 0UL));
}

/* What /proc/self/status says of the calling thread, without the cost of making and reading that text. */
static long daos_read_thread(int last_capability, struct daos_thread *found)
{
    memset(found, 0, sizeof(*found));
    for (int capability = 0; capability <= last_capability && capability < 64; capability++) {
        int there = prctl(PR_CAPBSET_READ, (unsigned long)capability, 0UL, 0UL, 0UL);
        int ambient = prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_IS_SET, (unsigned long)capability, 0UL, 0UL);
        if (there < 0 || ambient < 0)
            return -errno;
        found->bounding |= (uint64_t)there << capability;
        found->ambient |= (uint64_t)ambient << capability;
    }
    /* An id that does not exist changes nothing, and the call answers with the id in force. */
    found->fsuid = (uint32_t)syscall(SYS_setfsuid, -1);
    found->fsgid = (uint32_t)syscall(SYS_setfsgid, -1);
    found->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL);
    return found->no_new_privs < 0 ? -errno : 0;
}

/* Ask for every capability that is not held, for the thread itself and for its children: the first that is granted, plus 64
   if it is for children, or -1. */
#define DAOS_FOR_CHILDREN 64
static long daos_capability_that_comes_back(uint64_t held, int last_capability)
{
    for (int capability = 0; capability <= last_capability && capability < 64; capability++) {
        uint64_t bit = (uint64_t)1 << capability;
        struct daos_capability_sets own = {held | bit, held | bit, 0};
        struct daos_capability_sets children = {held, held, bit};
        if (held & bit)
            continue;
        if (daos_capset(&own) == 0)
            return capability;
        if (daos_capset(&children) == 0)
            return DAOS_FOR_CHILDREN + capability;
    }
    return -1;
}

static long daos_read_clock(struct daos_clock *found)
{
    struct timex now;

    memset(&now, 0, sizeof(now));  /* no modes: nothing is set */
    found->state = adjtimex(&now);
    found->status = now.status;
    found->max_error_us = now.maxerror;
    return found->state < 0 ? -(long)errno : 0;
}

/* include/uapi/linux/landlock.h of Linux 6.12; the structures of our own, because the headers may be older than the kernel.
   A kernel that does not know the last members takes the call as long as they are zero. */
struct daos_landlock_ruleset { uint64_t fs; uint64_t net; uint64_t scoped; };
struct daos_landlock_place { uint64_t fs; int32_t place; } __attribute__((packed));
#define DAOS_LANDLOCK_VERSION 1
#define DAOS_LANDLOCK_PATH_BENEATH 1

static long daos_landlock_version(void)
{
    return result(syscall(SYS_landlock_create_ruleset, NULL, 0, DAOS_LANDLOCK_VERSION));
}

static long daos_landlock_ruleset(uint64_t fs, uint64_t net, uint64_t scoped)
{
    struct daos_landlock_ruleset wanted = {fs, net, scoped};

    return result(syscall(SYS_landlock_create_ruleset, &wanted, sizeof(wanted), 0));
}

static long daos_landlock_allow(int ruleset, int place, uint64_t fs)
{
    struct daos_landlock_place rule = {fs, place};

    return result(syscall(SYS_landlock_add_rule, ruleset, DAOS_LANDLOCK_PATH_BENEATH, &rule, 0));
}

static long daos_landlock_restrict(int ruleset, uint32_t flags)
{
    return result(syscall(SYS_landlock_restrict_self, ruleset, flags));
}

static long daos_seccomp_available(void)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;

    return result(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
}

/* What is refused is logged too, as far as root wants that (/proc/sys/kernel/seccomp/actions_logged). */
static long daos_seccomp_load(const char *code, unsigned short instructions)
{
    struct sock_fprog program = {instructions, (struct sock_filter *)(uintptr_t)code};

    return result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program));
}

static const struct { const char *name; long number; } daos_calls[] = {
@CALLS@
};

static long daos_call_number(const char *name)
{
    for (size_t at = 0; at < sizeof(daos_calls) / sizeof(daos_calls[0]); at++)
        if (strcmp(daos_calls[at].name, name) == 0)
            return daos_calls[at].number;
    return -(long)EINVAL;
}
"""

# A name that this architecture, or this libc, does not have has no number.
NUMBERS = "\n".join(
    f'#ifdef SYS_{name}\n    {{"{name}", SYS_{name}}},\n#else\n    {{"{name}", -ENOSYS}},\n#endif' for name in CALLS.split()
)

ffibuilder = FFI()
ffibuilder.cdef(DECLARATIONS)
ffibuilder.set_source(
    "daos_bindings._linux",
    SOURCE.replace("@CALLS@", NUMBERS),
    extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(Path(__file__).resolve().parent.parent), verbose=True)
