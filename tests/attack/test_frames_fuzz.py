# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Frames that no honest server sends, from the account to the installed helper: made by hand, and by a seeded generator."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
from hostile import Ending, Hostile, Message, OpenSession, Watch, fault_code, ping, request

from daos_pbin import codes
from daos_pbin.envelope import SESSION_ID

Pack = Callable[[object], bytes]
Mutation = Callable[[random.Random, bytes], bytes]

SEED = 20_240_229
SESSIONS = 250
"""Short sessions, each with a few frames that are broken as bytes."""
LONG_FRAMES = 4000
"""Well-formed frames with hostile content, over sessions that go on for as long as the helper lets them."""
PEAK_KIB = 64 * 1024
PING_ID = 2**53
MISSING_DEVICE = "/dev/daos-attack/no-such-device"


def pack(value: object) -> bytes:
    return bytes(msgpack.packb(value, use_bin_type=True))


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def corpus(base: Path) -> list[Message]:
    """Valid messages that change nothing: the folder above each mount point is missing, and so is the device."""
    target = f"{base}/missing/engine0"
    payloads: list[tuple[str, Message]] = [
        ("Ping", {}),
        ("ScmCheckFormat", {"mountpoint": target, "ramdisk": {"size_gib": 1}}),
        ("ScmFormat", {"mountpoint": target, "force": True, "ramdisk": {"size_gib": 1, "numa_node": 0, "disable_hugepages": True}}),
        ("ScmFormat", {"mountpoint": target, "force": True, "dcpm": {"device": MISSING_DEVICE}}),
        ("ScmMount", {"target": target, "dcpm": {"device": MISSING_DEVICE}}),
        ("ScmUnmount", {"target": target}),
        ("MetadataNeedsFormat", {"root_path": target, "device": MISSING_DEVICE}),
        ("MetadataFormat", {"root_path": target, "device": MISSING_DEVICE, "force": True}),
        ("MetadataMount", {"root_path": target, "device": ""}),
        ("MetadataUnmount", {"root_path": target, "device": MISSING_DEVICE}),
        ("BdevPrepare", {"hugepages": [{"node": 0, "count": 1}], "reset": False, "target_user": ""}),
    ]
    messages: list[Message] = [
        {"type": "request", "id": number, "method": method, "payload": payload, "deadline_s": 60}
        for number, (method, payload) in enumerate(payloads, 1)
    ]
    return [*messages, {"type": "cancel", "id": 1}]


def is_one_answer(messages: list[Message], ending: Ending) -> None:
    """Check a short session: pinged and left in order, or ended by exactly one fault of the session's own."""
    assert ending.errors == b"", "no traceback, nothing at all"
    assert ending.peak_kib < PEAK_KIB
    ours = [message for message in messages if message["id"] == SESSION_ID and message["type"] == "failure"]
    pongs = [message for message in messages if message["id"] == PING_ID and message["type"] == "result"]
    if ending.status == 0:
        assert (len(ours), len(pongs)) == (0, 1), messages
    else:
        assert ending.status == 1
        assert len(ours) == 1, messages
        assert ours[0] is messages[-1]
        assert fault_code(ours[0]) == codes.HELPER_FRAME_INVALID


def attack(open_session: OpenSession, data: bytes) -> tuple[list[Message], Ending]:
    """Run one session: greeting, hostile bytes, an honest ping, end."""
    session = open_session()
    session.hello()
    session.send(data + ping(PING_ID))
    messages, ending = session.end()
    is_one_answer(messages, ending)
    return messages, ending


def honest(open_session: OpenSession) -> None:
    """The next session, of an honest caller, is served."""
    session = open_session()
    session.send(ping(1))
    assert fault_code(session.answer(1)) == 0
    assert session.end()[1].status == 0


# By hand: each of these ends the session


def envelope_with(**fields: object) -> Message:
    return {"type": "request", "id": 1, "method": "Ping", "payload": {}, "deadline_s": 5} | fields


def without(name: str) -> Message:
    message = envelope_with()
    del message[name]
    return message


def twice(key: bytes) -> bytes:
    """A ping in which one key comes a second time; msgpack's own packer cannot make it."""
    return b"\x86" + pack(envelope_with())[1:] + key


