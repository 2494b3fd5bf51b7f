# SPDX-License-Identifier: BSD-2-Clause-Patent
"""NVMe data structures, taken apart by the offsets of the NVM Express Base Specification: bytes in, types out.

One module for every way the bytes come: through the kernel's driver and through SPDK.  They are a drive's word, and hostile
until here.  "1.4" and "2.0" are revisions of the specification; all is little-endian.
"""

from __future__ import annotations

from msgspec import Struct

from daos_bindings.linux.kernelfiles import MalformedError
from daos_pbin.nvme import NAMESPACES_LIMIT, HealthStats

IDENTIFY_BYTES = 4096
"""Length of every Identify data structure (1.4: 5.15.1, 2.0: 5.17.1)."""
HEALTH_BYTES = 512
"""Length of the SMART / Health Information log (1.4: 5.14.1.2, 2.0: 5.16.1.3)."""
INTEL_BYTES = 512
"""Length of Intel's SMART log."""
MAX_SIZE = 2**63 - 1
"""Largest size in bytes that is believed, and that fits what carries it."""

HEALTH_LOG = 0x02
INTEL_LOG = 0xCA
VENDOR_INTEL = 0x8086

# Critical Warning, byte 0 of the health log.
WARN_SPARE, WARN_TEMPERATURE, WARN_RELIABILITY, WARN_READ_ONLY, WARN_VOLATILE = (1 << bit for bit in range(5))

# Intel's SMART log: attributes of 12 bytes, each with its key (SPDK include/spdk/nvme_intel.h, nvme-cli plugins/intel).
ATTRIBUTE_BYTES = 12
ATTRIBUTES = 13
ATTRIBUTE_KEY, ATTRIBUTE_NORMALISED, ATTRIBUTE_RAW, ATTRIBUTE_RAW_BYTES = 0, 3, 5, 6
PROGRAM_FAIL, ERASE_FAIL, WEAR_LEVELING, END_TO_END, CRC_ERRORS = 0xAB, 0xAC, 0xAD, 0xB8, 0xC7
MEDIA_WEAR, HOST_READS, WORKLOAD_TIMER, THERMAL_THROTTLE = 0xE2, 0xE3, 0xE4, 0xEA
RETRY_OVERFLOW, PLL_LOCK_LOSS, NAND_WRITTEN, HOST_WRITTEN = 0xF0, 0xF3, 0xF4, 0xF5


class IdentifyController(Struct, frozen=True):
    """Identify Controller (CNS 01h; 1.4: 5.15.2.2, 2.0: 5.17.2.1).

    :param vendor: VID, bytes 1:0.
    :param serial: SN, bytes 23:4.
    :param model: MN, bytes 63:24.
    :param firmware: FR, bytes 71:64.
    :param max_transfer_pages: 2 to the power of MDTS (byte 77), in smallest memory pages; 0 for no limit.
    :param can_update_firmware: OACS (bytes 257:256), bit 2.
    :param firmware_granularity: FWUG, byte 319, in units of 4 KiB; 0 for unknown, 255 for none.
    :param namespaces: NN, bytes 519:516: the highest namespace id.
    """

    vendor: int
    serial: str
    model: str
    firmware: str
    max_transfer_pages: int
    can_update_firmware: bool
    firmware_granularity: int
    namespaces: int


class IdentifyNamespace(Struct, frozen=True):
    """Identify Namespace (CNS 00h; 1.4: 5.15.2.1, NVM Command Set 1.0: 4.1.5.1).

    :param blocks: NSZE, bytes 7:0.
    :param block_bytes: 2 to the power of LBADS of the format in use.
    """

    blocks: int
    block_bytes: int

    @property
    def size_bytes(self) -> int:
        """Size of the namespace; 0 if it is not active."""
        return self.blocks * self.block_bytes


def identify_controller(data: bytes) -> IdentifyController:
    """Take Identify Controller apart.

    :raises MalformedError: if it is too short, or empty of all that it must say.
    """
    name = "Identify Controller"
    _check_length(name, data, IDENTIFY_BYTES)
    if not any(data[:72]):
        raise MalformedError(name, "vendor, serial number, model and firmware are all zero bytes")
    shift = data[77]
    return IdentifyController(
        vendor=_number(data, 0, 2),
        serial=_text(data, 4, 20),
        model=_text(data, 24, 40),
        firmware=_text(data, 64, 8),
        # More than 2^20 pages of 4 KiB is more than a transfer of 32-bit length can have.
        max_transfer_pages=1 << shift if 0 < shift <= 20 else 0,
        can_update_firmware=bool(_number(data, 256, 2) & 1 << 2),
        firmware_granularity=data[319],
        namespaces=_number(data, 516, 4),
    )


def active_namespaces(data: bytes) -> tuple[int, ...]:
    """Take the Active Namespace ID list (CNS 02h; 1.4: 5.15.2.3, 2.0: 5.17.2.2) apart: ascending ids, ended by a 0.

    :raises MalformedError: if it is too short, does not ascend, or is full: there may be more then.
    """
    name = "Active Namespace ID list"
    _check_length(name, data, IDENTIFY_BYTES)
    found: list[int] = []
    for place in range(NAMESPACES_LIMIT):
        number = _number(data, 4 * place, 4)
        if number == 0:
            return tuple(found)
        if number >= 0xFFFFFFFE or (found and number <= found[-1]):
            raise MalformedError(name, f"the id {number} cannot come after {found[-1] if found else 'nothing'}")
        found.append(number)
    raise MalformedError(name, f"it has {NAMESPACES_LIMIT} namespaces or more")


