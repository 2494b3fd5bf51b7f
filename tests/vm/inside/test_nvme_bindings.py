# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Admin commands and wiping on a real kernel with emulated controllers; nvme-cli is asked the same."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
from pathlib import Path

import pytest
from vmlab.disks import cleaned

from daos_bindings.linux import pci, privileges, syscalls
from daos_bindings.linux.nvme_controller import NvmeController
from daos_bindings.linux.pci import PciFunction
from daos_bindings.nvme import admin, firmware, kernel, structures, wipe
from daos_bindings.nvme.admin import AdminError

pytestmark = pytest.mark.guest("iommu")

NOBODY = 4242
SMART = {
    "temperature": "temperature",
    "controller_busy_time": "ctrl_busy_time",
    "power_cycles": "power_cycles",
    "power_on_hours": "power_on_hours",
    "unsafe_shutdowns": "unsafe_shutdowns",
    "media_errors": "media_errs",
    "num_err_log_entries": "err_log_entries",
    "warning_temp_time": "warn_temp_time",
    "critical_comp_time": "crit_temp_time",
}
"""nvme-cli's names, and ours."""


def nvme(*arguments: str) -> dict[str, object]:
    done = subprocess.run(["/usr/sbin/nvme", *arguments, "-o", "json"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def controllers() -> list[tuple[PciFunction, NvmeController]]:
    return [(function, function.controller) for function in pci.scan().controllers if function.controller is not None]


@pytest.fixture
def controller() -> NvmeController:
    return controllers()[8][1]


def test_what_controllers_say_is_what_nvme_cli_reads() -> None:
    found = controllers()
    assert len(found) == 12
    for _function, one in found:
        with admin.opened(one) as handle:
            record = kernel.decode(kernel.fetch(handle))
        identify, smart = nvme("id-ctrl", one.path), nvme("smart-log", one.path)
        said = (str(identify["sn"]).rstrip(), str(identify["mn"]).rstrip(), str(identify["fr"]).rstrip(), identify["vid"])
        assert (record.serial, record.model, record.fw_rev, record.vendor) == said
        assert [(space.id, space.size) for space in record.namespaces] == [(space.nsid, space.size_bytes) for space in one.namespaces]
        assert record.health_stats is not None
        for theirs, ours in SMART.items():
            assert int(str(smart[theirs])) == getattr(record.health_stats, ours), theirs
        assert record.health_stats.temperature > 0
        health = record.health_stats
        warnings = (health.avail_spare_warn, health.temp_warn, health.dev_reliability_warn, health.read_only_warn, health.volatile_mem_warn)
        assert sum(warn << bit for bit, warn in enumerate(warnings)) == smart["critical_warning"]


def test_health_is_left_out_if_nobody_asks(controller: NvmeController) -> None:
    with admin.opened(controller) as handle:
        assert kernel.decode(kernel.fetch(handle, health=False)).health_stats is None


def test_a_command_needs_the_capability_when_it_is_sent(controller: NvmeController) -> None:
    with admin.opened(controller) as handle:
        pid = os.fork()
        if pid == 0:
            try:
                privileges.become(NOBODY, NOBODY, capabilities=())
                admin.read(handle, admin.get_log(structures.HEALTH_LOG, structures.HEALTH_BYTES))
            except AdminError as error:
                os._exit(error.number)
            finally:
                os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EACCES


def test_with_that_capability_alone_a_worker_reads_all(controller: NvmeController) -> None:
    with admin.opened(controller) as handle:
        pid = os.fork()
        if pid == 0:
            try:
                privileges.become(NOBODY, NOBODY, capabilities=("CAP_SYS_ADMIN",))
                answers = kernel.fetch(handle)
                syscalls.capset(effective=0, permitted=0, inheritable=0)
                os._exit(len(kernel.decode(answers).namespaces))
            finally:
                os._exit(255)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def test_what_a_drive_does_not_know_is_told_apart(controller: NvmeController) -> None:
    with admin.opened(controller) as handle:
        with pytest.raises(AdminError) as caught:
            admin.read(handle, admin.get_log(structures.INTEL_LOG, structures.INTEL_BYTES))
        assert caught.value.unsupported
        identify = structures.identify_controller(admin.read(handle, admin.identify_controller()))
        assert firmware.problem(identify, 4096) == "the drive cannot be updated"
        with pytest.raises(AdminError) as caught:
            admin.send(handle, firmware.commit())
        assert caught.value.unsupported


def test_a_drive_that_is_taken_away_is_gone() -> None:
    # By its driver, not by "remove": to close the device of an emulated controller after that is a page fault in Linux 6.1
    # (nvme_dbbuf_dma_free, for controllers with doorbell buffers, which only emulated ones have).
    function, one = controllers()[9]
    nvme = Path("/sys/bus/pci/drivers/nvme")
    with admin.opened(one) as handle:
        (nvme / "unbind").write_text(function.kernel)
        try:
            with pytest.raises(AdminError) as caught:
                kernel.fetch(handle)
        finally:
            (nvme / "bind").write_text(function.kernel)
        assert caught.value.gone
        assert caught.value.fault(function.kernel).name == "NvmeControllerGone"
        with pytest.raises(AdminError):
            kernel.fetch(handle)  # the controller in its place is another, whatever its number
    assert len(controllers()) == 12


def test_a_wipe_takes_the_first_4_kib_and_no_more(controller: NvmeController) -> None:
    for space in controller.namespaces:
        Path(space.path).write_bytes(b"\xa5" * 16384)
        fd = os.open(space.path, wipe.OPEN_FLAGS)
        pid = os.fork()
        if pid == 0:
            try:
                privileges.become(NOBODY, NOBODY, capabilities=())
                os._exit(0 if wipe.wipe(fd) == wipe.WIPED_BYTES else 2)
            finally:
                os._exit(1)
        os.close(fd)
        assert os.waitpid(pid, 0)[1] == 0
        with open(space.path, "rb") as device:
            assert device.read(16384) == bytes(4096) + b"\xa5" * 12288
            os.posix_fadvise(device.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        Path(space.path).write_bytes(bytes(16384))


def test_what_is_mounted_is_not_opened_for_a_wipe(controller: NvmeController, tmp_path: Path) -> None:
    path = controller.namespaces[1].path
    with cleaned(path), contextlib.ExitStack() as undo:
        subprocess.run(["/sbin/mkfs.ext4", "-q", path], check=True)
        subprocess.run(["/bin/mount", path, str(tmp_path)], check=True)
        undo.callback(subprocess.run, ["/bin/umount", str(tmp_path)], check=True)
        with pytest.raises(OSError, match="busy"):
            os.open(path, wipe.OPEN_FLAGS)
