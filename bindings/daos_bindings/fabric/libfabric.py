# SPDX-License-Identifier: BSD-2-Clause-Patent
"""libfabric's list of what can be used.  Runs in the child process only."""

from __future__ import annotations

from daos_bindings._fabric import ffi
from daos_bindings.fabric.raw import LibraryError, open_library, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NAMES = ("libfabric.so.1", "libfabric.so")
API_VERSION = (1 << 16) | 7
"""1.7: every libfabric since then answers an application of that version."""
FI_ENODATA = 61


def devices(provider: str) -> list[tuple[str, str, int]]:
    """Return (provider, domain, place) of each entry of libfabric's list, which is in its order of preference.

    :param provider: in libfabric's words, such as ``tcp;ofi_rxm``; empty for all.
    :raises LibraryMissingError: if libfabric is not installed.
    :raises LibraryError: if it fails.
    """
    library = open_library(*NAMES)
    head = ffi.new("struct fi_info **")
    result = _getinfo(library, provider, head)
    if result == -FI_ENODATA:
        return []
    if result:
        raise LibraryError(f"fi_getinfo: {text(library.fi_strerror(-result))} ({result})")
    found = list(_entries(head[0]))
    library.fi_freeinfo(head[0])
    return found


def _getinfo(library: Any, provider: str, head: Any) -> int:  # noqa: ANN401 - the raw layer speaks C
    if not provider:
        return int(library.fi_getinfo(API_VERSION, ffi.NULL, ffi.NULL, 0, ffi.NULL, head))
    hints = library.fi_dupinfo(ffi.NULL)
    if not hints or not hints.fabric_attr:
        raise LibraryError("fi_dupinfo: out of memory")
    name = ffi.new("char[]", provider.encode())
    hints.fabric_attr.prov_name = name
    result = int(library.fi_getinfo(API_VERSION, ffi.NULL, ffi.NULL, 0, hints, head))
    hints.fabric_attr.prov_name = ffi.NULL  # its memory is ours, and would be freed with the rest
    library.fi_freeinfo(hints)
    return result


def _entries(info: Any) -> Iterator[tuple[str, str, int]]:  # noqa: ANN401 - the raw layer speaks C
    place = 0
    while info:
        provider = text(info.fabric_attr.prov_name) if info.fabric_attr else ""
        domain = text(info.domain_attr.name) if info.domain_attr else ""
        if provider and domain:
            yield provider, domain, place
        place += 1
        info = info.next
