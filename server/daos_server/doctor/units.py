# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What systemd's unit files set for a service, drop-ins included (systemd.unit(5)); no systemd is asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from daos_server.doctor import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.doctor.machine import Machine

SERVICE = "daos_server.service"


class Directive(NamedTuple):
    """A value, and where it is written, as ``file:line``."""

    value: str
    place: str


def folders(machine: Machine) -> tuple[str, ...]:
    """Return the folders of units, the strongest first."""
    return tuple(f"{machine.root}/{end}/systemd/system" for end in ("etc", "run", "usr/local/lib", "usr/lib", "lib"))


def unit_file(machine: Machine, unit: str = SERVICE) -> str:
    """Return the path of the unit; empty if there is none, or if it is masked."""
    for folder in folders(machine):
        path = f"{folder}/{unit}"
        if os.path.lexists(path):
            return "" if os.path.realpath(path) == os.devnull else path
    return ""


def service_directive(machine: Machine, key: str, unit: str = SERVICE) -> Directive | None:
    """Return what is in force of a directive of ``[Service]`` that is given once; None if it is not set.

    :raises OSError: if a file cannot be read.
    """
    found = None
    for path in (unit_file(machine, unit), *_drop_ins(machine, unit)):
        for number, value in _values(path, key):
            found = Directive(value, f"{path}:{number}") if value else None
    return found


def _drop_ins(machine: Machine, unit: str) -> tuple[str, ...]:
    """Return the drop-ins in the order in which they count: by name, whatever the folder; of one name, the strongest folder's."""
    by_name: dict[str, str] = {}
    for folder in folders(machine):
        for name in reading.names(f"{folder}/{unit}.d"):
            if name.endswith(".conf"):
                by_name.setdefault(name, f"{folder}/{unit}.d/{name}")
    return tuple(by_name[name] for name in sorted(by_name))


def _values(path: str, key: str) -> Iterator[tuple[int, str]]:
    section = ""
    for number, line in enumerate(reading.lines(path) if path else (), 1):
        text = line.strip()
        if text.startswith("["):
            section = text
        name, equals, value = text.partition("=")
        if equals and section == "[Service]" and name.strip() == key:
            yield number, value.strip()
