# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is fuzzed of the protocol: each target takes any bytes, and either is content or raises what is no FrameError.

The same functions are run by the tests (a few hundred made-up inputs, always the same) and by ``make fuzz`` (for as long as one likes).
"""

from __future__ import annotations

from collections.abc import Callable

import msgpack  # type: ignore[import-untyped]  # it ships no types
import msgspec

from daos_pbin import envelope, messages, nvme_messages, pmem_messages
from daos_pbin.frames import ANSWER_LIMIT, HEADER_SIZE, REQUEST_LIMIT, FrameError, FrameReader, decode, encode
from daos_pbin.methods import METHODS, PING

REQUESTS = {**messages.REQUESTS, **nvme_messages.NVME_REQUESTS, **pmem_messages.PMEM_REQUESTS}
TYPES = [*REQUESTS.values(), *(request.result_type for request in REQUESTS.values())]
"""Every payload of both directions."""


class BrokenError(Exception):
    """A promise of the protocol's code that does not hold."""


def promise(holds: bool, what: str) -> None:
    """Raise ``BrokenError`` if it does not."""
    if not holds:
        raise BrokenError(what)


promise({*REQUESTS, PING} == {*METHODS}, "every method is fuzzed")


def stream(data: bytes) -> None:
    """A stream of bytes: cut anywhere it gives the same messages and the same end, and never holds more than one frame."""
    promise(_read(data, len(data) or 1) == _read(data, 1 + (data[-1] if data else 0)), "the cuts matter")


def _read(data: bytes, size: int) -> tuple[list[dict[str, object]], str]:
    reader = FrameReader(REQUEST_LIMIT)
    taken: list[dict[str, object]] = []
    try:
        for start in range(0, len(data), size):
            taken.extend(reader.feed(data[start : start + size]))
            promise(reader.pending < REQUEST_LIMIT + HEADER_SIZE, "more than a frame is held")
        reader.close()
    except FrameError as error:
        return taken, error.reason.partition(",")[0]
    return taken, ""


def frame(body: bytes) -> None:
    """A frame's body: what is accepted can be sent again, and is the same; as an envelope it is one type's, or none's."""
    try:
        message = decode(body)
    except FrameError:
        return
    promise(decode(encode(message, ANSWER_LIMIT * 4)[HEADER_SIZE:]) == message, "a message changes on its way")
    for parse in (envelope.parse_from_server, envelope.parse_from_helper):
        try:
            parsed = parse(message)
        except FrameError:
            continue
        promise(repr(parsed).startswith(type(parsed).__name__), "an envelope that cannot be shown")


def payload(data: bytes) -> None:
    """The payload of one type: it is refused with a ValidationError, or a value that means the same on the wire."""
    if not data:
        return
    chosen = TYPES[data[0] % len(TYPES)]
    try:
        fields = decode(data[1:])
    except FrameError:
        return
    try:
        value = msgspec.convert(fields, chosen)
    except msgspec.ValidationError:
        return
    again = msgspec.to_builtins(value)
    promise(msgspec.convert(again, chosen) == value, f"a {chosen.__name__} changes on its way")
    encode(again, ANSWER_LIMIT * 4)


TARGETS: dict[str, Callable[[bytes], None]] = {"stream": stream, "frame": frame, "payload": payload}


def seeds(target: str) -> list[bytes]:
    """Return valid inputs of a target to start from: one of each type."""
    path = "/mnt/daos0"
    ramdisk = {"size_gib": 1, "numa_node": 1, "disable_hugepages": True}
    examples: dict[str, dict[str, object]] = {
        "ScmCheckFormat": {"mountpoint": path, "ramdisk": ramdisk},
        "ScmFormat": {"mountpoint": path, "force": True, "dcpm": {"device": "/dev/pmem0"}},
        "ScmMount": {"target": path, "dcpm": {"device": "/dev/pmem0"}},
        "ScmUnmount": {"target": path},
        "MetadataNeedsFormat": {"root_path": path, "device": "/dev/sdb1"},
        "MetadataFormat": {"root_path": path, "device": "/dev/sdb1", "force": True},
        "MetadataMount": {"root_path": path},
        "MetadataUnmount": {"root_path": path},
        "BdevPrepare": {"hugepages": [{"node": 0, "count": 512}], "reset": False, "target_user": "root"},
    }
    bodies = {name: examples.get(name, {"devices": ["0000:81:00.0"]}) for name in REQUESTS}
    if target == "payload":
        numbers = {kind: number for number, kind in enumerate(TYPES)}
        return [bytes([numbers[REQUESTS[name]]]) + bytes(msgpack.packb(body)) for name, body in bodies.items()]
    requests = [envelope.request(number, name, body, 60) for number, (name, body) in enumerate(bodies.items(), 1)]
    others: list[dict[str, object]] = [
        envelope.hello(1, "0.1", METHODS), envelope.result(1, {}), envelope.progress(1, 1, 2, "bytes", "x"), envelope.log(0, "info", "x"),
        {"type": "cancel", "id": 1},
        {"type": "failure", "id": 1, "fault": {name: 1 if name == "code" else "x" for name in envelope.FAULT_FIELDS}},
    ]  # fmt: skip
    frames = [encode(message, ANSWER_LIMIT) for message in (*requests, *others)]
    return frames if target == "stream" else [one[HEADER_SIZE:] for one in frames]
