# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Who has a PCI function, in words that a record, a plan and a message can carry."""

from __future__ import annotations

import msgspec

NAME_LIMIT = 64
"""Longest name of a driver; those of modules are shorter (include/linux/module.h, MODULE_NAME_LEN)."""
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has a function.

    :param driver: empty for nobody.
    :param override: the only driver that may have it; empty for any that knows it.
    """

    driver: str = ""
    override: str = ""

    def __str__(self) -> str:
        reserved = f", reserved for {self.override}" if self.override else ""
        return (self.driver or "no driver") + reserved


def usable_name(name: str) -> bool:
    """Tell whether *name* can be that of a driver, and nothing else."""
    return 0 < len(name) <= NAME_LIMIT and NAME_CHARACTERS.issuperset(name)
