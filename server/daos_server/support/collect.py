# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is collected, item by item; an item that fails is named and does not keep the others from being collected."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.support import secrets
from daos_server.support.options import ADMIN, CONTROL, SERVER
from daos_server.support.programs import PACKAGES, SYSTEM, Program, ProgramError, find, lines_of, output_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from daos_server.config.model import ServerConfig
    from daos_server.installation import Installation
    from daos_server.support.folder import Folder
    from daos_server.support.options import CollectOptions

EXTRA_LIMIT = 10_000
"""Most files of the extra folder."""
OWN_DEADLINE_S = 120
"""For our own commands that look at hardware."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file of the collection.

    :param name: of the file, with its subfolder.
    :param what: for a person.
    :param lines: yields what goes into it; raises OSError or ProgramError if it cannot be had.
    """

    name: str
    what: str
    lines: Callable[[], Iterable[bytes]]


@dataclass
class Summary:
    """What became of the items.

    :param failed: those that could not be collected, or not completely, with the reason.
    """

    collected: list[Item] = field(default_factory=list)
    failed: list[tuple[Item, str]] = field(default_factory=list)

    def lines(self) -> Iterator[bytes]:
        """Yield the summary as text."""
        for item in self.collected:
            yield _one_line(f"collected  {item.name}: {item.what}")
        for item, reason in self.failed:
            yield _one_line(f"failed     {item.name}: {item.what}: {reason}")


def _one_line(text: str) -> bytes:
    """Return a line whatever is in the text: names of files can have ends of lines in them."""
    return text.encode("utf-8", "backslashreplace").replace(b"\n", b"\\n") + b"\n"


def collect(items: Iterable[Item], folder: Folder, hide: secrets.Filter, say: Callable[[str], None], *, stop_on_error: bool) -> Summary:
    """Collect the items into the folder, with a summary as the last file.

    :param say: told of each item, and of each failure.
    :raises Fault: 2367 for the first item that fails, if that is to stop everything.
    """
    summary = Summary()
    for item in items:
        say(f"collecting {item.what}")
        try:
            folder.write(item.name, hide.lines(item.lines()))
        except (OSError, ProgramError) as error:
            reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
            say(f"  failed: {reason}")
            summary.failed.append((item, reason))
            if stop_on_error:
                folder.write("summary.txt", summary.lines())
                raise Fault(codes.SUPPORT_STOPPED, name=item.what, reason=reason, place=folder.path) from error
        else:
            summary.collected.append(item)
    folder.write("summary.txt", hide.lines(summary.lines()))
    return summary


def items_of(
    options: CollectOptions,
    installation: Installation,
    config: ServerConfig | None,
    config_path: str,
    environment: Mapping[str, str],
    folder: str,
) -> Iterator[Item]:
    """Yield all items that the options ask for.

    :param config: None if there is none to be had; then there are no logs to be found either.
    :param folder: where they are collected; it may lie in the extra folder and is left out of that.
    """
    if not options.only_logs:
        yield from system(environment)
        yield from own(installation, config, config_path)
    if config is not None:
        yield from logs(options, config)
    if options.extra:
        yield from extra(options.extra, folder)


def system(environment: Mapping[str, str]) -> Iterator[Item]:
    """Yield what the operating system says."""
    for program in SYSTEM:
        yield _output(f"system/{program.name}.txt", program)
    packages = next((program for program in PACKAGES if find(program.name)), PACKAGES[0])
    yield _output(f"system/{packages.name}.txt", packages)
    yield Item(name="system/printenv.txt", what="printenv", lines=partial(secrets.environment, environment))


def own(installation: Installation, config: ServerConfig | None, config_path: str) -> Iterator[Item]:
    """Yield what our own commands say, and the configuration."""
    program = f"{installation.prefix}/bin/daos_server"
    commands = {"version.txt": ("version",), "topology.txt": ("dump-topology",), "doctor.json": ("doctor", "--json")}
    if config is not None:
        commands["config.json"] = ("config", "show", config_path, "--json")
    for name, arguments in commands.items():
        yield _output(f"daos/{name}", Program(name=program, arguments=arguments, deadline_s=OWN_DEADLINE_S, bad_news=1))
    metrics = find("daos_metrics", (f"{installation.prefix}/bin", "/usr/bin")) or "daos_metrics"
    for index in range(len(config.engines) if config is not None else 0):
        yield _output(f"daos/metrics.{index}.csv", Program(name=metrics, arguments=("-S", str(index), "--csv")))
    if config_path:
        yield Item(name=f"daos/{os.path.basename(config_path)}", what=config_path, lines=partial(text_of, config_path))


def logs(options: CollectOptions, config: ServerConfig) -> Iterator[Item]:
    """Yield the logs of the configuration, with those that were put aside when they had grown too large."""
    named: list[tuple[str, str]] = []
    if options.wants(CONTROL):
        named.append(("control", config.control_log_file))
    if options.wants(SERVER):
        named += [(f"engine{index}", engine.log_file) for index, engine in enumerate(config.engines)]
    if options.wants(ADMIN):
        named.append(("helper", config.helper_log_file))
    for place, path in named:
        for each in _with_older(path) if path else ():
            yield Item(name=f"logs/{place}/{os.path.basename(each)}", what=each, lines=partial(_log, each, options))


def _log(path: str, options: CollectOptions) -> Iterable[bytes]:
    year = datetime.fromtimestamp(os.stat(path).st_mtime).astimezone().year
    return options.period.wanted(text_of(path), year)


def _with_older(path: str) -> list[str]:
    folder, name = os.path.split(path)
    try:
        older = [other for other in sorted(os.listdir(folder)) if other.startswith(f"{name}.")]
    except OSError:
        older = []
    return [path, *(f"{folder}/{other}" for other in older)]


def extra(folder: str, but: str) -> Iterator[Item]:
    """Yield the files of a folder and of those below it, but for one of them; links in it are not followed."""
    count = 0
    for here, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if os.path.realpath(f"{here}/{name}") != os.path.realpath(but))
        for name in sorted(names):
            path = f"{here}/{name}"
            count += 1
            if count > EXTRA_LIMIT:
                raise Fault(codes.SUPPORT_FOLDER_UNUSABLE, path=folder, reason=f"it has more than {EXTRA_LIMIT} files")
            yield Item(name=f"extra/{os.path.relpath(path, folder)}", what=path, lines=partial(text_of, path))


def _unreadable(error: OSError) -> None:
    raise Fault(codes.SUPPORT_FOLDER_UNUSABLE, path=str(error.filename), reason=os.strerror(error.errno or 0)) from error


def text_of(path: str) -> Iterator[bytes]:
    """Yield the lines of a regular file; the last component may be no link, and nothing else blocks either.

    :raises OSError: if it cannot be read.
    :raises ProgramError: if it is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProgramError("it is no regular file")
        yield from lines_of(file)


def _output(name: str, program: Program) -> Item:
    return Item(name=name, what=program.command, lines=partial(output_of, program))
