# SPDX-License-Identifier: BSD-2-Clause-Patent
"""From a path to a checked configuration, or to the list of everything that is wrong with it.

``load`` is for commands that need a configuration, ``validate`` for those that talk about one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.fields import REFUSED, quoted
from daos_server.config.keys import SECTIONS, default_at, keys_at, may_be_empty, names_of
from daos_server.config.legacy import Modernised
from daos_server.config.model import ServerConfig
from daos_server.config.problems import Notice, Problem, Where
from daos_server.config.rules import notices_of, problems_of
from daos_server.config.scalars import is_null
from daos_server.config.yaml_source import Duplicate, Mapping, Node, Scalar, Sequence, parse, read_text, syntax_fault

SENSELESS = 1 << 33
"""A bound from here on is one of the number's type, which says nothing to an administrator."""
PROBLEM_LIMIT = 500
"""Most problems, and most notices, kept; a file with more is no configuration."""
FAULT_PROBLEM_LIMIT = 40
"""Most problems spelled out in one fault; ``config check`` shows the others."""
_SUGGESTION_LIMIT = 64
_CODE_OF_EMPTY: dict[Where, int] = {
    ("port",): codes.SERVER_CONFIG_BAD_CONTROL_PORT,
    ("access_points",): codes.SERVER_CONFIG_BAD_ACCESS_POINTS,
    ("system_ram_reserved",): codes.SERVER_CONFIG_SYS_RSVD_ZERO,
}
_NEWER_KEYS = {
    "mgmt_svc_replicas": "write access_points",
    "disable_hotplug": "write enable_hotplug, the other way round",
    "control_iface": "remove it",
    "allow_numa_imbalance": "remove it",
    "allow_thp": "remove it",
    "support_config": "remove it",
}
"""Keys of later releases, and what to do about them here."""
FoundT = TypeVar("FoundT", Problem, Notice)
Data = Scalar | list["Data"] | dict[str, "Data"]


class LoadedConfig(NamedTuple):
    """A configuration that keeps every rule, the absolute path that it came from, and what is worth knowing about it."""

    config: ServerConfig
    path: str
    notices: tuple[str, ...]


class Validation(NamedTuple):
    """What a file amounts to.  ``config`` is None exactly if there are problems; problems and notices are in the file's order."""

    path: str
    config: ServerConfig | None
    problems: tuple[Problem, ...]
    notices: tuple[Notice, ...]
    draft: ServerConfig | None
    """What could be read in spite of the problems, defaults for the rest; to be shown, never to be used."""
    root: Mapping
    """The file's keys with their lines, old forms already replaced."""
    converted: frozenset[Where] = frozenset()
    """The engines whose storage was in the old form."""


def load(path: str) -> LoadedConfig:
    """Load a configuration that keeps every rule.

    :raises Fault: 702, 2304 and 2305 as ``validate``; the code of the problem if there is one with a code of its own, else 2306 with a
        line for each problem.
    """
    found = validate(path)
    if found.config is None:
        raise fault_of(found.problems, found.path)
    return LoadedConfig(found.config, found.path, tuple(notice.text(found.path) for notice in found.notices))


def validate(path: str) -> Validation:
    """Read a file and find everything that is wrong with it.

    :param path: as given by the administrator; a relative one is below the current folder.
    :raises Fault: 702 without a path, 2304 if the file cannot be read or is no plain text file, 2305 if it is no YAML.
    """
    text = read_text(path)
    # Reading comes first: a current folder that is gone would spoil even an absolute path's message.
    path = path if os.path.isabs(path) else os.path.abspath(path)
    return check(parse(text, path), path)


def check(node: Node | None, path: str) -> Validation:
    """As ``validate``, for a file already parsed."""
    root = _root(node, path)
    modern = Modernised(root)
    data, empty = _data(modern.root)
    without_value = list(_empty_keys(empty))
    problems = [*_duplicates(root, path), *modern.problems, *without_value]
    config, found, tainted = _typed(data, modern.root)
    problems += found
    tainted |= {problem.where for problem in without_value}
    notices = modern.notices
    if config is not None:
        broken = (problem for problem in problems_of(config) if not _overlaps(tainted, problem.where, *problem.rests_on))
        problems += islice(broken, PROBLEM_LIMIT)
        told = (notice for notice in notices_of(config) if not _overlaps(tainted, notice.where))
        notices += islice(told, PROBLEM_LIMIT)
    problems = _in_order(located(problem, modern.root) for problem in problems)
    notices = sorted((located(notice, modern.root) for notice in notices), key=lambda notice: notice.line)
    valid = None if problems else config
    return Validation(path, valid, tuple(problems), tuple(notices), config, modern.root, frozenset(modern.converted))


