# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The client's side of a session, fed by hand."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from daos_pbin import PROTOCOL_VERSION, VERSION, codes, envelope
from daos_pbin.conversation import Call, Conversation, Pong
from daos_pbin.faults import Fault
from daos_pbin.frames import ANSWER_LIMIT, REQUEST_LIMIT, FrameReader, encode
from daos_pbin.messages import BdevPrepare, NodePages, ScmCheckFormat, ScmFormatResult
from daos_pbin.methods import METHODS

pytestmark = pytest.mark.unit

ANSWER = {"mountpoint": "/mnt/daos", "formatted": True, "mounted": False, "mountable": True}
REQUEST = ScmCheckFormat(mountpoint="/mnt/daos")


def say(*messages: dict[str, object]) -> bytes:
    return b"".join(encode(message, ANSWER_LIMIT) for message in messages)


HELLO = say(envelope.hello(PROTOCOL_VERSION, VERSION, METHODS))


def sent(conversation: Conversation) -> list[envelope.RequestEnvelope | envelope.Cancel]:
    return [envelope.parse_from_server(message) for message in FrameReader(REQUEST_LIMIT).feed(bytes(conversation.take_output()))]


def greeted() -> Conversation:
    conversation = Conversation()
    conversation.feed(HELLO)
    return conversation


def fault_of(call: Call) -> Fault:
    with pytest.raises(Fault) as caught:
        call.outcome()
    return caught.value


def is_open(call: Call) -> bool:
    return not call.done


def end_of(conversation: Conversation) -> Fault:
    assert conversation.has_ended()
    return conversation.end_fault()


def test_a_request_is_answered() -> None:
    conversation = greeted()
    call = conversation.request(REQUEST, 60)
    payload: dict[str, object] = {"mountpoint": "/mnt/daos", "ramdisk": None, "dcpm": None}
    assert sent(conversation) == [envelope.RequestEnvelope(1, "ScmCheckFormat", payload, 60)]
    assert is_open(call)
    conversation.feed(say(envelope.result(1, ANSWER)))
    assert call.outcome() == ScmFormatResult(mountpoint="/mnt/daos", formatted=True, mounted=False, mountable=True)


def test_what_was_sent_is_not_sent_again() -> None:
    conversation = greeted()
    conversation.ping(5)
    assert len(sent(conversation)) == 1
    assert not conversation.take_output()


def test_nested_payloads_are_sent_as_lists_and_maps() -> None:
    conversation = greeted()
    conversation.request(BdevPrepare(hugepages=(NodePages(0, 8),)), 1.5)
    (request,) = sent(conversation)
    assert isinstance(request, envelope.RequestEnvelope)
    assert request.payload["hugepages"] == [{"node": 0, "count": 8}]


def test_a_ping_is_written_before_the_hello_and_a_request_is_not() -> None:
    conversation = Conversation()
    conversation.request(REQUEST, 60)
    conversation.ping(5)
    assert [request.id for request in sent(conversation)] == [2]
    conversation.feed(HELLO)
    assert [request.id for request in sent(conversation)] == [1]


def test_a_ping_has_no_payload_and_names_the_helper() -> None:
    conversation = greeted()
    call = conversation.ping(5)
    assert sent(conversation) == [envelope.RequestEnvelope(1, "Ping", {}, 5)]
    conversation.feed(say(envelope.result(1, {"version": VERSION, "app_name": "daos_server_helper"})))
    assert call.outcome() == Pong(VERSION, "daos_server_helper")


@pytest.mark.parametrize("payload", [{}, {"version": "1"}, {"version": 1, "app_name": "x"}, {"version": "1", "app_name": "x", "uid": 0}])
def test_a_wrong_pong_is_one_fault(payload: dict[str, object]) -> None:
    conversation = greeted()
    call = conversation.ping(5)
    conversation.feed(say(envelope.result(1, payload)))
    assert fault_of(call).code == codes.HELPER_MESSAGE_INVALID


def test_answers_come_in_any_order() -> None:
    conversation = greeted()
    calls = [conversation.request(REQUEST, 60) for _ in range(3)]
    conversation.feed(say(*(envelope.result(id, ANSWER | {"found": f"{id}"}) for id in (3, 1, 2))))
    assert [getattr(call.outcome(), "found", None) for call in calls] == ["1", "2", "3"]


def test_progress_goes_to_its_call_and_logs_to_the_session() -> None:
    logs: list[envelope.Log] = []
    first: list[envelope.Progress] = []
    conversation = Conversation(logs.append)
    conversation.feed(HELLO)
    conversation.request(REQUEST, 60, first.append)
    conversation.request(REQUEST, 60)
    conversation.feed(say(envelope.progress(1, 1, 2, "MiB", "a"), envelope.progress(2, 0, 0, "", "b"), envelope.log(0, "info", "c")))
    conversation.feed(say(envelope.log(99, "error", "late words of a request that is over")))
    assert first == [envelope.Progress(1, 1, 2, "MiB", "a")]
    assert [log.id for log in logs] == [0, 99]
    assert not conversation.has_ended()