BREACHES = {
    "empty": b"\0\0\0\0",
    "too long": struct.pack(">I", 64 * 1024 + 1) + b"\x80",
    "far too long": b"\xff\xff\xff\xff",
    "too deep": frame(b"\x81\xa1a" * 17 + b"\xc0"),
    "far too deep": frame(b"\x91" * 60_000 + b"\xc0"),
    "bomb of empty maps": frame(b"\x81\xa1a\xdc\x10\x00" + b"\xdc\x0f\x00" + b"\x80" * 0xF00 + b"\x80" * 4095),
    "bomb of arrays": frame(b"\x81\xa1a\xdc\x00\x0f" + (b"\xdc\x0f\xff" + b"\x90" * 0xFFF) * 15),
    "array header alone": frame(b"\xdd\xff\xff\xff\xff"),
    "map header alone": frame(b"\xdf\xff\xff\xff\xff"),
    "string header alone": frame(b"\x81\xdb\xff\xff\xff\xff"),
    "array of too many": frame(pack(envelope_with(payload={"a": [0] * 4097}))),
    "map of too many": frame(pack(envelope_with(payload={str(number): 0 for number in range(65)}))),
    "string too long": frame(pack(envelope_with(payload={"a": "x" * 16_385}))),
    "trailing": frame(pack(envelope_with()) + b"\xc0"),
    "truncated": frame(pack(envelope_with())[:-1]),
    "cut off": frame(pack(envelope_with()))[:-9],
    "duplicate key": frame(twice(pack("id") + pack(2))),
    "duplicate key in payload": frame(pack(envelope_with(payload=0))[:-11].replace(b"\0", b"") + b"\x82\xa1a\x01\xa1a\x02"),
    "no map": frame(pack([1, 2])),
    "nil": frame(b"\xc0"),
    "key that is a number": frame(pack({1: 2})),
    "key that is nil": frame(b"\x81\xc0\xc0"),
    "never used byte": frame(b"\xc1"),
    "binary": frame(pack(envelope_with(payload={"a": b"x"}))),
    "extension": frame(pack(envelope_with(payload={"a": msgpack.ExtType(5, b"x")}))),
    "timestamp": frame(pack(envelope_with(payload={"a": msgpack.Timestamp(1)}))),
    "not a number": frame(pack(envelope_with(deadline_s=float("nan")))),
    "infinite": frame(pack(envelope_with(payload={"a": float("inf")}))),
    "NUL": frame(pack(envelope_with(payload={"a": "x\0y"}))),
    "NUL in a key": frame(pack(envelope_with(payload={"a\0": "x"}))),
    "not UTF-8": frame(b"\x81\xa4type\xa2\xff\xfe"),
    "lone surrogate": frame(pack(envelope_with(payload={"a": "xyz"})).replace(b"xyz", b"\xed\xa0\x80")),
    "overlong UTF-8": frame(pack(envelope_with(payload={"a": "xy"})).replace(b"xy", b"\xc0\xaf")),
    "unknown type": frame(pack(envelope_with(type="reboot"))),
    "type of the other side": frame(pack({"type": "hello", "protocol": 1, "version": "0", "methods": []})),
    "result from the server": frame(pack({"type": "result", "id": 1, "payload": {}})),
    "unknown field": frame(pack(envelope_with(uid=0))),
    "type missing": frame(pack(without("type"))),
    "id missing": frame(pack(without("id"))),
    "payload missing": frame(pack(without("payload"))),
    "id is bool": frame(pack(envelope_with(id=True))),
    "id is float": frame(pack(envelope_with(id=1.0))),
    "id is text": frame(pack(envelope_with(id="1"))),
    "id is 0": frame(pack(envelope_with(id=0))),
    "id is negative": frame(pack(envelope_with(id=-(2**63)))),
    "id is huge": frame(pack(envelope_with(id=2**64 - 1))),
    "deadline is bool": frame(pack(envelope_with(deadline_s=True))),
    "deadline is 0": frame(pack(envelope_with(deadline_s=0))),
    "deadline is huge": frame(pack(envelope_with(deadline_s=1e300))),
    "method is no text": frame(pack(envelope_with(method=["Ping"]))),
    "method is no name": frame(pack(envelope_with(method="../Ping"))),
    "method is a dunder": frame(pack(envelope_with(method="__class__"))),
    "method too long": frame(pack(envelope_with(method="P" * 65))),
    "payload is no map": frame(pack(envelope_with(payload=[]))),
    "cancel without an id": frame(pack({"type": "cancel"})),
    "cancel of the session": frame(pack({"type": "cancel", "id": 0})),
    "cancel of a negative id": frame(pack({"type": "cancel", "id": -1})),
    "cancel of true": frame(pack({"type": "cancel", "id": True})),
    "cancel with a method": frame(pack({"type": "cancel", "id": 1, "method": "Ping"})),
}