def fault_of(problems: tuple[Problem, ...], path: str) -> Fault:
    """Return the fault that stands for these problems (at least one)."""
    first = problems[0]
    if len(problems) == 1 and first.code != codes.SERVER_CONFIG_INVALID:
        place = f"{path}:{first.line}"
        cause = "" if first.code == codes.SERVER_CONFIG_SYNTAX else f"{first.message}: {first.remedy}"
        return Fault(first.code, object=f"{place}: {first.key}", cause=cause, variant="", **first.values)
    lines = [problem.text(path) for problem in problems[:FAULT_PROBLEM_LIMIT]]
    if len(problems) > FAULT_PROBLEM_LIMIT:
        lines.append(f"and {len(problems) - FAULT_PROBLEM_LIMIT} more")
    return Fault(codes.SERVER_CONFIG_INVALID, path=path, object=path, problems="\n" + "\n".join(lines))


def _root(root: Node | None, path: str) -> Mapping:
    if isinstance(root, Mapping):
        return root
    if root is None or (isinstance(root, Scalar) and is_null(root)):
        return Mapping((), 1)
    raise syntax_fault(path, root.line, 1, "the file must hold keys with values, such as name: daos_server")


# From nodes to what pydantic takes


def _data(root: Mapping) -> tuple[dict[str, Data], list[Where]]:
    """Return plain containers with scalars as leaves, and the keys without a value, which are left out."""
    empty: list[Where] = []

    def convert(node: Node, where: Where) -> Data:
        if isinstance(node, Sequence):
            return [convert(item, (*where, index)) for index, item in enumerate(node.items)]
        return mapping(node, where) if isinstance(node, Mapping) else node

    def mapping(node: Mapping, where: Where) -> dict[str, Data]:
        found: dict[str, Data] = {}
        for entry in node.entries:
            if isinstance(entry.value, Scalar) and is_null(entry.value) and entry.key in keys_at(names_of(where)):
                empty.append((*where, entry.key))
            else:
                found[entry.key] = convert(entry.value, (*where, entry.key))
        return found

    return mapping(root, ()), empty


def _empty_keys(empty: list[Where]) -> Iterator[Problem]:
    """Refuse a key without a value where nothing (0, false, "") is not what leaving it out means."""
    for where in empty:
        default = default_at(where)
        if may_be_empty(default):
            continue
        remedy = f"give it one, or remove the key for {_shown(default)}"
        yield Problem(where, "has no value", remedy, _CODE_OF_EMPTY.get(where, codes.SERVER_CONFIG_INVALID))


def _shown(default: object) -> str:
    return ", ".join(default) if isinstance(default, tuple) else str(default)


def _typed(data: dict[str, Data], root: Mapping) -> tuple[ServerConfig | None, list[Problem], set[Where]]:
    """Return the typed configuration without what could not be typed, why not, and which keys that was."""
    problems: list[Problem] = []
    tainted: set[Where] = set()
    while True:
        try:
            return ServerConfig.model_validate(data), problems, tainted
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        problems += [_problem(detail, root, suggest=index < _SUGGESTION_LIMIT) for index, detail in enumerate(details[:PROBLEM_LIMIT])]
        removed = {_removable(detail["loc"]) for detail in details}
        # A key that is missing only because it is misspelt is not missing as well.
        tainted |= removed | {problem.meant for problem in problems if problem.meant and find(root, problem.meant)[1] is None}
        if len(problems) >= PROBLEM_LIMIT or () in removed:
            return None, problems, tainted
        # Each pass takes away every key that was refused, so there is an end.
        for where in removed:
            _remove(data, where)


def _removable(where: Where) -> Where:
    """Return the key to take away for an error; one entry cannot leave a list without renumbering the others."""
    while where and isinstance(where[-1], int):
        where = where[:-1]
    return where


def _remove(data: dict[str, Data], where: Where) -> None:
    """Take a key away, unless it went with one above it already."""
    here: Data = data
    for part in where[:-1]:
        if isinstance(here, dict):
            here = here.get(str(part), {})
        elif isinstance(here, list) and isinstance(part, int):
            here = here[part]
    if isinstance(here, dict):
        here.pop(str(where[-1]), None)