def test_without_a_log_callback_logs_are_dropped() -> None:
    conversation = greeted()
    conversation.feed(say(envelope.log(0, "info", "x")))
    assert not conversation.has_ended()


def test_a_callback_that_raises_does_not_stop_the_rest() -> None:
    def refuse(progress: envelope.Progress) -> None:
        raise LookupError(progress.what)

    conversation = greeted()
    call = conversation.request(REQUEST, 60, refuse)
    messages = say(envelope.progress(1, 1, 2, "", "first"), envelope.progress(1, 2, 2, "", "second"), envelope.result(1, ANSWER))
    with pytest.raises(LookupError, match="first"):
        conversation.feed(messages)
    assert call.done
    conversation.feed(say(envelope.log(0, "info", "x")))


def test_a_failure_is_raised_with_all_its_words() -> None:
    conversation = greeted()
    call = conversation.request(REQUEST, 60)
    fault = Fault(codes.STORAGE_MOUNT_BUSY, target="/mnt/daos", object="/mnt/daos", cause="in use")
    conversation.feed(say(envelope.failure(1, fault)))
    assert fault_of(call).to_wire() == fault.to_wire()
    assert not conversation.has_ended()


@pytest.mark.parametrize(
    "payload", [{}, ANSWER | {"formatted": 1}, ANSWER | {"more": 1}, ANSWER | {"mountpoint": "x" * 4096}, ANSWER | {"mountpoint": None}]
)
def test_a_wrong_payload_fails_that_call_alone(payload: dict[str, object]) -> None:
    conversation = greeted()
    call = conversation.request(REQUEST, 60)
    other = conversation.request(REQUEST, 60)
    conversation.feed(say(envelope.result(1, payload), envelope.result(2, ANSWER)))
    fault = fault_of(call)
    assert (fault.code, fault.object) == (codes.HELPER_MESSAGE_INVALID, "ScmCheckFormat")
    assert other.outcome()


def test_a_cancelled_call_stays_open_until_it_is_answered() -> None:
    conversation = greeted()
    call = conversation.request(REQUEST, 60)
    conversation.cancel(call)
    conversation.cancel(call)
    assert sent(conversation)[1:] == [envelope.Cancel(1)]
    assert not call.done
    conversation.feed(say(envelope.failure(1, Fault(codes.HELPER_CANCELLED, step="ScmCheckFormat"))))
    assert fault_of(call).code == codes.HELPER_CANCELLED
    conversation.cancel(call)
    assert not conversation.take_output()


def test_a_cancel_before_the_hello_follows_its_request() -> None:
    conversation = Conversation()
    conversation.cancel(conversation.request(REQUEST, 60))
    assert not conversation.take_output()
    conversation.feed(HELLO)
    assert [type(message) for message in sent(conversation)] == [envelope.RequestEnvelope, envelope.Cancel]


@pytest.mark.parametrize(
    ("first", "theirs"),
    [
        (envelope.hello(2, VERSION, METHODS), "protocol 2"),
        ({"type": "hello", "protocol": 7, "language": "another"}, "protocol 7"),
        (envelope.hello(PROTOCOL_VERSION, "9.9.9", METHODS), "version 9.9.9"),
    ],
)
def test_a_helper_of_another_release_gets_no_request(first: dict[str, object], theirs: str) -> None:
    conversation = Conversation()
    call = conversation.request(REQUEST, 60)
    conversation.feed(say(first))
    assert not conversation.take_output()
    for fault in (fault_of(call), end_of(conversation)):
        assert fault.code == codes.HELPER_PROTOCOL_MISMATCH
        assert theirs in f"{fault} {fault.resolution}"


BREACHES = {
    "no hello": [envelope.log(0, "info", "x")],
    "hello without version": [{"type": "hello", "protocol": PROTOCOL_VERSION, "methods": []}],
    "result before hello": [envelope.result(1, ANSWER)],
    "failure of a request before hello": [{**envelope.failure(1, Fault(codes.HELPER_CANCELLED, step="x"))}],
}


@pytest.mark.parametrize("messages", BREACHES.values(), ids=BREACHES.keys())
def test_a_helper_that_does_not_greet_is_refused(messages: list[dict[str, object]]) -> None:
    conversation = Conversation()
    call = conversation.request(REQUEST, 60)
    conversation.feed(say(*messages))
    assert fault_of(call).code == codes.HELPER_FRAME_INVALID


