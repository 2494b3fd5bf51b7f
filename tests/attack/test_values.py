# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every field of every request gets every hostile value: each is answered once, written down, and without effect outside."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # it ships no types
import msgspec
import pytest
from hostile import Message, OpenSession, Watch, ping
from installed import Installation

from daos_bindings.linux import hugepages, pci
from daos_helper.audit import read_path
from daos_pbin import codes
from daos_pbin.envelope import SESSION_ID
from daos_pbin.messages import REQUESTS as STORAGE_REQUESTS
from daos_pbin.nvme_messages import NVME_REQUESTS
from daos_pbin.pmem import SOCKETS_LIMIT
from daos_pbin.pmem_messages import PMEM_REQUESTS

Place = tuple[str | int, ...]
"""Where a field is in a payload: keys of maps and indexes of lists."""

REQUESTS = STORAGE_REQUESTS | NVME_REQUESTS | PMEM_REQUESTS
MISSING_ADDRESS = "0000:ff:1f.7"
"""Where no machine has an NVMe controller."""
MISSING_DEVICE = "/dev/daos-attack/no-such-device"
MISSING: dict[int | None, str] = {14: MISSING_ADDRESS, 21: "8089-a2-1748-ffffffff", 24: "namespace9999.9"}
"""Names of nothing, by the length that their type allows: a controller's, a memory module's, a namespace's."""


def values(base: Path) -> list[object]:
    """Return what an attacker would write into a field."""
    return [
        None, True, False, 0, -1, 1, 2**31, 2**32, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 0.0, 1.5, -1e308, float("nan"), float("inf"),
        "", " ", ".", "..", "-o", "--bind", "a,b=c", "x\n", "\r", "\t", "a\0b", "\x1b[2J", "\u202e", "$(id)", "`id`", ";id", "%n%s",
        "*", "~",
        "x" * 33, "x" * 256, "x" * 4096, "x" * 4097, "é" * 4096, "0", "root", "daos_server", "0:0",
        "/", "//", "/etc", "/etc/", "/etc/../", "/etc/passwd", "//etc", "/./etc", "/proc/self/root/etc", "/proc/1/root/etc",
        "/proc/self/cwd",
        "/proc/self/fd/0", "/dev/null", "/dev/mem", "/dev/fd/0", "/dev/stdin", "/dev/loop-control", "/dev/../etc/passwd", "/sys/kernel",
        "/" + "a/" * 2000 + "a", "/" + "a" * 256, f"{base}x", f"{base}/../etc", f"{base}/.", f"{base}/", f"{base}//x", f"{base}/link",
        f"{base}/link/daos-attack", f"{base}/passwd", f"{base}/x\n", f"{base}/a,b", f"{base}/$(id)", f"{base}/-o", str(base.parent),
        MISSING_ADDRESS + "\n", MISSING_ADDRESS + "\0", "0000:ff:1F.7", "0000:ff:1f", "../" + MISSING_ADDRESS, "0000:ff:1f.7/..",
        "\u0660000:ff:1f.7", "ffffff:ff:ff.ff", "0ff1f7:ff:1f.7", "vfio-pci", "nvme", "pci-stub",
        [], [[]], [None], ["/etc"], [MISSING_ADDRESS] * 2, [MISSING_ADDRESS] * 1025,
        [{"node": 1023, "count": 1}] * 257, [{"node": 1023, "count": 1, "uid": 0}],
        [0] * 300, {}, {"": ""}, {"device": "/dev/null"}, {"size_gib": -1}, {"a": {"b": {"c": {}}}},
        b"/etc", msgpack.ExtType(1, b"x"),
    ]  # fmt: skip


