# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Root's own policy: what requests may choose from.  A request can never widen it.

``helper.toml`` is optional, belongs to root, and is not writable by others; without it the defaults here apply.  It cannot
name callers.  Every refusal carries the line that would allow what was asked.
"""

from __future__ import annotations

import os
import stat
from typing import Annotated, Final

from msgspec import Meta, Struct, ValidationError, convert

from daos_bindings.linux import pci_address
from daos_helper.paths import components
from daos_pbin import codes
from daos_pbin.faults import Fault

SIZE_LIMIT: Final = 64 * 1024
"""Largest accepted policy file, in bytes."""
DEFAULT_ROOTS: Final = ("/mnt/daos", "/mnt/daos#", "/var/lib/daos", "/var/daos")
"""Mount roots without a policy file; ``#`` at the end of a component stands for a decimal number."""
NUMBER_DIGITS: Final = 3
"""Digits of a number that ``#`` stands for: no host has a thousand engines, and mount points shall not be endless."""
OFF_BY_DEFAULT: Final = frozenset({"NvmeFirmwareQuery", "NvmeFirmwareUpdate", "ScmFirmwareQuery", "ScmFirmwareUpdate"})
"""Methods that work only where the policy switches them on."""
SERVABLE_DRIVERS: Final = frozenset({"loop", "nbd", "ublk"})
"""Drivers behind which an unprivileged account may sit: refused unless the policy names the device."""

Line = Annotated[str, Meta(min_length=1, max_length=4095)]


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """What the helper allows.

    :param mount_roots: folders at or below which storage may be mounted; ``#`` ends a component with a number.
    :param devices_allow: device paths that may be used although they are loop, nbd, a partition of the system disk, or
        carry a foreign signature that a forced format would destroy; PCI addresses stand for all of a controller, which may then
        be given away without anybody having looked into it.
    :param devices_deny: device paths and PCI addresses that are never changed or given away.
    :param methods_off: methods that are refused.
    :param methods_on: methods that are allowed although they are off by default (``OFF_BY_DEFAULT``).
    :param target_users: further accounts, name to uid, that hugepages may be given to.
    """

    mount_roots: Annotated[tuple[Line, ...], Meta(max_length=256)] = DEFAULT_ROOTS
    devices_allow: Annotated[tuple[Line, ...], Meta(max_length=1024)] = ()
    devices_deny: Annotated[tuple[Line, ...], Meta(max_length=1024)] = ()
    methods_off: Annotated[tuple[Line, ...], Meta(max_length=64)] = ()
    methods_on: Annotated[tuple[Line, ...], Meta(max_length=64)] = ()
    target_users: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=32)], Annotated[int, Meta(ge=0, le=2**32 - 2)]], Meta(max_length=1024)
    ] = {}


