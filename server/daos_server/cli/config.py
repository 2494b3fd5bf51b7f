# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The commands about the configuration: check, show, schema.  None needs a helper, root or hardware."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli.output import emit, envelope, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daos_server.cli.options import Invocation
    from daos_server.config.load import Validation
    from daos_server.config.problems import Notice, Problem


def check(invocation: Invocation, file: str, host: bool = False) -> None:
    """Print everything that is wrong with a file, and what is worth knowing about it; fail if anything is wrong.

    :param file: the configuration; empty for that of ``-o``, else the installation's.
    :param host: also hold a file that keeps every rule against this host.
    """
    path = _path(invocation, file)
    blocked = _look_as_account(invocation) if host else ()
    found: Validation | None = None
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()
    try:
        from daos_server.config.load import validate

        found = validate(path)
    except Fault as fault:
        problems = (_as_problem(fault),)
    else:
        problems, notices = found.problems, found.notices
    looked = host and found is not None and found.config is not None
    if looked and found is not None:
        here, told = _host_findings(invocation, found, callback=not blocked)
        problems, notices = (*blocked, *here), (*notices, *told)
    report = Report(path, problems, notices, host=looked if host else None)
    emit(report.json() if invocation.json else report.text())
    if problems:
        invocation.exit_code = 1


def show(invocation: Invocation, file: str, secrets: bool = False) -> None:
    """Print the configuration in force as YAML that can be used in place of the file, with where each value comes from.

    :param secrets: whether to print the fabric's authorization key; ``hidden`` stands for it otherwise.
    :raises Fault: as ``config.load.load``.
    """
    from daos_server.config.effective import effective, leaves, plain
    from daos_server.config.load import fault_of, validate
    from daos_server.config.yaml_text import yaml_lines

    found = validate(_path(invocation, file))
    if found.config is None:
        raise fault_of(found.problems, found.path)
    tree = effective(found, secrets=secrets).tree
    if invocation.json:
        values = [
            {"key": leaf.key, "value": _plain(leaf.value), "origin": leaf.origin.kind, "line": leaf.origin.line, "from": leaf.origin.text}
            for leaf in leaves(tree)
        ]
        emit(envelope({"file": found.path, "values": values, "config": _plain(plain(tree))}))
        return
    head = f"# {escape(found.path)} in force. Lines are that file's.\n"
    emit(head + "\n".join(yaml_lines(tree)))


def schema(invocation: Invocation) -> None:
    """Print the JSON Schema of the configuration; with ``--json`` in the envelope, like every other answer."""
    import json

    from daos_server.config.schema import schema as made

    emit(envelope(made()) if invocation.json else json.dumps(made(), indent=2))


def _path(invocation: Invocation, file: str) -> str:
    from daos_server.cli.storage import config_path

    if file:
        invocation.config = file
    return config_path(invocation)


def _plain(value: object) -> object:
    """Return a value as JSON has it; a range of buses as it is written."""
    from daos_server.config.fields import BusRange

    if isinstance(value, BusRange):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _as_problem(fault: Fault) -> Problem:
    """Return the problem that a file which could not be read, or is no YAML, has as a whole."""
    from daos_server.config.problems import Problem

    path, _, line = fault.object.rpartition(":") if fault.code == codes.SERVER_CONFIG_SYNTAX else ("", "", "")
    message = f"{fault.description}{f': {fault.cause}' if fault.cause else ''}".removeprefix(f"{path}, line {line}, ")
    return Problem((), message, fault.resolution, fault.code, line=int(line) if line.isdecimal() else 0)


# This host


def _look_as_account(invocation: Invocation) -> tuple[Problem, ...]:
    """Become the account if this is root: what the account may not read must not pass, and no callback is run by root."""
    from daos_server.cli.storage import become_account

    if os.geteuid() != 0:
        return ()
    try:
        become_account(invocation)
    except Fault as fault:
        return (_as_problem(fault),)
    return ()


def _host_findings(invocation: Invocation, found: Validation, *, callback: bool) -> tuple[tuple[Problem, ...], tuple[Notice, ...]]:
    from daos_server.config.host_check import check_host
    from daos_server.config.load import located
    from daos_server.config.problems import Notice
    from daos_server.identity import user_name

    if found.config is None:
        return (), ()
    account, user = invocation.installation.account, user_name(os.geteuid())
    here = check_host(found.config, folder=os.path.dirname(invocation.installation.config_file), account=account, callback=callback)
    notices = [located(notice, found.root) for notice in here.notices]
    if user != account:
        notices.append(Notice((), f"this host was looked at as {user}; the server runs as {account}, which may see more or less"))
    problems = sorted((located(problem, found.root) for problem in here.problems), key=lambda problem: problem.line)
    return tuple(problems), tuple(notices)


# Words


class Report:
    """What was found in one file, for people and for programs.

    :param host: whether the file was held against this host; None if nobody asked.
    """

    def __init__(self, path: str, problems: Sequence[Problem], notices: Sequence[Notice], *, host: bool | None) -> None:
        self._path = path
        self._problems = problems
        self._notices = notices
        self._host = host

    @property
    def _count(self) -> str:
        """How much was found, in words."""
        return f"{_number(len(self._problems), 'error')}, {_number(len(self._notices), 'notice')}"

    def text(self) -> str:
        """Return it for a terminal: what must change first, then what is worth knowing, and the verdict at the end."""
        parts = [escape(self._path)]
        if self._problems:
            parts.append("\n".join(["Errors", *_blocks(self._problems)]))
        if self._notices:
            parts.append("\n".join(["Notices", *_blocks(self._notices)]))
        return "\n\n".join([*parts, f"{self._count}: {self._verdict()}"]) + "\n"

    def _verdict(self) -> str:
        if self._problems:
            code = self._problems[0].code
            unseen = ", and was not held against this host yet" if self._host is False else ""
            return f"the file cannot be used{unseen} (more on a code: daos_server explain {code})"
        return "the file fits this host" if self._host else "the file is valid (--host holds it against this host as well)"

    def json(self) -> str:
        """Return it as the one JSON object."""
        response = {
            "file": self._path,
            "valid": not self._problems,
            "errors": [self._item(each) for each in self._problems],
            "notices": [self._item(each) for each in self._notices],
        }
        error = f"{self._path}: {_number(len(self._problems), 'error')}" if self._problems else None
        return envelope(response, error)

    def _item(self, found: Problem | Notice) -> dict[str, object]:
        from daos_pbin.catalogue import name_of

        return {
            "file": self._path,
            "line": found.line,
            "key": found.key,
            "code": found.code,
            "name": name_of(found.code) if found.code else "",
            "message": found.message,
            "remedy": _remedy(found),
        }


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _remedy(found: Problem | Notice) -> str:
    return str(getattr(found, "remedy", ""))


def _blocks(findings: Iterable[Problem | Notice]) -> list[str]:
    """Return each finding on a line that begins with its place, and its remedy below."""
    lines = []
    for each in findings:
        place = f"line {each.line}" if each.line else "-"
        key = f"{each.key}: " if each.where else ""
        code = f"  [{each.code}]" if each.code else ""
        lines.append(f"  {place:<9} {escape(key + each.message)}{code}")
        if remedy := _remedy(each):
            lines.append(f"  {'':<9} -> {escape(remedy)}")
    return lines
