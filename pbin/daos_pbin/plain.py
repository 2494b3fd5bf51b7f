# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A session with the privileged helper, for code without an event loop.

    with PlainSession() as helper:
        answer = helper.call(ScmCheckFormat(mountpoint="/mnt/daos"))

One call at a time.  Imports as little as it can: a ping from a bare interpreter costs hardly more than the helper's own start.
"""

from __future__ import annotations

from select import POLLIN, POLLOUT, poll
from time import monotonic

from daos_pbin.conversation import DEADLINE_S, GRACE_S, PING_DEADLINE_S, START_S, STOP_S, Conversation
from daos_pbin.process import GONE, PROGRAM, reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from daos_pbin.conversation import Call, OnLog, OnProgress, Pong
    from daos_pbin.envelope import Hello
    from daos_pbin.messages import Request, Result, ResultT



class PlainSession:
    """One helper process and the conversation with it; parameters as those of ``session.HelperSession``.

    Entering raises ``Fault`` 4 or 2017 if the helper cannot be started, and does not wait for its hello: what the launcher or
    the handshake refuses comes out of the first call.  An exception from a callback, or a signal handler, comes out of the
    call; the helper goes on with the work until the session is left.
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
        self._exited = False
        self._left = True
        self._writing = False

    def __enter__(self) -> PlainSession:
        self._process = reach(self._program, self._socket)
        self._left = False
        self._poll = poll()
        for fd in (self._process.stdout, self._process.stderr, self._process.pidfd):
            if fd != GONE:
                self._poll.register(fd, POLLIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left = True
        self._hang_up()
        try:
            if not self._until(self._has_exited, self._stop_s) and self._process.kill():
                self._until(self._has_exited, self._stop_s)
        finally:
            self._process.release()

    @property
    def hello(self) -> Hello:
        """What the helper said about itself: protocol, version, methods.  Waits for it.

        :raises Fault: if there was no hello of our protocol and version.
        """
        return self._wait_for_hello()

    @property
    def pid(self) -> int:
        """Process id of the helper; 0 if it is behind a socket."""
        return self._process.pid

    def call(
        self, request: Request[ResultT], *, deadline_s: float = DEADLINE_S, on_progress: OnProgress | None = None
    ) -> ResultT:
        """Make a request, wait for its result and return it.

        :param deadline_s: seconds, above 0 and at most 86400; the helper keeps it, the client gives up a grace period later.
        :param on_progress: called with each ``Progress``.
        :raises Fault: what the helper answered; 2012 if the session ended; 2008 if neither happened in time.
        """
        from typing import cast  # msgspec loads it in any case; a ping does without

        # A request's type says which result belongs to it, and the conversation has converted the payload to that type.
        call = self._conversation.request(cast("Request[Result]", request), deadline_s, on_progress)
        self._wait_for_hello()  # the request is held back until then
        return cast("ResultT", self._outcome(call, deadline_s))

    def ping(self, *, deadline_s: float = PING_DEADLINE_S) -> Pong:
        """Ask the helper whether it lives; answered without a worker."""
        pong: Pong = self._outcome(self._conversation.ping(deadline_s), deadline_s)  # type: ignore[assignment]  # what a ping makes
        return pong

    def _wait_for_hello(self) -> Hello:
        self._refuse_if_left()
        conversation = self._conversation
        if not self._until(lambda: conversation.hello is not None or conversation.has_ended(), self._start_s):
            self._end(f"the helper said nothing for {self._start_s:g} seconds")
        if conversation.hello is None:
            raise conversation.end_fault()
        return conversation.hello

    def _outcome(self, call: Call, deadline_s: float) -> object:
        self._refuse_if_left()
        self._send()
        try:
            if not self._until(lambda: call.done, deadline_s + self._grace_s):
                self._give_up(call, deadline_s)
        finally:
            call.on_progress = None  # whoever leaves by an exception does not want to hear of this call again
        return call.outcome()

    def _refuse_if_left(self) -> None:
        if self._left:
            raise RuntimeError("the session is not entered, or was left")

    def _give_up(self, call: Call, deadline_s: float) -> None:
        self._conversation.give_up(call, deadline_s)
        self._end(f"the helper did not keep the deadline of {call.method}")
        self._process.kill()

    def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Deal with what the helper sends until the condition holds; False if it does not within that time."""
        limit = monotonic() + seconds
        while not condition():
            left = limit - monotonic()
            if left <= 0:
                return False
            self._wait(left)
        return True

    def _wait(self, seconds: float) -> None:
        for fd, _ in self._poll.poll(seconds * 1000 + 1):
            if fd == self._process.stdout:
                self._on_output()
            elif fd == self._process.stderr:
                if self._process.read_errors() == 0:
                    self._poll.unregister(fd)
            elif fd == self._process.stdin:
                self._send()
            elif fd == self._process.pidfd:
                self._on_exit()

    def _has_exited(self) -> bool:
        return self._exited

    def _send(self) -> None:
        """Write what waits to be sent; what the pipe does not take is written when it does."""
        self._unsent += self._conversation.take_output()
        stdin = self._process.stdin
        if not self._unsent or stdin == GONE:
            return
        written = self._process.write(self._unsent)
        if written is None:
            self._unsent.clear()
            self._hang_up()
            self._await_exit()
            return
        del self._unsent[:written]
        if self._unsent:
            self._poll.register(stdin, POLLOUT)
            self._writing = True
        elif self._writing:
            self._poll.unregister(stdin)
            self._writing = False

    def _on_output(self) -> None:
        data = self._process.read_output()
        if data == b"":
            self._poll.unregister(self._process.stdout)
            self._hang_up()
            self._await_exit()
            return
        self._take(data or b"")

    def _await_exit(self) -> None:
        """The helper has closed its end of a pipe, as it does when it ends: give it the time to do that as well."""
        if self._process.pidfd == GONE:  # a socket, of which that is all that can be seen
            self._on_exit()
            return
        ending = poll()
        ending.register(self._process.pidfd, POLLIN)
        if not ending.poll(self._stop_s * 1000):
            self._end("the helper closed its end of a pipe and does not end")
            return
        self._on_exit()

    def _take(self, data: bytes) -> None:
        if self._left:
            return
        try:
            self._conversation.feed(data)
        finally:
            if self._conversation.has_ended():
                self._hang_up()
            else:
                self._send()

    def _on_exit(self) -> None:
        """The helper is dead: take its last words, then let an open call know."""
        if self._exited:
            return
        self._process.reap()
        self._exited = True
        if self._process.pidfd != GONE:
            self._poll.unregister(self._process.pidfd)
        if self._left:
            return
        try:
            self._take(self._process.last_output())
        finally:
            self._conversation.end(self._process.ending())

    def _end(self, reason: str) -> None:
        from daos_pbin.endings import session_closed

        self._conversation.end(session_closed(self._process.program, reason))
        self._hang_up()

    def _hang_up(self) -> None:
        """Ask the helper to end."""
        if self._writing:
            self._poll.unregister(self._process.stdin)
            self._writing = False
        self._process.close_input()
