# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What must be known of persistent memory after a crash, a power cut or a reboot: files of root's own under /var/lib.

``pmem`` says what was begun and cannot be seen from the machine (``daos_pbin.pmem.Remembered``).  ``namespace-UUID`` says that a
namespace may be destroyed although nobody can look at what is in it: we made it, or had looked at it before we switched it off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from daos_helper.context import Context
from daos_helper.rundir import RunDirectory
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.pmem import Namespace, Remembered, decode, encode

NAME: Final = "pmem"
PREFIX: Final = "namespace-"


class Records:
    """The records, while the folder is open."""

    def __init__(self, folder: RunDirectory | None) -> None:
        self._folder = folder

    def read(self) -> Remembered:
        """Return what was begun.

        :raises Fault: 2169 if the record is not one of ours.
        """
        data = self._folder.read(NAME) if self._folder else None
        if self._folder is None or data is None:
            return Remembered()
        try:
            return decode(data)
        except ValueError as error:
            path = f"{self._folder.path}/{NAME}"
            raise Fault(codes.SCM_RECORD_DAMAGED, object=path, path=path, cause=str(error)) from error

    def write(self, record: Remembered) -> None:
        """Write down what was begun, so that it is on the disk when this returns."""
        folder = self._writable()
        if record == Remembered():
            folder.remove(NAME)
        else:
            folder.write(NAME, encode(record))

    def mark(self, label: str) -> None:
        """Write down that a namespace may be destroyed unseen; for one without a label that is not possible."""
        if label:
            self._writable().write(PREFIX + label, b"")

    def forget(self, label: str) -> None:
        """Forget a namespace."""
        if label:
            self._writable().remove(PREFIX + label)

    def is_marked(self, namespace: Namespace) -> bool:
        """Tell whether a namespace may be destroyed unseen."""
        return bool(namespace.label) and self._folder is not None and self._folder.read(PREFIX + namespace.label) is not None

    def prune(self, namespaces: Iterable[Namespace]) -> None:
        """Forget namespaces that are gone."""
        there = {PREFIX + one.label for one in namespaces}
        for name in self._writable().names(PREFIX):
            if name not in there:
                self._writable().remove(name)

    def _writable(self) -> RunDirectory:
        if self._folder is None:
            raise RuntimeError("records that were opened to be read are not written")
        return self._folder


@contextmanager
def opened(context: Context, *, write: bool = False) -> Iterator[Records]:
    """Open the records; to be read, a folder that is not there is one without any.

    :raises Fault: 2105 if the folder is not root's alone, 2113 if it cannot be made.
    """
    if not write and not os.path.lexists(context.state):
        yield Records(None)
        return
    with closing(RunDirectory(context.state)) as folder:
        if write:
            folder.tidy()
        yield Records(folder)
