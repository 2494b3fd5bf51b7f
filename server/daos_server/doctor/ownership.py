# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether files, and the folders on the way to them, are root's and nobody else's: what root runs must be."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from daos_server.doctor.finding import AS_ROOT, Finding
from daos_server.identity import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITABLE_BY_OTHERS = 0o022
LINK_LIMIT = 40
"""Symbolic links that the kernel follows in one path."""
INSTALL_AGAIN = "install the helper again"
NOT_THERE = "the helper cannot start without it"
OTHERS_BECOME_ROOT = "root runs what is in it: whoever may change it becomes root"


def lstat(path: str) -> os.stat_result | Finding:
    """Return the status of a path, or a finding if there is none to see."""
    try:
        return os.lstat(path)
    except OSError as error:
        return unseen(path, error)


def unseen(subject: str, error: OSError) -> Finding:
    """Return a finding for a part of the installation that could not be looked at."""
    return Finding.unseen(subject, error, why=NOT_THERE, advice=INSTALL_AGAIN)


def mode_text(info: os.stat_result) -> str:
    """Return the permission bits as four octal digits."""
    return f"{stat.S_IMODE(info.st_mode):04o}"


def loose(info: os.stat_result) -> str:
    """Return in words why somebody other than root may change a file or folder; empty if nobody may."""
    if info.st_uid != 0:
        return f"belongs to {user_name(info.st_uid)}"
    if not stat.S_ISLNK(info.st_mode) and info.st_mode & WRITABLE_BY_OTHERS:
        return f"has mode {mode_text(info)}, so others may write to it"
    return ""


def tree(path: str) -> Finding:
    """Return whether a file or folder, and everything in it, belongs to root and is writable by nobody else."""
    wrong: list[str] = []
    hidden: list[OSError] = []
    for each in _below(path, hidden):
        try:
            problem = loose(os.lstat(each))
        except OSError as error:
            hidden.append(error)
        else:
            if problem:
                wrong.append(f"{each} {problem}")
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        advice = f"  chown -R root:root {path} && chmod -R go-w {path}"
        return Finding(subject=path, found=f"{wrong[0]}{more}", verdict="stops", why=OTHERS_BECOME_ROOT, advice=advice)
    if hidden:
        found = f"not all of it can be seen: {hidden[0].strerror}"
        return Finding(subject=path, found=found, verdict="unknown", advice=AS_ROOT)
    return Finding(subject=path, found="root's, writable by nobody else", verdict="ok")


def _below(path: str, hidden: list[OSError]) -> Iterator[str]:
    yield path
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        return
    for folder, folders, files in os.walk(path, onerror=hidden.append):
        for name in (*folders, *files):
            yield f"{folder}/{name}"


def folders_above(path: str, *, links: bool = True) -> Finding:
    """Return whether every folder on the way to ``path``, through all links, is root's and writable by nobody else.

    :param links: whether symbolic links on the way are accepted, the last component included.
    """
    subject = f"folders above {path}"
    try:
        folders, end = way_to(path)
        if not links and end != path:
            found, advice = f"a link on the way leads to {end}", f"install again, naming {end}"
            return Finding(subject=subject, found=found, verdict="stops", why=OTHERS_BECOME_ROOT, advice=advice)
        seen = {folder: os.lstat(folder) for folder in folders}
    except OSError as error:
        return unseen(subject, error)
    wrong = {folder: problem for folder, info in seen.items() if (problem := loose(info))}
    shared = next((folder for folder in wrong if seen[folder].st_mode & stat.S_ISVTX), "")
    return Finding.of(
        subject,
        "; ".join(f"{folder} {problem}" for folder, problem in wrong.items()) or "root's, writable by nobody else",
        right=not wrong,
        why=OTHERS_BECOME_ROOT,
        # A folder such as /tmp is meant for everybody, and stays as it is.
        advice=f"install under a prefix that is not below {shared}"
        if shared
        else f"  chown root {' '.join(wrong)} && chmod go-w {' '.join(wrong)}",
    )


def way_to(path: str) -> tuple[list[str], str]:
    """Return the folders that the kernel walks through on its way to an absolute path, and where the way ends.

    :raises OSError: if it cannot be walked.
    """
    folders, here, links = ["/"], "/", 0
    rest = [part for part in path.split("/") if part not in ("", ".")]
    while rest:
        part = rest.pop(0)
        if part == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, part)
        if stat.S_ISLNK(os.lstat(step).st_mode):
            links += 1
            if links > LINK_LIMIT:
                raise OSError(40, "too many symbolic links", path)
            target = os.readlink(step)
            here = "/" if target.startswith("/") else here
            rest = [part for part in target.split("/") if part not in ("", ".")] + rest
            continue
        here = step
        if rest:
            folders.append(here)
    return folders, here
