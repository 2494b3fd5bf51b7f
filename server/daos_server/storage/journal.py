# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The server's own record of a format that has not ended: ``format.json`` in its state folder.

It holds until the machine starts again, and for a day at most: device names may stand for other devices afterwards, and data may
have come to where a step was begun.  Then only ``--force`` destroys, as ever.

Written and synced before the first step and around each one, removed at the end, so that whatever a kill leaves behind, the
next run knows what was begun and with whose consent.  Steps are on record as ``begun`` before they start: a record may say
more than was done, never less.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.plan.unfinished import Entry, Unfinished
from daos_server.storage.durable import remove_temporary, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

    from daos_server.plan.steps import Step
    from daos_server.plan.unfinished import State

NAME = "format.json"
VERSION: Final = 1
SIZE_LIMIT = 1 << 20
LIFE = timedelta(days=1)
BOOT_ID = "/proc/sys/kernel/random/boot_id"

HALF_DONE = frozenset(
    {
        codes.HELPER_WORKER_CRASHED,
        codes.HELPER_WORKER_NO_ANSWER,
        codes.HELPER_DEADLINE_EXCEEDED,
        codes.HELPER_CANCELLED,
        codes.HELPER_WORKER_STUCK,
        codes.HELPER_SESSION_CLOSED,
        codes.HELPER_INTERNAL,
        codes.STORAGE_MKFS_FAILED,
        codes.STORAGE_MOUNT_FAILED,
        codes.STORAGE_FORMAT_UNVERIFIED,
        codes.STORAGE_SYSTEM_CALL_FAILED,
    }
)
"""Faults after which nobody can say that nothing was changed: such a step stays ``begun``."""


class StepRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step on disk."""

    subject: str
    state: Literal["pending", "begun", "done", "failed"]
    force: bool


class FormatRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole record on disk.

    :param boot: the kernel's name for the time since the machine started.
    """

    version: Literal[1]
    boot: str
    digest: str
    force: bool
    started: str
    steps: dict[str, StepRecord]


def read(state_dir: str) -> Unfinished | None:
    """Return the unfinished format on record, or None.

    :raises Fault: 2110 if there is a file that is no record of ours, or one that holds no more: it then speaks for nothing.
    """
    path = f"{state_dir}/{NAME}"
    try:
        text = _read(path)
        found = msgspec.json.decode(text, type=FormatRecord)
        age = datetime.now(UTC) - datetime.fromisoformat(found.started)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise _unusable(path, f"it is no record of a format ({error})") from error
    except OSError as error:
        raise _unusable(path, os.strerror(error.errno or 0)) from error
    if found.boot != _boot():
        raise _unusable(path, f"it was begun at {found.started}, before this machine was started")
    if abs(age) > LIFE:
        raise _unusable(path, f"it was begun at {found.started}, more than a day from now")
    steps = {key: Entry(subject=step.subject, state=step.state, force=step.force) for key, step in found.steps.items()}
    return Unfinished(digest=found.digest, force=found.force, started=found.started, steps=steps)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise _unusable(path, "it is not a file of the server's account")
        text = file.read(SIZE_LIMIT + 1)
    if len(text) > SIZE_LIMIT:
        raise _unusable(path, f"it is larger than {SIZE_LIMIT} bytes")
    return text


def _boot() -> str:
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read(64).strip()
    except OSError:
        return ""  # a kernel that tells no name of it: the day remains


def _unusable(path: str, reason: str) -> Fault:
    return Fault(codes.STORAGE_FILE_UNUSABLE, object=path, path=path, reason=reason)


class Journal:
    """The record of the format that is running now."""

    def __init__(self, state_dir: str, *, digest: str, force: bool, started: str, steps: dict[str, StepRecord]) -> None:
        self._state_dir = state_dir
        self._digest = digest
        self._force = force
        self._started = started
        self._steps = steps

    @classmethod
    def begin(cls, state_dir: str, steps: Iterable[Step], *, digest: str, force: bool, earlier: Unfinished | None) -> Journal:
        """Put a format on record, before anything is changed.

        :param earlier: the record that this run completes; what it says of steps that are not in this run is kept.
        :raises Fault: 2114 if the state folder cannot be used.
        """
        known = {} if earlier is None else earlier.steps
        records = {key: StepRecord(entry.subject, entry.state, entry.force) for key, entry in known.items()}
        for step in steps:
            before = known.get(step.key)
            # A step that was begun stays so until it begins again: a kill before that must not forget the consent.
            if before is None or before.state != "begun":
                records[step.key] = StepRecord(step.subject, "pending", step.force)
        journal = cls(
            state_dir,
            digest=digest,
            force=force or (earlier is not None and earlier.force),
            started=earlier.started if earlier is not None else datetime.now(UTC).isoformat(timespec="seconds"),
            steps=records,
        )
        journal._write()
        return journal

    def begun(self, step: Step) -> None:
        """Note that a step begins.  On disk when this returns."""
        self._note(step, "begun")

    def done(self, step: Step) -> None:
        """Note that a step has done what it should."""
        self._note(step, "done")

    def failed(self, step: Step, fault: Fault) -> None:
        """Note that a step failed: it stays ``begun`` if it may have changed something, else its consent ends with it."""
        self._note(step, "begun" if fault.code in HALF_DONE else "failed")

    def _note(self, step: Step, state: State) -> None:
        self._steps[step.key] = StepRecord(step.subject, state, step.force)
        self._write()

    def _write(self) -> None:
        record = FormatRecord(VERSION, _boot(), self._digest, self._force, self._started, dict(sorted(self._steps.items())))
        text = msgspec.json.format(msgspec.json.encode(record), indent=2)
        try:
            write_atomically(self._state_dir, NAME, text, mode=0o600)
        except OSError as error:
            raise state_unusable(self._state_dir, error) from error

    def remove(self) -> None:
        """End the record: the format is complete."""
        remove(self._state_dir)


def remove(state_dir: str) -> None:
    """Remove the record, if there is one.

    :raises Fault: 2114 if it cannot be removed.
    """
    try:
        descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_temporary(descriptor, NAME)
            os.unlink(NAME, dir_fd=descriptor)
            os.fsync(descriptor)
        except FileNotFoundError:
            return
        finally:
            os.close(descriptor)
    except OSError as error:
        raise state_unusable(state_dir, error) from error


def state_unusable(state_dir: str, error: OSError) -> Fault:
    """Return fault 2114 for the server's state folder."""
    return Fault(codes.STORAGE_DIRECTORY_UNUSABLE, object=state_dir, path=state_dir, reason=os.strerror(error.errno or 0))
