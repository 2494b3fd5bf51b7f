# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The fault domain of this host: ``fault_path`` as written, what ``fault_cb`` prints, or ``/<hostname>``.

A callback is somebody's program, run as whoever runs the server.  So it must lie below the configuration's folder, where nobody but
root and that user could have changed it; it gets a constant environment, a deadline, and a bound on what it may print.
"""

from __future__ import annotations

import os
import selectors
import signal
import stat
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.config.model import ServerConfig

MOST_LEVELS = 2
DEADLINE_S = 30.0
OUTPUT_LIMIT = 4096
"""Bytes that a callback may print."""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Flaw(NamedTuple):
    """Why a text is no fault domain."""

    message: str
    remedy: str
    code: int


def flaw_of(path: str) -> Flaw | None:
    """Return what is wrong with a fault domain such as ``/rack1/host7``; None if it is one."""
    levels = path.strip().split("/")
    shown = ascii(path.strip()[:80])
    if levels[0] or len(levels) < 2 or not all(level.strip() for level in levels[1:]) or not path.strip().isprintable():
        remedy = "write it as /rack/host: a slash before each level, no empty level, none after the last"
        return Flaw(f"{shown} is no fault domain", remedy, codes.SERVER_CONFIG_FAULT_DOMAIN_INVALID)
    if len(levels) - 1 > MOST_LEVELS:
        remedy = f"use at most {MOST_LEVELS}, such as /rack1/host7"
        return Flaw(f"{shown} has {len(levels) - 1} levels", remedy, codes.SERVER_CONFIG_FAULT_DOMAIN_TOO_MANY_LAYERS)
    return None


def fault_domain(config: ServerConfig, *, folder: str, hostname: str = "", deadline_s: float = DEADLINE_S) -> str:
    """Return the fault domain in force, such as ``/rack1/host7``.

    :param folder: the folder that a callback must lie below: that of the configuration.
    :param hostname: in place of this host's name.
    :param deadline_s: seconds that a callback may take; it, and all it started, is killed then.
    :raises Fault: 717 and 724 for a text that is no fault domain, 722 if both keys are set, 718 to 721 and 723 for a callback that is
        missing, not safe to run, may not be run, failed, or printed nothing.
    """
    if config.fault_path and config.fault_cb:
        raise Fault(codes.SERVER_CONFIG_BOTH_FAULT_PATH_AND_CB)
    if config.fault_cb:
        _check_callback(config.fault_cb, folder)
        given, source = _printed_by(config.fault_cb, deadline_s), config.fault_cb
    else:
        given, source = config.fault_path or f"/{hostname or os.uname().nodename}", "fault_path"
    if flaw := flaw_of(given):
        raise Fault(flaw.code, object=source, cause=f"{flaw.message}: {flaw.remedy}")
    return "".join(f"/{level.strip()}" for level in given.strip().split("/")[1:])


def _check_callback(path: str, folder: str) -> None:
    """Refuse what somebody other than root and this user could have put there, or changed."""
    try:
        for cause in _doubts(path, folder):
            raise Fault(codes.SERVER_CONFIG_FAULT_CALLBACK_INSECURE, object=path, cause=cause, dir=folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Fault(codes.SERVER_CONFIG_FAULT_CALLBACK_NOT_FOUND, object=path, cause=os.strerror(error.errno or 0)) from error
    except (OSError, ValueError) as error:
        raise Fault(codes.SERVER_CONFIG_FAULT_CALLBACK_BAD_PERMS, object=path, cause=str(error)) from error
    if not os.access(path, os.X_OK, effective_ids=True):
        raise Fault(codes.SERVER_CONFIG_FAULT_CALLBACK_BAD_PERMS, object=path, cause="it is not executable for this user")


def _doubts(path: str, folder: str) -> Iterator[str]:
    parent, top = os.path.realpath(os.path.dirname(path)), os.path.realpath(folder)
    if not os.path.isabs(path) or os.path.commonpath((parent, top)) != top:
        yield f"it is not below {folder}"
        return
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        yield "it is a symbolic link"
    elif not stat.S_ISREG(found.st_mode):
        yield "it is not a file"
    elif found.st_mode & (stat.S_ISUID | stat.S_ISGID):
        yield "it has the setuid or setgid bit"
    while True:
        yield from _others(path, found)
        if parent == os.path.dirname(top):
            return
        path, found = parent, os.stat(parent)
        parent = os.path.dirname(parent)


def _others(path: str, found: os.stat_result) -> Iterator[str]:
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield f"{path} is writable for more than its owner (mode {stat.S_IMODE(found.st_mode):04o})"
    if found.st_uid not in (0, os.geteuid()):
        yield f"{path} belongs to uid {found.st_uid}, which is neither root nor the user that runs it"


def _printed_by(path: str, deadline_s: float) -> str:
    """Run the callback and return its output."""
    try:
        process = subprocess.Popen(  # noqa: S603 (the program that the configuration names; checked above)
            [path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except PermissionError as error:
        raise Fault(codes.SERVER_CONFIG_FAULT_CALLBACK_BAD_PERMS, object=path, cause=error.strerror or "") from error
    except OSError as error:
        raise _failed(path, f"{error.strerror} (does it begin with #! and the path of a program that exists?)") from error
    with process:
        try:
            printed = _collect(process, path, deadline_s)
        finally:
            # Not reaped yet, so the number is still that of its group: whatever it started ends with it.
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        said = printed.err.decode(errors="replace").strip()
        raise _failed(path, f"it ended with status {process.returncode}{f', saying {said[-200:]!a}' if said else ''}")
    text = printed.out.decode(errors="surrogateescape")  # no such character is printable
    if not text.strip():
        raise Fault(codes.SERVER_CONFIG_FAULT_CALLBACK_EMPTY, object=path)
    return text


class _Printed(NamedTuple):
    out: bytearray
    err: bytearray


def _collect(process: subprocess.Popen[bytes], path: str, deadline_s: float) -> _Printed:
    """Read what a process prints until it ends, without reaping it; what it started may live on and hold the pipes open."""
    printed = _Printed(bytearray(), bytearray())
    end = time.monotonic() + deadline_s
    with selectors.DefaultSelector() as selector, os.fdopen(os.pidfd_open(process.pid), "rb", buffering=0) as ended:
        for stream, kept in ((process.stdout, printed.out), (process.stderr, printed.err)):
            if stream:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream.fileno(), selectors.EVENT_READ, kept)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            ready = selector.select(max(0.0, end - time.monotonic()))
            for key, _ in ready:
                if isinstance(key.data, bytearray) and _drained(key.fd, key.data):
                    selector.unregister(key.fd)
            del printed.err[:-OUTPUT_LIMIT]
            if len(printed.out) > OUTPUT_LIMIT:
                raise _failed(path, f"it printed more than {OUTPUT_LIMIT} bytes")
            if any(key.fileobj is ended for key, _ in ready):
                break
            if not ready:
                raise _failed(path, f"it had not ended after {deadline_s:g} s")
        for key in list(selector.get_map().values()):
            if isinstance(key.data, bytearray):
                _drained(key.fd, key.data)
    return printed


def _drained(descriptor: int, kept: bytearray) -> bool:
    """Read what is there, as long as the limit is kept; return whether the other end is closed."""
    with suppress(BlockingIOError):
        while len(kept) <= OUTPUT_LIMIT:
            chunk = os.read(descriptor, OUTPUT_LIMIT + 1)
            if not chunk:
                return True
            kept += chunk
    return False


def _failed(path: str, reason: str) -> Fault:
    return Fault(codes.SERVER_CONFIG_FAULT_CALLBACK_FAILED, object=path, err=reason)
