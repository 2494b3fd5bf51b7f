# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is known of persistent memory, and what is remembered about it between runs (storage facts C.1 to C.6).

Bounded: these cross between processes and lie in files.  Sizes are in bytes.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder
from msgspec.json import encode as encode_json

MODULES_LIMIT: Final = 128
REGIONS_LIMIT: Final = 255
NAMESPACES_LIMIT: Final = 512
SOCKETS_LIMIT: Final = 64
PER_SOCKET_MAX: Final = 4
"""Namespaces that one socket may be divided into."""

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U64 = Annotated[int, Meta(ge=0)]  # msgspec checks no bound above 2**63 - 1; whoever decodes a number checks 64 bits
Socket = Annotated[int, Meta(ge=0, le=SOCKETS_LIMIT - 1)]
Uid = Annotated[str, Meta(min_length=1, max_length=21, pattern=r"\A[!-~]+\Z")]
Text = Annotated[str, Meta(max_length=64)]
RegionName = Annotated[str, Meta(max_length=16, pattern=r"\Aregion[0-9]{1,6}\Z")]
NamespaceName = Annotated[str, Meta(max_length=24, pattern=r"\Anamespace[0-9]{1,6}\.[0-9]{1,6}\Z")]
BlockName = Annotated[str, Meta(max_length=32, pattern=r"\A(pmem[0-9]{1,6}(\.[0-9]{1,6})?s?)?\Z")]
BootId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]

ModuleHealth = Literal[
    "Unknown", "Healthy", "Non-critical failure", "Critical failure", "Fatal failure", "Unmanageable", "Non-functional"
]
RegionType = Literal["AppDirect", "AppDirectNotInterleaved", "Volatile", "Unknown"]
RegionHealth = Literal["Healthy", "Error", "Unknown", "Pending", "Locked"]
GoalStatus = Literal["unknown", "new", "bad-request", "no-resources", "firmware-error", "failed"]
UpdateStatus = Literal["Unknown", "Staged", "Success", "Failed"]


class Module(Struct, frozen=True, forbid_unknown_fields=True):
    """A module: where it sits, and what it is.  ``physical_id`` is its handle in the SMBIOS tables."""

    uid: Uid
    socket_id: Socket
    controller_id: U32
    channel_id: U32
    channel_position: U32
    physical_id: U32
    capacity: U64
    part_number: Text = ""
    firmware_revision: Text = ""
    health: ModuleHealth = "Unknown"


class Region(Struct, frozen=True, forbid_unknown_fields=True):
    """A region as libipmctl tells it.

    :param iset_id: of the interleave set, 64 bits; the kernel has the same number.
    """

    socket_id: Socket
    iset_id: U64
    type: RegionType
    capacity: U64
    free_capacity: U64
    health: RegionHealth


class Goal(Struct, frozen=True, forbid_unknown_fields=True):
    """What the firmware is to make of a module at the next start, or made of it at the last: one that it carried out is gone.

    :param status: the first two are pending; the last four were refused.
    """

    uid: Uid
    socket_id: Socket
    status: GoalStatus


class KernelRegion(Struct, frozen=True, forbid_unknown_fields=True):
    """A region as the kernel has it.

    :param align: what sizes of namespaces must be a multiple of; 0 if the kernel does not tell.
    :param iset_id: of its interleave set; 0 if it has none.
    :param numa_node: -1 for none.
    """

    dev: RegionName
    size: U64
    available_size: U64
    align: U64
    iset_id: U64
    numa_node: Annotated[int, Meta(ge=-1, le=1023)] = -1
    type: Text = ""
    persistence_domain: Text = ""


class Namespace(Struct, frozen=True, forbid_unknown_fields=True):
    """A namespace as the kernel has it.

    :param blockdev: its name in /dev; empty while it is disabled, or for one that is no block device.
    :param size: what can be used of it, less than it takes of its region.
    :param uuid: of what it is made into, which changes with that; of its label while it is disabled.
    :param raw_uuid: of its label, while it is enabled.
    """

    dev: NamespaceName
    size: U64
    mode: Text = ""
    uuid: Annotated[str, Meta(max_length=36, pattern=r"\A[0-9a-f-]*\Z")] = ""
    blockdev: BlockName = ""
    numa_node: Annotated[int, Meta(ge=-1, le=1023)] = -1
    enabled: bool = True
    raw_uuid: Annotated[str, Meta(max_length=36, pattern=r"\A[0-9a-f-]*\Z")] = ""

    @property
    def label(self) -> str:
        """UUID of its label, which it keeps for as long as it exists; empty for one without."""
        return self.raw_uuid or self.uuid

    @property
    def is_half_made(self) -> bool:
        """Whether it is as ndctl leaves one that it could not finish, then or after a restart of the machine."""
        return not self.enabled or self.mode == "raw"

    @property
    def region(self) -> int:
        """Number of the kernel's region that it is on."""
        return int(self.dev.removeprefix("namespace").partition(".")[0])


class FirmwareInfo(Struct, frozen=True, forbid_unknown_fields=True):
    """The firmware of a module.

    :param staged_version: starts with the next power cycle; empty for none.
    :param image_max_size: largest image that it takes.
    """

    active_version: Text
    staged_version: Text
    image_max_size: U32
    update_status: UpdateStatus


class Remembered(Struct, frozen=True, forbid_unknown_fields=True):
    """What was begun and not seen to its end yet, by socket.  An empty record is none.

    :param goals: where regions were asked of the firmware, and in which run of the machine.
    :param filling: where namespaces were being made, and how many there are to be.
    """

    goals: Annotated[dict[Socket, BootId], Meta(max_length=SOCKETS_LIMIT)] = {}
    filling: Annotated[dict[Socket, Annotated[int, Meta(ge=1, le=PER_SOCKET_MAX)]], Meta(max_length=SOCKETS_LIMIT)] = {}

    def with_goals(self, sockets: tuple[int, ...], boot_id: str) -> Remembered:
        """Return the record with goals that are stored now."""
        return Remembered({**self.goals, **dict.fromkeys(sockets, boot_id)}, self.filling)

    def with_filling(self, sockets: tuple[int, ...], count: int) -> Remembered:
        """Return the record with regions that are being filled now."""
        return Remembered(self.goals, {**self.filling, **dict.fromkeys(sockets, count)})

    def without(self, sockets: tuple[int, ...]) -> Remembered:
        """Return the record without these sockets."""
        goals = {one: boot for one, boot in self.goals.items() if one not in sockets}
        return Remembered(goals, {one: count for one, count in self.filling.items() if one not in sockets})


def encode(record: Remembered) -> bytes:
    """Return the text of a record."""
    return encode_json(record) + b"\n"


def decode(text: bytes) -> Remembered:
    """Return the record of that text.

    :raises ValueError: if it is not what ``encode`` makes.
    """
    try:
        return Decoder(Remembered).decode(text)
    except (DecodeError, RecursionError) as error:
        raise ValueError(f"not a record of persistent memory: {error}") from error
