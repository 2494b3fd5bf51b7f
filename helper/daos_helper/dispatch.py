# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The dispatcher: from a request to its answer.

Each request is a generator of steps.  The dispatcher authorises it, locks what it works on, forks a worker for each step,
watches the clock, and answers exactly once, whatever the worker does: crash, hang, flood, or leave without a word.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Final

import msgspec

from daos_helper.accounts import Identity
from daos_helper.context import Context
from daos_helper.methods.table import Method, find
from daos_helper.monitor import Monitor
from daos_helper.policy import PolicyFile
from daos_helper.process import Worker, drain
from daos_helper.rundir import Lock, RunDirectory, whereabouts
from daos_helper.steps import OUTPUT_KEPT, Step, Work
from daos_pbin import codes, envelope
from daos_pbin.envelope import RequestEnvelope
from daos_pbin.faults import Fault
from daos_pbin.frames import ANSWER_LIMIT, FrameError, FrameReader, encode
from daos_pbin.messages import Request, Result

MAX_REQUESTS: Final = 64
"""Requests of one session that may be open at once; one more is refused with fault 2015."""
LOG_BUDGET: Final = 64 * 1024
"""Bytes of a worker's output that are passed on per request; the rest is counted and dropped."""
ANSWER_BUDGET: Final = 2 * ANSWER_LIMIT
"""Bytes that one worker may send on its private pipe."""
UNDO_S: Final = 30.0
"""Seconds that a request may go on after its deadline, to undo what it half did."""
STUCK_S: Final = 3.0
"""Seconds after which a worker that does not die of SIGKILL is left behind as stuck in the kernel."""


class Running:
    """A step that a worker is doing.

    :ivar doomed: why it was killed; None if it was not.
    :ivar give_up: when to stop waiting for a killed worker.
    """

    def __init__(self, step: Step, process: Worker) -> None:
        self.step = step
        self.process = process
        self.reader = FrameReader(ANSWER_LIMIT)
        self.received = 0
        self.last: object = None
        self.fault: Fault | None = None
        self.output = ""
        self.doomed: Fault | None = None
        self.give_up: float | None = None


class Task:
    """A request on its way."""

    def __init__(self, message: RequestEnvelope, method: Method | None, subject: str) -> None:
        self.id = message.id
        self.name = message.method
        self.method = method
        self.subject = subject
        self.started = time.monotonic()
        self.deadline = self.started + message.deadline_s
        self.seconds = message.deadline_s
        self.request: Request[Result] | None = None
        self.work: Work[Result] | None = None
        self.running: Running | None = None
        self.locks: list[Lock] = []
        self.resources: tuple[str, ...] = ()
        self.log_left = LOG_BUDGET
        self.stepped = False


