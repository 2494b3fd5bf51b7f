/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * First program of the guest: loads the modules beside it, makes the host's root the guest's root (read-only over 9p, with a
 * tmpfs in front of it that takes all writes), runs the program that it was given, and switches the machine off when that ends;
 * or, where it was given a system manager, becomes that, with the program beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRANSPORT "trans=virtio,version=9p2000.L,msize=1048576,"
#define MANAGER "manager="

static void off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    _exit(1);
}

static void die(const char *what)
{
    fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
    off();
}

static void attach(const char *source, const char *target, const char *type, unsigned long flags, const char *options)
{
    if (mkdir(target, 0755) != 0 && errno != EEXIST)
        die(target);
    if (mount(source, target, type, flags, options) != 0)
        die(target);
}

static void load_modules(void)
{
    char path[32];

    for (int number = 0; ; number++) {
        snprintf(path, sizeof(path), "/modules/%03d", number);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
            die(path);
        close(fd);
    }
}

static void enter_root(void)
{
    attach("host", "/lower", "9p", MS_RDONLY, TRANSPORT "cache=loose");
    attach("over", "/over", "tmpfs", 0, "mode=755,size=50%");
    if (mkdir("/over/upper", 0755) != 0 || mkdir("/over/work", 0755) != 0)
        die("/over");
    attach("overlay", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/over/upper,workdir=/over/work,index=off,metacopy=off");
    const char *moved[] = {"dev", "proc", "sys"};
    for (size_t i = 0; i < sizeof(moved) / sizeof(*moved); i++) {
        char from[16], to[16];
        snprintf(from, sizeof(from), "/%s", moved[i]);
        snprintf(to, sizeof(to), "/root/%s", moved[i]);
        if (mount(from, to, NULL, MS_MOVE, NULL) != 0)
            die(to);
    }
    if (chdir("/root") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 || chdir("/") != 0)
        die("/root");
}

static void furnish(const char *modules)
{
    attach("run", "/run", "tmpfs", 0, "mode=755");
    attach("pts", "/dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666");
    attach("shm", "/dev/shm", "tmpfs", 0, "mode=1777");
    attach("hugepages", "/dev/hugepages", "hugetlbfs", 0, "");
    attach("cgroup", "/sys/fs/cgroup", "cgroup2", 0, "");
    attach("security", "/sys/kernel/security", "securityfs", 0, "");
    attach("share", "/run/lab", "9p", 0, TRANSPORT "cache=none");
    attach(modules, "/usr/lib/modules", NULL, MS_BIND, NULL);
    if (mkdir("/run/lock", 01777) != 0 || symlink("/proc/self/fd", "/dev/fd") != 0 || symlink("fd/0", "/dev/stdin") != 0
        || symlink("fd/1", "/dev/stdout") != 0 || symlink("fd/2", "/dev/stderr") != 0)
        die("/dev");
}

static void network(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &loopback) != 0 || sethostname("daos-lab", 8) != 0)
        die("lo");
    close(fd);
}

static void run(char **words)
{
    setsid();
    /* A terminal of its own, so that a shell has job control. */
    int console = open("/dev/ttyS0", O_RDWR);
    if (console < 0 || ioctl(console, TIOCSCTTY, 1) != 0)
        die("/dev/ttyS0");
    for (int fd = 0; fd < 3; fd++)
        dup2(console, fd);
    if (console > 2)
        close(console);
    execv(words[0], words);
    die(words[0]);
}

int main(int argc, char **argv)
{
    /* argv: init, folder of the kernel's modules on the host, perhaps manager=PATH, program, its arguments... */
    const char *manager = argc > 3 && strncmp(argv[2], MANAGER, strlen(MANAGER)) == 0 ? argv[2] + strlen(MANAGER) : NULL;
    char **program = argv + (manager == NULL ? 2 : 3);
    if (argc < 3)
        off();
    umask(022);
    attach("proc", "/proc", "proc", 0, "");
    attach("sys", "/sys", "sysfs", 0, "");
    attach("dev", "/dev", "devtmpfs", 0, "");
    load_modules();
    enter_root();
    furnish(argv[1]);
    network();
    pid_t child = fork();
    if (child == 0)
        run(program);
    if (manager != NULL) {
        /* The host may be a container, which this tells; the guest is none. */
        if (unlink("/.dockerenv") != 0 && errno != ENOENT)
            die("/.dockerenv");
        execl(manager, manager, (char *)NULL);
        die(manager);
    }
    /* Reap whatever is orphaned, until the program itself ends. */
    for (pid_t gone; (gone = wait(NULL)) != child; )
        if (gone < 0 && errno != EINTR)
            break;
    off();
}
