# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``support collect-log``: the options checked, progress shown, the result as text or as JSON."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli.options import WrongUsageError, listed
from daos_server.cli.output import emit, envelope, escape, note
from daos_server.support import secrets
from daos_server.support.collect import collect as collect_items
from daos_server.support.collect import items_of
from daos_server.support.folder import Folder
from daos_server.support.options import LOG_TYPES, CollectOptions
from daos_server.support.period import Period, clock, day

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer

    from daos_server.cli.options import Invocation
    from daos_server.config.model import ServerConfig
    from daos_server.support.collect import Summary

    ValueT = TypeVar("ValueT")

PREFIX = "daos_support_server_logs_"


def options_of(
    context: typer.Context,
    *,
    stop_on_error: bool,
    target_folder: str,
    archive: bool,
    extra_logs_dir: str,
    days: tuple[str, str],
    times: tuple[str, str],
    log_type: str,
    ignore_config: bool,
) -> CollectOptions:
    """Return the options of a command line.

    :raises WrongUsageError: if one of them makes no sense.
    """
    today = datetime.now().astimezone().date()

    def parsed(option: str, text: str, parse: Callable[[str], ValueT], form: str) -> ValueT | None:
        try:
            return parse(text) if text else None
        except ValueError:
            raise WrongUsageError(context, f"{option} takes {form}, not {text!r}") from None

    form_of_day, form_of_time = "a day such as 2026-01-31 or 01-31", "a time such as 08:30:00"
    period = Period(
        first_day=parsed("--start-date", days[0], lambda text: day(text, today), form_of_day),
        last_day=parsed("--end-date", days[1], lambda text: day(text, today), form_of_day),
        start=parsed("--log-start-time", times[0], clock, form_of_time),
        end=parsed("--log-end-time", times[1], clock, form_of_time),
    )
    if period.first_day and period.last_day and period.first_day > period.last_day:
        raise WrongUsageError(context, "--start-date is after --end-date")
    types = listed(log_type)
    for each in types:
        if each not in LOG_TYPES:
            raise WrongUsageError(context, f"--log-type takes {', '.join(LOG_TYPES)}, not {each!r}")
    return CollectOptions(
        stop_on_error=stop_on_error,
        folder=os.path.abspath(target_folder) if target_folder else "",
        archive=archive,
        extra=os.path.abspath(extra_logs_dir) if extra_logs_dir else "",
        period=period,
        log_types=types,
        ignore_config=ignore_config,
    )


def collect(invocation: Invocation, options: CollectOptions) -> None:
    """Collect everything and say where it is.

    :raises Fault: 2366 if there is nowhere to put it, 2367 if a failure stopped it as asked.
    """
    say = note if invocation.json else emit
    path, config = _config(invocation, options)
    hide = secrets.Filter(secrets.of_config(config) if config is not None else ())
    if options.extra and not os.path.isdir(options.extra):
        raise Fault(codes.SUPPORT_FOLDER_UNUSABLE, path=options.extra, reason="it is no folder")
    folder = Folder(options.folder or _default_folder())
    try:
        items = items_of(options, invocation.installation, config, path, os.environ, folder.path)
        summary = collect_items(items, folder, hide, lambda text: say(escape(text)), stop_on_error=options.stop_on_error)
        archive = folder.archive() if options.archive else None
    except KeyboardInterrupt:
        return _stopped(invocation, folder.path)
    finally:
        folder.close()
    return _report(invocation, summary, folder.path, archive)


def _stopped(invocation: Invocation, folder: str) -> None:
    text = f"stopped; what was collected so far is in {folder}"
    note(f"NOTICE: {text}")
    if invocation.json:
        emit(envelope(None, text))
    invocation.exit_code = 1


def _config(invocation: Invocation, options: CollectOptions) -> tuple[str, ServerConfig | None]:
    """Return the configuration, as far as it can be read: the logs of a server that does not start over it are wanted most."""
    from daos_server.cli.storage import config_path
    from daos_server.config.load import validate

    if options.ignore_config:
        return "", None
    path = config_path(invocation)
    try:
        found = validate(path)
    except Fault as fault:
        note(f"NOTICE: without a configuration no logs are known: {escape(fault)}")
        return (path if os.path.isfile(path) else ""), None
    if found.config is None:
        note(f"NOTICE: {escape(path)} has mistakes; its logs are collected as far as it could be read")
    return path, found.draft


def _default_folder() -> str:
    """Return a new name in the folder of temporary files, with the time in it as RFC 3339 has it."""
    now = datetime.now().astimezone().isoformat(timespec="seconds").replace("+00:00", "Z")
    return os.path.join(os.path.abspath(os.environ.get("TMPDIR") or "/tmp"), f"{PREFIX}{now}")  # noqa: S108 (made with mkdir, mode 0700)


def _report(invocation: Invocation, summary: Summary, folder: str, archive: str | None) -> None:
    if invocation.json:
        response = {
            "folder": None if archive else folder,
            "archive": archive,
            "collected": [item.name for item in summary.collected],
            "failed": [{"name": item.name, "what": item.what, "reason": reason} for item, reason in summary.failed],
        }
        emit(envelope(response))
        return
    emit(f"{len(summary.collected)} collected, {len(summary.failed)} failed: {archive or folder}")
    for item, reason in summary.failed:
        emit(f"  failed: {escape(item.what)}: {escape(reason)}")
