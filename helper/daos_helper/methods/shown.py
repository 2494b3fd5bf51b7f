# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Telling which policy is in force; looks at nothing but the policy file."""

from __future__ import annotations

from daos_helper.context import Context
from daos_helper.policy import Policy
from daos_helper.steps import Work
from daos_pbin.messages import HelperPolicy, HelperPolicyResult, PolicyEntry


def policy(_request: HelperPolicy, context: Context) -> Work[HelperPolicyResult]:
    """Return every key of the policy with what is in force for it, and whether the file says so."""
    yield from ()  # no step: nothing here needs a worker
    entries = tuple(PolicyEntry(key, key in context.file.keys, _values(getattr(context.policy, key))) for key in Policy.__struct_fields__)
    return HelperPolicyResult(context.file.path, context.file.present, entries)


def _values(value: tuple[str, ...] | dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{name} = {number}" for name, number in value.items()) if isinstance(value, dict) else value
