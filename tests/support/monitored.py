# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a process inherited, as root sees it from outside: to hold a monitor behind an attack against one behind an honest caller."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FROM_STATUS = (
    "Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "ShdPnd", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
    "NoNewPrivs", "Seccomp", "Threads",
)  # fmt: skip


@dataclass(frozen=True)
class Inherited:
    """All of a process that its caller could have set."""

    arguments: bytes
    environment: bytes
    descriptors: tuple[tuple[str, str], ...]
    status: tuple[tuple[str, str], ...]
    limits: str
    folder: str
    root: str
    personality: str
    namespaces: tuple[tuple[str, str], ...]
    owner: int
    """Of its folder in /proc: root if it cannot be dumped."""
    leads_its_session: bool


def look(pid: int) -> Inherited:
    """Return what a process inherited."""
    place = Path(f"/proc/{pid}")
    lines = (place / "status").read_text(encoding="utf-8").splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    session = (place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[3]
    return Inherited(
        arguments=(place / "cmdline").read_bytes(),
        environment=(place / "environ").read_bytes(),
        descriptors=tuple(sorted((entry.name, _kind(entry)) for entry in (place / "fd").iterdir())),
        status=tuple((name, status[name].strip()) for name in FROM_STATUS),
        limits=(place / "limits").read_text(encoding="ascii"),
        folder=os.readlink(place / "cwd"),
        root=os.readlink(place / "root"),
        personality=(place / "personality").read_text(encoding="ascii"),
        namespaces=tuple(sorted((entry.name, os.readlink(entry)) for entry in (place / "ns").iterdir())),
        owner=(place / "environ").stat().st_uid,
        leads_its_session=int(session) == pid,
    )


def _kind(entry: Path) -> str:
    target = os.readlink(entry)
    return target.partition(":")[0] if target.startswith(("pipe:", "socket:", "anon_inode:")) else target
