# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Strict, bounded reading of a YAML file into nodes that know their lines.

The file may be anything: a FIFO, a bomb, somebody's core dump.  Nothing here blocks, recurses, or grows beyond the bounds below.
Nodes keep the text as written: what it means depends on the key that it belongs to (see ``scalars.py``).
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.yaml_words import explained

SIZE_LIMIT = 1 << 20
"""Largest file read, in bytes.  A configuration of 128 engines has about 100 KiB."""
DEPTH_LIMIT = 16
"""Deepest nesting of lists and maps; the deepest real key lies at 7."""
NODE_LIMIT = 50_000
"""Most keys, values and lists, aliases counted as what they stand for."""

_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(_TAG + name for name in ("str", "int", "bool", "float", "null", "seq", "map"))
_MERGE_KEY = "<<"
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Also what a terminal does not show or shows in another order: a value must look as it is when a message quotes it.
_UNPRINTABLE_VALUE = re.compile(
    "[^\t -~\xa0-\u200a\u2010-\u2027\u202f-\u205f\u2070-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as written; ``plain`` means without quotes, ``tag`` is ``str``, ``int`` ... if the file names one, else empty."""

    text: str
    line: int
    plain: bool = True
    tag: str = ""
    size: int = 1


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    line: int
    size: int = 1


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with values, in the order of the file; each key once, with those that came a second time aside."""

    entries: tuple[Entry, ...]
    line: int
    size: int = 1
    duplicates: tuple[Duplicate, ...] = ()

    def get(self, key: str) -> Entry | None:
        """Return the entry of this key, or None."""
        return next((entry for entry in self.entries if entry.key == key), None)


Node = Scalar | Sequence | Mapping


class Entry(NamedTuple):
    """A key, the line it stands on (from 1), and its value."""

    key: str
    line: int
    value: Node


class Place(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int


class Duplicate(NamedTuple):
    """A key given twice in one map: the second place (line and column from 1), and the line of the first."""

    key: str
    line: int
    column: int
    first_line: int


def read_text(path: str) -> str:
    """Return the text of a regular file of at most ``SIZE_LIMIT`` bytes of UTF-8, never blocking.

    :raises Fault: 702 without a path, 2304 if the file cannot be read or is something else.
    """
    if not path:
        raise Fault(codes.SERVER_NO_CONFIG_PATH)
    try:
        data = _read_bytes(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, _in_words(error)) from error
    if len(data) > SIZE_LIMIT:
        raise _unreadable(path, f"it is larger than {SIZE_LIMIT >> 10} KiB, so it is not a configuration of this server")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _unreadable(path, "it is UTF-16 text; save it as UTF-8")
    if b"\0" in data:
        raise _unreadable(path, "it is a binary file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"it is not UTF-8 text: byte 0x{data[error.start]:02x} in line {line}") from error


def _read_bytes(path: str) -> bytes:
    # Looked at before it is opened: opening a device can act on it.  Looked at again after: the name may have changed hands.
    _must_be_file(os.stat(path))
    # O_NONBLOCK: a FIFO put there between the two looks would block the open for ever.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:
        _must_be_file(os.fstat(fd))
        chunks: list[bytes] = []
        wanted = SIZE_LIMIT + 1
        while wanted > 0 and (chunk := file.read(wanted)):
            chunks.append(chunk)
            wanted -= len(chunk)
    return b"".join(chunks)


def _must_be_file(status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kinds = {stat.S_IFDIR: "directory", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    raise ValueError(f"it is a {kinds.get(stat.S_IFMT(status.st_mode), 'special file')}, not a file")


def _in_words(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def _unreadable(path: str, cause: str) -> Fault:
    return Fault(codes.SERVER_CONFIG_UNREADABLE, path=path, object=path, cause=cause)


def syntax_fault(path: str, line: int, column: int, problem: str, remedy: str = "correct that place in the file") -> Fault:
    """Return fault 2305 for this place (line and column from 1)."""
    place = f"{path}:{line}"
    return Fault(codes.SERVER_CONFIG_SYNTAX, object=place, path=path, line=line, column=column, problem=problem, remedy=remedy)


def parse(text: str, path: str) -> Node | None:
    """Return the root of the YAML text of one document, None if it is empty; ``path`` is for messages.

    :raises Fault: 2305 at the first place that is not YAML, or that no configuration needs (see the bounds above).
    """
    if found := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        raise syntax_fault(path, line, column, f"character U+{ord(found.group()):04X} is not printable")
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise syntax_fault(path, *explained(error, text, builder.long_quote)) from error
    except _RefusedError as error:
        raise syntax_fault(path, *error.place, error.problem) from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise syntax_fault(path, 1, 1, "not YAML") from error
    return builder.root


class _RefusedError(Exception):
    """YAML, but not for us."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(problem)
        self.place = place
        self.problem = problem


@dataclass(slots=True)
class _Open:
    """A list or map whose end has not come yet."""

    place: Place
    is_map: bool
    anchor: str | None
    children: list[Node] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)


