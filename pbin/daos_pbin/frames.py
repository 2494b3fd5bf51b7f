# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Frames: how one message lies in a stream of bytes.

A frame is a 4-byte big-endian length and one msgpack map of that many bytes.  The bytes come from somebody hostile: every
size is bounded before memory is spent on it, and whatever goes wrong in a decoder comes out as one ``FrameError``.
No input or output happens here.  ``PROTOCOL.md`` is the same in prose.
"""

from __future__ import annotations

from msgpack import packb, unpackb  # type: ignore[import-untyped]  # it ships no types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from daos_pbin.faults import Fault

    Container = Mapping[str, object] | Mapping[object, object] | Sequence[object]

HEADER_SIZE = 4
REQUEST_LIMIT = 64 * 1024
"""Longest body, in bytes, of a frame that the server sends."""
ANSWER_LIMIT = 1024 * 1024
"""Longest body, in bytes, of a frame that the helper sends."""
MAX_DEPTH = 16
"""Deepest nesting of maps and arrays, the outermost map counted as 1."""
MAX_ARRAY = 4096
MAX_MAP = 64
MAX_STRING_BYTES = 16 * 1024
"""Longest string in bytes of UTF-8: 4096 characters of the widest kind."""
MAX_NODES = 64 * 1024
"""Most values in one frame: the outermost map, and every key, value and element at any depth."""


class FrameError(Exception):
    """The bytes, or the map that they hold, break the protocol; the stream they came from cannot be trusted any further.

    :param reason: what is wrong, in words for people; it never contains bytes of the message.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def fault(self) -> Fault:
        """Return this error as a fault with code 2001."""
        from daos_pbin import codes
        from daos_pbin.faults import Fault

        return Fault(codes.HELPER_FRAME_INVALID, reason=self.reason)


