# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The process that loads a fabric library: asks it one question, writes one line of JSON and is gone.

Started as a file by ``ask.py``: the library (``libfabric`` or ``ucx``), the provider, the descriptor of the answer, the
seconds it may take, and the folders of ``sys.path``.
"""

from __future__ import annotations

import os
import resource
import signal
import sys


def main(library: str, provider: str, answer_fd: int, seconds: int) -> None:
    """Answer, and end without running anything that a library has set up for the end of the process."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)  # whoever asked may be gone by then
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = _answer(library, provider)
    from msgspec import json

    with open(answer_fd, "wb", closefd=False) as stream:
        stream.write(json.encode(answer) + b"\n")
    os._exit(0)


def _answer(library: str, provider: str) -> dict[str, object]:
    from daos_bindings.fabric import libfabric, ucx
    from daos_bindings.fabric.raw import LibraryError, LibraryMissingError

    try:
        found = ucx.devices() if library == "ucx" else libfabric.devices(provider)
    except LibraryMissingError as error:
        return {"missing": str(error)}
    except LibraryError as error:
        return {"failure": str(error)}
    first: dict[tuple[str, str], int] = {}
    for provider_name, device, place in found:
        # A strange name, which the kernel lets an interface have, is left out here: it would spoil the answer for all others.
        if _is_word(provider_name) and _is_word(device):
            first.setdefault((provider_name, device), place)
    return {"devices": [{"provider": name, "device": device, "place": place} for (name, device), place in first.items()]}


def _is_word(name: str) -> bool:
    return name.isascii() and name.isprintable() and " " not in name


if __name__ == "__main__":
    sys.path[:] = sys.argv[5:]
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
