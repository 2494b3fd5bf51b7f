# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A network namespace for one test, with interfaces of the real kernel in it, and a stand-in libfabric that says what it is told."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import pytest
from pyroute2 import IPRoute, config, netns
from pyroute2.netlink.exceptions import NetlinkError

from daos_server.network import links
from daos_server.network.ready import Changes

EVENT_S = 60.0
"""Far longer than the kernel ever takes to report what happens next."""

STANDIN = """
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <rdma/fabric.h>

/* LIKE: crash, hang, fail, or "provider@domain provider@domain ..." */
static const char *like(void) { const char *text = getenv("LIKE"); return text ? text : ""; }

struct fi_info *fi_dupinfo(const struct fi_info *info)
{
    struct fi_info *made = calloc(1, sizeof(*made));
    (void)info;
    made->fabric_attr = calloc(1, sizeof(*made->fabric_attr));
    made->domain_attr = calloc(1, sizeof(*made->domain_attr));
    return made;
}

void fi_freeinfo(struct fi_info *info)
{
    while (info) {
        struct fi_info *next = info->next;
        free(info->fabric_attr->prov_name);
        free(info->domain_attr->name);
        free(info->fabric_attr);
        free(info->domain_attr);
        free(info);
        info = next;
    }
}

const char *fi_strerror(int code) { return strerror(code); }

int fi_getinfo(uint32_t version, const char *node, const char *service, uint64_t flags, const struct fi_info *hints,
               struct fi_info **info)
{
    const char *wanted = hints && hints->fabric_attr ? hints->fabric_attr->prov_name : NULL;
    struct fi_info **last = info;
    char *copy = strdup(like()), *save = NULL, *word;
    (void)node; (void)service; (void)flags;
    if (version != FI_VERSION(1, 7)) return -22;
    if (!strcmp(copy, "crash")) raise(SIGSEGV);
    if (!strcmp(copy, "hang")) for (;;) pause();
    if (!strcmp(copy, "fail")) return -12;
    for (word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *domain = strchr(word, '@');
        *domain++ = 0;
        if (wanted && strcmp(wanted, word)) continue;
        *last = fi_dupinfo(NULL);
        (*last)->fabric_attr->prov_name = strdup(word);
        (*last)->domain_attr->name = *domain ? strdup(domain) : NULL;
        last = &(*last)->next;
    }
    free(copy);
    return *info ? 0 : -61;
}
"""


def compile_standin(folder: Path) -> Path:
    """Make a libfabric.so.1 in the folder and return it; skip where the header or a compiler is missing."""
    if not Path("/usr/include/rdma/fabric.h").exists():
        pytest.skip("no <rdma/fabric.h>: install libfabric-dev")
    source, library = folder / "standin.c", folder / "libfabric.so.1"
    source.write_text(STANDIN, encoding="ascii")
    command = ["/usr/bin/gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return library


class Message(Protocol):
    """A netlink message of pyroute2."""

    def get_attr(self, name: str) -> object:
        """Return the attribute of that name."""


class Route(Protocol):
    """What is used of pyroute2's socket, which has no types."""

    def link(self, command: str, **values: object) -> object:
        """Change an interface."""

    def addr(self, command: str, **values: object) -> object:
        """Change an address."""

    def link_lookup(self, **values: object) -> list[int]:
        """Return the indices of the interfaces that are so."""

    def close(self) -> None:
        """Close the socket."""


class World:
    """A network namespace that this thread, and those that it starts, are in."""

    def __init__(self, route: Route, sysfs: str) -> None:
        self.route = route
        self.sysfs = sysfs

    def add(self, name: str, kind: str, **values: object) -> None:
        """Add an interface; skip, loudly, where this kernel does not have the kind."""
        try:
            self.route.link("add", ifname=name, kind=kind, **values)
        except NetlinkError as error:
            if error.code in (errno.EOPNOTSUPP, errno.ENOTSUP):
                pytest.skip(f"this kernel has no interfaces of kind {kind}")
            raise

    def index(self, name: str) -> int:
        """Return the number of an interface."""
        return self.route.link_lookup(ifname=name)[0]

    def set(self, name: str, **values: object) -> None:
        """Change an interface."""
        self.route.link("set", index=self.index(name), **values)

    def remove(self, name: str) -> None:
        """Remove an interface."""
        self.route.link("del", index=self.index(name))

    def pair(self, name: str, peer: str) -> None:
        """Add two veth interfaces, each the other's end, both switched on."""
        self.add(name, "veth", peer=peer)
        self.set(name, state="up")
        self.set(peer, state="up")
        self.until(name, "up")
        self.until(peer, "up")

    def until(self, name: str, state: str) -> None:
        """Wait until an interface is in a state: the kernel may take its time to notice that a link came or went."""
        with Changes() as changes:
            while (found := self.state(name)) != state:
                assert changes.wait(EVENT_S), f"{name} is {found}, not {state}"

    def state(self, name: str) -> str:
        """Return the state of an interface."""
        return next(link.state for link in links.read(self.sysfs) if link.name == name)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Enter a new network namespace, with its sysfs mounted below the folder; leave and remove it at the end."""
    name = f"daos-test-{os.getpid()}"
    # Of the process that makes the namespace: pyroute2's two seconds are too few on a busy machine.
    config.default_communicate_timeout = int(EVENT_S)
    sysfs = folder / "sys"
    sysfs.mkdir()
    netns.create(name)
    netns.pushns(name)
    try:
        subprocess.run(["/usr/bin/mount", "-t", "sysfs", "-o", "ro", "sysfs", str(sysfs)], check=True)
        try:
            route = cast("Route", IPRoute())
            try:
                yield World(route, str(sysfs))
            finally:
                route.close()
        finally:
            subprocess.run(["/usr/bin/umount", str(sysfs)], check=True)
    finally:
        netns.popns()
        netns.remove(name)
