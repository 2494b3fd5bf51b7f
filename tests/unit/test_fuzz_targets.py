# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The protocol's fuzz targets, for a short while and always with the same inputs; ``make fuzz`` runs them for longer."""

from __future__ import annotations

import fuzz_targets
import pytest
from fuzz_targets import TARGETS, TYPES, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from daos_pbin.frames import decode

SHORT = settings(max_examples=150, derandomize=True, deadline=None, database=None)


def changed(name: str) -> st.SearchStrategy[bytes]:
    """Return valid inputs with pieces replaced, taken out, put in and doubled."""
    change = st.tuples(st.integers(0, 200), st.integers(0, 12), st.binary(max_size=12), st.integers(1, 4))

    def apply(seed: bytes, changes: list[tuple[int, int, bytes, int]]) -> bytes:
        for at, length, piece, times in changes:
            seed = seed[:at] + piece * times + seed[at + length :]
        return seed

    return st.builds(apply, st.sampled_from(seeds(name)), st.lists(change, min_size=1, max_size=3))


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_refused_or_understood(name: str) -> None:
    @SHORT
    @given(st.binary(max_size=300) | changed(name))
    def attack(data: bytes) -> None:
        TARGETS[name](data)

    attack()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_valid(name: str) -> None:
    assert len(seeds(name)) >= len(TYPES) // 2
    for seed in seeds(name):
        TARGETS[name](seed)
        if name != "stream":
            assert decode(seed[name == "payload" :])


def test_a_decoder_that_loses_something_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_targets, "decode", lambda body: {"length": len(body)})
    with pytest.raises(fuzz_targets.BrokenError, match="changes on its way"):
        TARGETS["frame"](seeds("frame")[0] + b"x" * 100)
