# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether the files that stand for SSDs fit on their file systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.storage.files import no_room

if TYPE_CHECKING:
    from daos_server.plan.format.draft import Draft


def check(draft: Draft) -> None:
    """Refuse files that do not fit; one refusal for each file system."""
    more: dict[int, int] = {}
    free: dict[int, int] = {}
    last: dict[int, str] = {}
    for step, found in draft.files:
        if found.device:
            more[found.device] = more.get(found.device, 0) + step.size - found.allocated
            free[found.device] = found.free
            last[found.device] = step.subject
    draft.refusals += [no_room(last[device], more[device], free[device]) for device in more if more[device] > free[device]]
