# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The helper as a child process: started on three pipes, watched through a pidfd, reaped once.

Shared by both sessions, so neither threads nor asyncio nor the signals of the calling program are touched.  The child gets
descriptors 0, 1 and 2 and nothing else, and an empty environment.
"""

from __future__ import annotations

import os
from fcntl import F_DUPFD_CLOEXEC, fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daos_pbin.connection import HelperConnection
    from daos_pbin.faults import Fault

    SpawnAction = tuple[int, int] | tuple[int, int, int]

PROGRAM = "/opt/daos/bin/daos_server_helper"
READ_SIZE = 64 * 1024
ERRORS_KEPT = 64 * 1024
"""How many bytes of the child's standard error are kept: the last ones."""
FINAL_READS = 32
"""How often a dead child's pipe is read at most: one that a stranger still holds open could be filled forever."""
GONE = -1
"""In place of a descriptor that is closed."""

# Ignored by every Python program, and so by its children: given back their default meaning.
_SIGPIPE, _SIGXFSZ = 13, 25

_unreaped: list[int] = []


class HelperProcess:
    """A running helper; ``stdin``, ``stdout`` and ``stderr`` are the caller's, non-blocking, ends of its pipes.

    :param program: absolute path, or the arguments of a program that starts with one.
    :param aside: what else its end is to be explained by.
    :raises Fault: 4 if the program is missing or may not be executed; 2017 if it cannot be started for another reason.
    """

    __slots__ = ("_aside", "_errors", "pid", "pidfd", "program", "reaped", "status", "stderr", "stdin", "stdout")

    def __init__(self, program: str | Sequence[str] = PROGRAM, aside: str = "") -> None:
        arguments = [program] if isinstance(program, str) else [*program]
        if not arguments or not arguments[0].startswith("/"):
            raise ValueError("the helper's program must be an absolute path")
        self.program = arguments[0]
        self.status: int | None = None
        self.reaped = False
        self._aside = aside
        self._errors = bytearray()
        self.stdin = self.stdout = self.stderr = self.pidfd = GONE
        _reap_earlier()
        try:
            self.pid = self._start(arguments)
            self.pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            self.close()
            raise _start_fault(self.program, error, aside) from None

    def _start(self, arguments: list[str]) -> int:
        theirs: list[int] = []
        try:
            child_in, self.stdin = _pipe(theirs, child_reads=True)
            child_out, self.stdout = _pipe(theirs, child_reads=False)
            child_err, self.stderr = _pipe(theirs, child_reads=False)
            actions: list[SpawnAction] = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate((child_in, child_out, child_err))]
            actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()]
            return os.posix_spawn(
                self.program, arguments, {}, file_actions=actions, setsigmask=(), setsigdef=(_SIGPIPE, _SIGXFSZ)
            )
        finally:
            for fd in theirs:
                os.close(fd)

    def read_output(self) -> bytes | None:
        """Return what the child wrote: at most ``READ_SIZE`` bytes, empty at the end of the stream, None if there is nothing yet."""
        return _read(self.stdout)

    def read_errors(self) -> int | None:
        """Take what the child wrote to its standard error: return how many bytes, 0 at the end, None if there is nothing yet."""
        data = _read(self.stderr)
        if data is None:
            return None
        self._errors += data
        del self._errors[:-ERRORS_KEPT]
        return len(data)

    def write(self, data: bytes | bytearray) -> int | None:
        """Write as much as the pipe takes and return how much that was; None if the child does not read any more."""
        return write(self.stdin, data)

    def last_output(self) -> bytes:
        """Return what is left in the pipe of a child that has ended."""
        return last_of(self.read_output)

    def errors(self) -> str:
        """Return the end of what the child wrote to its standard error, as text, and what there is to say besides."""
        return "\n".join(filter(None, (self._errors.decode("utf-8", "replace").strip(), self._aside)))

    def ending(self) -> Fault:
        """Return what its end, once it is reaped, means for whatever waits for an answer."""
        from daos_pbin.endings import fault_of_ending

        return fault_of_ending(self.program, self.status, self.errors())

    def reap(self) -> None:
        """Collect the child, whose end ``pidfd`` has announced, and what it last wrote to its standard error.

        ``status`` is its wait status then; it stays None if somebody else collected it.
        """
        try:
            _, self.status = os.waitpid(self.pid, 0)
        except ChildProcessError:  # SIGCHLD is ignored in this program, or its main loop waits for every child
            self.status = None
        self.reaped = True
        for _ in range(FINAL_READS):
            if not self.read_errors():
                break

    def kill(self) -> bool:
        """Kill the child; False if the kernel does not allow it, as for a helper that became root."""
        if self.pidfd == GONE:
            return True
        from signal import SIGKILL, pidfd_send_signal

        try:
            pidfd_send_signal(self.pidfd, SIGKILL)
        except PermissionError:
            return False
        except ProcessLookupError:
            pass
        return True

    def close_input(self) -> None:
        """Close the child's standard input, which asks it to end."""
        self.stdin = _close(self.stdin)

    def close(self) -> None:
        """Close every descriptor."""
        self.stdin, self.stdout, self.stderr = _close(self.stdin), _close(self.stdout), _close(self.stderr)
        self.pidfd = _close(self.pidfd)

    def release(self) -> None:
        """Close every descriptor; a child that neither ended nor could be killed is collected by a later start."""
        self.close()
        if not self.reaped:
            _unreaped.append(self.pid)