class _Builder:
    """Makes nodes from parser events, without recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.long_quote = (0, 0)
        """First and last line of the last quoted value that goes over several lines."""
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._nodes = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                place, end = _place(event.start_mark), _place(event.end_mark)
                if end.line > place.line and not event.implicit[0]:
                    self.long_quote = (place.line, end.line)
                self._add(_scalar(event, place), place, event.anchor)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._open(event, _place(event.start_mark))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._add(self._alias(event), _place(event.start_mark), None)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _RefusedError(_place(event.start_mark), "a second document begins here; the file must hold one")

    def _open(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent, place: Place) -> None:
        _check_tag(event.tag, place)
        if len(self._stack) >= DEPTH_LIMIT:
            raise _RefusedError(place, f"lists and maps are nested deeper than {DEPTH_LIMIT} levels")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(place, isinstance(event, yaml.MappingStartEvent), event.anchor))

    def _close(self) -> None:
        done = self._stack.pop()
        # The children were counted as they came; the collection itself is counted by _add.
        if done.is_map:
            node: Node = _mapping(done)
        else:
            node = Sequence(tuple(done.children), done.place.line, 1 + sum(child.size for child in done.children))
        self._add(node, done.place, done.anchor, counted=node.size - 1)

    def _alias(self, event: yaml.AliasEvent) -> Node:
        name = event.anchor or ""
        node = self._anchors.get(name)
        if node is None:
            why = "contains itself" if name in self._anchors else "is not defined before this place"
            raise _RefusedError(_place(event.start_mark), f"alias *{name} {why}")
        if len(self._stack) + _depth(node) > DEPTH_LIMIT:
            raise _RefusedError(_place(event.start_mark), f"lists and maps are nested deeper than {DEPTH_LIMIT} levels")
        return node

    def _add(self, node: Node, place: Place, anchor: str | None, *, counted: int = 0) -> None:
        self._nodes += max(node.size - counted, 1)
        if self._nodes > NODE_LIMIT:
            raise _RefusedError(place, f"the file holds more than {NODE_LIMIT} keys and values, aliases included")
        if anchor:
            self._anchors[anchor] = node
        if self._stack:
            self._stack[-1].children.append(node)
            self._stack[-1].places.append(place)
        else:
            self.root = node


def _mapping(done: _Open) -> Mapping:
    """Make a map of each key's first value; merged keys come last, and only those that the map does not have itself."""
    entries: dict[str, Entry] = {}
    duplicates: list[Duplicate] = []
    merged: list[Entry] = []
    for key, place, value in zip(done.children[::2], done.places[::2], done.children[1::2], strict=True):
        if not isinstance(key, Scalar):
            raise _RefusedError(place, "a key must be a word, not a list or a map")
        if key.plain and key.text == _MERGE_KEY:
            merged += _merged(value, place)
        elif key.text in entries:
            duplicates.append(Duplicate(key.text, *place, entries[key.text].line))
        else:
            entries[key.text] = Entry(key.text, place.line, value)
    for entry in merged:
        entries.setdefault(entry.key, entry)
    size = 1 + sum(1 + entry.value.size for entry in entries.values())
    return Mapping(tuple(entries.values()), done.place.line, size, tuple(duplicates))


def _merged(value: Node, place: Place) -> list[Entry]:
    sources = value.items if isinstance(value, Sequence) else (value,)
    entries: list[Entry] = []
    for source in sources:
        if not isinstance(source, Mapping):
            raise _RefusedError(place, "only maps can be merged with <<")
        entries += source.entries
    return entries


def _scalar(event: yaml.ScalarEvent, place: Place) -> Scalar:
    _check_tag(event.tag, place)
    plainest = event.value.isascii() and event.value.isprintable()  # nearly all are, and this is quicker to see
    if not plainest and (found := _UNPRINTABLE_VALUE.search(event.value)):
        name = "a line break" if found.group() in "\n\r\x85\u2028\u2029" else f"character U+{ord(found.group()):04X}"
        raise _RefusedError(place, f"{name} is not allowed inside a key or a value")
    tag = (event.tag or "").removeprefix(_TAG)
    return Scalar(event.value, place.line, plain=bool(event.implicit[0]), tag=tag if tag != "!" else "str")


def _place(mark: object) -> Place:
    """Return the place of a parser's mark; the C parser and the Python one have marks of different types."""
    line, column = getattr(mark, "line", 0), getattr(mark, "column", 0)
    return Place(line + 1, column + 1)


def _check_tag(tag: str | None, place: Place) -> None:
    if tag and tag != "!" and tag not in _KNOWN_TAGS:
        raise _RefusedError(place, f"tag {ascii(tag)[:80]} is not allowed")


def _depth(node: Node) -> int:
    """Return how many levels of lists and maps a node has; the bound on nesting bounds this recursion."""
    if isinstance(node, Mapping):
        return 1 + max((_depth(entry.value) for entry in node.entries), default=0)
    if isinstance(node, Sequence):
        return 1 + max((_depth(item) for item in node.items), default=0)
    return 0
