# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What an unquoted word means, by the rules of the reference's YAML reader (Go yaml.v2, which is YAML 1.1 without base 60).

``yes`` is true, ``010`` is 8, ``0x13`` is 19, ``1_000`` is 1000; ``0000:81:00.0`` is text, and so is ``12:30``.  A key that
takes text gets the word as written whatever it looks like; a key that takes a number or a flag refuses a quoted one.
"""

from __future__ import annotations

import math
import re

from daos_server.config.yaml_source import Scalar

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"[-+]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_BASES = (("hex", 16), ("bin", 2), ("oct", 8), ("dec", 10))
_LONGEST_NUMBER = 70
"""Characters; 64 bits in base two with sign and prefix."""


def is_null(scalar: Scalar) -> bool:
    """Return whether this stands for no value at all."""
    return scalar.tag == "null" or (scalar.plain and scalar.text in _NULL)


def as_flag(scalar: Scalar) -> bool | None:
    """Return the flag, or None if this is none."""
    if not (scalar.plain or scalar.tag == "bool"):
        return None
    if scalar.text in _TRUE:
        return True
    return False if scalar.text in _FALSE else None


def as_whole(scalar: Scalar) -> int | None:
    """Return the whole number, or None if this is none.  ``8.0`` and ``1e3`` are whole, ``1.5`` is not."""
    if not (scalar.plain or scalar.tag in ("int", "float")):
        return None
    return whole_number(scalar.text.replace("_", ""))


def whole_number(text: str) -> int | None:
    """Return the number that this text is, in base 16, 8, 2 by prefix, else 10; None if it is none."""
    if len(text) > _LONGEST_NUMBER:
        return None
    if found := _INTEGER.fullmatch(text):
        digits, base = next((found[name], base) for name, base in _BASES if found[name])
        return int(digits, base) * (-1 if text.startswith("-") else 1)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)) and number.is_integer():
        return int(number)
    return None
