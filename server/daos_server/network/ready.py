# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Waiting until fabric interfaces are ready: on what the kernel reports, never by asking again and again."""

from __future__ import annotations

import errno
import logging
import select
import socket
import time
from typing import TYPE_CHECKING

from daos_bindings.linux.kernelfiles import printable
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.network import links
from daos_server.network.states import Readiness, problem, readiness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daos_server.network.links import Link, Reader

LOG = logging.getLogger(__name__)
RTMGRP_LINK = 1
NAMES_SHOWN = 32


def wait_ready(names: Iterable[str], deadline_s: float, sysfs: str = links.SYSFS) -> None:
    """Return as soon as every named interface is ready for traffic.  Blocks: a program with an event loop calls it in a thread.

    :param deadline_s: seconds to wait for those that are about to become ready; 0 or less looks once.
    :param sysfs: where sysfs is mounted, for this process's network namespace.
    :raises Fault: 2330 at once if one is missing, down or in an unknown state, or becomes so; 2331 if one is not ready in
        time; 2334 if the kernel does not tell.
    """
    wanted = tuple(dict.fromkeys(names))
    end = time.monotonic() + deadline_s
    # Subscribed before the first look: what changes in between is not lost.
    with Changes() as changes, links.reader(sysfs) as reader:
        waiting = _waiting(wanted, reader)
        while waiting and changes.wait(end - time.monotonic()):
            waiting = _waiting(wanted, reader)
        # A last look, for a state that changed without a report: an InfiniBand port's can.
        waiting = waiting and _waiting(wanted, reader)
    if waiting:
        text = ", ".join(f"{printable(link.name)} ({_state(link)})" for link in waiting)
        raise Fault(codes.NETWORK_INTERFACE_NOT_READY, interfaces=text, seconds=f"{max(deadline_s, 0):g}")


class Changes:
    """The kernel's reports that an interface changed.  What they say is not read: whoever is woken looks for himself, so that
    reports lost in a flood do no harm."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        except OSError as error:
            raise _refused(error) from error
        try:
            self._socket.bind((0, RTMGRP_LINK))
        except OSError as error:
            self._socket.close()
            raise _refused(error) from error

    def __enter__(self) -> Changes:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait(self, seconds: float) -> bool:
        """Return True when something has changed since the last call, False when the seconds are over.

        :raises Fault: 2334 if the kernel reports no more.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if seconds <= 0 or not poll.poll(seconds * 1000):
            return False
        while self._take_one():
            pass
        return True

    def _take_one(self) -> bool:
        try:
            self._socket.recv(1)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # more reports than there was room for, which is a report as well
                raise _refused(error) from error
        return True


def _refused(error: OSError) -> Fault:
    return Fault(codes.NETWORK_UNREADABLE, reason=f"netlink socket: {error.strerror}")


def _waiting(wanted: tuple[str, ...], reader: Reader) -> list[Link]:
    """Return those that are not ready yet."""
    found = {link.name: link for link in reader.links()}
    for name in wanted:
        if name not in found:
            raise _unusable(name, "there is none of that name", f"there are {_names(found)}")
    states = {name: readiness(found[name], found) for name in wanted}
    for name, state in states.items():
        if state in (Readiness.DOWN, Readiness.UNKNOWN):
            raise _unusable(name, *problem(found[name], found))
    waiting = [found[name] for name, state in states.items() if state is Readiness.WAIT]
    if waiting:
        LOG.info("waiting for %s", ", ".join(f"{link.name} ({_state(link)})" for link in waiting))
    return waiting


def _state(link: Link) -> str:
    ports = [f"{port.device} port {port.port} in state {port.state}" for port in link.ports]
    return ", ".join(ports) or link.state


def _names(found: Iterable[str]) -> str:
    names = [printable(name) for name in found]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _unusable(name: str, why: str, remedy: str) -> Fault:
    shown = printable(name)
    return Fault(codes.NETWORK_INTERFACE_UNUSABLE, object=shown, interface=shown, problem=why, remedy=remedy)
