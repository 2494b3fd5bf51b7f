# SPDX-License-Identifier: BSD-2-Clause-Patent
"""NVMe structures made byte by byte at the specification's offsets; commands as they go to the kernel; firmware in pieces.

That drives answer so is shown in the guest (tests/vm/inside/test_nvme_bindings.py).
"""

from __future__ import annotations

import errno
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daos_bindings.linux.kernelfiles import MalformedError
from daos_bindings.linux.nvme_controller import NvmeController
from daos_bindings.nvme import admin, firmware, kernel, structures, wipe
from daos_bindings.nvme.admin import AdminError, Handle
from daos_bindings.nvme.kernel import Answers
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.nvme import ControllerRecord, HealthStats, NamespaceRecord

pytestmark = pytest.mark.unit


def made(length: int, **fields: bytes) -> bytes:
    """Return zeros with some fields, each named by its offset: ``at4=b"..."``."""
    data = bytearray(length)
    for place, value in fields.items():
        offset = int(place.removeprefix("at"))
        data[offset : offset + len(value)] = value
    return bytes(data)


def controller(**fields: bytes) -> bytes:
    standard = {
        "at0": b"\x86\x80",
        "at4": b"PHLN1234 5678       ",
        "at24": b"INTEL SSDPE2KE016T8".ljust(40),
        "at64": b"VDV10131",
        "at77": b"\x05",
        "at256": b"\x0e\x00",
        "at319": b"\x02",
        "at516": b"\x80\x00\x00\x00",
    }
    return made(4096, **{**standard, **fields})


def namespace(blocks: int = 0x0123456789, *, formats: int = 2, flbas: int = 1, shift: int = 12) -> bytes:
    index = flbas & 0xF | (flbas >> 5 & 3) << 4
    place = {f"at{128 + 4 * index}": struct.pack("<HBB", 8, shift, 0)}
    return made(4096, at0=struct.pack("<Q", blocks), at25=bytes([formats - 1, flbas]), **place)


def health(**fields: bytes) -> bytes:
    counters = {f"at{offset}": struct.pack("<QQ", value, 0xFFFF) for value, offset in enumerate(range(96, 192, 16), 1000)}
    return made(512, at1=b"\x35\x01", at192=struct.pack("<II", 7, 8), **{**counters, **fields})


def attribute(key: int, normalised: int, raw: bytes) -> bytes:
    return bytes([key, 0xEE, 0xEE, normalised, 0xEE]) + raw.ljust(6, b"\0") + b"\xee"


INTEL = b"".join(
    [
        attribute(0xAB, 100, b"\x01\x02\x03\x04\x05\x06"),
        attribute(0xAC, 99, b"\x02"),
        attribute(0xAD, 98, struct.pack("<HHH", 1, 500, 250)),
        attribute(0xB8, 1, b"\x03"),
        attribute(0xC7, 1, b"\x04"),
        attribute(0xE2, 1, b"\x05"),
        attribute(0xE3, 1, b"\x06"),
        attribute(0xE4, 1, b"\x07"),
        attribute(0xEA, 1, struct.pack("<BIB", 12, 345678, 0xFF)),
        attribute(0xF0, 1, b"\x08"),
        attribute(0xF3, 1, b"\x09"),
        attribute(0xF4, 1, b"\x0a"),
        attribute(0xF5, 1, b"\xff\xff\xff\xff\xff\xff"),
    ]
).ljust(512, b"\0")


def test_a_controller_says_who_it_is() -> None:
    found = structures.identify_controller(controller())
    assert (found.vendor, found.serial, found.model, found.firmware) == (0x8086, "PHLN1234 5678", "INTEL SSDPE2KE016T8", "VDV10131")
    assert (found.max_transfer_pages, found.can_update_firmware, found.firmware_granularity, found.namespaces) == (32, True, 2, 128)
    assert not structures.identify_controller(controller(at256=b"\x0a\x00")).can_update_firmware


@pytest.mark.parametrize(("shift", "pages"), [(0, 0), (1, 2), (20, 1 << 20), (21, 0), (255, 0)])
def test_a_transfer_limit_beyond_belief_is_none(shift: int, pages: int) -> None:
    assert structures.identify_controller(controller(at77=bytes([shift]))).max_transfer_pages == pages