@pytest.mark.parametrize("data", BREACHES.values(), ids=BREACHES.keys())
def test_breach_of_the_protocol_ends_the_session_with_one_fault(base: Path, open_session: OpenSession, data: bytes) -> None:
    messages, ending = attack(open_session, data)
    assert ending.status == 1
    assert len(messages) == 1, "the fault, and no answer to the ping behind it"
    assert list(base.iterdir()) == []
    honest(open_session)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "Reboot"}, codes.HELPER_METHOD_UNKNOWN),
        ({"method": "ping"}, codes.HELPER_METHOD_UNKNOWN),
        ({"payload": {"uid": 0}}, codes.HELPER_METHOD_UNKNOWN),
        ({"method": "ScmUnmount"}, codes.HELPER_MESSAGE_INVALID),
        ({"method": "ScmUnmount", "payload": {"target": "/mnt/daos", "uid": 0}}, codes.HELPER_MESSAGE_INVALID),
        ({"method": "ScmUnmount", "payload": {"target": ["/mnt/daos"]}}, codes.HELPER_MESSAGE_INVALID),
        ({"method": "BdevPrepare", "payload": {"reset": 1}}, codes.HELPER_MESSAGE_INVALID),
        ({"method": "BdevPrepare"}, codes.HELPER_POLICY_REFUSED),
    ],
)  # fmt: skip
def test_hostile_content_is_one_fault_and_the_session_lives_on(
    base: Path, open_session: OpenSession, fields: Message, code: int
) -> None:
    del base
    messages, ending = attack(open_session, frame(pack(envelope_with(**fields))))
    assert ending.status == 0
    (answer,) = [message for message in messages if message["id"] == 1]
    assert fault_code(answer) == code


def test_id_of_an_open_request_cannot_be_used_again(base: Path, open_session: OpenSession) -> None:
    target = {"mountpoint": f"{base}/engine0", "ramdisk": {"size_gib": 1}}
    _, ending = attack(open_session, request(1, "ScmFormat", target) + request(1, "ScmCheckFormat", target))
    assert ending.status == 1


# By a generator: bytes


