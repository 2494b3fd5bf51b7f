# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The frame decoder, byte by byte, and against bytes that nobody sane would send."""

from __future__ import annotations

import random
import struct
import tracemalloc

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_pbin import codes
from daos_pbin.frames import (
    ANSWER_LIMIT,
    HEADER_SIZE,
    MAX_ARRAY,
    MAX_DEPTH,
    MAX_MAP,
    MAX_NODES,
    MAX_STRING_BYTES,
    REQUEST_LIMIT,
    FrameError,
    FrameReader,
    decode,
    encode,
)

pytestmark = pytest.mark.unit

# The same examples every time, and no limit on their time: this machine may be busy.
QUICK = settings(max_examples=60, derandomize=True, deadline=None)
THOROUGH = settings(max_examples=500, derandomize=True, deadline=None)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXT, inner, max_size=6), max_leaves=40
)
MESSAGES = st.dictionaries(TEXT, VALUES, max_size=8)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(HEADER_SIZE, "big") + body


def nested(depth: int) -> dict[str, object]:
    """Return maps within maps, ``depth`` of them."""
    value: dict[str, object] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_a_frame_is_a_length_and_a_map() -> None:
    assert encode({"type": "cancel", "id": 1}, REQUEST_LIMIT) == bytes.fromhex("00000011 82 a474797065 a663616e63656c a26964 01")


@QUICK
@given(MESSAGES)
def test_what_is_encoded_is_decoded_again(message: dict[str, object]) -> None:
    frame = encode(message, ANSWER_LIMIT)
    assert list(FrameReader(ANSWER_LIMIT).feed(frame)) == [message]


@QUICK
@given(st.lists(MESSAGES, max_size=3), st.integers(1, 60))
def test_the_cuts_between_reads_do_not_matter(messages: list[dict[str, object]], size: int) -> None:
    stream = b"".join(encode(message, ANSWER_LIMIT) for message in messages)
    reader = FrameReader(ANSWER_LIMIT)
    received: list[dict[str, object]] = []
    for start in range(0, len(stream), size):
        received += reader.feed(stream[start : start + size])
    reader.close()
    assert received == messages


def test_byte_by_byte_a_message_comes_with_its_last_byte() -> None:
    frame = encode({"type": "cancel", "id": 7}, REQUEST_LIMIT)
    reader = FrameReader(REQUEST_LIMIT)
    for position, byte in enumerate(frame[:-1]):
        assert list(reader.feed(bytes([byte]))) == []
        assert reader.pending == position + 1
    assert list(reader.feed(frame[-1:])) == [{"type": "cancel", "id": 7}]
    assert reader.pending == 0


def test_messages_that_were_not_asked_for_come_with_the_next_bytes() -> None:
    reader = FrameReader(REQUEST_LIMIT)
    both = encode({"a": 1}, REQUEST_LIMIT) + encode({"b": 2}, REQUEST_LIMIT)
    assert next(reader.feed(both)) == {"a": 1}
    assert list(reader.feed(b"")) == [{"b": 2}]


def test_messages_before_a_bad_frame_are_delivered() -> None:
    reader = FrameReader(REQUEST_LIMIT)
    messages = reader.feed(encode({"a": 1}, REQUEST_LIMIT) + framed(b"\xc1"))
    assert next(messages) == {"a": 1}
    with pytest.raises(FrameError):
        next(messages)


def test_after_a_bad_frame_the_reader_is_broken_for_good() -> None:
    reader = FrameReader(REQUEST_LIMIT)
    with pytest.raises(FrameError, match="without a body"):
        list(reader.feed(bytes(4)))
    assert reader.pending == 0
    with pytest.raises(FrameError, match="without a body"):
        list(reader.feed(encode({}, REQUEST_LIMIT)))
    assert reader.pending == 0
    with pytest.raises(FrameError, match="without a body"):
        reader.close()


