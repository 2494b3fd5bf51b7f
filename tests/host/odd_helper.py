# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The real monitor with methods that no product has: steps that crash, hang, flood, lie, or look around.

Run as root: ``odd_helper.py FOLDER``, where the folder has the account files.  Tests only.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable

import attempts
from msgspec import Struct

from daos_bindings.linux import capabilities, seccomp
from daos_helper import confinement, monitor, privileges
from daos_helper.methods import table
from daos_helper.steps import Built, Exit, Step, Work, WorkerIO, perform
from daos_helper.worker import Channel
from daos_pbin.frames import encode
from daos_pbin.messages import Request, Result

CLONE_NEWNS = 0x00020000
ROWS = {row.step: row._replace(paths=None, calls="anything", loads=()) for row in privileges.TABLE}
"""What workers have after the drop of uid and capabilities alone; test_confinement.py is about the rest."""


ANYTHING = seccomp.INSTRUCTION.pack(seccomp.RETURN, 0, 0, seccomp.ALLOW)
"""A filter that lets every call through."""


class OddResult(Result, frozen=True, forbid_unknown_fields=True):
    """What an odd step has to say."""

    said: dict[str, object]


class Odd(Request[OddResult], frozen=True, forbid_unknown_fields=True):
    """Do an odd thing in a worker.

    :param kind: name of a function below.
    :param row: step of the privilege table whose privileges the worker gets.
    :param resource: what to lock.
    :param text: for the function.
    """

    result_type = OddResult
    kind: str
    row: str = "probe"
    resource: str = "odd"
    text: str = ""


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's answer."""

    said: dict[str, object]


def crash(_io: WorkerIO, text: str) -> Built:
    os.kill(os.getpid(), int(text))
    return {"said": {}}


def hang(io: WorkerIO, text: str) -> Built:
    io.progress(0, 0, "", f"pid {os.getpid()}")
    while True:
        signal.pause()


def last_word(io: WorkerIO, text: str) -> Built:
    """Say the last word, and freeze before the end, as who is stuck in the kernel: ``text`` is a freezer cgroup."""
    if isinstance(io, Channel):
        io.done({"said": {"pid": os.getpid()}})
    for file, content in (("cgroup.procs", str(os.getpid())), ("freezer.state", "FROZEN")):
        with open(f"{text}/{file}", "w") as control:
            control.write(content)
    while True:
        signal.pause()


def leave(_io: WorkerIO, text: str) -> Built:
    os._exit(int(text))


