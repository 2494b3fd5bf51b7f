// SPDX-License-Identifier: BSD-2-Clause-Patent
// What a hostile caller does to the process that it then turns into the helper: intruder TRICK... -- HELPER [ARGUMENT...]
// With "measure" it stays the parent, and tells the helper's wait status and peak memory (KiB) as the last thing on stderr.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void need(long result, const char *what) {
    if (result < 0) {
        perror(what);
        _exit(99);
    }
}

static void limit(const char *text) {  // NAME:SOFT:HARD, by number; "-" leaves the hard limit
    int name = atoi(text);
    struct rlimit found;
    const char *soft = strchr(text, ':') + 1, *hard = strchr(soft, ':') + 1;
    need(getrlimit((__rlimit_resource_t)name, &found), "getrlimit");
    found.rlim_cur = (rlim_t)strtoull(soft, NULL, 10);
    if (*hard != '-')
        found.rlim_max = (rlim_t)strtoull(hard, NULL, 10);
    need(setrlimit((__rlimit_resource_t)name, &found), "setrlimit");
}

static void open_many(void) {
    struct rlimit files;
    const int secret = open("/etc/passwd", O_RDONLY), folder = open("/", O_RDONLY | O_DIRECTORY);
    need(getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
    files.rlim_cur = files.rlim_max;
    need(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
    need(dup2(secret, 77) | dup2(folder, 78), "dup2");
    for (int number = 200; number < 1400 && (rlim_t)number < files.rlim_max; number++)
        need(dup2(secret, number), "dup2");
}

static void ignore_all(void) {  // raw: libc hides the numbers 32 and 33
    const unsigned long ignoring[8] = {1};
    for (int number = 1; number <= 64; number++)
        (void)syscall(SYS_rt_sigaction, number, ignoring, NULL, 8UL);
}

static void start_timers(void) {
    const struct itimerval soon = {{0, 0}, {600, 0}};
    need(setitimer(ITIMER_REAL, &soon, NULL) | setitimer(ITIMER_VIRTUAL, &soon, NULL) | setitimer(ITIMER_PROF, &soon, NULL), "setitimer");
}

static void orphan(void) {  // the helper goes on as the child of somebody else: its caller is gone
    const pid_t parent = getpid(), child = fork();
    need(child, "fork");
    if (child > 0)
        _exit(0);
    while (getppid() == parent)
        sched_yield();
}

static void traced(void) {  // by a parent that attached before it executes, as strace does
    const pid_t child = fork();
    int status;
    need(child, "fork");
    if (child == 0) {
        need(ptrace(PTRACE_TRACEME, 0, NULL, NULL), "PTRACE_TRACEME");
        return;
    }
    while (waitpid(child, &status, 0) == child && !WIFEXITED(status) && !WIFSIGNALED(status))
        (void)ptrace(PTRACE_CONT, child, NULL, WSTOPSIG(status) == SIGTRAP ? 0 : (long)WSTOPSIG(status));
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void measure(void) {
    struct rusage usage;
    int status;
    char text[64] = "";
    const pid_t child = fork();
    need(child, "fork");
    if (child == 0)
        return;
    need(close(0) | close(1), "close");
    while (wait4(child, &status, 0, &usage) < 0)
        need(errno == EINTR ? 0 : -1, "wait4");
    const int length = snprintf(text + 1, sizeof(text) - 1, "%d %ld", status, usage.ru_maxrss);
    _exit(write(2, text, (size_t)length + 1) < 0);
}

static void block_all(void) {
    sigset_t all;
    need(sigfillset(&all) | sigprocmask(SIG_BLOCK, &all, NULL), "sigprocmask");
}

static void deleted_folder(void) {
    char folder[] = "/tmp/daos-intruder-XXXXXX";
    need(mkdtemp(folder) == NULL ? -1 : 0, "mkdtemp");
    need(chdir(folder) | rmdir(folder), "chdir");
}

static void closed_folder(void) {
    char folder[] = "/tmp/daos-intruder-XXXXXX";
    need(mkdtemp(folder) == NULL ? -1 : 0, "mkdtemp");
    need(chdir(folder) | chmod(folder, 0) | rmdir(folder), "chdir");
}

static void play(char *trick) {
    char *value = strchr(trick, '=') ? strchr(trick, '=') + 1 : trick;
    if (!strncmp(trick, "close=", 6))
        for (; *value != '\0'; value++)
            need(close(*value - '0'), "close");
    else if (!strncmp(trick, "limit=", 6))
        limit(value);
    else if (!strncmp(trick, "env=", 4))
        need(putenv(value), "putenv");
    else if (!strncmp(trick, "umask=", 6))
        umask((mode_t)strtoul(value, NULL, 8));
    else if (!strncmp(trick, "personality=", 12))
        need(personality(strtoul(value, NULL, 16)), "personality");
    else if (!strcmp(trick, "descriptors"))
        open_many();
    else if (!strcmp(trick, "ignore"))
        ignore_all();
    else if (!strcmp(trick, "block"))
        block_all();
    else if (!strcmp(trick, "timers"))
        start_timers();
    else if (!strcmp(trick, "death-signal"))
        need(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
    else if (!strcmp(trick, "no-new-privs"))
        need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
    else if (!strcmp(trick, "keyring"))  // a session keyring of our own, which the helper would inherit
        need(syscall(SYS_keyctl, 1, "daos-intruder"), "keyctl");
    else if (!strcmp(trick, "nice"))
        need(setpriority(PRIO_PROCESS, 0, 19) | (int)syscall(SYS_ioprio_set, 1, 0, 3 << 13), "nice");
    else if (!strcmp(trick, "deleted-folder"))
        deleted_folder();
    else if (!strcmp(trick, "closed-folder"))
        closed_folder();
    else if (!strcmp(trick, "orphan"))
        orphan();
    else if (!strcmp(trick, "traced"))
        traced();
    else if (!strcmp(trick, "measure"))
        measure();
    else {
        fprintf(stderr, "intruder: no trick is called %s\n", trick);
        _exit(98);
    }
}

static void hang(void) {  // in the place of a program that ends
    for (int line = 0; line < 4000; line++)
        puts("still working, and still telling everybody about it, line by line, as programs do that never end");
    fflush(stdout);
    for (;;)
        pause();
}

int main(int count, char **arguments) {
    int next = 1, is_bare = 0;
    if (count > 0 && strstr(arguments[0], "mkfs"))
        hang();
    for (; next < count && strcmp(arguments[next], "--"); next++) {
        if (!strcmp(arguments[next], "no-arguments"))
            is_bare = 1;
        else
            play(arguments[next]);
    }
    if (next + 1 >= count)
        return 98;
    char *nothing[] = {NULL};
    execve(arguments[next + 1], is_bare ? nothing : &arguments[next + 1], environ);
    perror("execve");
    return 97;
}
