# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How far this kernel can hold the helper's workers to what their steps need; they run with what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_bindings.linux import landlock, seccomp
from daos_server.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

WHY = "the helper runs without it, as the audit trail says with each request; what is taken over through a hostile device can do more then"
NOT_YET = {3: "truncating by name", 5: "commands to devices that are opened later", 6: "signals to others"}
"""What an older ABI cannot refuse, by the one that can; the helper's list of system calls refuses most of it all the same."""


def findings() -> Iterator[Finding]:
    """Yield what the kernel has of it."""
    try:
        version = landlock.abi()
    except OSError as error:
        yield Finding.unseen("Landlock", error)
    else:
        missing = [words for since, words in NOT_YET.items() if version < since]
        yield Finding.of(
            "Landlock",
            f"ABI {version}{', which cannot refuse ' + ' and '.join(missing) if missing else ''}" if version else "this kernel has none",
            right=version > 0,
            why=WHY,
            advice="put landlock first in the list of the kernel's command line, as in lsm=landlock,lockdown,yama,integrity,bpf (what it"
            " has now is in /sys/kernel/security/lsm), and restart",
            bad="warning",
        )
    try:
        there = seccomp.available()
    except OSError as error:
        yield Finding.unseen("seccomp filters", error)
        return
    yield Finding.of(
        "seccomp filters",
        "available" if there else "this kernel has none",
        right=there,
        why=WHY,
        advice="use a kernel that was built with CONFIG_SECCOMP_FILTER, as those of all distributions are",
        bad="warning",
    )
