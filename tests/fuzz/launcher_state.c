// SPDX-License-Identifier: BSD-2-Clause-Patent
// Fuzzes the launcher: makes the state that a hostile caller could leave to it out of a file's bytes, runs it in this process,
// and judges the outcome.  It may refuse with one of its exit codes; it may execute its program, and then everything that the
// program would inherit must be as promised.  Anything else aborts.  Runs as root; changes nothing but this process.
#define _GNU_SOURCE
#include <stdint.h>
#include <unistd.h>

static int judged_execve(const char *path, char *const arguments[], char *const environment[]);
__attribute__((noreturn)) static void judged_exit(int code);

#define execve judged_execve
#define _exit judged_exit
#define main launcher_main
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wreturn-type"  // only main may end without a return
#undef _GNU_SOURCE
#include "launcher.c"
#pragma GCC diagnostic pop
#undef execve
#undef _exit
#undef main

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

struct input { const uint8_t *next, *end; };
enum who { SETUID_ACCOUNT, ROOT, SETUID_STRANGER, PLAIN_ACCOUNT, SETUID_WORKER, WHO_COUNT };

static uid_t real_uid;

#define PROMISE(holds) do { if (!(holds)) broken(#holds); } while (0)
__attribute__((noreturn)) static void broken(const char *what) {
    struct iovec words[] = {{(void *)(uintptr_t)"broken promise: ", 16}, {(void *)(uintptr_t)what, strlen(what)}, {(void *)(uintptr_t)"\n", 1}};
    (void)!writev(2, words, 3);
    abort();
}

static void judged_exit(int code) {
    PROMISE(code >= NOT_SETUID && code <= FOREIGN_NAMESPACE);
    _exit(code);
}

// The judgement, by other means than the launcher's own where there are others.
static void judge_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    PROMISE(folder != NULL);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.')
            PROMISE(atoi(entry->d_name) <= 2 || atoi(entry->d_name) == dirfd(folder));
    closedir(folder);
    for (int fd = 0; fd <= 2; fd++)
        PROMISE(fcntl(fd, F_GETFD) >= 0);
    PROMISE((fcntl(0, F_GETFL) & O_ACCMODE) != O_WRONLY && (fcntl(1, F_GETFL) & O_ACCMODE) != O_RDONLY);
}

static void judge_signals(void) {
    struct itimerval timer;
    sigset_t blocked;
    for (int number = 1; number <= 64; number++) {
        unsigned long action[4] = {0};
        if (syscall(SYS_rt_sigaction, number, NULL, action, 8UL) == 0)
            PROMISE(action[0] == 0);  // SIG_DFL
    }
    PROMISE(sigprocmask(SIG_BLOCK, NULL, &blocked) == 0 && sigisemptyset(&blocked));
    for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++)
        PROMISE(getitimer((__itimer_which_t)which, &timer) == 0 && timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0);
}

static void judge_limits(void) {
    static const struct { __rlimit_resource_t resource; rlim_t least, most; } bounds[] = {
        {RLIMIT_CORE, 0, 0}, {RLIMIT_FSIZE, 64 << 20, RLIM_INFINITY}, {RLIMIT_DATA, 256 << 20, RLIM_INFINITY},
        {RLIMIT_AS, 512 << 20, RLIM_INFINITY}, {RLIMIT_STACK, 8 << 20, 8 << 20}, {RLIMIT_NOFILE, 256, 1024}, {RLIMIT_NPROC, 64, RLIM_INFINITY},
        {RLIMIT_CPU, 600, RLIM_INFINITY}, {RLIMIT_LOCKS, 64, RLIM_INFINITY}, {RLIMIT_MEMLOCK, 64 << 10, RLIM_INFINITY},
    };
    struct rlimit limit;
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        PROMISE(getrlimit(bounds[i].resource, &limit) == 0);
        PROMISE(limit.rlim_cur == limit.rlim_max && limit.rlim_cur >= bounds[i].least && limit.rlim_cur <= bounds[i].most);
    }
}

static void judge_identity(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    uid_t uids[3];
    gid_t gids[3];
    PROMISE(getresuid(&uids[0], &uids[1], &uids[2]) == 0 && (uids[0] | uids[1] | uids[2]) == 0);
    PROMISE(getresgid(&gids[0], &gids[1], &gids[2]) == 0 && (gids[0] | gids[1] | gids[2]) == 0 && getgroups(0, NULL) == 0);
    PROMISE(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1);
    for (unsigned long number = 0; number < 64; number++)
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
            PROMISE((uint64_t)(BOUNDING_SET) >> number & 1);
    PROMISE(syscall(SYS_capget, &header, sets) == 0 && (sets[0].inheritable | sets[1].inheritable) == 0);
}

static int judged_execve(const char *path, char *const arguments[], char *const environment[]) {
    static const char *const promised[] = {INTERPRETER, "-I", "-S", "-B", START_FILE};
    static const char *const variables[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"};
    char folder[8], digits[24];
    int death_signal = -1;
    PROMISE(strcmp(path, INTERPRETER) == 0);
    for (size_t i = 0; i < 5; i++)
        PROMISE(strcmp(arguments[i], promised[i]) == 0);
    PROMISE(strcmp(arguments[5], decimal(digits, real_uid)) == 0 && arguments[6] == NULL);
    for (size_t i = 0; i < 3; i++)
        PROMISE(strcmp(environment[i], variables[i]) == 0);
    PROMISE(environment[3] == NULL);
    judge_descriptors();
    judge_signals();
    judge_limits();
    judge_identity();
    PROMISE(umask(0) == 077 && getcwd(folder, sizeof(folder)) != NULL && strcmp(folder, "/") == 0);
    PROMISE(getsid(0) == getpid() && personality(~0UL) == PER_LINUX);
    PROMISE(prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) == 0 && death_signal == 0);
    _exit(0);
}