def test_texts_are_trimmed_and_made_printable() -> None:
    found = structures.identify_controller(controller(at4=b" \x1b[2Jab\x00\xff~\x7f  \x00      "[:20], at64=b"        "))
    assert found.serial == " .[2Jab..~.  ."
    assert found.firmware == ""


def test_active_namespaces_end_at_zero() -> None:
    assert structures.active_namespaces(made(4096, at0=struct.pack("<IIII", 1, 2, 0xFFFFFFFD, 0), at16=b"\x09")) == (1, 2, 0xFFFFFFFD)
    assert structures.active_namespaces(bytes(4096)) == ()


@pytest.mark.parametrize("ids", [(2, 1), (1, 1), (0xFFFFFFFE,), (0xFFFFFFFF,), tuple(range(1, 1025))])
def test_ids_that_cannot_be_are_refused(ids: tuple[int, ...]) -> None:
    with pytest.raises(MalformedError):
        structures.active_namespaces(struct.pack(f"<{len(ids)}I", *ids).ljust(4096, b"\0"))


@pytest.mark.parametrize("flbas", [0, 1, 0x11])
def test_a_namespace_has_blocks_of_its_format(flbas: int) -> None:
    found = structures.identify_namespace(namespace(flbas=flbas))
    assert (found.blocks, found.block_bytes, found.size_bytes) == (0x0123456789, 4096, 0x0123456789 * 4096)


def test_formats_beyond_sixteen_are_found() -> None:
    assert structures.identify_namespace(namespace(flbas=0x21, formats=18, shift=9)).block_bytes == 512


def test_an_inactive_namespace_has_no_size() -> None:
    assert structures.identify_namespace(bytes(4096)).size_bytes == 0


@pytest.mark.parametrize(
    ("blocks", "formats", "flbas", "shift"), [(1, 2, 2, 12), (1, 65, 0, 12), (1, 1, 0, 8), (1, 1, 0, 32), (1, 1, 0, 0), (1 << 52, 1, 0, 12)]
)
def test_namespaces_that_cannot_be_are_refused(blocks: int, formats: int, flbas: int, shift: int) -> None:
    with pytest.raises(MalformedError):
        structures.identify_namespace(namespace(blocks, formats=formats, flbas=flbas, shift=shift))


def test_health_is_read_and_cut_to_64_bits() -> None:
    assert structures.health(health()) == HealthStats(
        temperature=309,
        ctrl_busy_time=1000,
        power_cycles=1001,
        power_on_hours=1002,
        unsafe_shutdowns=1003,
        media_errs=1004,
        err_log_entries=1005,
        warn_temp_time=7,
        crit_temp_time=8,
    )


@pytest.mark.parametrize(
    ("bit", "name"),
    [(0, "avail_spare_warn"), (1, "temp_warn"), (2, "dev_reliability_warn"), (3, "read_only_warn"), (4, "volatile_mem_warn")],
)
def test_each_warning_has_its_bit(bit: int, name: str) -> None:
    found = structures.health(health(at0=bytes([1 << bit])))
    assert [field for field in HealthStats.__struct_fields__ if getattr(found, field) is True] == [name]


def test_intels_log_adds_its_attributes() -> None:
    found = structures.health(health(), INTEL)
    assert found.program_fail_cnt_norm == 100
    assert found.program_fail_cnt_raw == 0x060504030201
    assert (found.erase_fail_cnt_norm, found.erase_fail_cnt_raw) == (99, 2)
    assert (found.wear_leveling_cnt_norm, found.wear_leveling_cnt_min) == (98, 1)
    assert (found.wear_leveling_cnt_max, found.wear_leveling_cnt_avg) == (500, 250)
    assert (found.endtoend_err_cnt_raw, found.crc_err_cnt_raw, found.media_wear_raw) == (3, 4, 5)
    assert (found.host_reads_raw, found.workload_timer_raw) == (6, 7)
    assert (found.thermal_throttle_status, found.thermal_throttle_event_cnt) == (12, 345678)
    assert (found.retry_buffer_overflow_cnt, found.pll_lock_loss_cnt) == (8, 9)
    assert (found.nand_bytes_written, found.host_bytes_written) == (10, 2**48 - 1)
    assert found.power_cycles == 1001
    assert structures.health(health(), bytes(512)) == structures.health(health())


