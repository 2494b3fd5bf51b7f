# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Fuzzes one target of the protocol, led by coverage (atheris): ``cover.py TARGET [libFuzzer's arguments]``.

Started by ``run.py``, in a process of its own, because libFuzzer ends the process that it runs in.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main(name: str, arguments: list[str]) -> None:
    """Fuzz until libFuzzer has had its time, or found something."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["daos_pbin"]):
        target = import_module("fuzz_targets").TARGETS[name]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
