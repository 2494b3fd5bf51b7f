# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One request about persistent memory to the installed helper, in a guest whose power is going to be cut in the middle of it.

    pmem_cut.py ROOT clear
    pmem_cut.py ROOT prepare|reset PER_SOCKET [LINE before|after]

``clear`` makes the regions empty and prints them.  Otherwise every line of the helper's log is printed; at line number LINE the helper is
stopped, and ``cut`` is printed: with ``before`` at once, so that what the line announces is not begun, with ``after`` once the worker
that does it has ended, so that it is done and the helper does not know it.  A request that comes to its end prints what there was
before, its answer, and what there is then.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec
from installed import installation_at
from nvdimms import clear, listing

from daos_pbin.envelope import Log
from daos_pbin.plain import PlainSession
from daos_pbin.pmem import KernelRegion
from daos_pbin.pmem_messages import ScmPrepare, ScmPrepareResult, ScmScan, ScmScanResult

CUT: Final = "cut"
LOG: Final = "log "
WORKER_S: Final = 15.0
"""Seconds to wait for a worker: after the last line there may come none."""


class Ended(msgspec.Struct, frozen=True):
    """What a request came to.

    :param records: names of the records that the helper has then.
    """

    before: ScmScanResult
    answer: ScmPrepareResult
    after: ScmScanResult
    records: list[str]


class Empty(msgspec.Struct, frozen=True):
    """What ``clear`` prints."""

    regions: tuple[KernelRegion, ...]


def say(text: str) -> None:
    print(text, flush=True)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_ended(pid: int) -> bool:
    """Say whether a process has ended, also if nobody has asked for its status."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def let_finish(pid: int) -> None:
    """Stop the helper as soon as it has a worker, and let that work to its end."""
    deadline = time.monotonic() + WORKER_S
    while not (workers := children(pid)):
        if time.monotonic() > deadline:
            return
    os.kill(pid, signal.SIGSTOP)
    while not all(has_ended(one) for one in workers):
        time.sleep(0.01)


class Cutter:
    """Counts lines of the log, and stops the helper at one of them; 0 for none."""

    def __init__(self, line: int, moment: Literal["before", "after"]) -> None:
        self._left = line
        self._moment = moment
        self.pid = 0

    def take(self, told: Log) -> None:
        """Take note of a line."""
        if not self.pid:
            return
        self._left -= 1
        if self._left == 0:
            if self._moment == "after":
                let_finish(self.pid)
            os.kill(self.pid, signal.SIGSTOP)
        say(LOG + told.text)
        if self._left == 0:
            say(CUT)
            signal.pause()


def request(root: Path, *, reset: bool, per_socket: int, cutter: Cutter) -> Ended:
    """Make the request."""
    installation = installation_at(root)
    with PlainSession(installation.helper_of_account, on_log=cutter.take) as helper:
        before = helper.call(ScmScan())
        cutter.pid = helper.pid
        answer = helper.call(ScmPrepare(reset=reset, namespaces_per_socket=per_socket), deadline_s=600)
        cutter.pid = 0
        after = helper.call(ScmScan())
    records = [path.name for path in Path(installation.layout.helper_state).iterdir() if path.is_file()]
    return Ended(before, answer, after, sorted(records))


def main(root: str, action: str, per_socket: str = "1", line: str = "0", moment: Literal["before", "after"] = "before") -> None:
    """Do what the command line says."""
    if action == "clear":
        clear()
        ended: Ended | Empty = Empty(listing().regions)
    else:
        cutter = Cutter(int(line), moment)
        ended = request(Path(root), reset=action == "reset", per_socket=int(per_socket), cutter=cutter)
    say(msgspec.json.encode(ended).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]  # a test's own command line
