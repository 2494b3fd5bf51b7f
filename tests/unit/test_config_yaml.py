# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a configuration file may be, and what its words mean."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daos_bindings.linux.pci_address import parse as parse_pci
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.load import check, load, validate
from daos_server.config.scalars import as_flag, as_whole, is_null, whole_number
from daos_server.config.yaml_source import NODE_LIMIT, SIZE_LIMIT, Mapping, Scalar, Sequence, parse, read_text

pytestmark = pytest.mark.unit

# "At once" is measured in calls of functions, ours and C's, and in bytes: the same on every machine, however busy.


class Work:
    """Counts the calls of functions while it is entered."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Work:
        sys.setprofile(self._count)
        return self

    def _count(self, frame: object, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(None)


def fault_of(path: Path | str) -> Fault:
    with pytest.raises(Fault) as caught:
        load(str(path))
    return caught.value


def syntax_of(text: str) -> Fault:
    with pytest.raises(Fault) as caught:
        parse(text, "t.yml")
    assert caught.value.code == codes.SERVER_CONFIG_SYNTAX
    return caught.value


# Files that are no files


def test_no_path_has_its_own_code() -> None:
    assert fault_of("").code == codes.SERVER_NO_CONFIG_PATH


def test_missing_file_says_so(tmp_path: Path) -> None:
    fault = fault_of(tmp_path / "none.yml")
    assert fault.code == codes.SERVER_CONFIG_UNREADABLE
    assert "No such file" in fault.cause


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that everybody may enter, and no root's right to read all files while the test runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "secret.yml").write_text("name: a\n")
        (folder / "secret.yml").chmod(0)
        euid = os.geteuid()
        if euid == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(euid)


def test_file_that_the_caller_may_not_read(as_nobody: Path) -> None:
    fault = fault_of(as_nobody / "secret.yml")
    assert fault.code == codes.SERVER_CONFIG_UNREADABLE
    assert "Permission denied" in fault.cause


def test_directory_fifo_socket_and_device_are_refused_without_waiting(tmp_path: Path) -> None:
    # A read that waits for a writer of the FIFO would wait for ever, and the run's time limit would name this test.
    fifo, listening = tmp_path / "fifo", tmp_path / "socket"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listening))
        for path, kind in ((tmp_path, "directory"), (fifo, "FIFO"), (listening, "socket"), (Path("/dev/zero"), "device")):
            fault = fault_of(path)
            assert fault.code == codes.SERVER_CONFIG_UNREADABLE
            assert kind in fault.cause


def test_endless_file_of_the_kernel_is_bounded() -> None:
    # /proc files are regular and have size 0, so only the read itself can be bounded.
    assert fault_of("/proc/self/pagemap").code == codes.SERVER_CONFIG_UNREADABLE


def test_nul_in_the_path_is_no_traceback() -> None:
    assert fault_of("/tmp/a\0b").code == codes.SERVER_CONFIG_UNREADABLE  # noqa: S108 (a name that cannot exist)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"name: a\0b\n", "binary"),
        (b"\x7fELF\x02\x01\x01\0\0", "binary"),
        ("name: a\n".encode("utf-16"), "UTF-16"),
        ("name: a\n".encode("utf-16-be"), "binary"),
        (b"name: \xff\n", "not UTF-8"),
        (b"#" * (SIZE_LIMIT + 1), "larger"),
    ],
)
def test_content_that_is_no_text(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "c.yml"
    path.write_bytes(data)
    fault = fault_of(path)
    assert fault.code == codes.SERVER_CONFIG_UNREADABLE
    assert word in fault.cause


@pytest.mark.parametrize("content", [b"[", b"a: b # plain text\n", b"\0"], ids=["nesting", "text", "zeros"])
def test_ten_megabytes_are_refused_at_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yml"
    path.write_bytes(content * ((10 << 20) // len(content) + 1))
    tracemalloc.start()
    with Work() as work:
        fault = fault_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (fault.code, "larger" in fault.cause) == (codes.SERVER_CONFIG_UNREADABLE, True)
    assert work.calls < 500
    assert peak < 4 * SIZE_LIMIT


def test_symbolic_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.yml").symlink_to("b.yml")
    (tmp_path / "b.yml").symlink_to("a.yml")
    fault = fault_of(tmp_path / "a.yml")
    assert fault.code == codes.SERVER_CONFIG_UNREADABLE
    assert "symbolic links" in fault.cause


def test_largest_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_bytes(b"name: a" + b"\n" * (SIZE_LIMIT - 7))
    assert len(read_text(str(path))) == SIZE_LIMIT
    assert load(str(path)).config.name == "a"


def test_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.yml").write_text("name: a\n")
    (tmp_path / "link.yml").symlink_to("real.yml")
    assert load(str(tmp_path / "link.yml")).config.name == "a"


def test_relative_path_is_below_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yml").write_text("name: a\n")
    monkeypatch.chdir(tmp_path)
    assert load("c.yml").path == str(tmp_path / "c.yml")


# Text that is no configuration


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~\n", "{}\n"])
def test_empty_file_is_all_defaults(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yml"
    path.write_text(text)
    assert load(str(path)).config.engines == ()


@pytest.mark.parametrize("text", ["just words\n", "- a\n- b\n", "5\n"])
def test_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yml"
    path.write_text(text)
    assert fault_of(path).code == codes.SERVER_CONFIG_SYNTAX


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ("a: [\n  1,\n", 3, 1, ""),
        ("a: b\nc: [\n  1\nd: e\n", 2, 4, "has no ]"),
        ("a: b\nc: {d: e\nf: g\n", 2, 4, "have no }"),
        ("a: b\n c: d\n", 2, 3, "indented deeper than the key above it"),
        ("a:\n  - b: c\n   d: e\n", 3, 4, "neither like the dashes"),
        ("a: b\n\tc: d\n", 2, 1, "tab"),
        ("a:\n\t- b\n", 2, 1, "tab"),
        ("a:\n  b: c\n\td: e\n", 3, 1, "tab"),
        ("a: b\nc:d\ne: f\n", 2, 1, "no colon with a space"),
        ("a: b\nc = d\ne: f\n", 2, 1, "no colon with a space"),
        ("a: b\n<<<<<<< HEAD\nc: d\n", 2, 1, "no colon with a space"),
        ('a: "b\nc: d\ne: "f"\n', 3, 5, "open in line 1"),
        ('a: b\nc: "d\n', 2, 4, "never closed"),
        ("a: 'it's'\n", 1, 8, "follows a closing quote"),
        ("a: @b\n", 1, 4, "begins with @ must be in quotes"),
        ('a: "\\q"\n', 1, 5, "single quotes"),
        ("a:\n  -\xa0b: c\n    d: e\n", 3, 6, "no-break space"),
        ("a: \x07\n", 1, 4, "U+0007"),
        ("a: b\n---\na: c\n", 2, 1, "second document"),
        ("a: !python/object:os.system x\n", 1, 4, "tag"),
        ("a: !!binary eA==\n", 1, 4, "tag"),
        ("a: *b\n", 1, 4, "*b"),
        ("a: &b [*b]\n", 1, 8, "contains itself"),
        ("? [a]\n: b\n", 1, 3, "key"),
        ("<<: 5\n", 1, 1, "merged"),
        ('a: "x\\0y"\n', 1, 4, "U+0000"),
        ('a: "x\\e[2Jy"\n', 1, 4, "U+001B"),
        ("a: x\u202ey\n", 1, 4, "U+202E"),
        ("a: !<%1b[2J> x\n", 1, 4, "\\x1b"),
        ("a: |\n  x\n", 1, 4, "line break"),
        ("a: " + "[" * 17, 1, 19, "nested deeper"),
        ("a: " + "{b: " * 17, 1, 64, "nested deeper"),
    ],
)
def test_place_of_what_is_wrong(text: str, line: int, column: int, word: str) -> None:
    fault = syntax_of(text)
    assert f"line {line}, column {column}:" in fault.description
    assert word in fault.description
    assert fault.object == f"t.yml:{line}"


def test_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with Work() as work:
        assert str(NODE_LIMIT) in syntax_of("\n".join(lines)).description
    assert work.calls < 10 * NODE_LIMIT


def test_merge_bomb_is_refused_at_once() -> None:
    lines = ["m0: &m0 {" + ", ".join(f"k{n}: {n}" for n in range(100)) + "}"]
    lines += [f"m{n}: &m{n} {{p{n}: *m{n - 1}, <<: *m{n - 1}, q{n}: *m{n - 1}}}" for n in range(1, 40)]
    with Work() as work:
        syntax_of("\n".join(lines))
    assert work.calls < 10 * NODE_LIMIT


def test_deep_alias_counts_where_it_stands() -> None:
    syntax_of("a: &a " + "[" * 14 + "]" * 14 + "\nb: [[[*a]]]\n")


def test_more_nodes_than_any_configuration() -> None:
    assert str(NODE_LIMIT) in syntax_of("a: [" + "x," * NODE_LIMIT + "]").description


@pytest.mark.parametrize("text", ["[" * 500_000, "{" * 500_000, "- " * 500_000, "? " * 500_000, "a: [" + "'x' " * 200_000, "&a " * 300_000])
def test_hostile_text_of_full_size_is_refused_at_once(text: str) -> None:
    with Work() as work:
        syntax_of(text)
    assert work.calls < 1000


def keys_of(count: int) -> str:
    """Unknown keys, with something to suggest for some, and one key over and over."""
    return "".join(f"unknown{n}: 1\n" for n in range(count)) + "name: a\n" * count


def engines_of(count: int) -> str:
    return "engines: [" + "~, " * count + "]\n"


@pytest.mark.parametrize("make", [keys_of, engines_of])
def test_problems_without_end_are_cut_and_take_work_in_proportion(make: Callable[[int], str]) -> None:
    calls = []
    for count in (1000, 2000):
        node = parse(make(count), "t.yml")
        with Work() as work:
            found = check(node, "t.yml")
        assert found.config is None
        assert len(found.problems) == 500
        calls.append(work.calls)
    assert calls[1] < 2.5 * calls[0]


# Nodes


def test_lines_of_keys_and_values() -> None:
    root = parse("a: 1\n\nb:\n  - c: x\n  -\n    d: y\n", "t.yml")
    assert isinstance(root, Mapping)
    assert [(entry.key, entry.line) for entry in root.entries] == [("a", 1), ("b", 3)]
    items = root.entries[1].value
    assert isinstance(items, Sequence)
    assert [item.line for item in items.items] == [4, 6]


def test_duplicates_name_both_lines_and_the_whole_key(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("name: a\nengines:\n- targets: 1\n  log_file: /a\n  targets: 2\nname: b\n")
    problems = [problem for problem in validate(str(path)).problems if problem.code == codes.SERVER_CONFIG_SYNTAX]
    assert [(problem.key, problem.line, problem.message) for problem in problems] == [
        ("engines[0].targets", 5, "is given twice, first in line 3"),
        ("name", 6, "is given twice, first in line 1"),
    ]


def test_single_duplicate_is_a_syntax_fault(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("name: a\nname: b\n")
    fault = fault_of(path)
    assert fault.code == codes.SERVER_CONFIG_SYNTAX
    assert "line 2" in fault.description
    assert "line 1" in fault.description
    assert str(fault).count("given twice") == 1
    assert fault.resolution == "keep one of the two, then repeat the command"


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("a:\n\tb: 1\n", "this is a tab", "put spaces in its place"),
        ("name daos\nport: 5\n", "the line above lacks its colon", "or the line above it"),
        ("a: b\n---\n", "a second document", "correct that place in the file"),
    ],
)
def test_the_remedy_is_that_of_the_mistake(tmp_path: Path, text: str, problem: str, remedy: str) -> None:
    path = tmp_path / "c.yml"
    path.write_text(text)
    fault = fault_of(path)
    assert problem in fault.description
    assert remedy in fault.resolution


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
def test_line_ends_and_byte_order_marks_change_nothing(tmp_path: Path, end: str, mark: str) -> None:
    path = tmp_path / "c.yml"
    path.write_bytes(f"{mark}name: a{end}port: x{end}# b\t{end}telemetry_port: y{end}".encode())
    assert [(problem.line, problem.key) for problem in validate(str(path)).problems] == [(2, "port"), (4, "telemetry_port")]


def test_tabs_are_allowed_where_yaml_allows_them(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("name:\ta\t# b\nport:\t5\n")
    assert load(str(path)).config.port == 5


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("transport_config: &t\n  cert: /c\n  key: /k\ncontrol_metadata: {path: &p /var/daos}\nsocket_dir: *p\n")
    config = load(str(path)).config
    assert config.socket_dir == "/var/daos"
    root = parse("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}\n", "t.yml")
    assert isinstance(root, Mapping)
    merged = root.entries[1].value
    assert isinstance(merged, Mapping)
    assert {entry.key: entry.value.text for entry in merged.entries if isinstance(entry.value, Scalar)} == {"x": "1", "y": "3"}


# Words


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0x13", 19), ("0X1f", 31), ("19", 19), ("010", 8), ("0o17", 15), ("0b101", 5), ("-5", -5), ("+7", 7), ("1_000", 1000), ("08", 8),
        ("8.0", 8), ("1e3", 1000), ("0", 0), ("1.5", None), ("12:30", None), ("0000:81:00.0", None), ("0x", None), ("1e999", None),
        (".inf", None), ("", None), ("yes", None), ("٣", None), ("9" * 80, None),
    ],
)  # fmt: skip
def test_plain_numbers(text: str, number: int | None) -> None:
    assert as_whole(Scalar(text, 1)) == number


def test_quoted_words_are_neither_numbers_nor_flags() -> None:
    assert as_whole(Scalar("5", 1, plain=False)) is None
    assert as_flag(Scalar("true", 1, plain=False)) is None
    assert not is_null(Scalar("", 1, plain=False))
    assert as_whole(Scalar("5", 1, plain=False, tag="int")) == 5


@pytest.mark.parametrize("text", ["y", "Yes", "TRUE", "on"])
def test_true_words(text: str) -> None:
    assert as_flag(Scalar(text, 1)) is True


@pytest.mark.parametrize("text", ["n", "No", "false", "OFF"])
def test_false_words(text: str) -> None:
    assert as_flag(Scalar(text, 1)) is False


@pytest.mark.parametrize("text", ["tRUE", "1", "0", "", "yep"])
def test_other_words_are_no_flags(text: str) -> None:
    assert as_flag(Scalar(text, 1)) is None


@given(st.text())
@settings(deadline=None)
def test_any_text_is_a_number_or_none(text: str) -> None:
    number = whole_number(text)
    assert number is None or isinstance(number, int)


@given(st.integers(min_value=-(1 << 64), max_value=1 << 64))
@settings(deadline=None)
def test_numbers_are_read_back_in_every_base(number: int) -> None:
    for text in (str(number), hex(number), bin(number), oct(number)):
        assert whole_number(text) == number


# PCI addresses


@pytest.mark.parametrize(
    ("text", "canonical", "endpoint"),
    [
        ("0000:81:00.0", "0000:81:00.0", ""),
        ("0000:DA:00.0", "0000:da:00.0", ""),
        ("5d0505:01:00.0", "5d0505:01:00.0", "0000:5d:05.5"),
        ("50505:05:00.0", "050505:05:00.0", "0000:05:05.5"),
        ("5d055:01:00.0", "05d055:01:00.0", "0000:05:d0.55"),
    ],
)
def test_addresses(text: str, canonical: str, endpoint: str) -> None:
    address = parse_pci(text)
    assert address is not None
    assert str(address) == canonical
    assert address.vmd_endpoint == endpoint


@pytest.mark.parametrize(
    "text", ["", "81:00.0", "0000:81:00", "0000:81:00.g", "0000:81:0.0", "00000000:81:00.0", "0000:81:00.0 ", "ffff:00:00.0"]
)
def test_texts_that_are_no_addresses(text: str) -> None:
    assert parse_pci(text) is None


def test_order_of_addresses() -> None:
    texts = ["5d0505:03:00.0", "0000:82:00.0", "5d0505:01:00.0", "0000:81:00.1", "0000:81:00.0", "3d0505:09:00.0"]
    addresses = [address for text in texts if (address := parse_pci(text))]
    assert [str(address) for address in sorted(addresses)] == [
        "0000:81:00.0", "0000:81:00.1", "0000:82:00.0", "3d0505:09:00.0", "5d0505:01:00.0", "5d0505:03:00.0",
    ]  # fmt: skip


# Nothing but faults

_KEYS = st.sampled_from(
    "name engines storage class bdev_list bdev_roles bdev_busid_range port targets scm_class access_points << &a *a x".split()  # noqa: SIM905
)
_ODD_WORDS = st.sampled_from(["ram", "nvme", "0x13", "0000:81:00.0", "~", "yes", "-1", "1e400", "''", "!!int x", "9" * 70])
_WORDS = st.one_of(_KEYS, _ODD_WORDS, st.text())
_YAML = st.recursive(
    _WORDS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(_KEYS, inner), max_size=4).map(lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"),
    ),
    max_leaves=20,
)


@given(st.binary(max_size=400))
@example(b"\xef\xbb\xbfname: a\n")
@example(b"&a a: *a\n")
@example(b"? &a [*a]\n")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_load_or_fault(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.yml"
    path.write_bytes(data)
    try:
        load(str(path))
    except Fault as fault:
        assert fault.code >= codes.SERVER_NO_CONFIG_PATH  # noqa: PT017 (both ends of the call are right)


@given(_YAML)
@example("{engines: [{storage: [{class: ram, bdev_list: {}}]}]}")
@example("{engines: 5, storage: []}")
@example("{<<: {engines: [~, [~]]}, engines: {}}")
@settings(deadline=None, max_examples=300)
def test_any_yaml_checks_or_faults(text: str) -> None:
    try:
        found = check(parse(text, "t.yml"), "t.yml")
    except Fault as fault:
        assert fault.code == codes.SERVER_CONFIG_SYNTAX  # noqa: PT017 (both ends of the call are right)
        return
    assert (found.config is None) == bool(found.problems)
    for problem in found.problems:
        assert problem.line >= 1
        assert problem.text("t.yml").count("\n") == 0
