# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Memory of the whole system, from ``/proc/meminfo`` (proc_meminfo(5))."""

from __future__ import annotations

import msgspec

from daos_bindings.linux import kernelfiles
from daos_bindings.linux.kernelfiles import MalformedError

PATH = "/proc/meminfo"

PAGE_COUNTS = {
    b"HugePages_Total": "hugepages_total",
    b"HugePages_Free": "hugepages_free",
    b"HugePages_Rsvd": "hugepages_reserved",
    b"HugePages_Surp": "hugepages_surplus",
}
SIZES = {
    b"Hugepagesize": "hugepage_size_kb",
    b"MemTotal": "mem_total_kb",
    b"MemFree": "mem_free_kb",
    b"MemAvailable": "mem_available_kb",
}
REQUIRED = ("mem_total_kb", "mem_free_kb", "mem_available_kb")


class MemInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What of /proc/meminfo matters here.  Hugepage counts are of the default size; all 0 on a kernel without hugepages."""

    hugepages_total: int = 0
    hugepages_free: int = 0
    hugepages_reserved: int = 0
    hugepages_surplus: int = 0
    hugepage_size_kb: int = 0
    mem_total_kb: int
    mem_free_kb: int
    mem_available_kb: int


def parse(data: bytes) -> MemInfo:
    """Parse the text of /proc/meminfo.

    :raises MalformedError: if a wanted line is missing, twice there, not a number, or has another unit than kB.
    """
    found: dict[str, int] = {}
    for line in data.split(b"\n"):
        key, colon, value = line.partition(b":")
        name = PAGE_COUNTS.get(key) or SIZES.get(key)
        if not colon or name is None:
            continue
        if name in found:
            raise MalformedError(PATH, f"{key.decode()} is there twice")
        found[name] = _value(key, value.split())
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise MalformedError(PATH, f"no {', '.join(missing)} in it")
    return MemInfo(**found)


def _value(key: bytes, words: list[bytes]) -> int:
    """Return the number in *words*; a size has the unit kB, a count has none."""
    unit = [b"kB"] if key in SIZES else []
    if not words or words[1:] != unit:
        raise MalformedError(PATH, f"{key.decode()} has an unknown unit: {kernelfiles.printable(b' '.join(words))}")
    return kernelfiles.decimal(PATH, words[0].decode("ascii", "replace"))


def read() -> MemInfo:
    """Read /proc/meminfo.

    :raises OSError: if it cannot be read.
    :raises MalformedError: as for ``parse``.
    """
    return parse(kernelfiles.read(PATH, limit=kernelfiles.CHUNK))