def flip(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def overwrite(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + chance.randbytes(chance.randint(1, 16)) + data[start + chance.randint(0, 16) :]


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def repeat(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.randint(1, 64)]
    return data[:start] + piece * chance.randint(2, 400) + data[start:]


def lie_about_the_length(chance: random.Random, data: bytes) -> bytes:
    return struct.pack(">I", chance.choice([0, 1, len(data) - 5, len(data) - 3, 65_536, 65_537, 2**31, chance.getrandbits(32)])) + data[4:]


def correct_the_length(chance: random.Random, data: bytes) -> bytes:
    """Break the body only, so that the decoder sees it."""
    return frame(chance.choice([flip, overwrite, repeat])(chance, data[4:])[: 64 * 1024] or b"\xc0")


def noise(chance: random.Random, data: bytes) -> bytes:
    return frame(chance.randbytes(len(data)))


MUTATIONS: tuple[Mutation, ...] = (flip, overwrite, cut, repeat, lie_about_the_length, noise, *(correct_the_length,) * 6)


def test_seeded_sessions_of_broken_bytes(base: Path, watch: Watch, open_session: OpenSession) -> None:
    chance = random.Random(SEED)  # noqa: S311 - the same attack every time is what is wanted
    valid = [frame(pack(message)) for message in corpus(base)]
    statuses = {0: 0, 1: 0}
    for number in range(SESSIONS):
        broken = [chance.choice(MUTATIONS)(chance, chance.choice(valid)) for _ in range(chance.randint(1, 4))]
        honest_ones = chance.sample(valid, 3)
        data = b"".join(chance.sample([*honest_ones, *broken], len(broken) + 3))
        try:
            _, ending = attack(open_session, data)
        except AssertionError as error:
            raise AssertionError(f"session {number} of seed {SEED}: {data.hex()}") from error
        statuses[ending.status] += 1
    assert statuses[1] > SESSIONS // 2, "most of it reached the decoder"
    assert watch.changes() == []


# By a generator: content


def hostile_value(chance: random.Random, depth: int = 0) -> object:
    """Return a value that any frame may carry, but hardly any field."""
    plain: list[object] = [
        None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 0.5, -0.0, 1e308, 5e-324, "", " ", "-o", "--", "a,b=c",
        "x\n", "$(id)", "`id`", "%s%n", "/", "//", "/etc", "/etc/../etc", "../../etc", "\u202e", "\ufeff", "\U0010ffff", "é" * 255,
        "x" * 4097,
        "/proc/self/root/etc", "/dev/null", "daos_server", "root", [], {},
    ]  # fmt: skip
    kind = chance.randrange(10) if depth < 3 else 0
    if kind == 8:
        return [hostile_value(chance, depth + 1) for _ in range(chance.choice([1, 3, 300 if depth == 0 else 2]))]
    if kind == 9:
        return {str(hostile_value(chance, 3))[:64].replace("\0", ""): hostile_value(chance, depth + 1) for _ in range(chance.randint(1, 9))}
    return chance.choice(plain)


def spoil(chance: random.Random, value: object, rate: float) -> object:
    """Return a copy in which values, keys and whole parts are replaced, dropped or added."""
    if chance.random() < rate:
        return hostile_value(chance)
    if isinstance(value, dict):
        kept = {key: spoil(chance, item, rate) for key, item in value.items() if chance.random() > rate / 4}
        if chance.random() < rate:
            kept[chance.choice(["uid", "mode", "options", "__class__", "device", "force", "ramdisk"])] = hostile_value(chance)
        return kept
    if isinstance(value, list):
        return [spoil(chance, item, rate) for item in value] * chance.choice([1, 1, 1, 257])
    return value


def hostile_message(chance: random.Random, message: Message, identifier: int) -> Message:
    spoiled = dict(message) | {"id": identifier}
    payload = spoil(chance, message.get("payload"), 0.2)
    if "payload" in message and isinstance(payload, dict):
        spoiled["payload"] = payload
    if chance.random() < 0.02:
        other = spoil(chance, spoiled, 0.1)
        return other if isinstance(other, dict) else {}
    return spoiled


def test_seeded_long_sessions_of_hostile_content(base: Path, watch: Watch, open_session: OpenSession) -> None:
    chance = random.Random(SEED)  # noqa: S311 - as above
    valid = corpus(base)
    sent, sessions, answered = 0, 0, 0
    while sent < LONG_FRAMES:
        session = open_session()
        session.hello()
        sessions += 1
        while not session.ended and sent < LONG_FRAMES:
            sent += 1
            identifier = 2 * sent
            message = hostile_message(chance, chance.choice(valid), identifier)
            session.send(frame(pack(message)) + ping(identifier + 1))
            if not is_answered(session, message, identifier):
                break
            answered += 1
        rest, ending = session.end()
        assert rest == []
        assert ending.status in (0, 1)
        assert ending.errors == b""
        assert ending.peak_kib < PEAK_KIB
    assert answered > LONG_FRAMES * 9 // 10, "sessions outlive hostile content"
    assert sessions > 10, "some of it was a breach of the protocol"
    assert watch.changes() == []


def is_answered(session: Hostile, message: Message, identifier: int) -> bool:
    """Take the one answer to a message and that to the ping behind it; False if the session ended with its one fault."""
    answers: list[object] = []
    pinged = False
    while not pinged or (message.get("type") == "request" and message.get("id") not in answers):
        received = session.receive()
        assert received is not None, f"no answer to {message}"
        if received["type"] == "failure" and received["id"] == SESSION_ID:
            assert session.receive() is None, "the session's fault is the last message"
            return False
        if received["type"] in ("result", "failure"):
            answers.append(received["id"])
            pinged = pinged or received["id"] == identifier + 1
    assert len(answers) == len(set(answers)), "nothing is answered twice"
    return True
