# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What must not leave a host: values behind names that sound like secrets, and the known secrets of the configuration.

A filter can only know what secrets look like, so it is generous: better a hidden word too many.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from daos_server.config.model import ServerConfig

HIDDEN = b"(hidden)"
LONGEST_NAME = 64
"""Of what stands before and after the telling word.  Without a bound, a long line would take the square of its length to look at."""

_WORD = rb"(?:passw|passphrase|secret|token|credential|auth_?key|api_?key|private_?key|fastopen_key)"
_PART = rb"[\w.-]{0,%d}" % LONGEST_NAME
_NAME = _PART + _WORD + _PART
_HINT = re.compile(_WORD, re.IGNORECASE)
_SECRET = re.compile(rb"(?P<name>\b" + _NAME + rb"""["']?(?:\s*[=:]\s*|\s+))(?P<quote>["']?)(?P<value>[^\s"',;]+)""", re.IGNORECASE)

HARMLESS = ("PATH", "LANG", "TERM", "SHELL", "HOME", "USER", "LOGNAME", "PWD", "HOSTNAME", "TMPDIR", "TZ", "INVOCATION_ID", "NOTIFY_SOCKET")
HARMLESS_PREFIXES = ("LC_", "D_", "DD_", "DAOS_", "CRT_", "FI_", "OFI_", "UCX_", "SWIM_", "NA_", "HG_", "XDG_")
"""Variables whose values are of use to support; of any other one only the name is kept."""
_SECRET_NAME = re.compile(_NAME.decode(), re.IGNORECASE)


class Filter:
    """Hides secrets in lines of text.

    :param known: values that are hidden wherever they stand.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = sorted((value.encode() for value in known if value), key=len, reverse=True)

    def line(self, line: bytes) -> bytes:
        """Return the line without its secrets."""
        for value in self._known:
            line = line.replace(value, HIDDEN)
        if not _HINT.search(line):  # fast, as hardly any line has one
            return line
        return _SECRET.sub(rb"\g<name>\g<quote>" + HIDDEN, line)

    def lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the lines without their secrets; a block of a private key is left out as a whole."""
        inside = False
        for line in lines:
            if b"-----BEGIN " in line and b"PRIVATE KEY" in line:
                inside = True
                yield HIDDEN + b"\n"
            if not inside:
                yield self.line(line)
            elif b"-----END " in line:
                inside = False


def sounds_secret(name: str) -> bool:
    """Tell whether what has this name may be a secret."""
    return bool(_SECRET_NAME.search(name))


def of_config(config: ServerConfig) -> set[str]:
    """Return the secrets of a configuration: keys of the fabric, and variables of engines and clients whose names sound so."""
    found = {config.fabric_auth_key, *(engine.fabric_auth_key for engine in config.engines)}
    variables = [*config.client_env_vars, *(entry for engine in config.engines for entry in engine.env_vars)]
    for entry in variables:
        name, _, value = entry.partition("=")
        if sounds_secret(name):
            found.add(value)
    return found - {""}


def environment(variables: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the environment as lines, sorted; values of variables that are not known to be harmless are hidden."""
    for name in sorted(variables):
        harmless = (name in HARMLESS or name.startswith(HARMLESS_PREFIXES)) and not sounds_secret(name)
        value = variables[name] if harmless else HIDDEN.decode()
        yield f"{name}={value}\n".encode("utf-8", "backslashreplace")
