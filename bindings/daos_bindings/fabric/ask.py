# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Ask a fabric library what it sees, in a process of its own with a deadline; believe nothing until it is decoded."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from typing import Annotated, Literal

import msgspec

from daos_pbin import codes
from daos_pbin.faults import Fault

Library = Literal["libfabric", "ucx"]

DEADLINE_S = 30.0
"""Seconds a library gets: one that looks at many network cards can take several."""
ANSWER_LIMIT = 4 * 1024 * 1024
DEVICES_LIMIT = 65536
CHILD = f"{os.path.dirname(__file__)}/child.py"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"\A[!-~]+\Z")]


class FabricDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device and one provider that can use it, both in the library's words.

    :param provider: such as ``tcp;ofi_rxm`` of libfabric, ``rc_mlx5`` of UCX.
    :param device: such as ``eth0``, ``mlx5_0``, or ``mlx5_0:1`` of UCX.
    :param place: in the library's list, from 0.
    """

    provider: Name
    device: Name
    place: Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child says; exactly one of the three is its point.

    :param devices: each pair of provider and device once.
    :param missing: why the library cannot be opened; empty if it can.
    :param failure: which call failed, and how; empty if none did.
    """

    devices: Annotated[tuple[FabricDevice, ...], msgspec.Meta(max_length=DEVICES_LIMIT)] = ()
    missing: Annotated[str, msgspec.Meta(max_length=8192)] = ""
    failure: Annotated[str, msgspec.Meta(max_length=8192)] = ""


def ask(library: Library, provider: str = "", *, deadline_s: float = DEADLINE_S, child: str = CHILD) -> tuple[FabricDevice, ...] | None:
    """Return what a library sees, in its order; None if it is not installed.

    :param provider: only this one, in the library's own words; empty for all.  UCX always tells everything.
    :param deadline_s: seconds until it counts as hung.
    :param child: the program to start.
    :raises Fault: 2332 if the library crashes, hangs, fails, or answers nonsense.
    """
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0):
        try:
            process = _start(library, provider, writer, deadline_s, child)
        except OSError as error:
            raise _failed(library, f"the process for it could not be started: {error.strerror}") from error
        finally:
            os.close(writer)
        end = time.monotonic() + deadline_s
        try:
            data = _receive(reader, end)
            ended = data.endswith(b"\n") or _ends(process, end)
        finally:
            code = _kill(process)
    if not data.endswith(b"\n"):
        raise _failed(library, _ending(code) if ended else f"it did not answer within {deadline_s:g} s")
    answer = decode(library, data)
    if answer.failure:
        raise _failed(library, answer.failure)
    return None if answer.missing else answer.devices


def decode(library: str, data: bytes) -> Answer:
    """Make an answer of bytes.

    :raises Fault: 2332 if they are none.
    """
    try:
        return msgspec.json.decode(data, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _failed(library, f"it answered what cannot be read: {error}") from error


def _start(library: str, provider: str, writer: int, deadline_s: float, child: str) -> subprocess.Popen[bytes]:
    """Start the child: the libraries print and read variables as they like, so standard streams are nowhere, and the
    environment is the caller's (FI_*, UCX_*, LD_LIBRARY_PATH)."""
    arguments = [library, provider, str(writer), str(int(deadline_s) + 1), *(path for path in sys.path if path)]
    return subprocess.Popen(  # noqa: S603 - this interpreter and a file beside this one
        [sys.executable, "-I", "-S", "-B", child, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writer,),
        start_new_session=True,
    )


def _receive(reader: int, end: float) -> bytes:
    """Return what comes until a line is complete, the stream or the time ends, or it is too much to be an answer."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    data = bytearray()
    while len(data) <= ANSWER_LIMIT and (left := end - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            break
        part = os.read(reader, 65536)
        data += part
        if not part or part.endswith(b"\n"):
            return bytes(data)
    return b""


def _ends(process: subprocess.Popen[bytes], end: float) -> bool:
    """Return whether a child ends by itself in time."""
    poll = select.poll()
    pidfd = os.pidfd_open(process.pid)
    try:
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(max(end - time.monotonic(), 0) * 1000))
    finally:
        os.close(pidfd)


def _kill(process: subprocess.Popen[bytes]) -> int:
    """End the child, and whatever the library started with it: it leads a session of its own, and until it is waited for, here,
    its number is nobody else's.  Return its exit code, or the signal that ended it, below 0."""
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _ending(code: int) -> str:
    """Return in words how a child without an answer ended."""
    if code < 0:
        return f"it crashed: {signal.strsignal(-code) or 'signal'} (signal {-code})"
    return f"its process ended with exit code {code} and without an answer"


def _failed(library: str, reason: str) -> Fault:
    return Fault(codes.NETWORK_LIBRARY_FAILED, object=library, library=library, reason=reason)
