# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The NVMe methods of the installed helper where no controller is concerned; with controllers they are tested in ``tests/vm``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import Installation

from daos_bindings.linux import pci
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Request, Result
from daos_pbin.nvme_messages import (
    MAX_CONTROLLERS,
    BdevBind,
    BdevBindResult,
    BdevFormat,
    BdevFormatResult,
    BdevRestore,
    BdevScan,
    BdevScanResult,
    NvmeFirmwareQuery,
    NvmeFirmwareUpdate,
    WireFault,
)
from daos_pbin.plain import PlainSession

ABSENT = "0000:ff:1f.7"


@pytest.fixture
def helper(installation: Installation) -> Iterator[PlainSession]:
    """A session of the server's account."""
    with PlainSession(installation.helper_of_account) as session:
        yield session


@pytest.fixture
def policy(installation: Installation) -> Iterator[Path]:
    """Where the policy is; there is none before and afterwards."""
    path = Path(installation.layout.policy_file)
    yield path
    path.unlink(missing_ok=True)


def fault_of(helper: PlainSession, request: Request[Result]) -> Fault:
    with pytest.raises(Fault) as caught:
        helper.call(request)
    return caught.value


def test_a_scan_has_a_row_for_every_controller_of_this_machine(helper: PlainSession) -> None:
    answer = helper.call(BdevScan())
    assert [row.kernel_address for row in answer.controllers] == [function.kernel for function in pci.scan().controllers]


@pytest.mark.parametrize("vmd", [False, True])
def test_an_address_of_nothing_is_a_row_with_a_fault(helper: PlainSession, vmd: bool) -> None:
    (bound,) = helper.call(BdevBind((ABSENT, ABSENT), vmd=vmd)).devices
    (restored,) = helper.call(BdevRestore((ABSENT,), vmd=vmd)).devices
    (scanned,) = helper.call(BdevScan((ABSENT,), vmd=vmd)).controllers
    (formatted,) = helper.call(BdevFormat((ABSENT,), vmd=vmd)).controllers
    assert (bound.outcome, restored.outcome) == ("failed", "failed")
    for row in (bound, restored, scanned, formatted):
        assert row.address == ABSENT
        assert row.fault is not None
        assert row.fault.code == codes.BDEV_NOT_FOUND
        assert ABSENT in row.fault.description


@pytest.mark.parametrize("devices", [(), (ABSENT,)])
def test_nothing_on_record_is_nothing_to_restore(helper: PlainSession, devices: tuple[str, ...]) -> None:
    assert [row.outcome for row in helper.call(BdevRestore(devices)).devices] == ["failed"] * len(devices)


@pytest.mark.parametrize("request_", [BdevBind(()), BdevFormat(())], ids=lambda request: type(request).__name__)
def test_no_device_is_not_all_devices(helper: PlainSession, request_: Request[Result]) -> None:
    assert fault_of(helper, request_).code == codes.HELPER_MESSAGE_INVALID


@pytest.mark.parametrize("address", ["", "81:00.0", "0000:81:00.0\n", "0000:FF:1F.7", "10000:01:00.0", "/dev/nvme0", "0000:81:00.0 "])
def test_only_addresses_in_daos_spelling_are_taken(helper: PlainSession, address: str) -> None:
    assert fault_of(helper, BdevScan((address,))).code == codes.HELPER_MESSAGE_INVALID


def test_a_stranger_gets_no_controller(helper: PlainSession) -> None:
    refused = fault_of(helper, BdevBind((ABSENT,), target_user="mallory"))
    assert refused.code == codes.HELPER_POLICY_REFUSED
    assert "mallory" in refused.resolution


def test_the_line_for_a_new_user_lets_it_pass_and_keeps_the_others(helper: PlainSession, policy: Path) -> None:
    policy.write_text("target_users = { bench = 4711 }\n")
    policy.chmod(0o644)
    refused = fault_of(helper, BdevBind((ABSENT,), target_user="nobody"))
    assert refused.code == codes.HELPER_POLICY_REFUSED
    line = refused.resolution.partition("command: ")[2]
    policy.write_text(line)
    for user in ("nobody", "bench"):
        (row,) = helper.call(BdevBind((ABSENT,), target_user=user)).devices
        assert row.fault is not None
        assert row.fault.code == codes.BDEV_NOT_FOUND, "there is none, but the user is no matter"


