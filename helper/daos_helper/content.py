# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a device carries: every signature, and data without one, as a worker without rights finds them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from daos_helper.device import Device
from daos_helper.privileges import PROBE, PROBE_NAMESPACES
from daos_helper.steps import Built, Step, Work, WorkerIO, perform

LABEL: Final = "daos"
"""Label of every ext4 file system that we make; it tells ours from other people's."""
RECOVER: Final = 0x0004
"""EXT4_FEATURE_INCOMPAT_RECOVER"""
ORPHAN_PRESENT: Final = 0x10000
"""EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT"""
UNKNOWN: Final = "data without a signature"
EDGE: Final = 1 << 20
"""Bytes at each end of a device that must be zero for it to count as empty."""
HEAD: Final = 4096
"""Bytes at the beginning that a wiped NVMe namespace has zeros in."""
PROBE_S: Final = 30.0
"""Seconds that all devices of one probe are given together."""
BLOBSTORE: Final = "spdk_blobstore"
"""What SPDK leaves on an SSD that DAOS uses."""
Text = Annotated[str, Meta(max_length=256)]


class Found(Struct, frozen=True, forbid_unknown_fields=True):
    """One signature, as a worker reports it."""

    type: Text
    usage: Text
    label: Text
    uuid: Text

    def __str__(self) -> str:
        details = [text for text in (f"label {self.label}" if self.label else "", f"uuid {self.uuid}" if self.uuid else "") if text]
        return " ".join(filter(None, (self.type, self.usage))) + (f" ({', '.join(details)})" if details else "")


class Probed(Struct, frozen=True, forbid_unknown_fields=True):
    """All signatures of a device; data without a signature counts as one (``UNKNOWN``).

    :param settled: an ext4 file system was unmounted in order: no journal to replay, no orphans to clean.
    :param zeroed: the first 4 KiB are zeros.
    :param used: an ext4 file system was mounted for writing at least once.
    """

    signatures: Annotated[tuple[Found, ...], Meta(max_length=64)]
    settled: bool = True
    zeroed: bool = False
    used: bool = False

    @property
    def is_ext4(self) -> bool:
        """Whether there is exactly one signature, and it is ext4."""
        return len(self.signatures) == 1 and self.signatures[0].type == "ext4"

    @property
    def is_ours(self) -> bool:
        """Whether all there is, is an ext4 file system that DAOS made, or the blobstore of its engines."""
        return (self.is_ext4 and self.signatures[0].label == LABEL) or [found.type for found in self.signatures] == [BLOBSTORE]

    @property
    def is_wiped(self) -> bool:
        """Whether a wipe of the first 4 KiB destroys nothing, nor anything that begins with them."""
        return self.zeroed and all(found.type == UNKNOWN for found in self.signatures)

    @property
    def is_of_engines(self) -> bool:
        """Whether nothing is there but what engines, or we for them, make of an SSD: a blobstore, or a wiped beginning."""
        return self.is_wiped or all(found.type == BLOBSTORE for found in self.signatures)

    def __str__(self) -> str:
        return ", ".join(str(found) for found in self.signatures) or "no signature"


def probe(device: Device) -> Work[Probed]:
    """Find every signature on the device, and data without one."""
    descriptor = device.descriptor
    size = device.identity.size_bytes

    return (yield from perform(Step(PROBE, device.path, keep=(descriptor,), run=lambda _io: _probe(descriptor, size)), Probed))


class ProbedRows(Struct, frozen=True, forbid_unknown_fields=True):
    """What was found on several devices: pairs of a place in their list, and what is there."""

    found: Annotated[tuple[tuple[int, Probed], ...], Meta(max_length=4096)]


def probe_all(devices: Sequence[Device], subject: str, *, edge: int = EDGE) -> Work[dict[int, Probed]]:
    """Probe many devices at the same time; return what was found by place in the list.  One that is missing did not answer.

    :param edge: bytes at each end that must be zero for a device without a signature to be empty; ``HEAD`` is enough where
        ``is_wiped`` decides.
    """
    return (yield from _probe_parts([(device.descriptor, device.identity.size_bytes, 0) for device in devices], subject, edge))


def probe_copies(file: int, copies: Sequence[tuple[int, int]], subject: str) -> Work[dict[int, Probed]]:
    """Probe copies of devices in one file; otherwise as ``probe_all``.

    :param copies: where each begins, and its size, in bytes.
    """
    return (yield from _probe_parts([(file, size, offset) for offset, size in copies], subject, EDGE))


def _probe_parts(parts: Sequence[tuple[int, int, int]], subject: str, edge: int) -> Work[dict[int, Probed]]:
    if not parts:
        return {}
    from daos_bindings.linux.parallel import FEW, spread  # here: who probes one device does without threads

    def run(_io: WorkerIO) -> Built:
        found: dict[int, Built] = {}

        def one(place: int) -> Built | None:
            try:
                return _probe(*parts[place], edge)
            except OSError:
                return None  # it is gone, or cannot be read

        def done(place: int, built: Built | None) -> None:
            if built is not None:
                found[place] = built

        spread(len(parts), one, threads=PROBE_NAMESPACES.threads, seconds=PROBE_S, done=done, first=FEW)
        return {"found": [[place, built] for place, built in found.items()]}

    keep = tuple(dict.fromkeys(descriptor for descriptor, _, _ in parts))
    rows = yield from perform(Step(PROBE_NAMESPACES, subject, keep=keep, run=run), ProbedRows)
    return dict(rows.found)


def _probe(descriptor: int, size: int, offset: int = 0, edge: int = EDGE) -> Built:
    """Probe what is in a file from an offset on; in a device that is 0."""
    from daos_bindings.linux import signatures  # loads libblkid: in the worker, after the drop

    found = [
        {"type": one.type[:256], "usage": one.usage[:256], "label": one.label[:256], "uuid": one.uuid[:256]}
        for one in signatures.probe(descriptor, offset=offset, size=size)[:64]
    ]
    if not found and not _is_blank(descriptor, size, offset, edge):
        found = [{"type": UNKNOWN, "usage": "", "label": "", "uuid": ""}]
    zeroed = not any(os.pread(descriptor, HEAD, offset))
    settled, used = _read_superblock(descriptor, offset)
    return {"signatures": found, "settled": settled, "zeroed": zeroed, "used": used}


def _is_blank(descriptor: int, size: int, offset: int, edge: int) -> bool:
    """Tell whether both ends of the device are zero: plain encryption and raw databases have no signature, and are not empty."""
    edge = min(edge, size)
    zeros = bytes(edge)
    return all(zeros.startswith(os.pread(descriptor, edge, offset + start)) for start in (0, size - edge))


def _read_superblock(descriptor: int, offset: int) -> tuple[bool, bool]:
    """Tell whether an ext4 superblock says that nothing is left to replay or to clean, and whether it has ever been mounted.

    (fs/ext4/ext4.h, struct ext4_super_block; mkfs leaves the time and the number of mounts at 0.)
    """
    superblock = os.pread(descriptor, 1024, offset + 1024)
    if len(superblock) < 1024 or superblock[0x38:0x3A] != b"\x53\xef":
        return True, False
    used = any(superblock[0x2C:0x30]) or any(superblock[0x34:0x36])
    incompatible = int.from_bytes(superblock[0x60:0x64], "little")
    read_only_compatible = int.from_bytes(superblock[0x64:0x68], "little")
    last_orphan = int.from_bytes(superblock[0xE8:0xEC], "little")
    return not (incompatible & RECOVER or read_only_compatible & ORPHAN_PRESENT or last_orphan), used