class Dispatcher:
    """All open requests of a session."""

    def __init__(self, monitor: Monitor) -> None:
        paths = monitor.paths
        self._monitor = monitor
        self._account = Identity.owner_of(paths.account)
        self._worker_account = Identity.owner_of(paths.worker)
        self._policy = PolicyFile(paths.policy)
        self._run: RunDirectory | None = None
        self._tasks: dict[int, Task] = {}
        self._queue: list[Task] = []
        self._starting = False
        self._left_behind: list[Worker] = []
        self._unconfined = ""
        self._fork: Callable[[Step, Identity, tuple[int, ...]], Worker] | None = None

    # Requests

    def is_open(self, request: int) -> bool:
        """Tell whether a request of that id waits for its answer."""
        return request in self._tasks

    def take(self, message: RequestEnvelope) -> None:
        """Begin a request, or answer it with the fault that stands against it."""
        task = Task(message, find(message.method), "")
        self._tasks[task.id] = task
        fault: Fault | None = None
        try:
            self._admit(task, message)
        except (Fault, OSError) as error:
            fault = _as_fault(error, message.method)
        except Exception as error:  # a defect costs one request and is told by its type, never by a traceback
            fault = Fault(codes.HELPER_INTERNAL, what=type(error).__name__)
        self._audit(task, "start", changes=fault is None and self._changes(task))
        if fault is not None:
            self._answer(task, fault=fault)
            return
        self._queue.append(task)
        self._start_ready()

    def _admit(self, task: Task, message: RequestEnvelope) -> None:
        """Check the request against its type and the policy; nothing of it is done yet."""
        if len(self._tasks) > MAX_REQUESTS:
            raise Fault(codes.HELPER_TOO_MANY_REQUESTS, limit=MAX_REQUESTS)
        method = task.method
        if method is None:
            raise Fault(codes.HELPER_METHOD_UNKNOWN, object=message.method, method=message.method)
        try:
            request = msgspec.convert(message.payload, method.request)
        except (msgspec.ValidationError, ValueError, RecursionError) as error:
            raise Fault(codes.HELPER_MESSAGE_INVALID, object=message.method, method=message.method, reason=str(error)) from error
        task.subject = method.subject(request)
        if method.changes and not self._monitor.audit.writable:
            raise Fault(codes.HELPER_AUDIT_UNAVAILABLE, sinks=self._monitor.audit.tried)
        self._authorise(task, method, request)
        task.resources = method.resources(request)
        task.request = request

    def _authorise(self, task: Task, method: Method, request: Request[Result]) -> Context:
        policy = self._policy.current()
        self._policy.check_method(policy, task.name)
        run, state = self._run_directory(), self._monitor.paths.state
        log, progress = functools.partial(self._log, task), functools.partial(self._progress, task)
        context = Context(self._account, policy, self._policy, run, state, log, progress)
        method.authorise(request, context)
        return context

    def _changes(self, task: Task) -> bool:
        return task.method is not None and task.method.changes

    def _run_directory(self) -> RunDirectory:
        if self._run is None:
            self._run = RunDirectory(self._monitor.paths.run)
        return self._run

    def _start_ready(self) -> None:
        """Start every queued request whose resources no earlier request of this session has or waits for."""
        if self._starting:
            return  # an answer inside the loop below: the loop goes on until nothing is ready
        self._starting = True
        try:
            while (task := self._next_ready()) is not None:
                self._queue.remove(task)
                self._begin(task)
        finally:
            self._starting = False

    def _next_ready(self) -> Task | None:
        held = {lock.resource for task in self._tasks.values() for lock in task.locks}
        for task in self._queue:
            if held.isdisjoint(task.resources):
                return task
            held.update(task.resources)
        return None

    def _begin(self, task: Task) -> None:
        method, request = task.method, task.request
        if method is None or request is None:
            raise RuntimeError("a request that was not admitted cannot begin")
        try:
            for resource in sorted(set(task.resources)):
                task.locks.append(self._run_directory().lock(resource))
            # Again: the policy may have changed while the request waited for its turn.
            task.work = method.work(request, self._authorise(task, method, request))
        except (Fault, OSError) as error:
            self._answer(task, fault=_as_fault(error, task.subject))
            return
        self._advance(task, value=None)

    def cancel(self, request: int) -> None:
        """End a request early; one that has been answered is no matter."""
        task = self._tasks.get(request)
        if task is not None:
            self._end_early(task, lambda step: Fault(codes.HELPER_CANCELLED, object=task.subject, step=step))

    def _end_early(self, task: Task, reason: Callable[[str], Fault]) -> None:
        if task.running is not None:
            if task.running.doomed is None:
                task.running.doomed = reason(task.running.step.row.step)
                task.running.give_up = time.monotonic() + STUCK_S
                task.running.process.kill()
            return
        if task in self._queue:
            self._queue.remove(task)
        self._answer(task, fault=reason("waiting for its turn"))

    # Steps

    def _advance(self, task: Task, *, value: object = None, fault: Fault | None = None) -> None:
        """Let the method go on with a step's outcome, up to its next step or its end."""
        work = task.work
        if work is None:
            raise RuntimeError("a request without work has no steps")
        while True:
            try:
                step = work.throw(fault) if fault is not None else work.send(value)
            except StopIteration as stop:
                self._answer(task, result=stop.value)
                return
            except (Fault, OSError) as error:
                self._answer(task, fault=_as_fault(error, task.subject))
                return
            except Exception as error:  # as in take
                self._answer(task, fault=Fault(codes.HELPER_INTERNAL, object=task.subject, what=type(error).__name__))
                return
            try:
                self._start(task, step)
            except OSError as error:
                fault = _as_fault(error, task.subject)  # the method may want to undo something
            else:
                return

    def _start(self, task: Task, step: Step) -> None:
        if self._fork is None:
            self._fork, self._unconfined = _ready_to_fork()
        task.stepped = True
        process = self._fork(step, self._worker_account, tuple(lock.descriptor for lock in task.locks))
        task.running = Running(step, process)
        self._monitor.watch(process.answers, lambda: self._read_answers(task))
        self._monitor.watch(process.output, lambda: self._read_output(task))
        self._monitor.watch(process.pidfd, lambda: self._ended(task))
        for lock in task.locks:
            with contextlib.suppress(OSError):  # a full /run: the lock holds, only its note is missing
                lock.note(pid=process.pid, request=task.id, step=step.row.step)

    def _read_answers(self, task: Task) -> None:
        running = task.running
        if running is None:
            return
        data = drain(running.process.answers, 64 * 1024)
        if not data:
            self._monitor.unwatch(running.process.answers)
            return
        running.received += len(data)
        try:
            if running.received > ANSWER_BUDGET:
                raise FrameError("more than the worker may send")
            for message in running.reader.feed(data):
                self._hear(task, running, message)
        except (FrameError, msgspec.ValidationError) as error:
            self._monitor.unwatch(running.process.answers)
            running.last = None
            status = f"after sending what is no answer ({error})"
            self._doom(running, Fault(codes.HELPER_WORKER_NO_ANSWER, object=task.subject, step=running.step.row.step, status=status))

    def _hear(self, task: Task, running: Running, message: dict[str, object]) -> None:
        if running.last is not None or running.fault is not None or len(message) != 1:
            raise FrameError("a message after the last")
        ((kind, value),) = message.items()
        if kind == "done" and isinstance(value, dict):
            running.last = value
        elif kind == "fault" and isinstance(value, dict):
            running.fault = envelope.parse_fault(value)
        elif kind == "log" and isinstance(value, str):
            self._log(task, value)
        elif kind == "progress" and isinstance(value, dict):
            progress = envelope.parse_from_helper({"type": "progress", "id": task.id, **value})
            if not isinstance(progress, envelope.Progress):
                raise FrameError("progress that is none")
            self._progress(task, progress.done, progress.total, progress.unit, progress.what)
        else:
            raise FrameError(f"a message of kind {kind[:32]}")
        if kind in ("done", "fault") and running.doomed is None:
            running.give_up = time.monotonic() + STUCK_S  # a thread that is stuck in the kernel shall not keep the answer

    def _read_output(self, task: Task) -> None:
        running = task.running
        if running is None:
            return
        data = drain(running.process.output, 64 * 1024)
        if not data:
            self._monitor.unwatch(running.process.output)
            return
        text = data.decode(errors="replace")
        running.output = (running.output + text)[-OUTPUT_KEPT:]
        for line in text.splitlines():
            if line.strip():
                self._log(task, line)

    def _ended(self, task: Task) -> None:
        """A worker is gone: hear its last words, and let the method go on."""
        running = task.running
        if running is None:
            return
        status = running.process.reap()
        if status is None:
            return
        self._drain(task, running)
        self._release(running.process)
        task.running = None
        value, fault = _outcome(task, running, status)
        if fault is not None:
            self._advance(task, fault=fault)
        else:
            self._advance(task, value=value)

    def _drain(self, task: Task, running: Running) -> None:
        """Read what a dead worker left in its pipes: a pipe's capacity at most, since nobody writes any more."""
        for descriptor, read in ((running.process.answers, self._read_answers), (running.process.output, self._read_output)):
            while descriptor in self._monitor.watched:
                read(task)

    def _release(self, process: Worker) -> None:
        for descriptor in (process.pidfd, process.answers, process.output):
            self._monitor.unwatch(descriptor)
        process.close()

    def _doom(self, running: Running, fault: Fault) -> None:
        if running.doomed is None:
            running.doomed = fault
            running.give_up = time.monotonic() + STUCK_S
        running.process.kill()

    # Time

    def times(self) -> list[float]:
        """Return the moments at which something must be looked at."""
        times = [task.deadline for task in self._tasks.values()]
        times += [task.running.give_up for task in self._tasks.values() if task.running and task.running.give_up]
        return times

    def check_times(self) -> None:
        """End what is over its deadline, and leave behind what does not die."""
        now = time.monotonic()
        for process in self._left_behind[:]:
            if process.reap() is not None:
                self._left_behind.remove(process)
                process.close()
        for task in list(self._tasks.values()):
            if task.running is not None and task.running.give_up is not None and now >= task.running.give_up:
                self._leave_behind(task, task.running)
            elif now >= task.deadline:
                task.deadline = now + UNDO_S
                self._end_early(task, functools.partial(_too_late, task))

    def _leave_behind(self, task: Task, running: Running) -> None:
        """Go on although the worker is stuck in the kernel: the worker keeps the locks, we close ours."""
        pid = running.process.pid
        for descriptor in (running.process.pidfd, running.process.answers, running.process.output):
            self._monitor.unwatch(descriptor)
        self._left_behind.append(running.process)
        task.running = None
        for lock in task.locks:
            lock.leave_to_worker()
        task.locks = []
        if running.doomed is None:  # it has said all that it had to say
            running.process.kill()
            self._advance(task, value=running.last, fault=running.fault)
            return
        step = running.step.row.step
        where = whereabouts(pid)
        self._advance(task, fault=Fault(codes.HELPER_WORKER_STUCK, object=task.subject, step=step, pid=pid, where=where))

    # Answers

    def _answer(self, task: Task, *, result: Result | None = None, fault: Fault | None = None) -> None:
        for lock in task.locks:
            lock.release()
        task.locks = []
        del self._tasks[task.id]
        frame = b""
        if result is not None:
            try:
                frame = encode(envelope.result(task.id, msgspec.to_builtins(result)), ANSWER_LIMIT)
            except FrameError as error:
                fault = Fault(codes.HELPER_INTERNAL, object=task.subject, what=f"an answer that cannot be sent: {error.reason}")
        elif fault is None:
            fault = Fault(codes.HELPER_INTERNAL, object=task.subject, what="no answer")
        if fault is not None:
            frame = encode(envelope.failure(task.id, fault), ANSWER_LIMIT)
        # First the audit line: who ends this session as soon as the answer is there shall not cut it off.
        self._audit(task, "end", changes=self._changes(task) and task.work is not None, fault=fault)
        self._monitor.send_frame(frame)
        self._start_ready()

    def _log(self, task: Task, text: str) -> None:
        if task.log_left <= 0:
            return
        task.log_left -= len(text) + 1
        if task.log_left <= 0:
            text = "further output of this request is dropped"
        self._monitor.send(envelope.log(task.id, "info", text), noise=True)

    def _progress(self, task: Task, done: int, total: int, unit: str, what: str) -> None:
        self._monitor.send(envelope.progress(task.id, done, total, unit, what), noise=True)

    def _audit(self, task: Task, event: str, *, changes: bool, fault: Fault | None = None) -> None:
        values: dict[str, object] = {"event": event, "request": task.id, "method": task.name, "object": task.subject}
        if event == "end":
            milliseconds = round((time.monotonic() - task.started) * 1000, 1)
            verdict = "done" if fault is None else "failed" if task.work is not None else "refused"
            values |= {"verdict": verdict, "duration_ms": milliseconds, "fault": fault.code if fault else 0}
            if task.stepped and self._unconfined:
                values["unconfined"] = self._unconfined
        self._monitor.audit.line(changes=changes, values=values)

    def shut_down(self) -> None:
        """Kill all workers, then wait for them together, a bounded time."""
        running = [task.running.process for task in self._tasks.values() if task.running is not None]
        for process in running:
            process.kill()
        deadline = time.monotonic() + STUCK_S
        for process in running:
            _wait_until(process, deadline)
        closed = Fault(codes.HELPER_SESSION_CLOSED, reason="the caller closed the session")
        for task in self._tasks.values():
            stuck = task.running is not None and not task.running.process.ended
            for lock in task.locks:
                lock.leave_to_worker() if stuck else lock.release()
            if task.running is not None:
                task.running.process.close()
            self._audit(task, "end", changes=self._changes(task), fault=closed)