def sample(kind: msgspec.inspect.Type, base: Path) -> object:
    """Return a valid value of a type: paths lead to a missing folder below the mount root, so that nothing comes of them."""
    if isinstance(kind, msgspec.inspect.StructType):
        fields = {field.encode_name: sample(field.type, base) for field in kind.fields}
        if "blocked" in fields:  # so that no value in any other field can bind a controller of this machine
            fields["blocked"] = [str(function.address) for function in pci.scan().controllers] or [MISSING_ADDRESS]
        if "plan_only" in fields:  # likewise for persistent memory: a plan only, and for a socket that no machine has
            fields |= {"plan_only": True, "socket": SOCKETS_LIMIT - 1}
        return fields | ({"device": MISSING_DEVICE} if "device" in fields else {})
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return [sample(kind.item_type, base)]
    if isinstance(kind, msgspec.inspect.UnionType):
        return sample(next(option for option in kind.types if not isinstance(option, msgspec.inspect.NoneType)), base)
    if isinstance(kind, msgspec.inspect.BoolType):
        return False
    if isinstance(kind, msgspec.inspect.IntType):
        return 1
    if isinstance(kind, msgspec.inspect.StrType):
        if kind.max_length in MISSING:
            return MISSING[kind.max_length]
        return f"{base}/missing/engine0" if kind.max_length == 4095 else ""
    if isinstance(kind, msgspec.inspect.LiteralType):
        return kind.values[0]
    raise TypeError(f"a request has a field of a kind that this test does not know: {kind}")


