# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A fault as a value, for answers in which one row can fail and another not."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from daos_pbin.faults import FIELD_LIMIT, Fault

FaultText = Annotated[str, Meta(max_length=FIELD_LIMIT)]


class WireFault(Struct, frozen=True, forbid_unknown_fields=True):
    """A fault as a value, for a row of an answer."""

    code: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    domain: FaultText
    description: FaultText
    object: FaultText
    cause: FaultText
    resolution: FaultText

    @classmethod
    def of(cls, fault: Fault) -> WireFault:
        """Make the value of a fault."""
        wire = fault.to_wire()
        code, *texts = wire.values()
        return cls(int(code), *(str(text) for text in texts))

    def fault(self) -> Fault:
        """Make the fault again."""
        return Fault.from_wire({name: getattr(self, name) for name in self.__struct_fields__})
