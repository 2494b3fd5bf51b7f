# SPDX-License-Identifier: BSD-2-Clause-Patent
"""PROTOCOL.md cannot lie: its tables and examples are compared with the code.

``python tests/unit/test_protocol_page.py`` prints the generated parts, for whoever changed a message type.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from daos_pbin import PROTOCOL_VERSION, VERSION, conversation, endings, envelope, frames
from daos_pbin.messages import REQUESTS as STORAGE_REQUESTS
from daos_pbin.methods import METHODS, PING
from daos_pbin.nvme_messages import NVME_REQUESTS
from daos_pbin.pmem_messages import PMEM_REQUESTS

pytestmark = pytest.mark.unit

REQUESTS = STORAGE_REQUESTS | NVME_REQUESTS | PMEM_REQUESTS
PAGE = Path(frames.__file__).parents[1] / "PROTOCOL.md"

EXAMPLES: list[tuple[str, dict[str, object]]] = [
    ("The helper greets", envelope.hello(PROTOCOL_VERSION, VERSION, (PING, "ScmMount"))),
    ("The client asks whether it lives", envelope.request(1, PING, {}, 10)),
    ("It does", envelope.result(1, {"version": VERSION, "app_name": conversation.APP_NAME})),
    (
        "The client asks for a tmpfs",
        envelope.request(2, "ScmMount", {"target": "/mnt/daos", "ramdisk": {"size_gib": 8, "numa_node": 1}}, 2.5),
    ),
    ("The helper tells how far it is", envelope.progress(2, 1, 2, "steps", "mounting /mnt/daos")),
    ("A line for the log", envelope.log(0, "info", "policy read")),
    ("The client has changed its mind", envelope.cancel(2)),
    (
        "The helper answers nevertheless",
        {
            "type": "failure",
            "id": 2,
            "fault": {
                "code": 2009,
                "domain": "pbin",
                "description": "cancelled",
                "object": "/mnt/daos",
                "cause": "",
                "resolution": "try again",
            },
        },
    ),
]


def type_text(kind: inspect.Type) -> str:
    """Return a payload field's type in words."""
    if isinstance(kind, inspect.StrType):
        return f"string, at most {kind.max_length} characters" + (f", `{kind.pattern}`" if kind.pattern else "")
    if isinstance(kind, inspect.IntType):
        return f"integer, {kind.ge} to {'2^64-1' if kind.le is None else kind.le}"
    if isinstance(kind, inspect.BoolType):
        return "bool"
    if isinstance(kind, inspect.LiteralType):
        return "string: " + " or ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.VarTupleType):
        return f"array of at most {kind.max_length}: {type_text(kind.item_type)}"
    if isinstance(kind, inspect.StructType):
        return f"`{kind.cls.__name__}`"
    if isinstance(kind, inspect.UnionType):
        return " or ".join(type_text(part) for part in kind.types)
    if isinstance(kind, inspect.NoneType):
        return "nil"
    raise TypeError(f"the page has no words for {kind!r}")


def default_text(field: inspect.Field) -> str:
    if field.required:
        return "required"
    return json.dumps(field.default).replace("null", "nil")


def structs_of(kind: inspect.Type) -> list[inspect.StructType]:
    """Return the maps that this type is or contains."""
    if isinstance(kind, inspect.StructType):
        return [kind] + [inner for field in kind.fields for inner in structs_of(field.type)]
    if isinstance(kind, inspect.VarTupleType):
        return structs_of(kind.item_type)
    if isinstance(kind, inspect.UnionType):
        return [inner for part in kind.types for inner in structs_of(part)]
    return []


def methods_table() -> str:
    rows = ["| method and request | result | what it does |", "|---|---|---|"]
    for name, request in REQUESTS.items():
        summary = (request.__doc__ or "").partition("\n")[0].replace("``", "`").replace("  ", " ")
        rows.append(f"| `{name}` | `{request.result_type.__name__}` | {summary} |")
    return "\n".join(rows)


def payload_tables() -> str:
    names: dict[str, inspect.StructType] = {}
    for request in REQUESTS.values():
        for root in (request, request.result_type):
            for struct in structs_of(inspect.type_info(root)):
                names.setdefault(struct.cls.__name__, struct)
    tables = []
    for name, struct in names.items():
        rows = [f"| `{field.encode_name}` | {type_text(field.type)} | {default_text(field)} |" for field in struct.fields]
        tables.append("\n".join([f"`{name}`:", "", "| field | type | default |", "|---|---|---|", *rows]))
    return "\n\n".join(tables)


def exits_table() -> str:
    return "\n".join(f"| {number} | {code} | {meaning} |" for number, (code, meaning) in endings.LAUNCHER_EXITS.items())


def hex_dump(frame: bytes) -> str:
    return "\n".join(frame[start : start + 32].hex(" ") for start in range(0, len(frame), 32))


def examples_text() -> str:
    parts = []
    for title, message in EXAMPLES:
        frame = frames.encode(message, frames.REQUEST_LIMIT)
        parts.append(f"{title}:\n\n```hex\n{hex_dump(frame)}\n```\n\n```json\n{json.dumps(message)}\n```")
    return "\n\n".join(parts)


