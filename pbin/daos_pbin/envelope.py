# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Envelopes: what travels in a frame, checked by hand.

The privileged process needs this before its first answer, so nothing here costs an import beyond ``frames``.  Payloads are
checked against ``messages`` by whoever opens them.  Every type is a map whose ``type`` names it; fields that are missing,
unknown or out of range are a ``FrameError``.
"""

from __future__ import annotations

from daos_pbin.frames import FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from daos_pbin.faults import Fault

SESSION_ID = 0
"""The id of a log line or failure that belongs to no request, but to the session."""
MAX_ID = 2**53
MAX_COUNT = 2**53
MAX_PROTOCOL = 2**31 - 1
MAX_FAULT_CODE = 2**31 - 1
MAX_DEADLINE_S = 86400
METHOD_LIMIT = 64
METHODS_LIMIT = 256
VERSION_LIMIT = 64
UNIT_LIMIT = 32
TEXT_LIMIT = 4096
"""Longest text, in characters, of a log line, of ``what`` in progress, and of each text of a fault."""
LEVELS = ("debug", "info", "warning", "error")

FIELDS = {
    "hello": frozenset({"type", "protocol", "version", "methods"}),
    "progress": frozenset({"type", "id", "done", "total", "unit", "what"}),
    "log": frozenset({"type", "id", "level", "text"}),
    "result": frozenset({"type", "id", "payload"}),
    "failure": frozenset({"type", "id", "fault"}),
    "request": frozenset({"type", "id", "method", "payload", "deadline_s"}),
    "cancel": frozenset({"type", "id"}),
}
"""The exact keys of each type of message."""
FAULT_FIELDS = frozenset({"code", "domain", "description", "object", "cause", "resolution"})


class Envelope:
    """Base of the parsed envelopes: compared and shown by their slots."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # payloads are maps, which have no hash

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({shown})"


class Hello(Envelope):
    """First message of the helper: its protocol number, its version, the methods that it answers."""

    __slots__ = ("methods", "protocol", "version")

    def __init__(self, protocol: int, version: str, methods: tuple[str, ...]) -> None:
        self.protocol = protocol
        self.version = version
        self.methods = methods


class Progress(Envelope):
    """How far a request is: ``done`` of ``total`` in ``unit`` (``total`` 0: not known), and ``what`` is being done."""

    __slots__ = ("done", "id", "total", "unit", "what")

    def __init__(self, id: int, done: int, total: int, unit: str, what: str) -> None:
        self.id = id
        self.done = done
        self.total = total
        self.unit = unit
        self.what = what


class Log(Envelope):
    """A line for the server's log; ``id`` 0 if it belongs to no request.  ``level`` is one of ``LEVELS``."""

    __slots__ = ("id", "level", "text")

    def __init__(self, id: int, level: str, text: str) -> None:
        self.id = id
        self.level = level
        self.text = text


class ResultEnvelope(Envelope):
    """The answer to a request that succeeded; the payload is not checked yet."""

    __slots__ = ("id", "payload")

    def __init__(self, id: int, payload: dict[str, object]) -> None:
        self.id = id
        self.payload = payload


class Failure(Envelope):
    """The answer to a request that failed; ``id`` 0: the session itself failed, and ends."""

    __slots__ = ("fault", "id")

    def __init__(self, id: int, fault: Fault) -> None:
        self.id = id
        self.fault = fault


class RequestEnvelope(Envelope):
    """A request; the payload is not checked yet.  ``deadline_s`` is seconds from when the helper reads it."""

    __slots__ = ("deadline_s", "id", "method", "payload")

    def __init__(self, id: int, method: str, payload: dict[str, object], deadline_s: float) -> None:
        self.id = id
        self.method = method
        self.payload = payload
        self.deadline_s = deadline_s


class Cancel(Envelope):
    """Wish to end a request early; it is answered all the same, by a result or a failure."""

    __slots__ = ("id",)

    def __init__(self, id: int) -> None:
        self.id = id


def parse_from_helper(message: Mapping[str, object]) -> Hello | Progress | Log | ResultEnvelope | Failure:
    """Check a message that the helper sent.

    :raises FrameError: if it is none that a helper may send.
    """
    kind = _kind(message)
    if kind == "result":
        return ResultEnvelope(_id(message), _map(message, "payload"))
    if kind == "progress":
        return _progress(message)
    if kind == "failure":
        return Failure(_id(message, SESSION_ID), parse_fault(_map(message, "fault")))
    if kind == "log":
        return _log(message)
    if kind == "hello":
        return _hello(message)
    raise FrameError(f"a {kind} from the helper")


def parse_from_server(message: Mapping[str, object]) -> RequestEnvelope | Cancel:
    """Check a message that the server sent.

    :raises FrameError: if it is none that a server may send.
    """
    kind = _kind(message)
    if kind == "request":
        method = _text(message, "method", METHOD_LIMIT)
        if not is_method_name(method):
            raise FrameError("method is not a name of 1 to 64 letters")
        return RequestEnvelope(_id(message), method, _map(message, "payload"), _deadline(message))
    if kind == "cancel":
        return Cancel(_id(message))
    raise FrameError(f"a {kind} from the server")


def parse_fault(fields: Mapping[str, object]) -> Fault:
    """Check the six fields of a fault.

    :raises FrameError: if a field is missing, unknown, or out of bounds.
    """
    from daos_pbin.faults import Fault

    _exactly(fields, FAULT_FIELDS, "fault")
    _whole(fields, "code", 0, MAX_FAULT_CODE)
    for name in ("domain", "description", "object", "cause", "resolution"):
        _text(fields, name, TEXT_LIMIT)
    return Fault.from_wire(fields)


