# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Regions and namespaces that no kernel has, played by a stand-in for ndctl; libipmctl's stand-in sees the same regions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pmem_world import CAPACITY, Machine, modules

from daos_bindings.ndctl.commands import NDCTL

SOURCE = Path(__file__).parent / "ndctl_standin" / "standin.c"
DEVICES = "/sys/bus/nd/devices"
WHOLE = 2 * CAPACITY
"""Bytes of each region: of the two modules of its socket."""
PER_REGION = 4


@dataclass(frozen=True)
class Nvdimms:
    """The stand-in, and the folder that lies over the kernel's.

    :param played: the machine of libipmctl's stand-in.
    """

    folder: Path
    played: Machine

    @property
    def over(self) -> tuple[tuple[str, str], ...]:
        """What a session with them lays over what."""
        return (str(self.folder / "ndctl"), NDCTL), (str(self.folder / "nd"), DEVICES)

    @property
    def _state(self) -> Path:
        return self.folder / "nd" / "state"

    def describe(self, *sockets: int, spaces: Iterable[str] = (), misbehaviour: Iterable[str] = ()) -> None:
        """Make the machine one with a region on each of these sockets.

        :param spaces: lines about namespaces, without their first word.
        """
        words = [line.split() for line in spaces]
        free = dict.fromkeys(sockets, WHOLE)
        for socket in sockets:
            self._put(f"region{socket}/set_cookie", 1000 + socket)
            for number in range(PER_REGION):
                self._put(f"namespace{socket}.{number}/size", 0)
        for name, size, *_ in words:
            self._put(f"namespace{name}/size", int(size))
            free[int(name.partition(".")[0])] -= int(size)
        for socket in sockets:
            self._put(f"region{socket}/available_size", free[socket])
        self._write([f"region {one} {WHOLE} {1000 + one}" for one in sockets] + [" ".join(("namespace", *one)) for one in words])
        self.misbehave(*misbehaviour)
        self.played.describe([*modules(*sockets), *(f"region {one} {1000 + one} 1 {WHOLE} kernel 1" for one in sockets)])

    def misbehave(self, *lines: str) -> None:
        """Let ndctl misbehave in these ways, and in no others."""
        left = [line for line in self._state.read_text(encoding="ascii").splitlines() if not line.startswith("in ")]
        self._write([*left, *(f"in {line}" for line in lines)])

    def switch_on(self) -> None:
        """Do what the kernel does with namespaces at the start of a machine."""
        self._write([f"{line[:-3]}on" if line.endswith(" off") else line for line in self._state.read_text(encoding="ascii").splitlines()])

    @property
    def spaces(self) -> list[tuple[str, str, str]]:
        """The name, mode and state of each namespace."""
        found = [line.split() for line in self._state.read_text(encoding="ascii").splitlines() if line.startswith("namespace ")]
        return sorted((words[1], words[3], words[6]) for words in found)

    def _write(self, lines: Iterable[str]) -> None:
        self._state.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")

    def _put(self, name: str, value: int) -> None:
        path = self.folder / "nd" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{value}\n", encoding="ascii")


def build(played: Machine) -> Nvdimms:
    """Compile the stand-in beside libipmctl's; skip where ndctl or the kernel's part is missing."""
    for path in (NDCTL, DEVICES):
        if not Path(path).exists():
            pytest.skip(f"no {path}")
    folder = played.library.parent
    (folder / "nd").mkdir()
    command = ["/usr/bin/gcc", "-Wall", "-Wextra", "-Werror", "-o", str(folder / "ndctl"), str(SOURCE)]
    subprocess.run(command, check=True)
    return Nvdimms(folder, played)
