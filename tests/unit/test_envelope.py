# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Envelopes: every field, every bound, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_pbin import codes, envelope
from daos_pbin.faults import WIRE_FIELDS, Fault
from daos_pbin.frames import ANSWER_LIMIT, HEADER_SIZE, FrameError, decode, encode

pytestmark = pytest.mark.unit

FAULT = {"code": 2012, "domain": "pbin", "description": "d", "object": "o", "cause": "c", "resolution": "r"}
FROM_HELPER: dict[str, dict[str, object]] = {
    "hello": {"type": "hello", "protocol": 1, "version": "0.1.0", "methods": ["Ping", "ScmFormat"]},
    "progress": {"type": "progress", "id": 1, "done": 0, "total": 3, "unit": "MiB", "what": "formatting"},
    "log": {"type": "log", "id": 0, "level": "info", "text": "hello"},
    "result": {"type": "result", "id": 1, "payload": {"a": [1]}},
    "failure": {"type": "failure", "id": 1, "fault": FAULT},
}
FROM_SERVER: dict[str, dict[str, object]] = {
    "request": {"type": "request", "id": 1, "method": "ScmFormat", "payload": {}, "deadline_s": 1.5},
    "cancel": {"type": "cancel", "id": 1},
}


def parse(message: dict[str, object]) -> object:
    if message.get("type") in FROM_SERVER:
        return envelope.parse_from_server(message)
    return envelope.parse_from_helper(message)


def test_the_examples_cover_every_type() -> None:
    assert {**FROM_HELPER, **FROM_SERVER}.keys() == envelope.FIELDS.keys()
    assert set(WIRE_FIELDS) == envelope.FAULT_FIELDS


@pytest.mark.parametrize("kind", envelope.FIELDS)
def test_each_type_is_parsed_into_its_fields(kind: str) -> None:
    message = {**FROM_HELPER, **FROM_SERVER}[kind]
    parsed = parse(message)
    for name in envelope.FIELDS[kind] - {"type", "fault", "methods"}:
        assert getattr(parsed, name) == message[name]


def test_hello_and_failure_are_parsed_whole() -> None:
    hello = envelope.parse_from_helper(FROM_HELPER["hello"])
    assert hello == envelope.Hello(1, "0.1.0", ("Ping", "ScmFormat"))
    failure = envelope.parse_from_helper(FROM_HELPER["failure"])
    assert isinstance(failure, envelope.Failure)
    assert failure.fault.to_wire() == FAULT


def test_builders_make_what_the_parsers_take() -> None:
    fault = Fault.from_wire(FAULT)
    assert envelope.hello(1, "0.1.0", ("Ping", "ScmFormat")) == FROM_HELPER["hello"]
    assert envelope.progress(1, 0, 3, "MiB", "formatting") == FROM_HELPER["progress"]
    assert envelope.log(0, "info", "hello") == FROM_HELPER["log"]
    assert envelope.result(1, {"a": [1]}) == FROM_HELPER["result"]
    assert envelope.failure(1, fault) == FROM_HELPER["failure"]
    assert envelope.request(1, "ScmFormat", {}, 1.5) == FROM_SERVER["request"]
    assert envelope.cancel(1) == FROM_SERVER["cancel"]


@pytest.mark.parametrize("kind", FROM_SERVER)
def test_the_helper_may_not_send_what_the_server_sends(kind: str) -> None:
    with pytest.raises(FrameError, match="from the helper"):
        envelope.parse_from_helper(FROM_SERVER[kind])


@pytest.mark.parametrize("kind", FROM_HELPER)
def test_the_server_may_not_send_what_the_helper_sends(kind: str) -> None:
    with pytest.raises(FrameError, match="from the server"):
        envelope.parse_from_server(FROM_HELPER[kind])


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in envelope.FIELDS.items() for field in sorted(fields)])
def test_a_missing_field_is_refused(kind: str, field: str) -> None:
    message = {**FROM_HELPER, **FROM_SERVER}[kind].copy()
    del message[field]
    for parser in (envelope.parse_from_helper, envelope.parse_from_server):
        with pytest.raises(FrameError):
            parser(message)


@pytest.mark.parametrize("kind", envelope.FIELDS)
def test_a_further_field_is_refused(kind: str) -> None:
    message = {**FROM_HELPER, **FROM_SERVER}[kind] | {"uid": 0}
    with pytest.raises(FrameError, match="a field that does not belong"):
        parse(message)


@pytest.mark.parametrize("field", WIRE_FIELDS)
def test_a_fault_has_exactly_its_six_fields(field: str) -> None:
    short = {name: value for name, value in FAULT.items() if name != field}
    with pytest.raises(FrameError, match=f"fault lacks {field}"):
        envelope.parse_fault(short)
    with pytest.raises(FrameError, match="fault has a field"):
        envelope.parse_fault(FAULT | {"errno": 1})


LONG = "x" * (envelope.TEXT_LIMIT + 1)
BAD_METHODS = ("", "a" * 65, "Scm_Format", "os.system", "Ping ", "P\u00efng", "Ping\n", b"Ping", None, 1, ["Ping"])


