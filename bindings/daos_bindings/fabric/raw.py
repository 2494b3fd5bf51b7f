# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the two libraries' modules share: opening a library, failing, and reading its texts."""

from __future__ import annotations

from daos_bindings._fabric import ffi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TEXT_LIMIT = 256


class LibraryMissingError(Exception):
    """None of the names of a library can be opened."""


class LibraryError(Exception):
    """A library refused a call; the text says which, and why."""


def open_library(*names: str) -> Any:  # noqa: ANN401 - the raw layer speaks C
    """Open the first of the names that is installed.

    :raises LibraryMissingError: if none is; with the linker's reasons, as one of them can be there and lack another library.
    """
    reasons = []
    for name in names:
        try:
            return ffi.dlopen(name)
        except OSError as error:
            reasons.append(str(error))
    raise LibraryMissingError("; ".join(dict.fromkeys(reasons)))


def text(pointer: Any) -> str:  # noqa: ANN401 - the raw layer speaks C
    """Return a C string, at most ``TEXT_LIMIT`` bytes of it; empty for a null pointer."""
    if not pointer:
        return ""
    found: bytes = ffi.string(pointer, TEXT_LIMIT)
    return found.decode("utf-8", "backslashreplace")