@pytest.mark.parametrize("length", [REQUEST_LIMIT + 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_length_over_the_limit_is_refused_from_the_header_alone(length: int) -> None:
    reader = FrameReader(REQUEST_LIMIT)
    with pytest.raises(FrameError, match=f"{length} bytes, more than {REQUEST_LIMIT}"):
        list(reader.feed(length.to_bytes(4, "big")))


@pytest.mark.parametrize("limit", [REQUEST_LIMIT, ANSWER_LIMIT])
def test_the_limit_itself_is_accepted_and_one_byte_more_is_not(limit: int) -> None:
    def message(size: int) -> dict[str, object]:
        """Return a message whose body has this many bytes: strings of 3 + 1000 bytes, and one that fills it up."""
        whole, rest = divmod(size - 3 - 3 - 6, 1003)
        return {"a": ["x" * 1000] * whole, "b": "y" * rest} if rest >= 256 else {"a": ["x" * 1000] * (whole - 1), "b": "y" * (rest + 1003)}

    size = next(size for size in range(limit - 3, limit + 4) if len(msgpack.packb(message(size))) == limit)
    frame = encode(message(size), limit)
    assert len(frame) == HEADER_SIZE + limit
    assert list(FrameReader(limit).feed(frame)) == [message(size)]
    with pytest.raises(FrameError, match="more than"):
        encode(message(size + 1), limit)


def test_a_stream_that_ends_between_frames_is_whole() -> None:
    reader = FrameReader(REQUEST_LIMIT)
    list(reader.feed(encode({}, REQUEST_LIMIT)))
    reader.close()


@pytest.mark.parametrize("kept", range(1, 8))
def test_a_stream_that_ends_within_a_frame_is_not(kept: int) -> None:
    frame = encode({"a": 1}, REQUEST_LIMIT)
    assert len(frame) == 8
    reader = FrameReader(REQUEST_LIMIT)
    assert list(reader.feed(frame[:kept])) == []
    with pytest.raises(FrameError, match="ends within a frame"):
        reader.close()


HOSTILE = {
    "not a map: nil": b"\xc0",
    "not a map: array": b"\x90",
    "not a map: string": b"\xa1a",
    "not a map: 1": b"\x01",
    "never used byte": b"\xc1",
    "truncated map": b"\x81\xa1a",
    "truncated string": b"\x81\xa5a",
    "trailing byte": b"\x80\xc0",
    "two maps": b"\x80\x80",
    "duplicate key": b"\x82\xa1a\x01\xa1a\x02",
    "duplicate key in two spellings": b"\x82\xa1a\x01\xd9\x01a\x02",
    "duplicate key deep inside": b"\x81\xa1a\x91\x82\xa1b\x01\xa1b\x01",
    "integer key": b"\x81\x01\x01",
    "nil key": b"\x81\xc0\x01",
    "array key": b"\x81\x90\x01",
    "bytes key": b"\x81\xc4\x01a\x01",
    "empty bytes key": b"\x81\xc4\x00\x01",
    "bytes": b"\x81\xa1a\xc4\x01a",
    "empty bytes": b"\x81\xa1a\xc4\x00",
    "NUL in a value": b"\x81\xa1a\xa3a\x00b",
    "NUL in a key": b"\x81\xa2a\x00\x01",
    "NUL in a list": b"\x81\xa1a\x91\xa1\x00",
    "lone surrogate": b"\x81\xa1a\xa3\xed\xb3\xbf",
    "surrogate pair as CESU-8": b"\x81\xa1a\xa6\xed\xa0\xbd\xed\xb8\x80",
    "surrogate key": b"\x81\xa3\xed\xa0\x80\x01",
    "overlong NUL": b"\x81\xa1a\xa2\xc0\x80",
    "Latin-1": b"\x81\xa1a\xa1\xe9",
    "above U+10FFFF": b"\x81\xa1a\xa4\xf5\x80\x80\x80",
    "empty extension": b"\x81\xa1a\xc7\x00\x05",
    "extension": b"\x81\xa1a\xd4\x05\x00",
    "timestamp": b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",
    "empty timestamp": b"\x81\xa1a\xc7\x00\xff",
    "NaN": b"\x81\xa1a\xcb" + struct.pack(">d", float("nan")),
    "single NaN": b"\x81\xa1a\xca" + struct.pack(">f", float("nan")),
    "infinity": b"\x81\xa1a\xcb" + struct.pack(">d", float("inf")),
    "minus infinity in a list": b"\x81\xa1a\x91\xcb" + struct.pack(">d", float("-inf")),
    "array of 2**32-1": b"\x81\xa1a\xdd\xff\xff\xff\xff",
    "map of 2**32-1": b"\xdf\xff\xff\xff\xff",
    "string of 2**32-1": b"\x81\xa1a\xdb\xff\xff\xff\xff",
    "bytes of 2**32-1": b"\x81\xa1a\xc6\xff\xff\xff\xff",
    "extension of 2**32-1": b"\x81\xa1a\xc9\xff\xff\xff\xff\x05",
    "array over the limit": b"\x81\xa1a\xdc" + (MAX_ARRAY + 1).to_bytes(2, "big") + b"\xc0" * (MAX_ARRAY + 1),
    "map over the limit": msgpack.packb({f"{number}": None for number in range(MAX_MAP + 1)}),
    "string over the limit": msgpack.packb({"a": "x" * (MAX_STRING_BYTES + 1)}),
    "nested one too deep": msgpack.packb(nested(MAX_DEPTH + 1)),
    "nested 60000 deep": b"\x81\xa1a" + b"\x91" * 60000 + b"\xc0",
    "60000 maps deep": b"\x81\xa1a" * 20000 + b"\xc0",
    "nodes over the limit": msgpack.packb({"a": [[None] * (MAX_ARRAY - 1)] * 17}),
    "empty containers": msgpack.packb({"a": [[[]] * 1000] * 66}),
    "UTF-16": "\ufeff{}".encode("utf-16"),
    "JSON": b'{"type": "cancel", "id": 1}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_are_one_error(body: bytes) -> None:
    with pytest.raises(FrameError) as caught:
        list(FrameReader(ANSWER_LIMIT).feed(framed(body)))
    fault = caught.value.fault()
    assert fault.code == codes.HELPER_FRAME_INVALID
    assert caught.value.reason in fault.description


ACCEPTED: dict[str, dict[str, object]] = {
    "nested as deep as allowed": nested(MAX_DEPTH),
    "longest array": {"a": [None] * MAX_ARRAY},
    "largest map": {f"{number}": None for number in range(MAX_MAP)},
    "longest string": {"a": "x" * MAX_STRING_BYTES},
    "longest string of wide characters": {"a": "\U0001f600" * (MAX_STRING_BYTES // 4)},
    "most nodes": {"a": [[None] * (MAX_ARRAY - 1)] * 15 + [[None] * (MAX_ARRAY - 4)]},
    "extreme integers": {"a": -(2**63), "b": 2**64 - 1},
}


@pytest.mark.parametrize("message", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_the_bounds_themselves_are_accepted(message: dict[str, object]) -> None:
    assert decode(encode(message, ANSWER_LIMIT)[HEADER_SIZE:]) == message


def test_the_node_bound_is_exact() -> None:
    most: dict[str, object] = {"a": [[None] * (MAX_ARRAY - 1)] * 15 + [[None] * (MAX_ARRAY - 4)]}
    assert 1 + 2 + 16 + 15 * (MAX_ARRAY - 1) + (MAX_ARRAY - 4) == MAX_NODES
    decode(msgpack.packb(most))
    with pytest.raises(FrameError, match=f"more than {MAX_NODES} values"):
        decode(msgpack.packb({**most, "b": None}))


UNSENDABLE = {
    "lone surrogate": {"a": "\udcff"},
    "NUL": {"a": "x\0"},
    "too deep": nested(MAX_DEPTH + 1),
    "bytes": {"a": b"x"},
    "NaN": {"a": float("nan")},
    "integer over 64 bit": {"a": 2**64},
    "object": {"a": object()},
    "integer key": {1: "a"},
    "long string": {"a": "x" * (MAX_STRING_BYTES + 1)},
    "long string of wide characters": {"a": "\U0001f600" * (MAX_STRING_BYTES // 4 + 1)},
    "large map": {f"{number}": None for number in range(MAX_MAP + 1)},
    "long array": {"a": [None] * (MAX_ARRAY + 1)},
    "long tuple": {"a": (None,) * (MAX_ARRAY + 1)},
    "many nodes": {"a": [[None] * MAX_ARRAY] * 16},
    "extension": {"a": msgpack.ExtType(5, b"")},
    "timestamp": {"a": msgpack.Timestamp(0)},
}


@pytest.mark.parametrize("message", UNSENDABLE.values(), ids=UNSENDABLE.keys())
def test_what_a_peer_would_refuse_is_not_sent(message: dict[str, object]) -> None:
    with pytest.raises(FrameError):
        encode(message, ANSWER_LIMIT)


def test_a_cycle_is_not_sent() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(FrameError):
        encode({"a": cycle}, ANSWER_LIMIT)


@THOROUGH
@given(st.lists(st.binary(max_size=200), max_size=8))
def test_arbitrary_bytes_raise_nothing_but_frame_errors(chunks: list[bytes]) -> None:
    reader = FrameReader(100)
    for chunk in chunks:
        try:
            for message in reader.feed(chunk):
                assert type(message) is dict
        except FrameError:
            assert reader.pending == 0
        assert reader.pending < 100 + HEADER_SIZE


@THOROUGH
@given(st.binary(max_size=300))
def test_arbitrary_bodies_raise_nothing_but_frame_errors(body: bytes) -> None:
    try:
        message = decode(body)
    except FrameError:
        return
    assert decode(encode(message, ANSWER_LIMIT)[HEADER_SIZE:]) == message


def mutate(chance: random.Random, frame: bytes) -> bytes:
    """Return the frame with one to four small injuries; mostly with a header that fits, so that the decoder sees it."""
    body = bytearray(frame[HEADER_SIZE:])
    for _ in range(chance.randint(1, 4)):
        position = chance.randrange(len(body) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            body[position : position + 1] = chance.randbytes(1)
        elif kind == 1:
            body[position:position] = chance.choice([b"\xc1", b"\xdf\xff\xff\xff\xff", b"\x91" * 40, b"\xc7\x00\xff", b"\x00"])
        elif kind == 2:
            del body[position : position + chance.randint(1, 8)]
        elif kind == 3:
            other = chance.randrange(len(body) + 1)
            body[position:position] = body[other : other + chance.randint(1, 30)]
        elif body:
            body[position % len(body)] ^= 1 << chance.randrange(8)
    header = framed(bytes(body))[:HEADER_SIZE] if chance.random() < 0.9 else chance.randbytes(HEADER_SIZE)
    return header + bytes(body)


def test_twenty_thousand_injured_frames() -> None:
    chance = random.Random(20261122)  # noqa: S311  # a fixed seed, so that a failure can be repeated
    messages: list[dict[str, object]] = [
        {"type": "request", "id": 1, "method": "ScmFormat", "payload": {"mountpoint": "/mnt/daos", "force": True}, "deadline_s": 1.5},
        {"type": "cancel", "id": 2**53},
        {"type": "hello", "protocol": 1, "version": "0.1.0", "methods": ["Ping", "ScmFormat"]},
        {"type": "x", "list": [[], {}, [1, -1, None, True, 2.5, "\U0001f600" * 20]], "deep": nested(12)},
    ]
    seeds = [encode(message, REQUEST_LIMIT) for message in messages]
    refused = accepted = 0
    for _ in range(20_000):
        reader = FrameReader(REQUEST_LIMIT)
        try:
            for message in reader.feed(mutate(chance, chance.choice(seeds))):
                accepted += 1
                assert decode(encode(message, REQUEST_LIMIT)[HEADER_SIZE:]) == message
        except FrameError:
            refused += 1
        assert reader.pending <= REQUEST_LIMIT + HEADER_SIZE
    assert refused > 5000, "the injuries are too mild to test anything"
    assert accepted > 100, "the injuries are too coarse to reach beyond the header"


BOMBS = {
    "arrays that promise 4096 elements, one in the other": b"\x81\xa1a" + b"\xdc\x10\x00" * 21_000,
    "empty arrays": b"\x81\xa1a\xdc\x0f\xff" + b"\xdc\x00\x0f" * 4000 + b"\x90" * 50_000,
    "empty maps": b"\x81\xa1a" + (b"\xdc\x00\x40" + b"\x80" * 64) * 900,
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_of_request_size_costs_bounded_memory(body: bytes) -> None:
    frame = framed(body)
    assert len(body) <= REQUEST_LIMIT
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            list(FrameReader(REQUEST_LIMIT).feed(frame))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * 2**20


def test_a_frame_that_trickles_in_is_never_more_than_its_limit() -> None:
    reader = FrameReader(REQUEST_LIMIT)
    list(reader.feed(REQUEST_LIMIT.to_bytes(4, "big")))
    for _ in range(REQUEST_LIMIT // 1024 - 1):
        assert list(reader.feed(b"\xc0" * 1024)) == []
    assert reader.pending == REQUEST_LIMIT + HEADER_SIZE - 1024
    with pytest.raises(FrameError):
        list(reader.feed(b"\xc0" * 1024))
    assert reader.pending == 0