class _Counter:
    """The hooks of one decode: count values while they are made, so that a bomb stops early; refuse duplicate keys."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes = 1

    def pairs(self, pairs: list[tuple[object, object]]) -> dict[object, object]:
        self._add(2 * len(pairs))
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            raise FrameError("a map has the same key twice")
        return mapping

    def items(self, items: list[object]) -> list[object]:
        self._add(len(items))
        return items

    def _add(self, count: int) -> None:
        self.nodes += count
        if self.nodes > MAX_NODES:
            raise FrameError(f"more than {MAX_NODES} values")


def _refuse_extension(_code: int, _data: bytes) -> object:
    raise FrameError("an extension type")


def _unpack(body: bytes | bytearray) -> object:
    counter = _Counter()
    try:
        value: object = unpackb(
            body,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=counter.pairs,
            list_hook=counter.items,
            ext_hook=_refuse_extension,
            max_str_len=MAX_STRING_BYTES,
            max_bin_len=0,
            max_array_len=MAX_ARRAY,
            max_map_len=MAX_MAP,
            max_ext_len=0,
        )
    except FrameError:
        raise
    except UnicodeDecodeError:
        raise FrameError("a string is not UTF-8") from None
    except Exception as error:  # MemoryError and RecursionError too: whatever a decoder does with hostile bytes is one answer
        raise FrameError(f"not one well-formed msgpack map within the limits ({type(error).__name__})") from None
    return value


def _check_text(text: str) -> None:
    if "\0" in text:
        raise FrameError("a string contains NUL")
    # A character has at most four bytes, so most strings need not be encoded to be measured.
    if len(text) > MAX_STRING_BYTES // 4 and len(text.encode()) > MAX_STRING_BYTES:
        raise FrameError(f"a string of more than {MAX_STRING_BYTES} bytes")


def _check_map(mapping: dict[object, object]) -> None:
    if len(mapping) > MAX_MAP:
        raise FrameError(f"a map of more than {MAX_MAP} keys")
    for key in mapping:
        if type(key) is not str:
            raise FrameError("a map key is not a string")
        _check_text(key)


def _check_values(values: Iterable[object], deeper: list[Container]) -> None:
    """Check the values of one container; append the containers among them to ``deeper``."""
    for value in values:
        kind = type(value)
        if kind is str:
            _check_text(value)  # type: ignore[arg-type]  # mypy does not narrow by type() through a name
        elif isinstance(value, (dict, list, tuple)):
            deeper.append(value)
        elif kind is float:
            if value != value or value in (float("inf"), float("-inf")):
                raise FrameError("a number is not finite")
        elif kind is not int and kind is not bool and value is not None:
            raise FrameError(f"a value of a type that does not belong here ({kind.__name__})")


def _check_tree(root: Container) -> None:
    """Check everything below a value against the limits, level by level: no recursion that hostile bytes could steer."""
    level = [root]
    depth, nodes = 0, 1
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise FrameError(f"nested deeper than {MAX_DEPTH}")
        deeper: list[Container] = []
        for container in level:
            if isinstance(container, dict):
                nodes += 2 * len(container)
                _check_map(container)
                _check_values(container.values(), deeper)
            else:
                nodes += len(container)
                if len(container) > MAX_ARRAY:
                    raise FrameError(f"an array of more than {MAX_ARRAY} elements")
                _check_values(container, deeper)
        if nodes > MAX_NODES:
            raise FrameError(f"more than {MAX_NODES} values")
        level = deeper


def decode(body: bytes | bytearray) -> dict[str, object]:
    """Return the map that the body of one frame holds.

    :raises FrameError: if the body is anything but one map within every limit, with nothing behind it.
    """
    value = _unpack(body)
    if not isinstance(value, dict):
        raise FrameError("not a map")
    _check_tree(value)
    return value


def encode(message: dict[str, object], limit: int) -> bytes:
    """Return the whole frame of a message, header included.

    What a peer would refuse is not sent.

    :param limit: ``REQUEST_LIMIT`` or ``ANSWER_LIMIT``, in bytes of the body.
    :raises FrameError: if the message is too long or contains what no frame may contain.
    """
    try:
        body: bytes = packb(message, use_bin_type=True)
    except (TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:  # UnicodeEncodeError is a ValueError
        raise FrameError(f"cannot be packed ({type(error).__name__})") from None
    if len(body) > limit:
        raise FrameError(f"{len(body)} bytes, more than {limit}")
    _check_tree(message)
    return len(body).to_bytes(HEADER_SIZE, "big") + body


class FrameReader:
    """Cuts a stream of bytes into messages.

    After the first ``FrameError`` the reader is broken for good, because nobody knows where the next frame begins.

    :param limit: longest body in bytes that is accepted; a longer one is refused when its header is there.
    """

    __slots__ = ("_broken", "_buffer", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._broken: str | None = None

    @property
    def pending(self) -> int:
        """How many bytes wait for the rest of their frame; below ``limit + 4`` once the messages of ``feed`` are taken."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[dict[str, object]]:
        """Add bytes and return an iterator over the messages that are complete.

        The bytes are taken at once, the messages are decoded one by one as the iterator is asked, so those before a bad
        frame are delivered; what is not asked for comes with the next call.

        :raises FrameError: from the iterator, at the first bad frame and ever after.
        """
        if self._broken is None:
            self._buffer += data
        return self._messages()

    def close(self) -> None:
        """Take note of the end of the stream.

        :raises FrameError: if it ends within a frame, or was broken before.
        """
        if self._broken is not None:
            raise FrameError(self._broken)
        if self._buffer:
            raise self._break(f"the stream ends within a frame, {len(self._buffer)} bytes into it")

    def _messages(self) -> Iterator[dict[str, object]]:
        while (body := self._take()) is not None:
            try:
                message = decode(body)
            except FrameError as error:
                raise self._break(error.reason) from None
            yield message

    def _take(self) -> bytearray | None:
        """Take the body of the next complete frame off the buffer; None if there is none yet."""
        if self._broken is not None:
            raise FrameError(self._broken)
        if len(self._buffer) < HEADER_SIZE:
            return None
        length = int.from_bytes(self._buffer[:HEADER_SIZE], "big")
        if length == 0:
            raise self._break("a frame without a body")
        if length > self.limit:
            raise self._break(f"a frame of {length} bytes, more than {self.limit}")
        end = HEADER_SIZE + length
        if len(self._buffer) < end:
            return None
        body = self._buffer[HEADER_SIZE:end]
        del self._buffer[:end]
        return body

    def _break(self, reason: str) -> FrameError:
        self._broken = reason
        self._buffer.clear()
        return FrameError(reason)