def is_method_name(text: str) -> bool:
    """Whether the text is 1 to 64 ASCII letters."""
    return len(text) <= METHOD_LIMIT and text.isascii() and text.isalpha()


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return text for people in a form that every frame may carry: lone surrogates and control characters but the line feed
    and the tab spelled out, cut to ``limit``.

    Names of files come with such characters; a message about them must arrive nevertheless, and do nothing to a terminal.
    """
    text = text[:limit].encode("utf-8", "backslashreplace").decode("utf-8")
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() or character in "\n\t" else f"\\x{ord(character):02x}" for character in text
        )
    return text[:limit]


def hello(protocol: int, version: str, methods: Iterable[str]) -> dict[str, object]:
    """Make the helper's first message."""
    return {"type": "hello", "protocol": protocol, "version": version, "methods": list(methods)}


def progress(id: int, done: int, total: int, unit: str, what: str) -> dict[str, object]:
    """Make a progress message; ``total`` 0 if it is not known."""
    return {"type": "progress", "id": id, "done": done, "total": total, "unit": clean(unit, UNIT_LIMIT), "what": clean(what)}


def log(id: int, level: str, text: str) -> dict[str, object]:
    """Make a log message; ``id`` 0 if it belongs to no request."""
    return {"type": "log", "id": id, "level": level, "text": clean(text)}


def result(id: int, payload: Mapping[str, object]) -> dict[str, object]:
    """Make the answer to a request that succeeded."""
    return {"type": "result", "id": id, "payload": payload}


def failure(id: int, fault: Fault) -> dict[str, object]:
    """Make the answer to a request that failed; ``id`` 0 ends the session."""
    fields = {name: clean(value) if isinstance(value, str) else value for name, value in fault.to_wire().items()}
    return {"type": "failure", "id": id, "fault": fields}


def request(id: int, method: str, payload: Mapping[str, object], deadline_s: float) -> dict[str, object]:
    """Make a request; ``deadline_s`` is above 0 and at most ``MAX_DEADLINE_S``."""
    return {"type": "request", "id": id, "method": method, "payload": payload, "deadline_s": deadline_s}


def cancel(id: int) -> dict[str, object]:
    """Make the wish to end a request early."""
    return {"type": "cancel", "id": id}


def _kind(message: Mapping[str, object]) -> str:
    """Return the message's type after checking that it has exactly that type's fields."""
    kind = message.get("type")
    if type(kind) is not str or kind not in FIELDS:
        raise FrameError("type is missing or unknown")
    _exactly(message, FIELDS[kind], kind)
    return kind


def _exactly(fields: Mapping[str, object], wanted: frozenset[str], where: str) -> None:
    if fields.keys() == wanted:
        return
    missing = sorted(wanted - fields.keys())
    if missing:
        raise FrameError(f"{where} lacks {missing[0]}")
    raise FrameError(f"{where} has a field that does not belong to it")


def _whole(fields: Mapping[str, object], name: str, least: int, most: int) -> int:
    value = fields[name]
    if type(value) is not int:  # True is an int to isinstance
        raise FrameError(f"{name} is not a whole number")
    if not least <= value <= most:
        raise FrameError(f"{name} is outside {least} to {most}")
    return value


def _id(fields: Mapping[str, object], least: int = 1) -> int:
    return _whole(fields, "id", least, MAX_ID)


def _text(fields: Mapping[str, object], name: str, limit: int) -> str:
    value = fields[name]
    if type(value) is not str:
        raise FrameError(f"{name} is not a string")
    if len(value) > limit:
        raise FrameError(f"{name} has more than {limit} characters")
    return value


def _map(fields: Mapping[str, object], name: str) -> dict[str, object]:
    value = fields[name]
    if not isinstance(value, dict):
        raise FrameError(f"{name} is not a map")
    return value


def _deadline(fields: Mapping[str, object]) -> float:
    value = fields["deadline_s"]
    if type(value) is not int and type(value) is not float:
        raise FrameError("deadline_s is not a number")
    if not 0 < value <= MAX_DEADLINE_S:
        raise FrameError(f"deadline_s is not above 0 and at most {MAX_DEADLINE_S}")
    return value


def _progress(message: Mapping[str, object]) -> Progress:
    return Progress(
        _id(message),
        _whole(message, "done", 0, MAX_COUNT),
        _whole(message, "total", 0, MAX_COUNT),
        _text(message, "unit", UNIT_LIMIT),
        _text(message, "what", TEXT_LIMIT),
    )


def _log(message: Mapping[str, object]) -> Log:
    level = _text(message, "level", TEXT_LIMIT)
    if level not in LEVELS:
        raise FrameError("level is unknown")
    return Log(_id(message, SESSION_ID), level, _text(message, "text", TEXT_LIMIT))


def _hello(message: Mapping[str, object]) -> Hello:
    methods = message["methods"]
    if not isinstance(methods, list) or len(methods) > METHODS_LIMIT:
        raise FrameError(f"methods is not a list of at most {METHODS_LIMIT} names")
    for method in methods:
        if type(method) is not str or not is_method_name(method):
            raise FrameError("methods contains what is no method's name")
    protocol = _whole(message, "protocol", 1, MAX_PROTOCOL)
    return Hello(protocol, _text(message, "version", VERSION_LIMIT), tuple(methods))
