# SPDX-License-Identifier: BSD-2-Clause-Patent
"""NVMe admin commands through the kernel's driver: ``NVME_IOCTL_ADMIN_CMD`` on an open controller (``/dev/nvme0``).

They need CAP_SYS_ADMIN when they are sent, not when the device is opened (drivers/nvme/host/ioctl.c).  Command numbers and
fields are those of the NVM Express Base Specification 1.4, sections 5.11 (Firmware Commit), 5.12 (Firmware Image Download),
5.14 (Get Log Page) and 5.15 (Identify); 2.0 has them unchanged in 5.12, 5.13, 5.16 and 5.17.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from contextlib import ExitStack, contextmanager

from msgspec import Struct

from daos_bindings._linux import ffi
from daos_bindings.linux import syscalls
from daos_bindings.linux.attributes import GONE
from daos_bindings.nvme import structures
from daos_pbin import codes
from daos_pbin.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_bindings.linux.nvme_controller import NvmeController

# include/uapi/linux/nvme_ioctl.h: struct nvme_passthru_cmd, and _IOWR('N', 0x41, of it).
LAYOUT = struct.Struct("<BBHIIIQQIIIIIIIIII")
IOCTL_ADMIN_CMD = 0xC0484E41

NODES = "/sys/dev/char"

GET_LOG_PAGE = 0x02
IDENTIFY = 0x06
FIRMWARE_COMMIT = 0x10
FIRMWARE_DOWNLOAD = 0x11

CNS_NAMESPACE, CNS_CONTROLLER, CNS_ACTIVE_NAMESPACES = 0x00, 0x01, 0x02
ALL_NAMESPACES = 0xFFFFFFFF

TIMEOUT_MS = 5000
"""Time a drive is given for one command; the kernel then aborts it, and resets the drive if that does not help."""

# Status: type in bits 10:8, code in bits 7:0 (1.4: 4.6.1.2; 2.0: 3.3.3.2.1).
STATUS_MASK = 0x7FF
STATUS_UNSUPPORTED = frozenset({0x001, 0x002, 0x00B, 0x109})
"""Invalid command opcode, invalid field, invalid namespace or format, invalid log page."""
STATUS_WORDS = {
    0x001: "it does not know the command",
    0x002: "it does not support what was asked for",
    0x004: "the transfer failed",
    0x006: "internal error",
    0x007: "the command was aborted",
    0x00B: "there is no such namespace",
    0x00C: "the command came out of order",
    0x106: "it has no such firmware slot, or the slot is read-only",
    0x107: "it refuses the firmware image",
    0x109: "it has no such log",
    0x10B: "the firmware is active only after the machine was reset",
    0x110: "the firmware is active only after the NVM subsystem was reset",
    0x111: "the firmware is active only after the controller was reset",
    0x112: "it would take longer than allowed to start the firmware",
    0x113: "it forbids to start this firmware",
    0x114: "pieces of the firmware image overlap",
    0x370: "the connection to it failed",
    0x371: "the kernel gave the command up",
}


class Command(Struct, frozen=True):
    """An admin command.

    :param name: for messages.
    :param length: bytes of data that go with it.
    """

    name: str
    opcode: int
    nsid: int = 0
    length: int = 0
    cdw10: int = 0
    cdw11: int = 0


class Handle(Struct, frozen=True):
    """An open controller (``opened``).

    :param fd: its character device.
    :param folder: its folder in sysfs, which is empty once the controller is gone.
    """

    fd: int
    folder: int

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both descriptors: what a worker must keep."""
        return self.fd, self.folder


class AdminError(Exception):
    """A command did not succeed.

    :param command: its name.
    :param status: the drive's own, type and code; 0 if it never answered.
    :param number: errno; 0 if the drive answered.
    """

    def __init__(self, command: str, *, status: int = 0, number: int = 0) -> None:
        super().__init__(command, status, number)
        self.command = command
        self.status = status
        self.number = number

    @property
    def unsupported(self) -> bool:
        """Whether the drive says that it has no such thing."""
        return self.status in STATUS_UNSUPPORTED

    @property
    def gone(self) -> bool:
        """Whether the drive went away."""
        return self.number in GONE

    @property
    def timed_out(self) -> bool:
        """Whether the drive did not answer in time, or was reset meanwhile: the kernel does not tell these apart."""
        return self.number in {errno.EINTR, errno.ETIMEDOUT} or self.status == 0x371

    @property
    def reason(self) -> str:
        """What went wrong, in words."""
        if self.timed_out:
            return "it did not answer in time, or was reset meanwhile"
        if self.number:
            return os.strerror(self.number)
        return f"{STATUS_WORDS.get(self.status, 'it answered with an error')} (status {self.status:#05x})"

    def __str__(self) -> str:
        return f"{self.command}: {self.reason}"

    def fault(self, address: str) -> Fault:
        """Return the fault that this is for the drive at *address*: 2124 (gone) or 2125."""
        if self.gone:
            return Fault(codes.NVME_CONTROLLER_GONE, object=address, address=address)
        return Fault(codes.NVME_COMMAND_FAILED, object=address, address=address, command=self.command, reason=self.reason)