def identify_namespace(data: bytes) -> IdentifyNamespace:
    """Take Identify Namespace apart.

    :raises MalformedError: if it is too short, or its format or size cannot be.
    """
    name = "Identify Namespace"
    _check_length(name, data, IDENTIFY_BYTES)
    blocks, formats, flbas = _number(data, 0, 8), data[25] + 1, data[26]
    # FLBAS (byte 26): bits 3:0, and since 2.0 bits 6:5 above them, choose one of the formats from byte 128 on.
    index = flbas & 0xF | (flbas >> 5 & 0x3) << 4
    if formats > 64 or index >= formats:
        raise MalformedError(name, f"it uses format {index} of {formats}")
    shift = data[128 + 4 * index + 2]  # LBADS, bits 23:16 of the format
    if blocks == 0:
        return IdentifyNamespace(0, 0)
    if not 9 <= shift <= 31 or blocks << shift > MAX_SIZE:
        raise MalformedError(name, f"it has {blocks} blocks of 2^{shift} bytes")
    return IdentifyNamespace(blocks, 1 << shift)


def health(log: bytes, intel: bytes | None = None) -> HealthStats:
    """Take the SMART / Health Information log apart, and Intel's own log where there is one.

    :raises MalformedError: if one is too short.
    """
    _check_length("SMART / Health Information log", log, HEALTH_BYTES)
    warning = log[0]
    return HealthStats(
        temp_warn=bool(warning & WARN_TEMPERATURE),
        avail_spare_warn=bool(warning & WARN_SPARE),
        dev_reliability_warn=bool(warning & WARN_RELIABILITY),
        read_only_warn=bool(warning & WARN_READ_ONLY),
        volatile_mem_warn=bool(warning & WARN_VOLATILE),
        temperature=_number(log, 1, 2),
        # These are 16 bytes each; the upper 8 are left out, as the reference does.
        ctrl_busy_time=_number(log, 96, 8),
        power_cycles=_number(log, 112, 8),
        power_on_hours=_number(log, 128, 8),
        unsafe_shutdowns=_number(log, 144, 8),
        media_errs=_number(log, 160, 8),
        err_log_entries=_number(log, 176, 8),
        warn_temp_time=_number(log, 192, 4),
        crit_temp_time=_number(log, 196, 4),
        **(_intel(intel) if intel is not None else {}),
    )


def _intel(log: bytes) -> dict[str, int]:
    """Return the fields of ``HealthStats`` that are in Intel's log."""
    _check_length("Intel SMART log", log, INTEL_BYTES)
    found: dict[str, int] = {}
    for place in range(ATTRIBUTES):
        attribute = log[place * ATTRIBUTE_BYTES : (place + 1) * ATTRIBUTE_BYTES]
        raw = attribute[ATTRIBUTE_RAW : ATTRIBUTE_RAW + ATTRIBUTE_RAW_BYTES]
        found |= _attribute(attribute[ATTRIBUTE_KEY], attribute[ATTRIBUTE_NORMALISED], raw)
    return found


def _attribute(key: int, normalised: int, raw: bytes) -> dict[str, int]:
    number = int.from_bytes(raw, "little")
    match key:
        case _ if key in _PLAIN:
            return {_PLAIN[key]: number}
        case 0xAB:
            return {"program_fail_cnt_norm": normalised, "program_fail_cnt_raw": number}
        case 0xAC:
            return {"erase_fail_cnt_norm": normalised, "erase_fail_cnt_raw": number}
        case 0xAD:
            least, most, average = (_number(raw, place, 2) for place in (0, 2, 4))
            names = ("wear_leveling_cnt_norm", "wear_leveling_cnt_min", "wear_leveling_cnt_max", "wear_leveling_cnt_avg")
            return dict(zip(names, (normalised, least, most, average), strict=True))
        case 0xEA:
            return {"thermal_throttle_status": raw[0], "thermal_throttle_event_cnt": _number(raw, 1, 4)}
    return {}


_PLAIN = {
    END_TO_END: "endtoend_err_cnt_raw",
    CRC_ERRORS: "crc_err_cnt_raw",
    MEDIA_WEAR: "media_wear_raw",
    HOST_READS: "host_reads_raw",
    WORKLOAD_TIMER: "workload_timer_raw",
    RETRY_OVERFLOW: "retry_buffer_overflow_cnt",
    PLL_LOCK_LOSS: "pll_lock_loss_cnt",
    NAND_WRITTEN: "nand_bytes_written",
    HOST_WRITTEN: "host_bytes_written",
}


def _check_length(name: str, data: bytes, length: int) -> None:
    if len(data) != length:
        raise MalformedError(name, f"{len(data)} bytes instead of {length}")


def _number(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "little")


def _text(data: bytes, offset: int, length: int) -> str:
    """Decode a text padded with blanks; what is not printable ASCII becomes a dot, as the reference does."""
    field = data[offset : offset + length].rstrip(b" ")
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E else "." for byte in field)
