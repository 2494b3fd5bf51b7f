# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Stands in for start.py behind a launcher under test: tells as JSON what the launcher left to it, then waits for end of input."""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

PR_GET_PDEATHSIG = 2
PR_GET_SECUREBITS = 27
LIMITS = [name for name in dir(resource) if name.startswith("RLIMIT_")]


def open_descriptors() -> list[int]:
    """Return the descriptors that are open: the one that the listing itself used is gone again."""
    return sorted(int(name) for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd", name).is_symlink())


def main() -> None:
    """Print the report, in one line."""
    descriptors = open_descriptors()
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    libc = ctypes.CDLL(None)
    death_signal = ctypes.c_int(-1)
    libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(death_signal), 0, 0, 0)
    umask = os.umask(0)
    report = {
        "arguments": sys.orig_argv,
        "environment": dict(os.environ),
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": os.getgroups(),
        "descriptors": descriptors,
        "status": status,
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS},
        "folder": os.getcwd(),
        "umask": umask,
        "session_leader": os.getsid(0) == os.getpid(),
        "timers": [signal.getitimer(which) for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "death_signal": death_signal.value,
        "securebits": libc.prctl(PR_GET_SECUREBITS, 0, 0, 0, 0),
        "personality": Path("/proc/self/personality").read_text(encoding="ascii").strip(),
        "path": sys.path,
        "isolated": [sys.flags.isolated, sys.flags.no_site, sys.flags.dont_write_bytecode],
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()


main()