def identify_controller() -> Command:
    """Return the command that asks a controller who it is."""
    return Command("Identify Controller", IDENTIFY, length=structures.IDENTIFY_BYTES, cdw10=CNS_CONTROLLER)


def identify_namespace(nsid: int) -> Command:
    """Return the command that asks for a namespace's size and format."""
    return Command("Identify Namespace", IDENTIFY, nsid=nsid, length=structures.IDENTIFY_BYTES, cdw10=CNS_NAMESPACE)


def active_namespaces() -> Command:
    """Return the command that asks for the ids of the active namespaces."""
    return Command("Active Namespace ID list", IDENTIFY, length=structures.IDENTIFY_BYTES, cdw10=CNS_ACTIVE_NAMESPACES)


def get_log(log: int, length: int) -> Command:
    """Return the command that asks for the first *length* bytes of a log page of the whole controller.

    :param length: a multiple of 4.
    """
    dwords = length // 4 - 1  # counted from 0: lower half in the upper half of cdw10, upper half in cdw11
    return Command(
        f"Get Log Page {log:#04x}", GET_LOG_PAGE, ALL_NAMESPACES, length, cdw10=log | (dwords & 0xFFFF) << 16, cdw11=dwords >> 16
    )


def read(handle: Handle, command: Command, *, timeout_ms: int = TIMEOUT_MS) -> bytes:
    """Send a command and return the data that the drive answers with.

    :raises AdminError: if it does not succeed, for whatever reason.
    """
    data = ffi.new("unsigned char[]", command.length)
    _submit(handle, command, int(ffi.cast("uintptr_t", data)), timeout_ms)
    return bytes(ffi.buffer(data))


def send(handle: Handle, command: Command, data: bytes = b"", *, timeout_ms: int = TIMEOUT_MS) -> None:
    """Send a command, and the data that goes with it.

    :raises AdminError: if it does not succeed, for whatever reason.
    :raises ValueError: if the data is not as long as the command says.
    """
    if len(data) != command.length:
        raise ValueError(f"{command.name} takes {command.length} bytes")
    if not data:
        _submit(handle, command, 0, timeout_ms)
        return
    buffer = ffi.new("unsigned char[]", data)
    _submit(handle, command, int(ffi.cast("uintptr_t", buffer)), timeout_ms)


def _submit(handle: Handle, command: Command, address: int, timeout_ms: int) -> None:
    _check_present(handle, command)
    request = bytearray(
        LAYOUT.pack(
            *(command.opcode, 0, 0, command.nsid, 0, 0),
            *(0, address, 0, command.length),
            *(command.cdw10, command.cdw11, 0, 0, 0, 0),
            *(timeout_ms, 0),
        )
    )
    try:
        status = fcntl.ioctl(handle.fd, IOCTL_ADMIN_CMD, request)
    except OSError as error:
        raise AdminError(command.name, number=error.errno or errno.EIO) from error
    if status:
        raise AdminError(command.name, status=status & STATUS_MASK)


def _check_present(handle: Handle, command: Command) -> None:
    """Leave a controller that is gone alone: some kernels free its admin queue while its device is still open."""
    try:
        os.stat("dev", dir_fd=handle.folder)
    except OSError as error:
        raise AdminError(command.name, number=errno.ENODEV) from error


@contextmanager
def opened(controller: NvmeController) -> Iterator[Handle]:
    """Open a controller, as root.

    :raises AdminError: if it is gone.
    :raises Fault: 2105 if its node is not that device.
    :raises OSError: if it cannot be opened for another reason.
    """
    with ExitStack() as stack:
        try:
            folder = os.open(f"{NODES}/{controller.major}:{controller.minor}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            fd = syscalls.openat2(-100, controller.path, os.O_RDONLY | os.O_NONBLOCK, resolve=syscalls.RESOLVE_NO_SYMLINKS)
            stack.callback(os.close, fd)
        except OSError as error:
            if error.errno in GONE:
                raise AdminError("open", number=errno.ENODEV) from error
            raise
        found = os.fstat(fd)
        if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(controller.major, controller.minor):
            reason = f"it should be the character device {controller.major}:{controller.minor}"
            raise Fault(codes.STORAGE_PATH_UNSAFE, object=controller.path, path=controller.path, reason=reason)
        yield Handle(fd, folder)