def _ready_to_fork() -> tuple[Callable[[Step, Identity, tuple[int, ...]], Worker], str]:
    """Load, once and before the first fork, what every worker inherits; a session that needs no worker does without.

    :returns: what starts a worker, and how the kernel cannot confine it, for the audit line.
    """
    from daos_bindings.linux import capabilities
    from daos_helper.confinement import kernel
    from daos_helper.worker import start

    capabilities.last_capability()
    # What is there now is never freed: telling the collector so keeps forked workers from copying its pages.
    gc.collect()
    gc.freeze()
    return start, ",".join(kernel().lacks)


def _wait_until(process: Worker, deadline: float) -> None:
    """Wait for a killed worker to end, and reap it; one that is stuck in the kernel is left to init."""
    poller = select.poll()
    poller.register(process.pidfd, select.POLLIN)
    if poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        process.reap()


def _too_late(task: Task, step: str) -> Fault:
    return Fault(codes.HELPER_DEADLINE_EXCEEDED, object=task.subject, step=step, seconds=f"{task.seconds:g}")


def _as_fault(error: Fault | OSError, subject: str) -> Fault:
    if isinstance(error, Fault):
        return error
    call = str(error.filename or "a system call")
    return Fault(codes.STORAGE_SYSTEM_CALL_FAILED, object=subject, cause=error.strerror or str(error), call=call, what=subject)


def _outcome(task: Task, running: Running, status: int) -> tuple[object, Fault | None]:
    """Judge how a step ended: what it returned, or why it did not."""
    step = running.step.row.step
    finished = running.last is not None and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    if finished and running.fault is None:
        return running.last, None  # also if it was to be stopped: what was done shall not be told as stopped
    if running.doomed is not None:
        return None, running.doomed
    if running.fault is not None:
        return None, running.fault
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name if os.WTERMSIG(status) in signal.valid_signals() else str(os.WTERMSIG(status))
        return None, Fault(codes.HELPER_WORKER_CRASHED, object=task.subject, step=step, signal=name)
    code = os.WEXITSTATUS(status)
    if running.step.program is not None:
        return {"status": code, "output": running.output}, None
    return None, Fault(codes.HELPER_WORKER_NO_ANSWER, object=task.subject, step=step, status=f"with status {code}")
