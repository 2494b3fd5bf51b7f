// SPDX-License-Identifier: BSD-2-Clause-Patent
// Who asks: whoever started the launcher.  Where that was root and descriptor 0 is a socket, as under systemd, it is whoever
// connected the socket, as the kernel noted it at that moment; if the kernel does not say, it is nobody, and refused.
#pragma once
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ucred asking(void) {
    struct ucred peer = {0, (uid_t)-1, (gid_t)-1};
    socklen_t size = sizeof(peer);
    if (getuid() != 0 || (getsockopt(0, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 && errno == ENOTSOCK))
        return (struct ucred){getppid(), getuid(), getgid()};
    return peer;
}