def flood_output(_io: WorkerIO, text: str) -> Built:
    line = b"x" * 99 + b"\n"
    for _ in range(int(text) // 100):
        os.write(1, line)
    return {"said": {"printed": text}}


def flood_answers(io: WorkerIO, text: str) -> Built:
    while True:
        io.log("x" * 4000)


def garbage(_io: WorkerIO, text: str) -> Built:
    for descriptor in open_descriptors():
        if descriptor > 2:
            os.write(descriptor, bytes.fromhex(text))
    signal.pause()
    return {"said": {}}


def two_answers(_io: WorkerIO, text: str) -> Built:
    for descriptor in open_descriptors():
        if descriptor > 2:
            os.write(descriptor, encode({"done": {"said": {}}}, 4096))
    return {"said": {}}


def wrong_type(_io: WorkerIO, text: str) -> Built:
    return {"said": 5}


def defect(_io: WorkerIO, text: str) -> Built:
    raise ZeroDivisionError("a secret of root's")


def look_around(_io: WorkerIO, text: str) -> Built:
    status = capabilities.read_status()
    return {
        "said": {
            "uids": list(status.uids),
            "gids": list(status.gids),
            "groups": list(status.groups),
            "effective": sorted(capabilities.names(status.effective)),
            "permitted": sorted(capabilities.names(status.permitted)),
            "inheritable": sorted(capabilities.names(status.inheritable)),
            "bounding": sorted(capabilities.names(status.bounding)),
            "ambient": sorted(capabilities.names(status.ambient)),
            "no_new_privs": status.no_new_privs,
            "descriptors": {str(fd): link for fd, link in open_descriptors().items()},
        }
    }


def regain(_io: WorkerIO, text: str) -> Built:
    """Try every way back to root that the worker could try; say which worked."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    worked: list[str] = []
    start = os.getresuid()
    calls: tuple[tuple[str, Callable[[], None]], ...] = (
        ("setresuid", lambda: os.setresuid(0, 0, 0)),
        ("setgroups", lambda: os.setgroups([0])),
        ("setresgid", lambda: os.setresgid(0, 0, 0)),
        ("chroot", lambda: os.chroot("/")),
        ("mknod", lambda: os.mknod("odd-device", 0o600 | 0o060000, os.makedev(7, 0))),
        ("shadow", lambda: os.close(os.open("/etc/shadow", os.O_RDWR))),
        ("kill", lambda: os.kill(1, 0)),
    )
    for name, call in calls:
        try:
            call()
        except OSError:
            continue
        if not (start == (0, 0, 0) and name in ("setresuid", "setresgid", "shadow", "kill")):
            worked.append(name)
    if libc.unshare(CLONE_NEWNS) == 0:
        worked.append("unshare")
    return {"said": {"worked": worked}}


def write(_io: WorkerIO, text: str) -> Built:
    descriptor = os.open(text, os.O_WRONLY | os.O_TRUNC)
    return {"said": {"written": os.write(descriptor, b"undone")}}


def open_descriptors() -> dict[int, str]:
    found: dict[int, str] = {}
    for descriptor in range(256):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        try:
            found[descriptor] = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            found[descriptor] = "hidden"
    return found


def meet(_io: WorkerIO, text: str) -> Built:
    """Meet another worker at a pipe: one opens it to read, the other to write; both must be there at once."""
    path, role = text.rsplit(":", 1)
    os.close(os.open(path, os.O_RDONLY if role == "read" else os.O_WRONLY))
    return {"said": {"at": str(time.monotonic_ns())}}


KINDS = {
    function.__name__: function
    for function in (
        crash,
        hang,
        last_word,
        leave,
        flood_output,
        flood_answers,
        garbage,
        two_answers,
        wrong_type,
        defect,
        look_around,
        regain,
        meet,
    )
}


def work(request: Odd, context: object) -> Work[OddResult]:
    row = ROWS[request.row]
    if request.kind == "confined":
        return (yield from confined(request))
    if request.kind == "become":
        return (yield from become(request))
    if request.kind == "program":
        ended = yield from perform(Step(row, "odd", program=tuple(request.text.split("\n"))), Exit)
        return OddResult({"status": ended.status, "output": ended.output})
    if request.kind == "undo":
        try:
            yield from perform(Step(row, "odd", run=lambda io: hang(io, "")), Said)
        finally:
            yield from perform(Step(row, "odd", run=lambda io: write(io, request.text)), Said)
    function = KINDS[request.kind]
    said = yield from perform(Step(row, "odd", run=lambda io: function(io, request.text)), Said)
    return OddResult(said.said)


def without(call: str) -> bytes:
    """Return a filter that makes this kernel look as if it had no such call."""
    code = (
        (seccomp.LOAD, 0, 0, seccomp.NUMBER_AT),
        (seccomp.JUMP_IF_EQUAL, 0, 1, seccomp.number(call) or 0),
        (seccomp.RETURN, 0, 0, seccomp.NOT_HERE),
        (seccomp.RETURN, 0, 0, seccomp.ALLOW),
    )
    return b"".join(seccomp.INSTRUCTION.pack(*one) for one in code)


def confined(request: Odd) -> Work[OddResult]:
    """Try things as the row's own worker would be able to: ``text`` has a folder that is held, then what to try, in lines."""
    from importlib.util import find_spec

    folder, *names = request.text.split("\n")
    real = next(row for row in privileges.TABLE if row.step == request.row)
    row = real._replace(loads=tuple(name for name in real.loads if find_spec(name)))
    file, above = os.open(f"{folder}/held", os.O_RDONLY), os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    holds_folders = row.paths is None or not row.paths.held.endswith("again")
    run = functools.partial(attempts.run, names, folder, above if holds_folders else -100, file)
    keep = (file, above) if holds_folders else (file,)
    try:
        return OddResult((yield from perform(Step(row, "odd", keep=keep, run=run), Said)).said)
    finally:
        os.close(file)
        os.close(above)


def become(request: Odd) -> Work[OddResult]:
    """Run a program as a program's row would: ``text`` is its arguments, in lines."""
    row = next(row for row in privileges.TABLE if row.step == request.row)
    ended = yield from perform(Step(row, "odd", program=tuple(request.text.split("\n"))), Exit)
    return OddResult({"status": ended.status, "output": ended.output})


def main() -> int:
    real = confinement.filter_of
    vars(confinement)["filter_of"] = lambda name: seccomp.Filter(ANYTHING) if name == "anything" else real(name)
    folder = sys.argv[1]
    if len(sys.argv) > 2 and sys.argv[2].startswith("without:"):
        seccomp.load(seccomp.Filter(without(sys.argv[2].removeprefix("without:"))))
    elif len(sys.argv) > 2:
        monitor.FRAME_PATIENCE_S = float(sys.argv[2])
    table.TABLE["Odd"] = table.method(
        Odd,
        authorise=lambda request, context: None,
        resources=lambda request: (request.resource,),
        changes=False,
        subject=lambda request: request.resource,
        work=work,
    )
    paths = monitor.Paths(
        policy=f"{folder}/helper.toml",
        run=f"{folder}/run",
        audit=f"{folder}/audit.log",
        account=f"{folder}/account",
        worker=f"{folder}/worker",
        state=f"{folder}/state",
    )
    return monitor.main(paths, 0)


if __name__ == "__main__":
    sys.exit(main())
