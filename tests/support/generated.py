# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Hostile sessions made from the message types: every request valid first, then spoiled in its values, its shape or its bytes.

What is valid changes nothing: paths lead to a missing folder below the mount root, and no device is there.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # it ships no types
import msgspec

from daos_pbin.messages import REQUESTS as STORAGE_REQUESTS
from daos_pbin.nvme_messages import NVME_REQUESTS
from daos_pbin.pmem_messages import PMEM_REQUESTS

REQUESTS = STORAGE_REQUESTS | NVME_REQUESTS | PMEM_REQUESTS
MACHINES: tuple[str, ...] = ("BdevPrepare", *NVME_REQUESTS, *PMEM_REQUESTS)
"""Methods whose valid requests are about the whole machine, not about a place: a policy switches them off before an attack."""
MISSING_DEVICE = "/dev/daos-attack/no-such-device"


def valid(kind: msgspec.inspect.Type, chance: random.Random, base: Path) -> object:
    """Return a valid value of a type."""
    if isinstance(kind, msgspec.inspect.StructType):
        fields = {field.encode_name: valid(field.type, chance, base) for field in kind.fields if field.required or chance.random() < 0.7}
        return {name: MISSING_DEVICE if name == "device" else value for name, value in fields.items()}
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return [valid(kind.item_type, chance, base) for _ in range(chance.randint(0, 3))]
    if isinstance(kind, msgspec.inspect.UnionType):
        return valid(chance.choice(kind.types), chance, base)
    if isinstance(kind, msgspec.inspect.NoneType):
        return None
    if isinstance(kind, msgspec.inspect.BoolType):
        return chance.random() < 0.5
    if isinstance(kind, msgspec.inspect.IntType):
        return chance.choice([0, 1, 2, 4])
    if isinstance(kind, msgspec.inspect.LiteralType):
        return chance.choice(kind.values)
    return "" if isinstance(kind, msgspec.inspect.StrType) and (kind.max_length or 4096) < 256 else f"{base}/missing/engine0"


class Generator:
    """Makes sessions.

    :ivar methods: the methods that were used.
    """

    def __init__(self, chance: random.Random, base: Path) -> None:
        self._chance = chance
        self._base = base
        self._types = {name: msgspec.inspect.type_info(kind) for name, kind in REQUESTS.items()}
        self.methods: set[str] = set()

    def session(self) -> tuple[bytes, set[int]]:
        """Return a session's bytes, and the ids of the requests in it that are whole frames of the right shape."""
        frames: list[bytes] = []
        sent: set[int] = set()
        for identifier in range(1, self._chance.randint(2, 6)):
            message = self._message(identifier)
            way = self._chance.random()
            if way < 0.75:
                message["payload"] = self._spoil(message["payload"], 0.25)
                body = msgpack.packb(message, use_bin_type=True)
                if _is_taken(message["payload"]):
                    sent.add(identifier)
                frames.append(struct.pack(">I", len(body)) + body)
            elif way < 0.85:
                body = msgpack.packb(self._spoil(message, 0.15), use_bin_type=True)
                frames.append(struct.pack(">I", len(body)) + body)
            else:
                frames.append(self._break(msgpack.packb(message, use_bin_type=True)))
                break
        return b"".join(frames), sent

    def _message(self, identifier: int) -> dict[str, object]:
        method = self._chance.choice(sorted(self._types))
        self.methods.add(method)
        payload = valid(self._types[method], self._chance, self._base)
        return {"type": "request", "id": identifier, "method": method, "payload": payload, "deadline_s": 60}

    def _hostile(self) -> object:
        base = self._base
        plain: list[object] = [
            None, True, 0, -1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, -(2**63), 0.5, 1e308, "", "-o", "a,b=c", "x\n", "$(id)", "`id`", "%n",
            "/", "//", "/etc", "/etc/../etc", f"{base}/../../etc", f"{base}x", f"{base}/.", f"{base}//x", f"{base}/missing/é", "/dev/null",
            "/dev/mem", "/dev/vda", "/dev/loop-control", "/proc/self/root/etc", "/proc/self/fd/0", "/sys/kernel", "\u202e", "x" * 4097,
            "root", "daos_server",
            "0000:00:00.0", "0000:00:1f.7;id", [], {}, ["/etc"], {"device": "/etc/shadow"}, [[[]]], {"a": {"b": {"c": None}}},
        ]  # fmt: skip
        return self._chance.choice(plain)

    def _spoil(self, value: object, rate: float) -> object:
        chance = self._chance
        if isinstance(value, dict):
            kept = {key: self._spoil(item, rate) for key, item in value.items() if chance.random() > rate / 8}
            if chance.random() < rate / 4:
                kept[chance.choice(["uid", "gid", "mode", "options", "__class__", "device", "force"])] = self._hostile()
            return kept
        if isinstance(value, list) and chance.random() > rate / 4:
            return [self._spoil(item, rate) for item in value]
        return self._hostile() if chance.random() < rate else value

    def _break(self, body: bytes) -> bytes:
        chance = self._chance
        broken = bytearray(body)
        for _ in range(chance.randint(1, 6)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        broken = broken[: chance.choice([len(broken), len(broken), chance.randrange(1, len(broken))])]
        length = chance.choice([len(broken)] * 6 + [0, len(broken) - 1, len(broken) + 7, 65_537, 2**31])
        return struct.pack(">I", length & 0xFFFFFFFF) + bytes(broken)


def _is_taken(payload: object) -> bool:
    """Tell whether a payload fits the envelope, whatever its method thinks of it."""
    return isinstance(payload, dict)