def reach(program: str | Sequence[str], socket: str) -> HelperProcess | HelperConnection:
    """Return a helper: the one behind the socket if somebody listens there, else the program as a child.

    :param socket: path; empty if there is none.
    :raises Fault: as ``HelperProcess``.
    """
    aside = ""
    if socket:
        from daos_pbin.connection import HelperConnection

        try:
            return HelperConnection(socket)
        except FileNotFoundError:
            aside = ""
        except OSError as error:
            aside = f"the helper's socket {socket} does not answer: {error.strerror or error}"
    return HelperProcess(program, aside)


def _pipe(theirs: list[int], *, child_reads: bool) -> tuple[int, int]:
    """Make a pipe, both ends above 2 so that no redirection overwrites one; append the child's end to ``theirs``."""
    ends: list[int] = []
    for fd in os.pipe():
        if fd <= 2:
            ends.append(fcntl(fd, F_DUPFD_CLOEXEC, 3))
            os.close(fd)
        else:
            ends.append(fd)
    child, ours = ends if child_reads else reversed(ends)
    theirs.append(child)
    os.set_blocking(ours, False)
    return child, ours


def _inheritable() -> list[int]:
    """Return the descriptors above 2 that a child would inherit, opened by code that is not Python's."""
    found: list[int] = []
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
        except OSError:  # the folder's own descriptor, closed by now
            continue
    return found


def write(fd: int, data: bytes | bytearray) -> int | None:
    """Write as much as a pipe or socket takes and return how much that was; None if nobody reads any more."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except (BrokenPipeError, ConnectionResetError):
        return None


def last_of(read: Callable[[], bytes | None]) -> bytes:
    """Return what is left to be read from a helper that has ended."""
    rest = bytearray()
    for _ in range(FINAL_READS):
        data = read()
        if not data:
            break
        rest += data
    return bytes(rest)


def _read(fd: int) -> bytes | None:
    try:
        return os.read(fd, READ_SIZE)
    except BlockingIOError:
        return None


def _close(fd: int) -> int:
    if fd != GONE:
        os.close(fd)
    return GONE


def _reap_earlier() -> None:
    for pid in _unreaped.copy():
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            ended = True
        if ended:
            _unreaped.remove(pid)


def _start_fault(program: str, error: OSError, aside: str) -> Exception:
    from daos_pbin import codes
    from daos_pbin.faults import Fault

    cause = "\n".join(filter(None, (error.strerror or str(error), aside)))
    if isinstance(error, (FileNotFoundError, NotADirectoryError, PermissionError)):
        return Fault(codes.PRIVILEGED_HELPER_NOT_AVAILABLE, helper=program, object=program, cause=cause)
    return Fault(codes.HELPER_START_FAILED, helper=program, reason="the system could not start it", object=program, cause=cause)