GENERATED = {"METHODS": methods_table, "PAYLOADS": payload_tables, "EXITS": exits_table, "EXAMPLES": examples_text}


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


@pytest.mark.parametrize("part", GENERATED)
def test_the_generated_parts_are_those_of_the_code(page: str, part: str) -> None:
    assert GENERATED[part]() in page


def test_the_examples_decode_to_what_stands_beside_them(page: str) -> None:
    """Read from the page alone, by its own rules: the length, then the map."""
    found = re.findall(r"```hex\n(.*?)```\n\n```json\n(.*?)```", page, re.DOTALL)
    assert len(found) == len(EXAMPLES)
    seen = set()
    for dump, text in found:
        frame = bytes.fromhex(dump)
        reader = frames.FrameReader(frames.REQUEST_LIMIT)
        (message,) = reader.feed(frame)
        reader.close()
        assert message == json.loads(text)
        assert int.from_bytes(frame[:4], "big") == len(frame) - 4
        kind = message["type"]
        if kind in ("request", "cancel"):
            parsed: object = envelope.parse_from_server(message)
        else:
            parsed = envelope.parse_from_helper(message)
        if isinstance(parsed, envelope.RequestEnvelope) and parsed.method != PING:
            msgspec.convert(parsed.payload, REQUESTS[parsed.method])
        seen.add(kind)
    assert seen == envelope.FIELDS.keys()


def test_every_type_has_exactly_its_fields_on_the_page(page: str) -> None:
    section = page.partition("## 3. Messages")[2].partition("## 4.")[0]
    fields: dict[str, set[str]] = {}
    kind = ""
    for named, field in re.findall(r"^\| (?:`([a-z]+)` )?\| `([a-z_]+)` \|", section, re.MULTILINE):
        kind = named or kind
        fields.setdefault(kind, {"type"}).add(field)
    assert fields == envelope.FIELDS


def test_the_fault_has_exactly_its_fields_on_the_page(page: str) -> None:
    section = page.partition("## 5. Faults")[2].partition("### Exit codes")[0]
    assert set(re.findall(r"^\| `([a-z]+)` \|", section, re.MULTILINE)) == envelope.FAULT_FIELDS


def test_the_limits_are_those_of_the_code(page: str) -> None:
    limits = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", page, re.MULTILINE))
    assert limits.keys() == {"REQUEST_LIMIT", "ANSWER_LIMIT", "MAX_DEPTH", "MAX_ARRAY", "MAX_MAP", "MAX_STRING_BYTES", "MAX_NODES"}
    assert {name: int(value) for name, value in limits.items()} == {name: getattr(frames, name) for name in limits}


def test_the_bounds_in_the_tables_are_those_of_the_code(page: str) -> None:
    """Each number that stands behind a field on the page, beside the constant that the parser uses."""
    assert envelope.MAX_ID == envelope.MAX_COUNT == 2**53
    for line in (
        f"| `protocol` | integer, 1 to {envelope.MAX_PROTOCOL}: this page is {PROTOCOL_VERSION} |",
        f"| `version` | string, at most {envelope.VERSION_LIMIT} characters",
        f"| `methods` | array of at most {envelope.METHODS_LIMIT} strings: the methods, each 1 to {envelope.METHOD_LIMIT} of",
        f"| `unit` | string, at most {envelope.UNIT_LIMIT} characters",
        f"| `what` | string, at most {envelope.TEXT_LIMIT} characters",
        f"| `text` | string, at most {envelope.TEXT_LIMIT} characters",
        f"| `method` | string, 1 to {envelope.METHOD_LIMIT} of",
        f"| `deadline_s` | integer or float, above 0, at most {envelope.MAX_DEADLINE_S}:",
        f"| `code` | integer, 0 to {envelope.MAX_FAULT_CODE};",
        f"Each string has at most {envelope.TEXT_LIMIT} characters.",
        "| `level` | string: `{}`, `{}`, `{}` or `{}` |".format(*envelope.LEVELS),
        f"It describes protocol **{PROTOCOL_VERSION}**.",
    ):
        assert line in page


def test_the_helpers_and_the_clients_patience_are_those_of_the_page(page: str) -> None:
    from daos_helper import dispatch, monitor

    assert f"not finished for {monitor.FRAME_PATIENCE_S:.0f} seconds" in page
    assert f"a request beyond {dispatch.MAX_REQUESTS} open ones by 2015" in page
    assert f"while more than {monitor.NOISE_LIMIT} bytes wait" in page
    assert f"session at {monitor.QUEUE_LIMIT}." in page
    assert f"(ours {conversation.GRACE_S:.0f} seconds)" in page
    assert conversation.GRACE_S > dispatch.UNDO_S + 2 * dispatch.STUCK_S
    assert conversation.STOP_S > dispatch.STUCK_S


def test_the_methods_of_the_hello_are_those_of_the_page() -> None:
    assert (PING, *REQUESTS) == METHODS


if __name__ == "__main__":
    for part, render in GENERATED.items():
        print(f"@{part}@\n{render()}\n")
