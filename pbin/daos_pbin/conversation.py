# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The server's side of a session, without input and output.

It numbers requests, greets the helper, brings every answer to the call that waits for it, and turns whatever the helper does
wrong into one fault for all of them.  ``session`` and ``plain`` move the bytes.
"""

from __future__ import annotations

from daos_pbin import PROTOCOL_VERSION, VERSION, codes, envelope
from daos_pbin.frames import ANSWER_LIMIT, REQUEST_LIMIT, FrameError, FrameReader, encode
from daos_pbin.methods import PING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from daos_pbin.faults import Fault
    from daos_pbin.messages import Request, Result

    OnLog = Callable[[envelope.Log], None]
    OnProgress = Callable[[envelope.Progress], None]
    Opener = Callable[[dict[str, object]], object]
    T = TypeVar("T")

DEADLINE_S = 600.0
PING_DEADLINE_S = 10.0
START_S = 30.0
"""Seconds that a helper may take until its hello."""
GRACE_S = 45.0
"""Seconds beyond a deadline or a cancel until the client gives up: more than the helper takes to undo a step and to notice
that a worker is stuck."""
STOP_S = 10.0
"""Seconds that a helper may take to end."""
APP_NAME = "daos_server_helper"
PONG_FIELDS = frozenset({"version", "app_name"})


class Pong(envelope.Envelope):
    """Answer to a ping."""

    __slots__ = ("app_name", "version")

    def __init__(self, version: str, app_name: str) -> None:
        self.version = version
        self.app_name = app_name


class Call:
    """A request that was made; ``done`` when it is answered or the session has ended.

    :param open_payload: checks and converts the payload of a result.
    :param on_progress: called with each ``Progress``.
    :param on_done: called once, without arguments.
    """

    __slots__ = ("_fault", "_open_payload", "_result", "cancelled", "done", "id", "method", "on_done", "on_progress")

    def __init__(self, id: int, method: str, open_payload: Opener, on_progress: OnProgress | None) -> None:
        self.id = id
        self.method = method
        self.on_progress = on_progress
        self.on_done: Callable[[], None] | None = None
        self.done = False
        self.cancelled = False
        self._open_payload = open_payload
        self._result: object = None
        self._fault: Fault | None = None

    def outcome(self) -> object:
        """Return the result.

        :raises Fault: if the helper answered with one, or the session ended before it answered.
        """
        if self._fault is not None:
            raise self._fault
        return self._result

    def answer(self, payload: dict[str, object]) -> None:
        """Take the payload of the result."""
        try:
            self._result = self._open_payload(payload)
        except (ValueError, TypeError) as error:  # msgspec's ValidationError is a ValueError
            self._fault = _message_invalid(self.method, str(error))
        self._finish()

    def fail(self, fault: Fault) -> None:
        """Take a fault in place of a result."""
        self._fault = fault
        self._finish()

    def _finish(self) -> None:
        self.done = True
        if self.on_done is not None:
            self.on_done()


class Conversation:
    """One session as the server sees it.

    Requests other than ``Ping`` wait here until the helper's version is known to be ours, so that a helper of another
    version never acts on one.

    :param on_log: called with each ``Log``.
    """

    def __init__(self, on_log: OnLog | None = None) -> None:
        self.hello: envelope.Hello | None = None
        self.fault: Fault | None = None
        self._on_log = on_log
        self._reader = FrameReader(ANSWER_LIMIT)
        self._calls: dict[int, Call] = {}
        self._last_id = 0
        self._output = bytearray()
        self._held = bytearray()
        self._callback_error: Exception | None = None

    def has_ended(self) -> bool:
        """Whether nothing more will be sent or taken; ``fault`` says why."""
        return self.fault is not None

    def ping(self, deadline_s: float) -> Call:
        """Make a ping; its outcome is a ``Pong``."""
        call = self._open(PING, deadline_s, _open_pong, None)
        self._output += _frame(call, {}, deadline_s)
        return self._enter(call)

    def request(self, request: Request[Result], deadline_s: float, on_progress: OnProgress | None = None) -> Call:
        """Make a request; its outcome is of the request's result type.

        :param deadline_s: seconds, above 0 and at most 86400, after which the helper ends the work with fault 2008.
        :raises Fault: 2002 if the request cannot be sent; or the reason for which the session ended.
        :raises ValueError: if the deadline is out of range.
        """
        import msgspec

        result_type = request.result_type
        call = self._open(type(request).__name__, deadline_s, lambda payload: msgspec.convert(payload, result_type), on_progress)
        frame = _frame(call, msgspec.to_builtins(request), deadline_s)
        self._queue(frame)
        return self._enter(call)

    def cancel(self, call: Call) -> None:
        """Ask the helper to end a call early.  The call stays open until the helper answers it, with a result or a fault."""
        if call.done or call.cancelled or self.has_ended():
            return
        call.cancelled = True
        self._queue(encode(envelope.cancel(call.id), REQUEST_LIMIT))

    def take_output(self) -> bytearray:
        """Return the bytes to be sent, each only once."""
        output, self._output = self._output, bytearray()
        return output

    def feed(self, data: bytes) -> None:
        """Take bytes from the helper.  A breach of the protocol ends the conversation; nothing is raised for it.

        :raises Exception: the first that a progress or log callback raised, after all of ``data`` was dealt with.
        """
        if self.has_ended():
            return
        try:
            for message in self._reader.feed(data):
                self._take(message)
                if self.has_ended():
                    break
        except FrameError as error:
            self.end(error.fault())
        raised, self._callback_error = self._callback_error, None
        if raised is not None:
            raise raised

    def end(self, fault: Fault) -> None:
        """End the conversation; every open call fails with this fault.  Only the first end counts."""
        if self.has_ended():
            return
        self.fault = fault
        self._output.clear()
        self._held.clear()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.fail(_copy(fault))

    def end_fault(self) -> Fault:
        """Return the fault with which the conversation ended, as an exception of its own.

        :raises RuntimeError: if it has not ended.
        """
        if self.fault is None:
            raise RuntimeError("the conversation has not ended")
        return _copy(self.fault)

    def give_up(self, call: Call, deadline_s: float) -> None:
        """Let one call fail with fault 2008, because neither an answer nor the helper's own 2008 came in time."""
        from daos_pbin.faults import Fault

        if self._calls.pop(call.id, None) is not None:
            call.fail(Fault(codes.HELPER_DEADLINE_EXCEEDED, step=call.method, seconds=f"{deadline_s:g}"))

    def _open(self, method: str, deadline_s: float, open_payload: Opener, on_progress: OnProgress | None) -> Call:
        if self.fault is not None:
            raise self.end_fault()
        if not 0 < deadline_s <= envelope.MAX_DEADLINE_S:
            raise ValueError(f"the deadline must be above 0 and at most {envelope.MAX_DEADLINE_S} seconds")
        return Call(self._last_id + 1, method, open_payload, on_progress)

    def _enter(self, call: Call) -> Call:
        self._last_id = call.id
        self._calls[call.id] = call
        return call

    def _queue(self, frame: bytes) -> None:
        if self.hello is None:
            self._held += frame
        else:
            self._output += frame

    def _take(self, message: dict[str, object]) -> None:
        if self.hello is None:
            self._greet(message)
            return
        received = envelope.parse_from_helper(message)
        if isinstance(received, envelope.ResultEnvelope):
            self._close_call(received.id).answer(received.payload)
        elif isinstance(received, envelope.Progress):
            self._deliver(self._call(received.id).on_progress, received)
        elif isinstance(received, envelope.Log):
            self._deliver(self._on_log, received)
        elif isinstance(received, envelope.Failure):
            self._fail(received)
        else:
            raise FrameError("a second hello")

    def _greet(self, message: dict[str, object]) -> None:
        """Take the first message: a hello of our protocol and version, or the reason why the helper gives up."""
        theirs = message.get("protocol")
        if message.get("type") == "hello" and type(theirs) is int and theirs != PROTOCOL_VERSION:
            # Another protocol's hello may have other fields: its number is all that can be relied upon.
            self.end(_mismatch(f"protocol {PROTOCOL_VERSION}", f"protocol {theirs}"))
            return
        received = envelope.parse_from_helper(message)
        if isinstance(received, envelope.Failure) and received.id == envelope.SESSION_ID:
            self.end(received.fault)
            return
        if not isinstance(received, envelope.Hello):
            raise FrameError("the first message is no hello")
        if received.version != VERSION:
            self.end(_mismatch(f"version {VERSION}", f"version {received.version}"))
            return
        self.hello = received
        self._output += self._held
        self._held.clear()

    def _fail(self, failure: envelope.Failure) -> None:
        if failure.id == envelope.SESSION_ID:
            self.end(failure.fault)
        else:
            self._close_call(failure.id).fail(failure.fault)

    def _call(self, id: int) -> Call:
        call = self._calls.get(id)
        if call is None:
            raise FrameError("a message about a request that is not open")
        return call

    def _close_call(self, id: int) -> Call:
        call = self._call(id)
        del self._calls[id]
        return call

    def _deliver(self, callback: Callable[[T], None] | None, received: T) -> None:
        if callback is None:
            return
        try:
            callback(received)
        except Exception as error:
            self._callback_error = self._callback_error or error


def _frame(call: Call, payload: Mapping[str, object], deadline_s: float) -> bytes:
    try:
        return encode(envelope.request(call.id, call.method, payload, deadline_s), REQUEST_LIMIT)
    except FrameError as error:
        raise _message_invalid(call.method, error.reason) from None


def _open_pong(payload: dict[str, object]) -> Pong:
    version, app_name = payload.get("version"), payload.get("app_name")
    if payload.keys() != PONG_FIELDS or not isinstance(version, str) or not isinstance(app_name, str):
        raise ValueError("the answer to a ping is not {version, app_name}")
    return Pong(version, app_name)


def _copy(fault: Fault) -> Fault:
    """Return an equal fault of its own, because a raised exception collects the stack of whoever raises it."""
    return type(fault).from_wire(fault.to_wire())


def _mismatch(ours: str, theirs: str) -> Fault:
    from daos_pbin.faults import Fault

    return Fault(codes.HELPER_PROTOCOL_MISMATCH, ours=ours, theirs=theirs)


def _message_invalid(method: str, reason: str) -> Fault:
    from daos_pbin.faults import Fault

    return Fault(codes.HELPER_MESSAGE_INVALID, method=method, reason=reason, object=method)
