# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The worker: a forked process that does one step with that step's privileges, answers on a private pipe, and is gone.

The order is the point.  Standard output and error become the log pipe before any foreign library is loaded; every
descriptor that the step does not need is closed; privileges are dropped for good and the drop is proved; the parent's death
is made the worker's own; the code that the step needs is loaded; then the worker is confined to its row's paths and system
calls, and the step runs.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import signal
from typing import Final, NoReturn

from daos_bindings.linux import privileges, syscalls
from daos_helper import confinement
from daos_helper.accounts import Identity
from daos_helper.privileges import Row
from daos_helper.process import Worker
from daos_helper.steps import Step
from daos_pbin import catalogue as _words_of_faults  # noqa: F401 - a confined worker cannot load them any more
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.frames import ANSWER_LIMIT, encode

DROP_FAILED: Final = 125
"""Exit status of a worker that could not even say why it could not drop its privileges."""
INTO_LIMIT: Final = 2 << 20
"""Bytes of a program's standard output where a file in memory takes it: a longer one ends the program."""
ACCOUNT_TASKS: Final = 2048
"""The most processes and threads that daos_helper may have in all while a step with threads runs: the kernel counts by user."""


class Channel:
    """The worker's end of its private pipe (see ``steps.WorkerIO``)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def progress(self, done: int, total: int, unit: str, what: str) -> None:
        """Send how far the step is."""
        self._send({"progress": {"done": done, "total": total, "unit": unit, "what": what}})

    def log(self, text: str) -> None:
        """Send a line for the log."""
        self._send({"log": text})

    def done(self, payload: dict[str, object]) -> None:
        """Send the step's result, its last word."""
        self._send({"done": payload})

    def fault(self, fault: Fault) -> None:
        """Send why the step failed, its last word."""
        self._send({"fault": fault.to_wire()})

    def _send(self, message: dict[str, object]) -> None:
        data = encode(message, ANSWER_LIMIT)
        while data:
            data = data[os.write(self._descriptor, data) :]


def start(step: Step, worker_account: Identity, locks: tuple[int, ...]) -> Worker:
    """Fork a worker for the step.

    :param worker_account: uid and gid of daos_helper.
    :param locks: descriptors of the request's locks, which the worker keeps so that they last as long as it does.
    :raises OSError: if there is no process or descriptor to be had.
    """
    monitor = os.getpid()
    confinement.kernel()
    confinement.filter_of(step.row.calls)
    answers, answers_end = os.pipe2(os.O_CLOEXEC)
    output, output_end = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        for descriptor in (answers, answers_end, output, output_end):
            os.close(descriptor)
        raise
    if pid == 0:
        _become_worker(step, worker_account, locks, answers_end, output_end, monitor)
    os.close(answers_end)
    os.close(output_end)
    try:
        return Worker(pid, answers, output)
    except OSError:  # no descriptor left to supervise it with: then it must not run
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(answers)
        os.close(output)
        raise


def _become_worker(
    step: Step, worker_account: Identity, locks: tuple[int, ...], answers: int, output: int, monitor: int
) -> NoReturn:
    """Be the worker; never return into the monitor's code, whatever happens."""
    status = DROP_FAILED
    try:
        gc.disable()
        _standard_descriptors(output)
        if step.into is not None:
            _print_into(step.into)
        _close_all_but((answers, *step.keep, *locks))
        channel = Channel(answers)
        try:
            _drop(step.row, worker_account, monitor)
            status = _work(step, channel, locks)
        except Fault as fault:
            status = 1
            channel.fault(fault)
        except OSError as error:
            status = 1
            channel.fault(_system_call_failed(step, error))
        except Exception as error:
            status = 1
            channel.fault(Fault(codes.HELPER_INTERNAL, object=step.subject, what=f"{type(error).__name__} in step {step.row.step}"))
    finally:
        os._exit(status)


def _standard_descriptors(output: int) -> None:
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _print_into(file: int) -> None:
    os.dup2(file, 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (INTO_LIMIT, INTO_LIMIT))


def _close_all_but(keep: tuple[int, ...]) -> None:
    low = 3
    for descriptor in sorted(set(keep)):
        if descriptor > low:
            os.closerange(low, descriptor)
        low = max(low, descriptor + 1)
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _drop(row: Row, worker_account: Identity, monitor: int) -> None:
    identity = worker_account if row.identity == "worker" else Identity(0, 0)
    try:
        os.setsid()
        privileges.become(identity.uid, identity.gid, capabilities=row.capabilities)
        syscalls.set_dumpable(False)
        _limit_tasks(row.threads)
        privileges.die_with_parent(monitor)
    except (OSError, privileges.PrivilegeError) as error:
        raise Fault(codes.HELPER_PRIVILEGE_DROP_FAILED, step=row.step, reason=str(error)) from error


def _limit_tasks(threads: int) -> None:
    """Let a worker make no processes: what it is, ends with it.  To the kernel a thread is one, so those few that have some
    get a limit instead of none.  (The kernel does not ask uid 0, nor who has CAP_SYS_ADMIN.)"""
    most = ACCOUNT_TASKS if threads else 0
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _work(step: Step, channel: Channel, locks: tuple[int, ...]) -> int:
    """Do the step: call its function and return 0, or become its program."""
    if step.program is not None:
        _become_program(step, step.program, locks)
    for name in step.row.loads:
        importlib.import_module(name)
    _confine(step)
    if step.run is not None:
        channel.done(step.run(channel))
    return 0


def _confine(step: Step) -> None:
    try:
        confinement.enter(step.row, step.keep, step.program[0] if step.program else None)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise Fault(codes.HELPER_PRIVILEGE_DROP_FAILED, step=step.row.step, reason=reason) from error


def _become_program(step: Step, program: tuple[str, ...], locks: tuple[int, ...]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and a program would inherit that
        signal.signal(number, signal.SIG_DFL)
    for descriptor in (*step.keep, *locks):
        os.set_inheritable(descriptor, True)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    _confine(step)
    os.execve(program[0], program, environment)  # noqa: S606 - an absolute path, arguments of ours, a constant environment


def _system_call_failed(step: Step, error: OSError) -> Fault:
    call = error.filename if isinstance(error.filename, str) else step.row.step
    cause = os.strerror(error.errno) if error.errno else str(error)
    return Fault(codes.STORAGE_SYSTEM_CALL_FAILED, object=step.subject, cause=cause, call=call, what=step.subject)
