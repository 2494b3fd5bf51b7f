// SPDX-License-Identifier: BSD-2-Clause-Patent
// daos_server_helper: the setuid-root entry to the privileged monitor, which is Python and so cannot be setuid itself.  It
// checks who calls, throws away whatever the caller could have left to it, becomes uid 0 fully, and executes one program
// with one argument of its own making, the caller's uid.  It reads neither arguments nor environment, allocates nothing, and
// has its paths compiled in.  Started by root with a socket, as systemd does, it needs no setuid bit: the caller is the peer.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "bounding.h"  // BOUNDING_SET, generated from the privilege table
#include "caller.h"
#include "trail.h"

enum failure {  // exit codes, a contract with pbin's session, which turns them into faults
    NOT_SETUID = 70, NOSUID_MOUNT = 71, NO_NEW_PRIVILEGES = 72, CALLER_REFUSED = 73, LIMIT_TOO_LOW = 74,
    ACCOUNT_WRONG = 75, UNSAFE_PROGRAM = 76, SYSTEM_CALL = 77, FOREIGN_NAMESPACE = 78,
};

// Writes one line to the audit trail and one to stderr, and ends.  Neither that cannot be written changes anything.
__attribute__((noreturn)) static void refuse(enum failure code, const char *first, const char *second, const char *third) {
    const char *parts[] = {"daos_server_helper: ", first, second, third, "\n"};
    struct iovec line[5];
    for (size_t i = 0; i < 5; i++) line[i] = (struct iovec){(void *)(uintptr_t)parts[i], strlen(parts[i])};
    (void)signal(SIGPIPE, SIG_IGN), (void)signal(SIGXFSZ, SIG_IGN);  // which would take the exit code away
    tell_refused((const char *const[]){first, second, third});
    (void)!writev(2, line, 5);
    _exit((int)code);
}

static void need(long result, const char *call) {
    if (result < 0)
        refuse(SYSTEM_CALL, call, " was refused by the kernel while the helper started: ", strerrorname_np(errno));
}

// A missing descriptor of 0-2 becomes /dev/null, so that nothing opened later takes its number; the others are closed.
static void reset_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            need(open("/dev/null", O_RDWR) == fd ? 0 : -1, "open of /dev/null");
    need(syscall(SYS_close_range, 3U, ~0U, 0U), "close_range");
}

// Requests and answers go through pipes; root may use a socket.  Anybody else's socket could be the journal's, for forged lines.
static void need_stream(int fd, int unwanted_mode, const char *name) {
    struct stat found;
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == unwanted_mode || fstat(fd, &found) < 0 ||
        !(S_ISFIFO(found.st_mode) || (S_ISSOCK(found.st_mode) && getuid() == 0)))
        refuse(SYSTEM_CALL, name, " is not an open pipe", "; daos_server starts this program, people do not");
}

// Not being root, although the file is meant to be setuid, has four causes; the namespace is wrong for root as well.
static void need_root(void) {
    static const char initial[] = "         0          0 4294967295\n";
    char map[sizeof(initial)];
    struct statvfs mount;
    if (geteuid() != 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        refuse(NO_NEW_PRIVILEGES, "not running as root: no_new_privs is set in the caller, which switches the setuid bit off",
               "; take NoNewPrivileges=yes, or what implies it, out of the service or container", "");
    const int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || read(fd, map, sizeof(map)) != sizeof(map) - 1 || memcmp(map, initial, sizeof(map) - 1) != 0)
        refuse(FOREIGN_NAMESPACE, "the caller is in a user namespace of its own, or has no /proc",
               "; start daos_server on the host, outside of any user namespace", "");
    close(fd);
    if (geteuid() == 0)
        return;
    if (statvfs("/proc/self/exe", &mount) == 0 && (mount.f_flag & ST_NOSUID))
        refuse(NOSUID_MOUNT, "not running as root: the setuid bit is switched off by mount option nosuid for ", SELF_FILE,
               "; mount that file system with suid, or install under another PREFIX");
    refuse(NOT_SETUID, "not running as root: the setuid bit, or root as its owner, is missing from ", SELF_FILE,
           "; install it again, or run \"daos_server helper check\" for the exact owner and mode");
}

// Every folder above a program, and the program, can be changed by root alone; no component is a link.
static void need_trusted(const char *path) {
    char part[sizeof(INTERPRETER) + sizeof(START_FILE)];
    struct stat found;
    for (size_t i = 1, length = strlen(path); i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (lstat(part, &found) < 0 || found.st_uid != 0 || (found.st_mode & (S_IWGRP | S_IWOTH)) ||
            !(i < length ? S_ISDIR(found.st_mode) : S_ISREG(found.st_mode)))
            refuse(UNSAFE_PROGRAM, "missing, a link, or writable by others than root: ", part,
                   "; give it to root with mode 0755, or install again");
    }
}

// An account is the owner of an empty file that nobody can open: no name service, no parsing.
static uid_t account_of(const char *path) {
    struct stat found;
    const int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &found) < 0 || !S_ISREG(found.st_mode) || (found.st_mode & 07777) != 0 || found.st_size != 0 ||
        found.st_nlink != 1 || found.st_uid == 0)
        refuse(ACCOUNT_WRONG, "not an empty file of mode 0000 that belongs to a system account: ", path, "; install again");
    close(fd);
    return found.st_uid;
}

