# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The commands that only tell: version, explain, helper check.  None needs a configuration or a working helper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.cli.output import emit, envelope, escape, note, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daos_server.cli.options import Invocation

CONFIG_UNUSED = "NOTICE: a configuration file was named, but this command reads none"
WIDEST = 100
"""Columns of running text at most: longer lines are hard to read."""
NEAREST = 3
"""How many names are offered for one that does not exist."""


def version(invocation: Invocation) -> None:
    """Print name and version."""
    from daos_pbin import PROTOCOL_VERSION, VERSION

    _ignore_config(invocation)
    response = {"name": "DAOS Control Server", "version": VERSION, "build_time": _build_time(), "helper_protocol": PROTOCOL_VERSION}
    _answer(invocation, response, f"DAOS Control Server version {VERSION}\n")


def _build_time() -> str:
    """Return when this program was put together, which is when it was installed, as RFC 3339 has it, in UTC."""
    import os
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(os.stat(__file__).st_mtime))


def helper_check(invocation: Invocation) -> None:
    """Print every finding about the helper; fail if any is wrong."""
    from daos_server.doctor.show import group_text, width
    from daos_server.helper_check import findings

    _ignore_config(invocation)
    points = findings(invocation.installation)
    wrong = [point for point in points if point.verdict == "stops"]
    error = f"{len(wrong)} of {len(points)} checks of the helper found something wrong" if wrong else None
    response = {"ready": not wrong, "findings": [point.as_json() for point in points]}
    _answer(invocation, response, group_text("Helper", points, width()), error)


def explain(invocation: Invocation, asked: str) -> None:
    """Print what a fault code means, or the list of all of them."""
    _ignore_config(invocation)
    if not asked:
        listed = [_summary(code) for code in all_codes()]
        rows = [(each["code"], each["name"], each["domain"], each["description"]) for each in listed]
        _answer(invocation, listed, table(("Code", "Name", "Domain", "Description"), rows))
        return
    code = find_code(asked)
    if code is None:
        near = nearest(asked)
        error = f"there is no fault {asked!r}"
        note(f"ERROR: {escape(error)}")
        note(f"ERROR: {'close to it: ' + ', '.join(near) if near else 'all are listed by: daos_server explain'}")
        if invocation.json:
            emit(envelope(None, error))
        invocation.exit_code = 1
        return
    _explain_one(invocation, code)


def _summary(code: int) -> dict[str, object]:
    from daos_pbin.catalogue import entry, variants

    found = entry(code, variants(code)[0])
    return {"code": code, "name": found.name, "domain": found.domain, "description": found.description}


def _explain_one(invocation: Invocation, code: int) -> None:
    from daos_pbin.catalogue import entry, variants
    from daos_pbin.explanations import explain

    wordings = [entry(code, variant) for variant in variants(code)]
    first = wordings[0]
    explanation = explain(code)
    response = {
        "code": code,
        "name": first.name,
        "domain": first.domain,
        "wordings": [{"description": each.description, "resolution": each.resolution} for each in wordings],
        "explanation": explanation,
    }
    parts = [f"{code} {first.name} ({first.domain})"]
    for each in wordings:
        parts += [f"What happened: {each.description}", f"What to do: {each.resolution}"]
    _answer(invocation, response, _wrapped([*parts, *explanation.split("\n\n")]))


def _wrapped(paragraphs: Sequence[str]) -> str:
    """Return paragraphs broken at the width of the terminal; indented ones are commands and stay whole."""
    from shutil import get_terminal_size
    from textwrap import fill

    width = min(get_terminal_size().columns, WIDEST)
    whole = (each if each.startswith(" ") else fill(each, width, break_long_words=False, break_on_hyphens=False) for each in paragraphs)
    return "\n\n".join(whole) + "\n"


def all_codes() -> dict[int, str]:
    """Return the name of every fault code, by number."""
    from daos_pbin import codes
    from daos_pbin.catalogue import name_of

    numbers = sorted(number for number in vars(codes).values() if isinstance(number, int))
    return {number: name_of(number) for number in numbers}


def find_code(asked: str) -> int | None:
    """Return the code of a number or a name; the case of a name, and underscores and hyphens in it, make no difference."""
    known = all_codes()
    if asked.isascii() and asked.isdigit():
        return int(asked) if int(asked[:10]) in known and len(asked) <= 10 else None
    return next((number for number, name in known.items() if name.lower() == _plain(asked)), None)


def nearest(asked: str) -> list[str]:
    """Return the names that look most like the one asked for, each with its number."""
    from difflib import get_close_matches

    by_plain = {name.lower(): f"{name} ({number})" for number, name in all_codes().items()}
    by_plain |= {str(number): f"{name} ({number})" for number, name in all_codes().items()}
    return [by_plain[match] for match in get_close_matches(_plain(asked), by_plain, NEAREST)]


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _answer(invocation: Invocation, response: object, text: str, error: str | None = None) -> None:
    emit(envelope(response, error) if invocation.json else text)
    if error is not None:
        note(f"ERROR: {error}")
        invocation.exit_code = 1


def _ignore_config(invocation: Invocation) -> None:
    if invocation.config:
        note(CONFIG_UNUSED)
