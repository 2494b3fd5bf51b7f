# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``helper policy``: what root allows the helper, as the helper itself reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.cli.output import emit, envelope, escape, table

if TYPE_CHECKING:
    from daos_pbin.messages import HelperPolicyResult, PolicyEntry
    from daos_server.cli.options import Invocation

COLUMNS = ("Key", "From", "In force")
NOTHING = "nothing"


def policy(invocation: Invocation) -> None:
    """Print every key of the policy, where it comes from and what is in force.

    :raises Fault: 2004 if the policy file cannot be used, and those of becoming the account and of a session.
    """
    from daos_pbin.messages import HelperPolicy
    from daos_pbin.plain import PlainSession
    from daos_server.cli.storage import become_account

    become_account(invocation)
    installation = invocation.installation
    with PlainSession(installation.helper, socket=installation.helper_socket) as helper:
        answer = helper.call(HelperPolicy(), deadline_s=30)
    emit(envelope(_as_json(answer)) if invocation.json else _text(answer))


def _origin(entry: PolicyEntry) -> str:
    return "file" if entry.from_file else "default"


def _as_json(answer: HelperPolicyResult) -> dict[str, object]:
    keys = {entry.key: {"origin": _origin(entry), "values": entry.values} for entry in answer.entries}
    return {"file": answer.path, "present": answer.present, "keys": keys}


def _text(answer: HelperPolicyResult) -> str:
    rows: list[tuple[str, str, str]] = []
    for entry in answer.entries:
        first, *others = entry.values or (NOTHING,)
        rows += [(entry.key, _origin(entry), first), *(("", "", value) for value in others)]
    there = "is in force" if answer.present else "does not exist: everything is the default"
    return f"{escape(answer.path)} {there}\n\n{table(COLUMNS, rows)}"