static void reset_signals(void) {
    static const char by_default[64];  // all zero is SIG_DFL, no flags, an empty mask; raw, as libc hides two numbers
    const struct itimerval off = {0};
    sigset_t none;
    for (int number = 1; number <= 64; number++)
        (void)syscall(SYS_rt_sigaction, number, by_default, NULL, 8UL);  // SIGKILL and SIGSTOP refuse, and need nothing
    need(setitimer(ITIMER_REAL, &off, NULL) | setitimer(ITIMER_VIRTUAL, &off, NULL) | setitimer(ITIMER_PROF, &off, NULL), "setitimer");
    need(sigemptyset(&none) | sigprocmask(SIG_SETMASK, &none, NULL), "sigprocmask");
}

static void reset_limits(void) {
    const rlim_t mib = 1024 * 1024, all = RLIM_INFINITY;
    const struct { __rlimit_resource_t resource; rlim_t wanted, floor; const char *name; } table[] = {
        {RLIMIT_CORE, 0, 0, "RLIMIT_CORE"}, {RLIMIT_FSIZE, all, 64 * mib, "RLIMIT_FSIZE"}, {RLIMIT_DATA, all, 256 * mib, "RLIMIT_DATA"},
        {RLIMIT_AS, all, 512 * mib, "RLIMIT_AS"}, {RLIMIT_CPU, all, 600, "RLIMIT_CPU"}, {RLIMIT_STACK, 8 * mib, 8 * mib, "RLIMIT_STACK"},
        {RLIMIT_NOFILE, 1024, 256, "RLIMIT_NOFILE"}, {RLIMIT_NPROC, all, 64, "RLIMIT_NPROC"}, {RLIMIT_LOCKS, all, 64, "RLIMIT_LOCKS"},
        {RLIMIT_MEMLOCK, all, mib / 16, "RLIMIT_MEMLOCK"}, {RLIMIT_SIGPENDING, all, 64, "RLIMIT_SIGPENDING"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct rlimit limit = {table[i].wanted, table[i].wanted};
        if (setrlimit(table[i].resource, &limit) == 0)
            continue;
        need(getrlimit(table[i].resource, &limit), table[i].name);  // no CAP_SYS_RESOURCE: up to the hard limit, then
        limit.rlim_cur = limit.rlim_max;
        need(setrlimit(table[i].resource, &limit), table[i].name);
        if (limit.rlim_max < table[i].floor)
            refuse(LIMIT_TOO_LOW, "the hard limit is too low, and cannot be raised here: ", table[i].name,
                   "; raise it for daos_server (ulimit -H, or its service's Limit...= line)");
    }
}

static void become_root(void) {
    uid_t uids[3], gids[3];  // both are unsigned int
    need(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 0 ? 0 : prctl(PR_SET_SECUREBITS, 0, 0, 0, 0), "PR_SET_SECUREBITS");  // keepcaps too
    need(setgroups(0, NULL), "setgroups");
    need(setresgid(0, 0, 0) | setresuid(0, 0, 0), "setresuid or setresgid");
    need(getresuid(&uids[0], &uids[1], &uids[2]) | getresgid(&gids[0], &gids[1], &gids[2]), "getresuid or getresgid");
    if (uids[0] | uids[1] | uids[2] | gids[0] | gids[1] | gids[2] | (unsigned)getgroups(0, NULL))
        need(-1, "becoming root");
}

static void cut_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    need(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "PR_CAP_AMBIENT");
    // Up to the first number that the kernel does not know, which on a newer kernel is past those of our headers.
    for (unsigned long number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1 && (number > 63 || !(BOUNDING_SET >> number & 1U)))
            need(prctl(PR_CAPBSET_DROP, number, 0, 0, 0), "PR_CAPBSET_DROP");
    need(syscall(SYS_capget, &header, sets), "capget");
    sets[0].inheritable = sets[1].inheritable = 0;
    need(syscall(SYS_capset, &header, sets), "capset");
}

int main(void) {
    static char interpreter[] = INTERPRETER, isolated[] = "-I", no_site[] = "-S", no_cache[] = "-B", start[] = START_FILE, digits[24];
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C.UTF-8", zone[] = "TZ=UTC";
    char *environment[] = {path, locale, zone, NULL};

    need(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) | prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0), "PR_SET_DUMPABLE or PR_SET_PDEATHSIG");
    reset_descriptors();
    need_root();
    const uid_t account = account_of(ACCOUNT_FILE), caller = asking().uid;
    if (caller != 0 && caller != account)
        refuse(CALLER_REFUSED, "only root and the account that owns ", ACCOUNT_FILE, " may call it; run daos_server as that account");
    if (account_of(WORKER_FILE) == account)
        refuse(ACCOUNT_WRONG, "the server's account may not own ", WORKER_FILE, "; install again");
    need_trusted(INTERPRETER);
    need_trusted(START_FILE);
    need_stream(0, O_WRONLY, "stdin");
    need_stream(1, O_RDONLY, "stdout");
    (void)umask(077);
    need(chdir("/"), "chdir");
    need(getuid() == 0 && getsid(0) == getpid() ? 0 : setsid(), "setsid, which fails for the leader of a process group,");
    need(personality(PER_LINUX), "personality");
    (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);  // a kernel without keyrings has none to leave
    reset_signals();
    reset_limits();
    become_root();
    cut_capabilities();
    char *arguments[] = {interpreter, isolated, no_site, no_cache, start, decimal(digits, caller), NULL};
    need(execve(interpreter, arguments, environment), "execve of " INTERPRETER);
}
