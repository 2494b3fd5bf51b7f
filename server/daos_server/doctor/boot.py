# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The kernel's command line: what it says, and how an administrator of this distribution changes it for good."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_server.doctor import reading

if TYPE_CHECKING:
    from daos_server.doctor.machine import Machine

TOOLS = {"update-grub": "update-grub", "grub2-mkconfig": "grub2-mkconfig -o /boot/grub2/grub.cfg"}
"""What makes the boot loader's configuration anew, by distribution."""


def arguments(machine: Machine) -> tuple[str, ...]:
    """Return the arguments that the kernel was booted with."""
    return tuple(word for line in reading.lines(f"{machine.proc}/cmdline") for word in line.split())


def adding(machine: Machine, words: str) -> str:
    """Return the advice to boot with more arguments."""
    if os.path.exists(f"{machine.root}/usr/sbin/grubby"):
        return f'add them to the kernel command line:\n  grubby --update-kernel=ALL --args="{words}" && reboot'
    return f"add to GRUB_CMDLINE_LINUX in /etc/default/grub:\n  {words}\n{_then(machine)}"


def removing(machine: Machine, word: str) -> str:
    """Return the advice to boot without an argument."""
    if os.path.exists(f"{machine.root}/usr/sbin/grubby"):
        return f'remove it from the kernel command line:\n  grubby --update-kernel=ALL --remove-args="{word}" && reboot'
    return f"remove {word} from /etc/default/grub\n{_then(machine)}"


def _then(machine: Machine) -> str:
    for tool, command in TOOLS.items():
        if os.path.exists(f"{machine.root}/usr/sbin/{tool}"):
            return f"then:\n  {command} && reboot"
    return "then make the boot loader's configuration anew, and reboot"
