# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What several rules need."""

from __future__ import annotations

from collections.abc import Iterator

from daos_server.config.fields import quoted
from daos_server.config.model import EngineConfig, ServerConfig
from daos_server.config.problems import Problem, Where

PORT_LIMIT = 65535


def engines_of(config: ServerConfig) -> Iterator[tuple[Where, EngineConfig]]:
    for index, engine in enumerate(config.engines):
        yield ("engines", index), engine


def pair(current: int, seen: int) -> dict[str, object]:
    return {"current": current, "seen": seen}


def absolute(where: Where, path: str) -> Iterator[Problem]:
    if path and not path.startswith("/"):
        yield Problem(where, f"{quoted(path)} is not an absolute path", "write it from the root, beginning with a slash")