@pytest.mark.parametrize("length", [0, 511, 513, 4095, 8192])
def test_answers_of_another_length_are_refused(length: int) -> None:
    data = b"\x01" * length
    for parse in (structures.identify_controller, structures.active_namespaces, structures.identify_namespace, structures.health):
        with pytest.raises(MalformedError, match=f"{length} bytes"):
            parse(data)
    with pytest.raises(MalformedError, match="Intel"):
        structures.health(health(), data)


def test_a_controller_that_says_nothing_is_refused() -> None:
    with pytest.raises(MalformedError, match="zero"):
        structures.identify_controller(bytes(4096))


def test_no_bytes_bring_more_than_a_refusal() -> None:
    source = random.Random(42)  # noqa: S311 - garbage, not secrets
    refused = 0
    for _ in range(300):
        page, log = source.randbytes(4096), source.randbytes(512)
        answers = Answers(page, {1: source.randbytes(4096)}, log, source.randbytes(512))
        try:
            record = kernel.decode(answers)
        except MalformedError as error:
            refused += 1
            fault = kernel.malformed("0000:81:00.0", error)
            assert fault.code == codes.NVME_DATA_MALFORMED
            continue
        assert msgspec.convert(msgspec.to_builtins(record), ControllerRecord) == record
    assert refused


def test_a_record_is_made_of_what_was_answered() -> None:
    answers = Answers(controller(), {2: namespace(0), 1: namespace(1 << 20)}, health(), INTEL)
    record = kernel.decode(answers)
    assert record == ControllerRecord(
        model="INTEL SSDPE2KE016T8",
        serial="PHLN1234 5678",
        fw_rev="VDV10131",
        vendor=0x8086,
        namespaces=(NamespaceRecord(1, 1 << 32), NamespaceRecord(2, 0)),
        health_stats=structures.health(health(), INTEL),
    )
    assert msgspec.convert(msgspec.to_builtins(record), ControllerRecord) == record


def test_health_that_a_controller_does_not_have_is_zero_and_unasked_is_none() -> None:
    assert kernel.decode(Answers(controller(), {}, b"")).health_stats == HealthStats()
    assert kernel.decode(Answers(controller(), {})).health_stats is None


def test_commands_are_the_specifications() -> None:
    assert admin.LAYOUT.size == 72
    number = 3 << 30 | admin.LAYOUT.size << 16 | ord("N") << 8 | 0x41  # _IOWR('N', 0x41, struct nvme_passthru_cmd)
    assert number == admin.IOCTL_ADMIN_CMD
    identify = admin.identify_namespace(3)
    assert (identify.opcode, identify.nsid, identify.length, identify.cdw10) == (6, 3, 4096, 0)
    assert (admin.identify_controller().cdw10, admin.active_namespaces().cdw10) == (1, 2)
    log = admin.get_log(0xCA, 512)
    assert (log.opcode, log.nsid, log.length, log.cdw10, log.cdw11) == (2, 0xFFFFFFFF, 512, 127 << 16 | 0xCA, 0)
    big = admin.get_log(2, 1 << 20)
    assert (big.cdw10, big.cdw11) == (0xFFFF << 16 | 2, 3)
    assert (firmware.commit().opcode, firmware.commit().cdw10) == (0x10, 1 << 3)


@pytest.fixture
def null() -> Iterator[Handle]:
    """The null device: open, present, and no controller."""
    with admin.opened(device("null")) as handle:
        yield handle


def device(name: str) -> NvmeController:
    """Return a character device of this machine as if it were a controller."""
    number = os.stat(f"/dev/{name}").st_rdev
    return NvmeController(name, os.major(number), os.minor(number), "live", ())