// From here on: a hostile caller, as the bytes tell.
static uint8_t take(struct input *from) { return from->next < from->end ? *from->next++ : 0; }

static int anything(uint8_t which) {
    int pair[2] = {-1, -1};
    switch (which % 9) {
    case 0: return pipe(pair) == 0 ? pair[0] : -1;
    case 1: return pipe(pair) == 0 ? pair[1] : -1;
    case 2: return open("/dev/null", O_RDWR);
    case 3: return open("/etc/passwd", O_RDONLY);
    case 4: return open("/", O_RDONLY | O_DIRECTORY);
    case 5: return open("/etc/passwd", O_PATH);
    case 6: return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 ? pair[0] : -1;
    case 7: return socket(AF_UNIX, SOCK_DGRAM, 0);
    default: return open("/dev/full", O_WRONLY);
    }
}

static void limit(uint8_t resource, uint8_t value, uint8_t hard) {
    static const rlim_t values[] = {0, 1, 3, 100, 255, 256, 1 << 16, 1 << 20, 8 << 20, 64 << 20, 256 << 20, 512 << 20, RLIM_INFINITY};
    struct rlimit now;
    const int which = resource % RLIM_NLIMITS;
    rlim_t wanted = values[value % (sizeof(values) / sizeof(values[0]))];
    // These two would end this process where the kernel would not have started the launcher at all, or by the kernel's hand.
    if ((which == RLIMIT_STACK && wanted < 1 << 16) || (which == RLIMIT_CPU && wanted < 100) || getrlimit((__rlimit_resource_t)which, &now) < 0)
        return;
    now.rlim_cur = wanted < now.rlim_max ? wanted : now.rlim_max;
    if (hard & 1)
        now.rlim_max = now.rlim_cur;
    (void)!setrlimit((__rlimit_resource_t)which, &now);
}

static void one_trick(struct input *from, char **environment, size_t *variables) {
    static const char *const folders[] = {"/", "/proc/self", "/dev", "/nowhere"};
    const struct itimerval later = {{1000, 0}, {1000, 0}};
    const uint8_t kind = take(from), first = take(from), second = take(from);
    const uintptr_t ignored[4] = {1};
    sigset_t all;
    switch (kind % 15) {
    case 0: close(first % 8); break;
    case 1: (void)!dup2(anything(second), first % 8); break;
    case 2: (void)!dup2(anything(second), 3 + first); break;
    case 3: case 4: limit(first, second, take(from)); break;
    case 5: (void)syscall(SYS_rt_sigaction, first % 65, ignored, NULL, 8UL); break;
    case 6: sigfillset(&all); sigprocmask(SIG_BLOCK, &all, NULL); break;
    case 7: setitimer((__itimer_which_t)(first % 3), &later, NULL); break;
    case 8: (void)umask(first | (mode_t)(second << 8)); break;
    case 9: (void)!chdir(folders[first % 4]); break;
    case 10: {
        static const int options[] = {PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECUREBITS, PR_CAPBSET_DROP, PR_SET_DUMPABLE, PR_SET_KEEPCAPS};
        (void)prctl(options[first % 6], first % 6 == 1 ? 1UL : (unsigned long)second % 64, 0, 0, 0);
        break;
    }
    case 11: (void)personality((unsigned long)first << 16 | second); break;
    case 12: (void)!(first & 1 ? (long)setsid() : setpgid(0, 0)); break;
    case 13: (void)!setgroups(1, (const gid_t[]){first}); break;
    default:
        if (*variables < 64 && memchr(from->next, 0, (size_t)(from->end - from->next)) != NULL) {
            environment[(*variables)++] = (char *)(uintptr_t)from->next;
            from->next += strlen((const char *)from->next) + 1;
        }
    }
}

static void become(enum who who) {
    struct stat owner;
    const char *file = who == SETUID_WORKER ? WORKER_FILE : ACCOUNT_FILE;
    PROMISE(lstat(file, &owner) == 0);
    real_uid = who == ROOT ? 0 : who == SETUID_STRANGER ? 54321 : owner.st_uid;
    const uid_t effective = who == PLAIN_ACCOUNT ? real_uid : 0;
    (void)!setresgid(real_uid, real_uid, real_uid);
    (void)!setresuid(real_uid, effective, effective);
}

__attribute__((noreturn)) static void run(const char *path) {
    static uint8_t bytes[4096];
    static char *environment[65];
    size_t variables = 0;
    const int file = open(path, O_RDONLY);
    const ssize_t size = read(file, bytes, sizeof(bytes));
    PROMISE(file >= 0 && size >= 0);
    struct input input = {bytes, bytes + size};
    (void)!dup2(anything(0), 0);
    (void)!dup2(anything(1), 1);
    const enum who who = (enum who)(take(&input) % WHO_COUNT);
    while (input.next < input.end)
        one_trick(&input, environment, &variables);
    environ = environment;
    become(who);
    launcher_main();
    broken("the launcher returns");
}

// With one file, runs it.  With several, gives each a process, and prints its exit status, or minus the signal that ended it.
int main(int count, char *const paths[]) {
    if (count == 2)
        run(paths[1]);
    for (int i = 1; i < count; i++) {
        int status = 0;
        const pid_t child = fork();
        if (child == 0)
            run(paths[i]);
        PROMISE(child > 0 && waitpid(child, &status, 0) == child);
        printf("%d %s\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), paths[i]);
        fflush(stdout);
    }
    return 0;
}
