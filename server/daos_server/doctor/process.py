# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What this shell, unit or container hands down to a helper that is started from it."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from daos_bindings.linux import capabilities, kernel, mounts
from daos_bindings.linux.kernelfiles import printable
from daos_pbin.bounding import HELPER_BOUNDING
from daos_server.doctor import ownership
from daos_server.doctor.finding import Finding
from daos_server.identity import OLDEST_KERNEL, status_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INITIAL_USER_NAMESPACE = "0 0 4294967295"
MOUNT_ROOTS = ("/mnt/daos", "/var/lib/daos", "/var/daos")
"""Where the helper mounts if root's policy says nothing else."""
ONLY_RAISES_LIMITS = "CAP_SYS_RESOURCE"

MIB = 1 << 20
LIMIT_FLOORS = {
    "FSIZE": (resource.RLIMIT_FSIZE, 64 * MIB),
    "DATA": (resource.RLIMIT_DATA, 256 * MIB),
    "AS": (resource.RLIMIT_AS, 512 * MIB),
    "CPU": (resource.RLIMIT_CPU, 600),
    "STACK": (resource.RLIMIT_STACK, 8 * MIB),
    "NOFILE": (resource.RLIMIT_NOFILE, 256),
    "NPROC": (resource.RLIMIT_NPROC, 64),
    "LOCKS": (10, 64),
    "MEMLOCK": (resource.RLIMIT_MEMLOCK, MIB // 16),
    "SIGPENDING": (11, 64),
}
"""The launcher's floors, by number of the limit (two have no name in Python).  Below one it ends; a test compares them."""
SECCOMP: dict[str, tuple[str, bool]] = {"0": ("off", True), "1": ("strict", False)}


def this_process(status: str = "/proc/self/status", uid_map: str = "/proc/self/uid_map") -> Iterator[Finding]:
    """Yield whether a setuid program that is started from here is root with all that it needs."""
    blocked = status_field("NoNewPrivs", status) == "1"
    yield Finding.of(
        "no_new_privs",
        "on" if blocked else "off",
        right=not blocked,
        why="setuid programs stay powerless: the helper cannot become root",
        advice="remove NoNewPrivileges= from the unit, or leave the container or sandbox that set it",
    )
    yield _bounding(int(status_field("CapBnd", status) or "0", 16))
    yield _seccomp(status_field("Seccomp", status))
    yield _user_namespace(uid_map)


def kernel_version(release: str) -> Finding:
    """Return whether the kernel is recent enough."""
    needs = ".".join(map(str, OLDEST_KERNEL))
    try:
        recent = kernel.version(release) >= OLDEST_KERNEL
    except ValueError:
        return Finding(subject="kernel", found=f"{printable(release)}, which is no version", verdict="unknown")
    why = "older ones lack the calls that mount and open files safely"
    return Finding.of("kernel", printable(release), right=recent, why=why, advice=f"boot Linux {needs} or later")


def _bounding(held: int) -> Finding:
    missing = {name for name in HELPER_BOUNDING if not held >> capabilities.NAMES[name] & 1}
    serious = sorted(missing - {ONLY_RAISES_LIMITS})
    found = f"lacks {', '.join(sorted(missing))}" if missing else "has all that the helper needs"
    if missing and not serious:
        found += ", which only raises limits"
    return Finding.of(
        "capability bounding set",
        found,
        right=not serious,
        why="what is not in it not even root can use",
        advice="start it where these are not dropped: a container needs them added",
    )


def _seccomp(mode: str) -> Finding:
    if mode not in SECCOMP:
        found = "a filter is on, which the helper inherits" if mode == "2" else "not known"
        return Finding(
            subject="seccomp",
            found=found,
            verdict="unknown",
            why="if it forbids mounting, the helper fails with EPERM",
            advice="if mounts fail, look at the container's or unit's system call filter",
        )
    found, right = SECCOMP[mode]
    return Finding.of("seccomp", found, right=right, why="hardly any system call is left", advice="leave the sandbox that set it")


def _user_namespace(uid_map: str) -> Finding:
    subject = "user namespace"
    try:
        with open(uid_map, encoding="ascii") as lines:
            initial = " ".join(lines.read().split()) == INITIAL_USER_NAMESPACE
    except OSError as error:
        return ownership.unseen(subject, error)
    return Finding.of(
        subject,
        "the initial one" if initial else "not the initial one",
        right=initial,
        why="root in it is not root of the host: it may not mount or touch devices",
        advice="leave the rootless container",
    )


def limits(read: Callable[[int], tuple[int, int]] = resource.getrlimit) -> Iterator[Finding]:
    """Yield the hard limits of this shell that are below the launcher's floors, or that none is; it raises them only where it may."""
    low = {name: hard for name, (number, floor) in LIMIT_FLOORS.items() if 0 <= (hard := read(number)[1]) < floor}
    for name, hard in low.items():
        floor = LIMIT_FLOORS[name][1]
        yield Finding(
            subject=f"hard limit {name}",
            found=f"{hard}, below {floor}",
            verdict="stops",
            why="the helper ends at once rather than fail half way",
            advice=f"raise the hard limit to {floor} or more: limits.conf for a login, Limit{name}= in a unit",
        )
    if not low:
        yield Finding(subject="hard limits", found="none is below what the helper needs", verdict="ok")


def mount_propagation() -> Iterator[Finding]:
    """Yield whether a mount made from here would be seen by the rest of the host."""
    subject = "mounts reach the host"
    try:
        table = mounts.read()
        slaves = {root: at.mount_point for root in MOUNT_ROOTS if (at := mounts.containing(table, root)) and at.is_slave}
    except (OSError, ValueError) as error:
        yield Finding(subject=subject, found=str(error), verdict="unknown")
        return
    yield Finding.of(
        subject,
        ", ".join(f"{root} is on {point}, a slave mount" for root, point in slaves.items()) or "no mount root is below a slave mount",
        right=not slaves,
        why="what is mounted from here vanishes from the rest of the host, engines included",
        advice="remove ProtectSystem=, PrivateTmp=, ProtectKernelTunables= and other directives of the unit that give it mounts of its own",
    )