class PolicyFile:
    """The policy file, read again when it changed, so that a long session follows what root decides.

    :ivar present: there was one when it was last read.
    :ivar keys: those that it sets.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.present = False
        self.keys: frozenset[str] = frozenset()
        self._stamp: tuple[int, int, int] | None = None
        self._policy = Policy()

    def current(self) -> Policy:
        """Return the policy in force.

        :raises Fault: 2004 if the file is not root's alone, is not TOML, or says something unknown.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            self._stamp, self._policy, self.present, self.keys = None, Policy(), False, frozenset()
            return self._policy
        except OSError as error:
            raise self._invalid(f"it cannot be opened: {error.strerror}") from error
        try:
            found = os.fstat(descriptor)
            stamp = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
            if stamp != self._stamp:
                self._policy = self._read(descriptor, found)
                self._stamp, self.present = stamp, True
        finally:
            os.close(descriptor)
        return self._policy

    def _read(self, descriptor: int, found: os.stat_result) -> Policy:
        if not stat.S_ISREG(found.st_mode):
            raise self._invalid("it is not a regular file")
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise self._invalid("it must belong to root and be writable by root alone (chown root, chmod 0644)")
        folder = os.stat(os.path.dirname(self.path))
        if folder.st_uid != 0 or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise self._invalid("its folder must belong to root and be writable by root alone")
        if found.st_size > SIZE_LIMIT:
            raise self._invalid(f"it is larger than {SIZE_LIMIT} bytes")
        text = os.read(descriptor, SIZE_LIMIT + 1)
        return self._decode(text)

    def _decode(self, text: bytes) -> Policy:
        import tomllib  # 11 ms that only a site with a policy pays

        try:
            table = tomllib.loads(text.decode())
            if unknown := next((key for key in table if key not in Policy.__struct_fields__), ""):
                raise self._invalid(f"it has the key '{unknown}', which is none of {', '.join(Policy.__struct_fields__)}")
            policy = convert(table, Policy)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError, RecursionError) as error:
            raise self._invalid(str(error)) from error
        for path in (*policy.mount_roots, *(device for device in policy.devices_allow + policy.devices_deny if not is_pci(device))):
            try:
                components(path)
            except Fault as fault:
                raise self._invalid(fault.description) from fault
        self.keys = frozenset(table)
        return policy

    def _invalid(self, reason: str) -> Fault:
        return Fault(codes.HELPER_POLICY_INVALID, object=self.path, path=self.path, reason=reason)

    def refuse(self, what: str, line: str, subject: str = "") -> Fault:
        """Make the fault for something that the policy does not allow; ``line`` is what would allow it."""
        return Fault(codes.HELPER_POLICY_REFUSED, object=subject, what=what, line=line, policy=self.path)

    def check_method(self, policy: Policy, method: str) -> None:
        """:raises Fault: 2005 if the method is switched off."""
        if method in policy.methods_off:
            left = tuple(name for name in policy.methods_off if name != method)
            raise self.refuse(f"the method {method} is switched off", _line("methods_off", left), method)
        if method in OFF_BY_DEFAULT and method not in policy.methods_on:
            line = _line("methods_on", (*policy.methods_on, method))
            raise self.refuse(f"the method {method} is off unless it is switched on", line, method)

    def check_target(self, policy: Policy, target: str) -> str:
        """Return the mount root that contains the target.

        :raises Fault: 2104 for a path that is not canonical, 2005 if no root contains it.
        """
        parts = components(target)
        for root in policy.mount_roots:
            length = _matches(components(root), parts)
            if length:
                return "/" + "/".join(parts[:length])
        line = _line("mount_roots", (*policy.mount_roots, target))
        raise self.refuse(f"{target} is not at or below a mount root", line, target)

    def check_denied(self, policy: Policy, path: str, numbers: frozenset[int], addresses: frozenset[str]) -> None:
        """Refuse a device if it, or anything that it is made of or divided into, is denied.

        :param numbers: of the device and of its family.
        :param addresses: of the PCI functions that it is, or is on, in every spelling.
        :raises Fault: 2005 if it is; 2004 if a denied path is no block device, since nobody can say what it should protect.
        """
        for denied in policy.devices_deny:
            if is_pci(denied):
                if not spellings(denied).isdisjoint(addresses):
                    left = tuple(other for other in policy.devices_deny if spellings(other).isdisjoint(addresses))
                    raise self.refuse(f"{path} is, or belongs to, {denied} in devices_deny", _line("devices_deny", left), path)
                continue
            number = device_number(denied)
            if number is None:
                line = _line("devices_deny", tuple(other for other in policy.devices_deny if other != denied))
                raise self._invalid(f"devices_deny names {denied}, which is no block device now; without it: {line}")
            if number in numbers:
                raise self.refuse(f"{path} is, or belongs to, {denied} in devices_deny", self.deny_line(policy, number), path)

    def user_line(self, policy: Policy, name: str, uid: int | None) -> str:
        """Return the line that would make somebody a target user, beside those that there are.

        :param uid: None if it is not known here.
        """
        users = {user: str(number) for user, number in policy.target_users.items()} | {name: "UID" if uid is None else str(uid)}
        line = "target_users = { " + ", ".join(f"{_quoted(user)} = {number}" for user, number in users.items()) + " }"
        return line if uid is not None else f'{line}, where UID stands for the number that "id -u {name}" prints'

    def deny_line(self, policy: Policy, rdev: int) -> str:
        """Return the devices_deny line without the device."""
        return _line("devices_deny", tuple(path for path in policy.devices_deny if not names_device((path,), rdev)))

    def device_line(self, policy: Policy, path: str) -> str:
        """Return the line that would allow the device."""
        return _line("devices_allow", (*policy.devices_allow, path))


def _matches(root: tuple[str, ...], parts: tuple[str, ...]) -> int:
    """Return how many components of ``parts`` the root covers, or 0."""
    if len(root) > len(parts):
        return 0
    for pattern, part in zip(root, parts, strict=False):
        if pattern.endswith("#"):
            number = part[len(pattern) - 1 :]
            if not (part.startswith(pattern[:-1]) and number.isascii() and number.isdigit() and len(number) <= NUMBER_DIGITS):
                return 0
        elif pattern != part:
            return 0
    return len(root)


def names_function(entries: tuple[str, ...], addresses: frozenset[str]) -> bool:
    """Tell whether one of root's entries is one of those PCI addresses; one that could mean two is only what it says literally."""
    meant = (spellings(entry) if len(_meanings(entry)) == 1 else {entry.lower()} for entry in entries)
    return any(not addresses.isdisjoint(names) for names in meant)


def spellings(entry: str) -> frozenset[str]:
    """Return an entry as DAOS and as the kernel would spell it, however root wrote it; nothing for what is no PCI address."""
    return _meanings(entry) | ({entry.lower()} if is_pci(entry) else set())


def _meanings(entry: str) -> frozenset[str]:
    """Return the functions that an entry can mean: ``10000:01:00.0`` is one in DAOS' spelling and another one in the kernel's."""
    found = (pci_address.parse(entry), pci_address.parse_kernel(entry.lower()))
    return frozenset(str(address) for address in found if address is not None)


def is_pci(entry: str) -> bool:
    """Tell whether an entry is a PCI address, in either spelling, and not a path."""
    return pci_address.parse(entry) is not None or pci_address.parse_kernel(entry.lower()) is not None


def names_device(paths: tuple[str, ...], rdev: int) -> bool:
    """Tell whether one of root's paths is that device now; links in them are root's, and followed."""
    return any(device_number(path) == rdev for path in paths if not is_pci(path))


def device_number(path: str) -> int | None:
    """Return the number of the block device that the path leads to, or None if it leads to none now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_rdev if stat.S_ISBLK(found.st_mode) else None


def _line(key: str, values: tuple[str, ...]) -> str:
    """Return a TOML line that sets the key to the list."""
    return f"{key} = [" + ", ".join(_quoted(value) for value in values) + "]"


def _quoted(text: str) -> str:
    """Return a text as TOML writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
