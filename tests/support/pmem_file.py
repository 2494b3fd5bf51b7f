# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A made-up machine with persistent memory in a file, and how a helper over it misbehaves."""

from __future__ import annotations

from pathlib import Path

import msgspec

from daos_pbin.pmem import Goal, KernelRegion, Module, Namespace, Region, Remembered
from daos_pbin.pmem_plan import Found


class Machine(msgspec.Struct, frozen=True):
    """The fields of ``Found``, which cannot be decoded itself: the types of its fields are known to type checkers only."""

    modules: tuple[Module, ...]
    regions: tuple[Region, ...]
    goals: tuple[Goal, ...]
    kernel_regions: tuple[KernelRegion, ...]
    namespaces: tuple[Namespace, ...]
    boot_id: str
    mounted: tuple[str, ...]
    remembered: Remembered


class Settings(msgspec.Struct, frozen=True):
    """The file.

    :param refuse: a fault that every request meets.
    :param stop_after: so many steps of a change are done.
    :param hang: a change is not answered.
    :param late: a namespace appears after the plan was asked for.
    """

    machine: Machine
    refuse: dict[str, str | int] | None = None
    stop_after: int | None = None
    hang: bool = False
    late: bool = False

    @property
    def found(self) -> Found:
        """The machine as facts."""
        return Found(**{name: getattr(self.machine, name) for name in Machine.__struct_fields__})


def read(path: str) -> Settings:
    """Read the file."""
    return msgspec.json.decode(Path(path).read_bytes(), type=Settings)


def write(path: str, settings: Settings) -> None:
    """Write the file."""
    Path(path).write_bytes(msgspec.json.encode(settings))


def with_found(settings: Settings, found: Found) -> Settings:
    """Return the settings with another machine."""
    return msgspec.structs.replace(settings, machine=of(found))


def of(found: Found) -> Machine:
    """Return facts as a machine."""
    return Machine(*(getattr(found, name) for name in Machine.__struct_fields__))
