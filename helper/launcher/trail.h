// SPDX-License-Identifier: BSD-2-Clause-Patent
// The launcher's own line in the audit trail, for callers that never reach the monitor.  It goes to the file for requests that
// changed nothing; everything in it is a number or one of the launcher's own texts, so there is nothing to escape.
#pragma once
#include "caller.h"

static char *decimal(char digits[24], uint64_t number) {
    char *first = &digits[23];
    for (*first = '\0'; first == &digits[23] || number != 0; number /= 10)
        *--first = (char)('0' + number % 10);
    return first;
}

// A file that is not root's alone, or is full, is left as it is: the monitor complains of the one, and turns over the other.
static void tell_refused(const char *const cause[3]) {
    enum { LINE_PARTS = 13, LINES_END = 20 * 1024 * 1024, LINE_ROOM = 4096 };
    struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
    char moment[24], self[24], uid[24], parent[24];
    struct iovec line[LINE_PARTS];
    const struct ucred caller = asking();
    struct timespec now;
    struct stat found;
    if (geteuid() != 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
        return;
    if (setrlimit(RLIMIT_FSIZE, &most) < 0 && getrlimit(RLIMIT_FSIZE, &most) < 0)
        return;
    const int fd = open(REFUSALS_FILE, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &found) < 0 || !S_ISREG(found.st_mode) || found.st_uid != 0 || (found.st_mode & 0177) ||
        found.st_nlink != 1 || found.st_size > LINES_END || most.rlim_cur < LINES_END + LINE_ROOM)
        return;  // a caller's limit that cannot be raised costs the line: half a one would spoil the next
    const char *parts[LINE_PARTS] = {
        "@", decimal(moment, (uint64_t)now.tv_sec), " daos_server_helper[", decimal(self, (uint64_t)getpid()), "]: caller_uid=",
        decimal(uid, caller.uid), " caller_pid=", decimal(parent, (uint64_t)caller.pid), " event=launch verdict=refused cause=\"",
        cause[0], cause[1], cause[2], "\"\n",
    };
    for (size_t i = 0; i < LINE_PARTS; i++)
        line[i] = (struct iovec){(void *)(uintptr_t)parts[i], strlen(parts[i])};
    (void)!writev(fd, line, LINE_PARTS);
    close(fd);
}