@pytest.mark.parametrize("kind", [BdevBind, BdevRestore, BdevScan, BdevFormat])
def test_as_many_as_can_be_asked_for_are_answered(helper: PlainSession, kind: type[BdevBind | BdevRestore | BdevScan | BdevFormat]) -> None:
    every = tuple(f"fffe:{number >> 5:02x}:{number & 31:02x}.7" for number in range(MAX_CONTROLLERS))
    answer = helper.call(kind(every))
    assert isinstance(answer, BdevBindResult | BdevScanResult | BdevFormatResult)
    assert len(answer.devices if isinstance(answer, BdevBindResult) else answer.controllers) == MAX_CONTROLLERS


def test_the_trail_says_which_controllers_it_was_about(helper: PlainSession, installation: Installation) -> None:
    several = tuple(f"0000:ff:1f.{number}" for number in range(8))
    many = tuple(f"fffe:{number:02x}:1f.7" for number in range(200))
    assert len(helper.call(BdevFormat(several)).controllers) == len(several)
    assert len(helper.call(BdevFormat(many)).controllers) == len(many)
    lines = [line for line in Path(installation.layout.audit_log).read_text().splitlines() if " method=BdevFormat " in line]
    assert " ".join(several) in lines[-4]
    assert f"{many[29]} and 170 more" in lines[-1]


def test_firmware_methods_are_off_until_the_policy_switches_them_on(helper: PlainSession, policy: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    for request in (NvmeFirmwareQuery((ABSENT,)), NvmeFirmwareUpdate(str(image), (ABSENT,))):
        refused = fault_of(helper, request)
        assert refused.code == codes.HELPER_POLICY_REFUSED
        assert f'methods_on = ["{type(request).__name__}"]' in refused.resolution
    policy.write_text('methods_on = ["NvmeFirmwareQuery", "NvmeFirmwareUpdate"]\n')
    policy.chmod(0o644)
    (row,) = helper.call(NvmeFirmwareQuery((ABSENT,))).controllers
    assert row.fault is not None
    assert row.fault.code == codes.BDEV_NOT_FOUND
    assert fault_of(helper, NvmeFirmwareUpdate(str(image), (ABSENT,))).code == codes.STORAGE_FILE_UNUSABLE
    image.write_bytes(bytes(4096))
    assert fault_of(helper, NvmeFirmwareUpdate(str(image), (ABSENT,))).code == codes.BDEV_NOT_FOUND
    assert fault_of(helper, NvmeFirmwareUpdate(str(image), (ABSENT, ABSENT))).code == codes.BDEV_DUPLICATES_IN_DEVICE_LIST
    assert fault_of(helper, NvmeFirmwareUpdate(str(image), model="no such model")).code == codes.BDEV_NO_DEVICES_MATCH_FILTER


@pytest.mark.parametrize("how", ["writable", "foreign", "link", "two names", "folder"])
def test_an_image_is_roots_own_file(helper: PlainSession, policy: Path, tmp_path: Path, how: str) -> None:
    policy.write_text('methods_on = ["NvmeFirmwareUpdate"]\n')
    policy.chmod(0o644)
    image = tmp_path / "image"
    image.write_bytes(bytes(4096))
    path = tmp_path / "other"
    match how:
        case "writable":
            image.chmod(0o664)
            path = image
        case "foreign":
            os.chown(image, 4242, 0)
            path = image
        case "link":
            path.symlink_to(image)
        case "two names":
            path.hardlink_to(image)
        case "folder":
            path.mkdir()
    assert fault_of(helper, NvmeFirmwareUpdate(str(path), (ABSENT,))).code == codes.STORAGE_PATH_UNSAFE


def test_a_fault_survives_as_a_value() -> None:
    fault = Fault(codes.NVME_CONTROLLER_GONE, object="x", address="x", cause="y")
    again = WireFault.of(fault).fault()
    assert again.to_wire() == fault.to_wire()