def wrong(kinds: str, fields: str, *values: object) -> list[tuple[str, str, object]]:
    """Return one case for each of these kinds, fields and values."""
    return [(kind, field, value) for kind in kinds.split() for field in fields.split() for value in values]


WRONG = [
    *wrong("cancel hello", "type", "", "Cancel", "reset", 1, None, True, ["cancel"]),
    *wrong("request cancel progress result", "id", 0, -1, 2**53 + 1, True, 1.0, "1", None),
    *wrong("log failure", "id", -1, 2**53 + 1, False, 0.0, "0", None),
    *wrong("request", "method", *BAD_METHODS),
    *wrong("request result", "payload", None, [], "", 1, True),
    *wrong("request", "deadline_s", 0, 0.0, -1, 86400.5, 86401, 2**70, True, "1", None, []),
    *wrong("hello", "protocol", 0, -1, 2**31, True, 1.0, "1", None),
    *wrong("hello", "version", "x" * 65, 1, None, ["0.1.0"]),
    *wrong("hello", "methods", None, "Ping", {}, ["Ping"] * 257, [1], [""], ["a b"], [None], [["Ping"]]),
    *wrong("progress", "done total", -1, 2**53 + 1, True, 1.5, "1", None),
    *wrong("progress", "unit", "x" * 33, 1, None),
    *wrong("progress", "what", LONG, 1, None),
    *wrong("log", "level", "", "INFO", "fatal", 20, None),
    *wrong("log", "text", LONG, 1, None),
    *wrong("failure", "fault", None, "x", 3, [], {}),
    *wrong("failure", "fault", *(FAULT | {"code": value} for value in (-1, 2**31, True, 1.0, "3", None))),
    *wrong("failure", "fault", *(FAULT | {name: LONG} for name in WIRE_FIELDS[1:])),
    *wrong("failure", "fault", *(FAULT | {name: None} for name in WIRE_FIELDS[1:])),
]


@pytest.mark.parametrize(("kind", "field", "value"), WRONG)
def test_a_wrong_value_is_refused(kind: str, field: str, value: object) -> None:
    message = {**FROM_HELPER, **FROM_SERVER}[kind] | {field: value}
    parser = envelope.parse_from_server if kind in FROM_SERVER else envelope.parse_from_helper
    with pytest.raises(FrameError):
        parser(message)


BOUNDS: list[tuple[str, str, object]] = [
    ("request", "id", 2**53),
    ("request", "method", "a" * 64),
    ("request", "deadline_s", 86400),
    ("request", "deadline_s", 86400.0),
    ("request", "deadline_s", 5e-324),
    ("hello", "protocol", 2**31 - 1),
    ("hello", "version", ""),
    ("hello", "version", "x" * 64),
    ("hello", "methods", []),
    ("hello", "methods", ["a" * 64] * 256),
    ("progress", "done", 2**53),
    ("progress", "total", 0),
    ("progress", "unit", "x" * 32),
    ("progress", "what", "\U0001f600" * 4096),
    ("log", "id", 2**53),
    ("log", "level", "error"),
    ("log", "text", "x" * 4096),
    ("failure", "id", 0),
    ("failure", "fault", dict.fromkeys(WIRE_FIELDS, "\U0001f600" * 4096) | {"code": 2**31 - 1}),
]


@pytest.mark.parametrize(("kind", "field", "value"), BOUNDS)
def test_the_bounds_themselves_are_accepted(kind: str, field: str, value: object) -> None:
    message = {**FROM_HELPER, **FROM_SERVER}[kind] | {field: value}
    parse(decode(encode(message, ANSWER_LIMIT)[HEADER_SIZE:]))


def test_texts_for_people_arrive_whatever_is_in_them() -> None:
    nasty = "a\0b\udcffc" + "\U0001f600" * 5000
    fault = Fault(codes.HELPER_SESSION_CLOSED, reason=nasty, object=nasty, cause=nasty)
    for message in (envelope.failure(1, fault), envelope.log(1, "info", nasty), envelope.progress(1, 0, 0, nasty, nasty)):
        parse(decode(encode(message, ANSWER_LIMIT)[HEADER_SIZE:]))
    assert envelope.clean("a\0b\udcffc") == "a\\x00b\\udcffc"


@settings(derandomize=True, deadline=None)
@given(st.text(st.characters(), max_size=60), st.integers(1, 40))
def test_clean_text_is_short_and_sendable(text: str, limit: int) -> None:
    cleaned = envelope.clean(text, limit)
    assert len(cleaned) <= limit
    assert decode(encode({"a": cleaned}, ANSWER_LIMIT)[HEADER_SIZE:]) == {"a": cleaned}


def test_envelopes_are_compared_by_value_and_shown() -> None:
    assert envelope.Cancel(1) == envelope.Cancel(1)
    assert envelope.Cancel(1) != envelope.Cancel(2)
    assert envelope.Cancel(1) != envelope.ResultEnvelope(1, {})
    assert repr(envelope.Log(0, "info", "x")) == "Log(id=0, level='info', text='x')"
