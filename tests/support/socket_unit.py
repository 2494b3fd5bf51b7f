# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Plays systemd for the helper's units where there is none: listens as the socket unit says, and starts the service unit's program
for each connection, under as much of the unit's confinement as a process can put on itself.

Run as a program: UNIT FOLDER, SYSTEM CALLS (numbers by comma).  Says ``ready``, then a JSON line for each helper that ends; ends with
its standard input, and takes the socket away.
"""

from __future__ import annotations

import ctypes
import grp
import json
import os
import pwd
import select
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

SOCKET_UNIT, SERVICE_UNIT = "daos_server_helper.socket", "daos_server_helper@.service"
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_MDWE = 23, 24, 38, 22, 65
SECCOMP_MODE_FILTER, MDWE_REFUSE_EXEC_GAIN = 2, 1
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER_AT, FIRST_ARGUMENT_AT = 0, 16
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
EPERM, EAFNOSUPPORT = 1, 97
SYS_SOCKET = {"x86_64": 41, "aarch64": 198}


def directives(folder: str, unit: str) -> dict[str, list[str]]:
    """Return the values of each directive of a unit file, in the order of the file."""
    found: dict[str, list[str]] = {}
    for line in Path(folder, unit).read_text(encoding="ascii").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def capability_number(name: str) -> int:
    """Return the number of a capability, from the kernel's own header as the tests' Python knows it."""
    from daos_bindings.linux.capabilities import NAMES

    return NAMES[name]


def call_filter(allowed: list[int]) -> bytes:
    """Return a filter that lets these calls pass, of sockets only local ones; the others fail with EPERM."""
    code = [(LOAD, 0, 0, NUMBER_AT), (EQUAL, 0, 3, SYS_SOCKET[os.uname().machine])]
    code += [(LOAD, 0, 0, FIRST_ARGUMENT_AT), (EQUAL, 1, 0, socket.AF_UNIX), (RETURN, 0, 0, REFUSE | EAFNOSUPPORT), (LOAD, 0, 0, NUMBER_AT)]
    for number in allowed:
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    code += [(RETURN, 0, 0, REFUSE | EPERM)]
    return b"".join(struct.pack("=HBBI", *each) for each in code)


class Service:
    """What the service unit says, ready to be put on."""

    def __init__(self, folder: str, allowed: list[int]) -> None:
        unit = directives(folder, SERVICE_UNIT)
        self.program = unit["ExecStart"][0]
        self.kept = {capability_number(name) for name in unit["CapabilityBoundingSet"][0].split()}
        self.filter = call_filter(allowed)
        self.libc = ctypes.CDLL(None, use_errno=True)

    def start(self, connection: socket.socket) -> int:
        """Start the program with the connection as its input and output; return its process."""
        pid = os.fork()
        if pid == 0:
            try:
                self._become(connection.fileno())
            finally:
                os._exit(99)
        return pid

    def _become(self, connection: int) -> None:
        os.setsid()
        for number in (0, 1, 3):  # systemd hands the connection down a second time, by LISTEN_FDS
            os.dup2(connection, number, inheritable=True)
        os.umask(0o077)
        for number in range(64):
            if self.libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1 and number not in self.kept:
                self._must(self.libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
        self._must(self.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        self.libc.prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)  # since Linux 6.3
        code = ctypes.create_string_buffer(self.filter, len(self.filter))
        head = struct.pack("@HP", len(self.filter) // 8, ctypes.addressof(code))
        self._must(self.libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(head), 0, 0))
        environment = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "PYTHONPATH": "/nowhere", "PATH": "/nowhere"}
        os.execve(self.program, [self.program], environment)  # noqa: S606 - the unit's absolute path

    def _must(self, result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def listen(folder: str) -> socket.socket:
    """Make the socket as the socket unit says."""
    unit = directives(folder, SOCKET_UNIT)
    path = unit["ListenStream"][0]
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o777)
    listening.bind(path)
    os.chown(path, pwd.getpwnam(unit["SocketUser"][0]).pw_uid, grp.getgrnam(unit["SocketGroup"][0]).gr_gid)
    os.chmod(path, int(unit["SocketMode"][0], 8))
    listening.listen(128)
    return listening


def serve(listening: socket.socket, service: Service) -> Iterator[tuple[int, int]]:
    """Start a helper for each connection until standard input ends; yield process and exit status of each that ended."""
    running: dict[int, int] = {}
    poller = select.poll()
    for descriptor in (0, listening.fileno()):
        poller.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == 0:
                return
            if descriptor == listening.fileno():
                connection, _ = listening.accept()
                with connection:
                    pid = service.start(connection)
                watch = os.pidfd_open(pid)
                running[watch] = pid
                poller.register(watch, select.POLLIN)
                continue
            poller.unregister(descriptor)
            os.close(descriptor)
            pid = running.pop(descriptor)
            yield pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Play systemd."""
    folder, numbers = sys.argv[1:]
    service = Service(folder, [int(number) for number in numbers.split(",")])
    with listen(folder) as listening:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for pid, status in serve(listening, service):
            sys.stdout.write(json.dumps({"pid": pid, "status": status}) + "\n")
            sys.stdout.flush()
        os.unlink(listening.getsockname())


if __name__ == "__main__":
    main()
