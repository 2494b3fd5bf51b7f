# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Firmware of a controller: given to it in pieces, then committed for its next reset (storage facts A.3, B.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from daos_bindings.nvme.admin import FIRMWARE_COMMIT, FIRMWARE_DOWNLOAD, AdminError, Command, send
from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_bindings.nvme.admin import Handle
    from daos_bindings.nvme.structures import IdentifyController

PAGE: Final = 4096
NO_GRANULARITY: Final = 255
IMAGE_LIMIT: Final = 64 << 20
"""Bytes of the largest image that is believed; those of real drives are a few MiB."""
SLOT: Final = 0
"""The controller chooses the slot."""
REPLACE_AND_ENABLE: Final = 1
"""Commit Action 001b: into the slot, active after the next reset (1.4: 5.11, 2.0: 5.12)."""
COMMIT_TIMEOUT_MS: Final = 120_000
"""Writing firmware into flash memory takes some drives half a minute and more."""

Needs = Literal["reset", "conventional reset", "subsystem reset"]
RESETS: Final[dict[int, Needs]] = {0x10B: "conventional reset", 0x110: "subsystem reset", 0x111: "reset"}
"""Statuses by which a controller says that the commit worked, and what is needed to start the firmware."""


def problem(identify: IdentifyController, size: int) -> str:
    """Return why an image of that many bytes cannot be given to that controller; empty if it can."""
    if not identify.can_update_firmware:
        return "the drive cannot be updated"
    if size % 4:
        return f"its size, {size} bytes, is not a multiple of 4"
    if not 0 < size <= IMAGE_LIMIT:
        return f"its size, {size} bytes, is not between 1 and {IMAGE_LIMIT}"
    return ""


def unusable(address: str, path: str, reason: str) -> Fault:
    """Return the fault that an image cannot be given to the drive at *address*: 2127.

    :param reason: what ``problem`` found, or the drive's own.
    """
    return Fault(codes.NVME_FIRMWARE_UNUSABLE, object=address, address=address, path=path, reason=reason)


def not_updated(address: str, path: str, error: AdminError) -> Fault:
    """Return the fault that the drive at *address* did not take an image: 2127 if that was its answer, else as ``AdminError.fault``."""
    return error.fault(address) if error.gone or error.number else unusable(address, path, error.reason)


def piece_bytes(identify: IdentifyController) -> int:
    """Return the size of the pieces: the drive's granularity, else 4 KiB, which fits every limit of a transfer."""
    granularity = identify.firmware_granularity
    if granularity in {0, NO_GRANULARITY}:
        return PAGE
    most = identify.max_transfer_pages
    return min(granularity, most) * PAGE if most else granularity * PAGE


def downloads(image: bytes, piece: int) -> Iterator[tuple[Command, bytes]]:
    """Yield the commands that carry an image, each with its piece.

    :param image: a multiple of 4 bytes.
    :param piece: bytes of all pieces but the last; a multiple of 4.
    """
    for offset in range(0, len(image), piece):
        part = image[offset : offset + piece]
        # Both count in units of 4 bytes; the number of units is counted from 0.
        fields = {"cdw10": len(part) // 4 - 1, "cdw11": offset // 4}
        yield Command("Firmware Image Download", FIRMWARE_DOWNLOAD, length=len(part), **fields), part


def commit() -> Command:
    """Return the command that makes the image that was given the firmware after the next reset."""
    return Command("Firmware Commit", FIRMWARE_COMMIT, cdw10=SLOT | REPLACE_AND_ENABLE << 3)


def update(handle: Handle, identify: IdentifyController, image: bytes) -> Needs:
    """Give a controller new firmware; return what starts it.

    :raises ValueError: if ``problem`` finds one: a defect of the caller.
    :raises AdminError: if the drive refuses; it goes on with the firmware that it has.
    """
    found = problem(identify, len(image))
    if found:
        raise ValueError(found)
    for command, piece in downloads(image, piece_bytes(identify)):
        send(handle, command, piece)
    try:
        send(handle, commit(), timeout_ms=COMMIT_TIMEOUT_MS)
    except AdminError as error:
        needs = RESETS.get(error.status)
        if needs is None:
            raise
        return needs
    return "reset"
