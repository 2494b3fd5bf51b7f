# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What becomes of a format that did not end: it is completed if it was for the same configuration, and else given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.plan.format.consent import Consent

if TYPE_CHECKING:
    from daos_server.plan.unfinished import Unfinished


def consent(unfinished: Unfinished | None, digest: str, *, force: bool) -> Consent:
    """Return the consent that ``--force`` gives, or else the record of an interrupted format.

    :param digest: fingerprint of the configuration that is formatted now.
    """
    same = unfinished is not None and unfinished.digest == digest
    return Consent(force=force, resume=unfinished if same and not force else None)


def notes(unfinished: Unfinished | None, digest: str, *, force: bool) -> list[str]:
    """Return what is said of an interrupted format, line by line; nothing if there is none."""
    if unfinished is None:
        return []
    what = f"a format{' with --force' if unfinished.force else ''} that was started at {unfinished.started} did not end"
    if unfinished.digest != digest:
        return [f"{what}, but it was for another configuration: this format takes its place, and nothing is taken over from it"]
    if force:
        return [f"{what}: everything is formatted anew, because of --force"]
    begun = [entry.subject for entry in unfinished.steps.values() if entry.state == "begun"]
    lines = [f"{what}: this run completes it"]
    if begun:
        lines.append(f"begun and not done then, and done again now with the consent given then: {', '.join(begun)}")
    return lines