# From errors to words


def _problem(detail: ErrorDetails, root: Mapping, *, suggest: bool) -> Problem:
    where, kind = detail["loc"], detail["type"]
    context = cast(dict[str, object], detail.get("ctx", {}))
    if kind == REFUSED:
        values = cast(dict[str, object], context["values"])
        return Problem(where, str(context["what"]), str(context["remedy"]), cast(int, context["code"]), values)
    if kind == "extra_forbidden":
        return _unknown_key(where, suggest=suggest)
    if kind in ("greater_than_equal", "less_than_equal"):
        found = find(root, where)[1]
        text = quoted(found) if isinstance(found, Scalar) else "the value"
        bound = cast(int, context["ge"] if "ge" in context else context["le"])
        if abs(bound) >= SENSELESS:
            return Problem(where, f"{text} is out of range", "use a number that this machine could have")
        return Problem(where, f"{text} is out of range", f"use {bound} or {'more' if 'ge' in context else 'less'}")
    return Problem(where, detail["msg"], "see the example configuration files")


def _unknown_key(where: Where, *, suggest: bool) -> Problem:
    *place, key = where
    if not place and (advice := _NEWER_KEYS.get(str(key))):
        return Problem(where, "is a key of a later release", advice)
    known = keys_at(names_of(tuple(place)))
    if near := get_close_matches(str(key)[:64], known, n=1) if suggest else []:
        return Problem(where, "is not a known key", f"did you mean {near[0]}?", meant=(*place, near[0]))
    if elsewhere := [_section_text(names) for names in SECTIONS if str(key) in keys_at(names)] if suggest else []:
        remedy = f"it belongs {' or '.join(elsewhere)}; check the indentation"
    else:
        remedy = "remove it, or see the example configuration files for the keys of this version"
    return Problem(where, "is not a known key", remedy)


def _section_text(names: Where) -> str:
    return f"below {'.'.join(str(name) for name in names)}" if names else "at the top of the file"


def _duplicates(root: Mapping, path: str) -> Iterator[Problem]:
    reported: set[Duplicate] = set()
    pending: list[tuple[Where, Node]] = [((), root)]
    while pending:
        where, node = pending.pop()
        if isinstance(node, Sequence):
            pending += [((*where, index), item) for index, item in enumerate(node.items)]
        elif isinstance(node, Mapping):
            pending += [((*where, entry.key), entry.value) for entry in node.entries]
            # A map that stands in several places by its alias was written once.
            for found in node.duplicates:
                if found not in reported:
                    reported.add(found)
                    yield _duplicate(found, where, path)


def _duplicate(found: Duplicate, where: Where, path: str) -> Problem:
    message = f"is given twice, first in line {found.first_line}"
    remedy = "keep one of the two"
    problem = f'key "{found.key}" {message}'
    values = {"path": path, "line": found.line, "column": found.column, "problem": problem, "remedy": remedy}
    return Problem((*where, found.key), message, remedy, codes.SERVER_CONFIG_SYNTAX, values, line=found.line)


# Lines


def find(root: Mapping, where: Where) -> tuple[int, Node | None]:
    """Return the line of a key and its value; of a key that is not there, the line of the nearest part above it, and None."""
    here: Node = root
    line = root.line
    for part in where:
        if isinstance(here, Mapping) and isinstance(part, str) and (entry := here.get(part)):
            line, here = entry.line, entry.value
        elif isinstance(here, Sequence) and isinstance(part, int) and part < len(here.items):
            here = here.items[part]
            line = here.line
        else:
            return line, None
    return line, here


def line_of(root: Mapping, where: Where) -> int:
    """Return the line of a key, or of the nearest part of the file above it that is there."""
    return find(root, where)[0]


def located(found: FoundT, root: Mapping) -> FoundT:
    """Return a problem or a notice with its line, if it has none yet."""
    return found if found.line else dataclasses.replace(found, line=line_of(root, found.where))


def _overlaps(tainted: set[Where], *places: Where) -> bool:
    """Return whether a rule's finding may come from a key that is missing only because it was refused before."""
    return any(where[: len(other)] == other or other[: len(where)] == where for other in tainted for where in places)


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line)[:PROBLEM_LIMIT]