def test_a_helper_may_give_up_instead_of_greeting() -> None:
    conversation = Conversation()
    conversation.feed(say(envelope.failure(0, Fault(codes.HELPER_INTERNAL, what="no room"))))
    assert end_of(conversation).code == codes.HELPER_INTERNAL


LATER_BREACHES = {
    "second hello": HELLO,
    "unknown id in a result": say(envelope.result(5, ANSWER)),
    "unknown id in progress": say(envelope.progress(5, 0, 1, "", "")),
    "unknown id in a failure": say(envelope.failure(5, Fault(codes.HELPER_CANCELLED, step="x"))),
    "two answers": say(envelope.result(1, ANSWER), envelope.result(1, ANSWER)),
    "progress after the answer": say(envelope.result(1, ANSWER), envelope.progress(1, 0, 1, "", "")),
    "a request": say(envelope.request(1, "Ping", {}, 1)),
    "not msgpack": b"\x00\x00\x00\x01\xc1",
    "text": b"Traceback (most recent call last):\n",
}


@pytest.mark.parametrize("data", LATER_BREACHES.values(), ids=LATER_BREACHES.keys())
def test_a_breach_ends_the_session_for_everybody(data: bytes) -> None:
    conversation = greeted()
    conversation.request(REQUEST, 60)
    other = conversation.request(REQUEST, 60)
    conversation.feed(data)
    assert fault_of(other).code == codes.HELPER_FRAME_INVALID
    with pytest.raises(Fault) as caught:
        conversation.request(REQUEST, 60)
    assert caught.value.code == codes.HELPER_FRAME_INVALID
    conversation.feed(say(envelope.result(2, ANSWER)))
    assert fault_of(other).code == codes.HELPER_FRAME_INVALID


def test_a_failure_of_the_session_is_everybodys() -> None:
    conversation = greeted()
    calls = [conversation.request(REQUEST, 60), conversation.ping(5)]
    conversation.feed(say(envelope.failure(0, Fault(codes.HELPER_INTERNAL, what="x"))) + b"whatever follows")
    faults = [fault_of(call) for call in calls]
    assert [fault.code for fault in faults] == [codes.HELPER_INTERNAL] * 2
    assert faults[0] is not faults[1]


def test_only_the_first_end_counts() -> None:
    conversation = greeted()
    call = conversation.ping(5)
    conversation.end(Fault(codes.HELPER_SESSION_CLOSED, reason="a"))
    conversation.end(Fault(codes.HELPER_INTERNAL, what="b"))
    conversation.cancel(call)
    assert fault_of(call).code == end_of(conversation).code == codes.HELPER_SESSION_CLOSED
    assert not conversation.take_output()


def test_giving_up_is_a_deadline_fault_unless_answered() -> None:
    conversation = greeted()
    call = conversation.request(REQUEST, 60)
    conversation.give_up(call, 60)
    assert fault_of(call).code == codes.HELPER_DEADLINE_EXCEEDED
    answered = conversation.request(REQUEST, 60)
    conversation.feed(say(envelope.result(2, ANSWER)))
    conversation.give_up(answered, 60)
    assert answered.outcome()


def test_a_conversation_that_goes_on_has_no_end_fault() -> None:
    with pytest.raises(RuntimeError):
        greeted().end_fault()


@pytest.mark.parametrize("deadline_s", [0, -1, 86400.5, float("nan"), float("inf")])
def test_a_deadline_out_of_range_is_the_callers_mistake(deadline_s: float) -> None:
    with pytest.raises(ValueError, match="deadline"):
        greeted().request(REQUEST, deadline_s)


@pytest.mark.parametrize("mountpoint", ["/mnt/\0daos", "/mnt/\udcff", "/" + "x" * 70_000])
def test_a_request_that_cannot_be_sent_hurts_nobody_else(mountpoint: str) -> None:
    conversation = greeted()
    with pytest.raises(Fault) as caught:
        conversation.request(ScmCheckFormat(mountpoint=mountpoint), 60)
    assert caught.value.code == codes.HELPER_MESSAGE_INVALID
    call = conversation.ping(5)
    assert [request.id for request in sent(conversation)] == [call.id] == [1]


HEAVY = {
    "typing", "dataclasses", "enum", "re", "asyncio", "msgspec", "subprocess", "inspect", "threading",
    "daos_pbin.messages", "daos_pbin.faults",
}  # fmt: skip


@pytest.mark.parametrize("module", ["frames", "envelope", "conversation", "plain"])
def test_light_modules_stay_light(module: str) -> None:
    """The privileged process, and a ping, load these; what they import is paid at every start."""
    paths = [str(Path(found.origin).parents[1]) for name in ("daos_pbin", "msgpack") if (found := find_spec(name)) and found.origin]
    code = f"import sys; sys.path += {paths}; import daos_pbin.{module}; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert f"daos_pbin.{module}" in loaded
    assert not HEAVY.intersection(loaded)