def test_what_is_no_controller_takes_no_command(null: Handle) -> None:
    with pytest.raises(AdminError) as caught:
        admin.read(null, admin.identify_controller())
    assert (caught.value.command, caught.value.status, caught.value.number) == ("Identify Controller", 0, errno.ENOTTY)
    with pytest.raises(AdminError):
        admin.send(null, firmware.commit())
    with pytest.raises(ValueError, match="takes 0 bytes"):
        admin.send(null, firmware.commit(), b"1234")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (AdminError("X", number=errno.ENODEV), codes.NVME_CONTROLLER_GONE, "0000:81:00.0"),
        (AdminError("X", number=errno.EINTR), codes.NVME_COMMAND_FAILED, "in time"),
        (AdminError("X", status=0x371), codes.NVME_COMMAND_FAILED, "in time"),
        (AdminError("X", number=errno.EIO), codes.NVME_COMMAND_FAILED, os.strerror(errno.EIO)),
        (AdminError("X", status=0x109), codes.NVME_COMMAND_FAILED, "no such log (status 0x109)"),
        (AdminError("X", status=0x2FF), codes.NVME_COMMAND_FAILED, "status 0x2ff"),
    ],
)
def test_errors_become_faults(error: AdminError, code: int, words: str) -> None:
    fault = error.fault("0000:81:00.0")
    assert fault.code == code
    assert words in fault.description
    assert error.unsupported == (error.status == 0x109)
    assert error.timed_out == ("in time" in str(error))


def test_only_the_controllers_own_node_is_opened() -> None:
    other = msgspec.structs.replace(device("zero"), name="null")
    with pytest.raises(Fault) as caught, admin.opened(other):
        pass
    assert caught.value.code == codes.STORAGE_PATH_UNSAFE


def test_a_controller_that_is_gone_is_not_opened() -> None:
    for gone in (msgspec.structs.replace(device("null"), name="no-such-node"), NvmeController("null", 4095, 1, "live", ())):
        with pytest.raises(AdminError) as caught, admin.opened(gone):
            pass
        assert caught.value.gone


def test_nothing_is_sent_to_a_controller_that_went_away(null: Handle, tmp_path: Path) -> None:
    empty = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(AdminError) as caught:
        admin.read(Handle(null.fd, empty), admin.identify_controller())
    os.close(empty)
    assert caught.value.gone


@pytest.mark.parametrize(
    ("granularity", "shift", "piece"), [(0, 5, 4096), (255, 5, 4096), (1, 5, 4096), (4, 0, 16384), (4, 1, 8192), (2, 5, 8192)]
)
def test_pieces_are_as_the_drive_wants_them(granularity: int, shift: int, piece: int) -> None:
    identify = structures.identify_controller(controller(at319=bytes([granularity]), at77=bytes([shift])))
    assert firmware.piece_bytes(identify) == piece


def test_an_image_is_cut_into_pieces() -> None:
    image = bytes(range(256)) * 40 + b"tail"
    found = list(firmware.downloads(image, 4096))
    assert b"".join(piece for _, piece in found) == image
    assert [(one.length, one.cdw10, one.cdw11) for one, _ in found] == [(4096, 1023, 0), (4096, 1023, 1024), (2052, 512, 2048)]
    assert {one.opcode for one, _ in found} == {0x11}


@pytest.mark.parametrize(
    ("size", "words"), [(4096, ""), (4, ""), (4098, "multiple of 4"), (0, "between"), (firmware.IMAGE_LIMIT + 4, "between")]
)
def test_images_that_cannot_be_are_refused_before_anything_is_sent(size: int, words: str) -> None:
    found = firmware.problem(structures.identify_controller(controller()), size)
    assert words in found
    assert bool(found) == bool(words)
    fault = firmware.unusable("0000:81:00.0", "/tmp/image", found)  # noqa: S108 - a name, and no file
    assert fault.code == codes.NVME_FIRMWARE_UNUSABLE
    assert found in fault.description


def test_a_drive_that_cannot_be_updated_is_not_tried(null: Handle) -> None:
    identify = structures.identify_controller(controller(at256=b"\0\0"))
    with pytest.raises(ValueError, match="cannot be updated"):
        firmware.update(null, identify, bytes(4096))
    with pytest.raises(AdminError, match="Firmware Image Download"):
        firmware.update(null, structures.identify_controller(controller()), bytes(4096))


def test_larger_blocks_than_were_looked_at_are_not_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wipe, "block_bytes", lambda _descriptor: 8192)
    path = tmp_path / "disk"
    path.write_bytes(b"\xa5" * 8192)
    with path.open("r+b") as file, pytest.raises(OSError, match="8192"):
        wipe.wipe(file.fileno())
    assert path.read_bytes() == b"\xa5" * 8192


def test_what_is_no_block_device_is_not_wiped(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xa5" * 8192)
    with path.open("r+b") as file, pytest.raises(OSError, match="ioctl"):
        wipe.wipe(file.fileno())
    assert path.read_bytes() == b"\xa5" * 8192
