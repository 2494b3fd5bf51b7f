# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A session with the privileged helper, for asyncio.

    async with HelperSession() as helper:
        answer = await helper.call(ScmCheckFormat(mountpoint="/mnt/daos"))

Any number of calls may be open at once.  No threads, no child watcher: the helper is a process on three pipes and a pidfd, or is
behind a socket.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from daos_pbin.conversation import DEADLINE_S, GRACE_S, PING_DEADLINE_S, START_S, STOP_S, Conversation, Pong
from daos_pbin.endings import session_closed
from daos_pbin.process import GONE, PROGRAM, reach

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from daos_pbin.conversation import Call, OnLog, OnProgress
    from daos_pbin.envelope import Hello
    from daos_pbin.faults import Fault
    from daos_pbin.messages import Request, Result, ResultT



class HelperSession:
    """One helper process and the conversation with it.

    :param program: absolute path of the launcher, or the arguments of a program that starts with one.
    :param socket: path of the socket behind which systemd starts the helper; it is used, and the program is not, where somebody
        listens.
    :param on_log: called with each log line of the helper.
    :param start_s: how many seconds the helper may take until its hello.
    :param grace_s: how many seconds the helper may take to answer after a deadline or a cancel; it may have to undo a step.  A
        helper that does not is killed, and every open call fails.
    :param stop_s: how many seconds the helper may take to end when it is asked to; then it is killed.

    Entering raises ``Fault``: 3 or 2016 or 2017 if the launcher refuses, 4 if it is missing, 2000 if helper and server are of
    different releases, 2012 if the helper ends early, 2180 if it does so behind a socket without a word.  Leaving ends the helper and
    waits for its end; open calls get 2012.
    An exception from a callback goes to the event loop's exception handler and changes nothing else.
    """

    def __init__(
        self,
        program: str | Sequence[str] = PROGRAM,
        *,
        socket: str = "",
        on_log: OnLog | None = None,
        start_s: float = START_S,
        grace_s: float = GRACE_S,
        stop_s: float = STOP_S,
    ) -> None:
        self._program = program
        self._socket = socket
        self._start_s = start_s
        self._grace_s = grace_s
        self._stop_s = stop_s
        self._conversation = Conversation(on_log)
        self._unsent = bytearray()
        self._kill_timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> HelperSession:
        self._loop = asyncio.get_running_loop()
        self._greeted = self._loop.create_future()
        self._exited = self._loop.create_future()
        self._process = reach(self._program, self._socket)
        self._loop.add_reader(self._process.stdout, self._on_output)
        if self._process.pidfd != GONE:
            self._loop.add_reader(self._process.stderr, self._on_errors)
            self._loop.add_reader(self._process.pidfd, self._on_exit)
        try:
            await asyncio.wait([self._greeted], timeout=self._start_s)
            if not self._greeted.done():
                self._end(session_closed(self._process.program, f"the helper said nothing for {self._start_s:g} seconds"))
            if self._conversation.fault is not None:
                raise self._conversation.end_fault()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(session_closed(self._process.program, "the session was left"))
        await self._stop()

    @property
    def hello(self) -> Hello:
        """What the helper said about itself: protocol, version, methods."""
        hello = self._conversation.hello
        if hello is None:
            raise RuntimeError("the session was not entered")
        return hello

    @property
    def pid(self) -> int:
        """Process id of the helper; 0 if it is behind a socket."""
        return self._process.pid

    async def call(
        self, request: Request[ResultT], *, deadline_s: float = DEADLINE_S, on_progress: OnProgress | None = None
    ) -> ResultT:
        """Make a request and return its result.

        Cancelling the task asks the helper to cancel, and waits for its answer, so that nothing goes on behind the caller's
        back; a helper that does not answer within the grace period is killed.

        :param deadline_s: seconds, above 0 and at most 86400; the helper keeps it, the client gives up a grace period later.
        :param on_progress: called with each ``Progress``.
        :raises Fault: what the helper answered; 2012 if the session ended; 2008 if neither happened in time.
        """
        # A request's type says which result belongs to it, and the conversation has converted the payload to that type.
        call = self._conversation.request(cast("Request[Result]", request), deadline_s, on_progress)
        return cast("ResultT", await self._outcome(call, deadline_s))

    async def ping(self, *, deadline_s: float = PING_DEADLINE_S) -> Pong:
        """Ask the helper whether it lives; answered without a worker."""
        return cast(Pong, await self._outcome(self._conversation.ping(deadline_s), deadline_s))

    async def _outcome(self, call: Call, deadline_s: float) -> object:
        answered = self._loop.create_future()
        call.on_done = lambda: answered.set_result(None)
        timer = self._loop.call_later(deadline_s + self._grace_s, self._give_up, call, deadline_s)
        self._send()
        try:
            await asyncio.shield(answered)
        except asyncio.CancelledError:
            await self._cancel(call, answered)
            raise
        finally:
            timer.cancel()
        return call.outcome()

    async def _cancel(self, call: Call, answered: asyncio.Future[None]) -> None:
        self._conversation.cancel(call)
        self._send()
        await asyncio.wait([answered], timeout=self._grace_s)
        if not answered.done():
            self._end(session_closed(self._process.program, f"the helper did not answer the cancel of {call.method}"))
            self._process.kill()

    def _give_up(self, call: Call, deadline_s: float) -> None:
        self._conversation.give_up(call, deadline_s)
        self._end(session_closed(self._process.program, f"the helper did not keep the deadline of {call.method}"))
        self._process.kill()

    def _send(self) -> None:
        """Write what waits to be sent; what the pipe does not take is written when it does."""
        self._unsent += self._conversation.take_output()
        if not self._unsent or self._process.stdin < 0:
            return
        written = self._process.write(self._unsent)
        if written is None:  # it ends, or is made to: its exit explains why
            self._unsent.clear()
            self._hang_up()
            return
        del self._unsent[:written]
        if self._unsent:
            self._loop.add_writer(self._process.stdin, self._send)
        else:
            self._loop.remove_writer(self._process.stdin)

    def _on_output(self) -> None:
        data = self._process.read_output()
        if data == b"":
            self._loop.remove_reader(self._process.stdout)
            if self._process.pidfd == GONE:
                self._on_exit()
            self._hang_up()
            return
        try:
            self._conversation.feed(data or b"")
        finally:
            self._send()
            self._wake()

    def _on_errors(self) -> None:
        if self._process.read_errors() == 0:
            self._loop.remove_reader(self._process.stderr)

    def _on_exit(self) -> None:
        """The helper is dead: take its last words, then let every open call know."""
        self._process.reap()
        self._forget(self._process.pidfd, self._process.stdout)
        self._exited.set_result(None)
        try:
            self._conversation.feed(self._process.last_output())
        finally:
            self._end(self._process.ending())

    def _end(self, fault: Fault) -> None:
        self._conversation.end(fault)
        self._wake()

    def _wake(self) -> None:
        """Let the task that enters the session go on, and part from a helper with which there is nothing more to talk about."""
        if self._conversation.has_ended():
            self._hang_up()
        elif self._conversation.hello is None:
            return
        if not self._greeted.done():
            self._greeted.set_result(None)

    def _hang_up(self) -> None:
        """Ask the helper to end, and kill it if it has not in time.  Its output is read and thrown away till then."""
        if self._process.stdin >= 0:
            self._loop.remove_writer(self._process.stdin)
            self._process.close_input()
        if self._kill_timer is None and not self._exited.done():
            self._kill_timer = self._loop.call_later(self._stop_s, self._kill)

    def _kill(self) -> None:
        self._process.kill()
        # Not allowed if it runs as root, and then this is all: everything is closed for it, and nobody waits for it any more.
        self._conversation.end(session_closed(self._process.program, "the helper closed its end of a pipe and does not end"))

    async def _stop(self) -> None:
        """Wait for the helper's end, not longer than it may take, and give back everything."""
        self._hang_up()
        try:
            await self._wait_for_exit()
        except asyncio.CancelledError:
            self._process.kill()
            await asyncio.wait([self._exited], timeout=self._stop_s)
            raise
        finally:
            if self._kill_timer is not None:
                self._kill_timer.cancel()
            self._forget(self._process.stdout, self._process.stderr, self._process.pidfd)
            self._process.release()

    def _forget(self, *fds: int) -> None:
        for fd in fds:
            if fd != GONE:
                self._loop.remove_reader(fd)

    async def _wait_for_exit(self) -> None:
        await asyncio.wait([self._exited], timeout=self._stop_s)
        if not self._exited.done() and self._process.kill():
            await asyncio.wait([self._exited], timeout=self._stop_s)