def places(value: object, above: Place = ()) -> Iterator[Place]:
    """Return every field of a payload, and every element of its lists."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, item in items:
        yield (*above, key)
        yield from places(item, (*above, key))


def with_value(payload: object, place: Place, value: object) -> object:
    """Return a copy of the payload with another value in one place."""
    changed = copy.deepcopy(payload)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]  # type: ignore[index]  # a place leads through maps and lists
    inner[place[-1]] = value  # type: ignore[index]
    return changed


def payloads(method: str, base: Path) -> list[Message]:
    """Return the valid payloads of a method that the values are put into: with each of two fields that exclude each other."""
    whole = sample(msgspec.inspect.type_info(REQUESTS[method]), base)
    assert isinstance(whole, dict)
    if {"ramdisk", "dcpm"} <= whole.keys():
        return [whole | {"ramdisk": None}, whole | {"dcpm": None}]
    return [whole]


def attacks(method: str, base: Path) -> list[object]:
    """Return all payloads of the attack on a method."""
    return [
        with_value(payload, place, value)
        for payload in payloads(method, base)
        for place in places(payload)
        for value in values(base)
    ]  # fmt: skip


class Attacker:
    """Sends one request after the other, in a new session whenever the helper has closed the last."""

    def __init__(self, open_session: OpenSession) -> None:
        self._open = open_session
        self._session = open_session()
        self._session.hello()
        self._last = 0
        self.breaches = 0
        """How many sessions the helper has closed."""
        self.codes: dict[int, int] = {}
        """How often each fault code was the answer; 0 for a result."""

    def attack(self, method: str, payload: object) -> None:
        """Send one request and take its one answer."""
        self._last += 2
        message = {"type": "request", "id": self._last, "method": method, "payload": payload, "deadline_s": 30}
        body = msgpack.packb(message, use_bin_type=True)
        self._session.send(len(body).to_bytes(4, "big") + body + ping(self._last + 1))
        received = [self._next(), self._next()]
        answers = [answer for answer in received if answer is not None]
        if answers[0]["id"] == SESSION_ID:
            assert len(answers) == 1, "the session's fault is its last word"
            self.leave(1)
            self.breaches += 1
            self._session = self._open()
            self._session.hello()
            return
        assert {answer["id"] for answer in answers} == {self._last, self._last + 1}, (payload, answers)
        (fault,) = [answer.get("fault", {"code": 0}) for answer in answers if answer["id"] == self._last]
        assert isinstance(fault, dict)
        self.codes[int(fault["code"])] = self.codes.get(int(fault["code"]), 0) + 1

    def leave(self, status: int) -> None:
        """End the session and check that it said nothing more."""
        rest, ending = self._session.end()
        assert rest == []
        assert (ending.status, ending.errors) == (status, b"")

    def _next(self) -> Message | None:
        while (message := self._session.receive()) is not None:
            if message["type"] in ("result", "failure"):
                return message
        return None


@pytest.fixture
def audit_log(installation: Installation) -> Path:
    """The audit file; it and the one beside it are empty."""
    path = Path(installation.layout.audit_log)
    for name in (path, Path(read_path(str(path)))):
        name.unlink(missing_ok=True)
    return path


def count_pairs(log: Path, method: str) -> tuple[int, int]:
    files = [path for path in (log, Path(read_path(str(log)))) if path.exists()]
    lines = [line for path in files for line in path.read_text(encoding="ascii").splitlines() if f" method={method}" in line]
    starts = [line for line in lines if " event=start " in line]
    ends = [line for line in lines if " event=end " in line and " verdict=" in line and " fault=" in line]
    assert len(starts) + len(ends) == len(lines)
    assert all(line.isprintable() for line in lines)
    return len(starts), len(ends)


@pytest.mark.parametrize("method", REQUESTS)
def test_hostile_values_are_answered_once_and_written_down(
    base: Path, audit_log: Path, watch: Watch, open_session: OpenSession, installation: Installation, method: str
) -> None:
    with open(installation.layout.policy_file, "a") as policy:
        policy.write('methods_on = ["NvmeFirmwareQuery", "NvmeFirmwareUpdate", "ScmFirmwareQuery", "ScmFirmwareUpdate"]\n')
    watch.start()
    (base / "link").symlink_to("/etc")
    (base / "passwd").symlink_to("/etc/passwd")
    attacker = Attacker(open_session)
    hostile = attacks(method, base)
    for payload in hostile:
        attacker.attack(method, payload)
    attacker.leave(0)
    answered = sum(attacker.codes.values())
    assert answered + attacker.breaches == len(hostile)
    if REQUESTS[method].__struct_fields__:
        assert attacker.codes.keys() - {0}, "something was refused"
    assert codes.HELPER_INTERNAL not in attacker.codes, "no value meets a defect of ours"
    assert count_pairs(audit_log, method) == (answered, answered)
    assert watch.changes() == []


def test_hostile_values_of_a_prepare_that_the_policy_allows(
    base: Path, audit_log: Path, watch: Watch, open_session: OpenSession, installation: Installation
) -> None:
    """What of them is valid adds at most a page, or gives hugetlbfs to the account; a reset undoes it."""
    if not hugepages.default_size_kib():
        pytest.skip("this kernel has no hugepages")
    Path(installation.layout.policy_file).write_text(f'mount_roots = ["{base}"]\n', encoding="utf-8")
    watch.start()
    before = pages()
    attacker = Attacker(open_session)
    hostile = attacks("BdevPrepare", base)
    try:
        for payload in hostile:
            attacker.attack("BdevPrepare", payload)
    finally:
        attacker.attack("BdevPrepare", {"reset": True})
    attacker.leave(0)
    answered = sum(attacker.codes.values())
    assert answered + attacker.breaches == len(hostile) + 1
    assert attacker.codes.keys() >= {0, codes.HELPER_MESSAGE_INVALID, codes.HELPER_POLICY_REFUSED}
    assert codes.HELPER_INTERNAL not in attacker.codes
    assert count_pairs(audit_log, "BdevPrepare") == (answered, answered)
    assert pages() == before
    assert watch.changes() == []


def pages() -> dict[int, int]:
    """Return the hugepages of every NUMA node."""
    return {node: hugepages.read_node(node, hugepages.default_size_kib()).total for node in hugepages.nodes()}


def test_methods_are_those_of_the_table() -> None:
    from daos_pbin.methods import METHODS, PING

    assert (PING, *REQUESTS) == METHODS, "a method that this attack does not know"
